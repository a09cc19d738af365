"""Parameters: recorded once, the same for everybody; what differs is shown, and what JSON cannot hold is refused."""

import json
import pickle
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multiprocesstools import MultiProcessHelper
from multiprocesstools.errors import BadArgument, ParametersDiffer, SettingsDiffer
from multiprocesstools.run.directory import Run
from multiprocesstools.run.parameters import check_parameters, differences
from tests.tools import Child, tree

GIVEN = {"threshold": 0.5, "filters": ["gauss", {"sigma": 2}], "mask": None}


def recorded(run: Path) -> Any:
    """What the settings file in force has."""
    latest = max((run / ".multiprocesstools").glob("run-*.json"), key=lambda path: int(path.stem.partition("-")[2]))
    return json.loads(latest.read_text())["parameters"]


def changes(before: Any, now: Any) -> list[tuple[str, str, Any, Any]]:
    return [(c.path, c.kind, c.recorded, c.given) for c in differences(check_parameters(before), check_parameters(now))]


def test_they_are_recorded_and_taken_from_the_run_where_they_are_not_given(tmp_path: Path) -> None:
    with MultiProcessHelper("one", tmp_path, parameters=GIVEN) as mph:
        assert mph.parameters == GIVEN == recorded(tmp_path)
        mph.parameters["threshold"] = 7
        assert mph.parameters == GIVEN, "it is a copy"
    with MultiProcessHelper("two", tmp_path) as mph:
        assert mph.parameters == GIVEN


@pytest.mark.parametrize("given", [None, {}], ids=["not given", "empty"])
def test_without_any_they_are_empty_and_the_file_says_null(tmp_path: Path, given: Any) -> None:
    with MultiProcessHelper("one", tmp_path, parameters=given) as mph:
        assert mph.parameters == {}
    assert recorded(tmp_path) is None


@pytest.mark.parametrize(
    ("before", "now", "found"),
    [
        ({"a": 1}, {"a": 1.0}, []),
        ({"a": (1, 2)}, {"a": [1, 2]}, []),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, []),
        ({"a": 1}, {"a": True}, [("['a']", "changed", 1, True)]),
        ({"a": 0}, {"a": None}, [("['a']", "changed", 0, None)]),
        ({"a": "1"}, {"a": 1}, [("['a']", "changed", "1", 1)]),
        ({"a": {"b": [1, {"c": 2}]}}, {"a": {"b": [1, {"c": 3}]}}, [("['a']['b'][1]['c']", "changed", 2, 3)]),
        ({"a": [1, 2]}, {"a": [1]}, [("['a']", "changed", [1, 2], [1])]),
        ({"a": 1}, {"b": 2}, [("['a']", "removed", 1, None), ("['b']", "added", None, 2)]),
        ({"a": {"b": 1}}, {"a": 1}, [("['a']", "changed", {"b": 1}, 1)]),
    ],
    ids=str,
)
def test_they_are_compared_by_their_values_in_json(before: Any, now: Any, found: list[Any]) -> None:
    assert changes(before, now) == found


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=10,
    )
)
def test_what_was_written_to_json_and_read_again_is_no_difference(value: Any) -> None:
    plain = check_parameters({"value": value})
    assert list(differences(plain, json.loads(json.dumps(plain)))) == []
    assert len(list(differences(plain, {"value": [value]}))) == 1


