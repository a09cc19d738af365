"""What stands in the run directory does not decide alone what is run."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from multiprocesstools.errors import CannotRunHere
from multiprocesstools.run.directory import Run
from multiprocesstools.steps.place import Place
from multiprocesstools.steps.step import Step
from multiprocesstools.steps.trust import Trust
from tests.steps.test_protocol import Steps, double

PROGRAM = Step(1, "_run_job", '["touch",["/tmp/x"]]', function="self._run_job")
PICKLED = Step(2, "note", '[{"__pickled__":"gASVAA=="}]', function="self.note")


def trust(directory: Path, *script: Step, mode: int = 0o644) -> Trust:
    """What a protocol trusts whose record has two entries, the second one with this mode."""
    place = Place(Run(directory).prepare())
    Path(place.record).mkdir(exist_ok=True)
    session = (
        '{"format": 1, "kind": "session", "protocol": "p", "by": "i", "restart": false, "forced": [], "steps": []}'
    )
    for name, text in (("1.json", session), ("2.json", '{"format": 1, "kind": "closed"}')):
        Path(place.record, name).write_text(text)
    Path(place.record, "2.json").chmod(mode)
    protocol = Steps(directory)
    protocol._functions.learn(double)
    ledger = place.ledger()
    ledger.catch_up()
    return Trust(place, ledger, protocol._functions, script)


@pytest.mark.parametrize("step", [PROGRAM, PICKLED], ids=["program", "pickled"])
def test_a_program_or_a_pickle_is_trusted_only_if_it_is_ours(tmp_path: Path, step: Step) -> None:
    assert trust(tmp_path).can_run(step), "the entry is this user's alone"
    assert not trust(tmp_path, mode=0o664).can_run(step), "a group could have written it"
    assert trust(tmp_path, step, mode=0o664).can_run(step), "but the script has it too"
    with pytest.raises(CannotRunHere, match="is not one of this script"):
        trust(tmp_path, mode=0o666).function(step)


@pytest.mark.parametrize(
    ("function", "known"),
    [
        (f"{double.__module__}:double", True), ("self.note", True), ("os:system", False), ("self.nothing", False),
        ("subprocess:run", False), (f"{double.__module__}:QUICK", False), (f"{double.__module__}:pytest.main", False),
        ("", False), (":", False), ("nonsense", False),
    ],
)  # fmt: skip
def test_a_function_is_found_only_in_the_script(tmp_path: Path, function: str, known: bool) -> None:
    assert trust(tmp_path).can_run(Step(1, "f", function=function)) is known


def test_each_entry_of_the_record_is_looked_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[str] = []
    found, lstat = trust(tmp_path), os.lstat
    monkeypatch.setattr("multiprocesstools.steps.trust.os.lstat", lambda path: looked.append(path) or lstat(path))
    assert all(found.can_run(replace(PROGRAM, arguments=f'["true",["{n}"]]')) for n in range(5))
    assert [Path(path).name for path in looked] == ["1.json", "2.json"]