@pytest.mark.parametrize(
    ("value", "place", "advice"),
    [
        ({"a": Path("x")}, "parameters['a']", "str(path)"),
        ({"a": [0, {"b": {1, 2}}]}, "parameters['a'][1]['b']", "sorted"),
        ({"a": {"when": date(2026, 1, 1)}}, "parameters['a']['when']", "isoformat"),
        ({"a": float("nan")}, "parameters['a']", "NaN"),
        ({"a": [float("inf")]}, "parameters['a'][0]", "no such number"),
        ({"a": {1: 2}}, "parameters['a']", "str(key)"),
        ({"a": b"x"}, "parameters['a']", "bytes"),
        ({"a": object()}, "parameters['a']", "no object"),
        ({"a": 2**2000}, "parameters['a']", "too large"),
        ([1], "parameters", "dict"),
        ({"a": "x" * 300_000}, "parameters", "characters"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_json_cannot_hold_is_refused_by_its_place_before_anything_is_made(
    tmp_path: Path, value: Any, place: str, advice: str
) -> None:
    with pytest.raises(BadArgument) as caught:
        MultiProcessHelper("one", tmp_path / "run", parameters=value)
    assert caught.value.argument == place and advice in str(caught.value)
    assert tree(tmp_path) == {}


def test_a_number_of_numpy_is_refused_with_what_to_write_instead(tmp_path: Path) -> None:
    class Number:
        """Like numpy.int64(3): a number that is no int."""

        def tolist(self) -> int:
            return 3

    with pytest.raises(BadArgument, match=r"parameters\['n'\].*use value.tolist\(\)"):
        MultiProcessHelper("one", tmp_path, parameters={"n": Number()})


def test_a_value_that_contains_itself_is_refused() -> None:
    value: dict[str, Any] = {}
    value["self"] = value
    with pytest.raises(BadArgument, match="contain itself"):
        check_parameters(value)


def test_other_parameters_are_an_error_that_shows_both_and_proposes_a_directory(tmp_path: Path) -> None:
    run = tmp_path / "output"
    MultiProcessHelper("one", run, parameters=GIVEN).cleanup()
    (tmp_path / "output_2").mkdir()
    before = tree(tmp_path)
    with pytest.raises(ParametersDiffer) as caught:
        MultiProcessHelper("one", run, parameters=GIVEN | {"threshold": 0.7, "new\x1b": "x"})
    assert tree(tmp_path) == before
    text = str(pickle.loads(pickle.dumps(caught.value)))
    assert "['threshold']: 0.5 -> 0.7" in text and r"['new\x1b']: not there -> 'x'" in text
    assert str(tmp_path / "output_3") in text and "was made with other parameters" in text


def test_nobody_needs_to_live_for_that_unlike_for_other_settings(tmp_path: Path) -> None:
    MultiProcessHelper("one", tmp_path, parameters={"a": 1}, max_attempts=3).cleanup()
    with MultiProcessHelper("one", tmp_path, max_attempts=5) as mph:
        assert mph.parameters == {"a": 1} == recorded(tmp_path), "other settings keep them"
        with pytest.raises(SettingsDiffer):
            MultiProcessHelper("one", tmp_path, max_attempts=7)
    with pytest.raises(ParametersDiffer):
        MultiProcessHelper("one", tmp_path, parameters={})


def test_a_run_that_was_begun_without_any_takes_none_later(tmp_path: Path) -> None:
    with MultiProcessHelper("one", tmp_path) as mph:
        with pytest.raises(ParametersDiffer, match="begun without parameters"):
            MultiProcessHelper("two", tmp_path, parameters={"a": 1})
        mph.claim("x")
    with pytest.raises(ParametersDiffer, match="begun without parameters"):
        MultiProcessHelper("two", tmp_path, parameters={"a": 1})


def test_a_run_in_which_nothing_was_begun_takes_them(tmp_path: Path) -> None:
    MultiProcessHelper("one", tmp_path).cleanup()
    with MultiProcessHelper("two", tmp_path, parameters={"a": 1}) as mph:
        assert mph.parameters == {"a": 1} == recorded(tmp_path)


def test_who_joins_while_they_are_recorded_later_is_not_given_a_run_with_parameters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one joins between the look for instances and the settings file."""
    MultiProcessHelper("one", tmp_path).cleanup()
    joined: list[MultiProcessHelper] = []
    real = Run.create

    def create(self: Run, path: str, data: bytes) -> bool:
        if not joined:
            joined.append(MultiProcessHelper("other", tmp_path))
        return real(self, path, data)

    monkeypatch.setattr(Run, "create", create)
    with pytest.raises(ParametersDiffer):
        MultiProcessHelper("two", tmp_path, parameters={"a": 1})
    assert joined[0].parameters == {} and recorded(tmp_path) is None
    joined[0].cleanup()


def test_an_old_settings_file_without_the_key_is_read(tmp_path: Path) -> None:
    home = tmp_path / ".multiprocesstools"
    home.mkdir()
    line = {"format": 1, "beat_seconds": 20, "patience_seconds": 300, "max_attempts": 3}
    (home / "run-1.json").write_text(json.dumps(line))
    with MultiProcessHelper("one", tmp_path) as mph:
        assert mph.parameters == {}


def test_of_two_that_start_at_once_one_wins_and_the_other_is_told(tmp_path: Path) -> None:
    script = """
    from multiprocesstools.errors import ParametersDiffer
    say("ready"); wait()
    try:
        mph = MultiProcessHelper("race", sys.argv[1], parameters={"who": int(sys.argv[2])})
    except ParametersDiffer as error:
        say(f"told {error.changes[0][2]} {error.changes[0][3]}")
    else:
        say(f"won {mph.parameters['who']} {sys.argv[2]}"); wait()
    """
    for turn in range(3):
        run = tmp_path / str(turn)
        with Child(script, run, 0) as one, Child(script, run, 1) as two:
            for child in (one, two):
                assert child.hear() == "ready"
            one.go_on(), two.go_on()
            said = sorted([one.hear().split(), two.hear().split()])
            assert [words[0] for words in said] == ["told", "won"]
            winner = said[1][1]
            assert said[1][1:] == [winner, winner] and said[0][1] == winner and said[0][2] != winner
            assert recorded(run) == {"who": int(winner)}
            one.go_on(), two.go_on()
