"""Every template and every source give an output inside its directory, or an error of the package with clear words."""

import os
from pathlib import Path
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from multiprocesstools.claims.slots import check_absolute, check_name, check_relative
from multiprocesstools.errors import BadName, DuplicateFinal, MisuseError
from multiprocesstools.plans.finals import WorkList, source_identities, template_text, work_list
from multiprocesstools.plans.naming import FIELDS
from tests.properties.strategies import CHARACTERS, NAMES, TEXT

_FIELDS = st.sampled_from([*FIELDS, "radius", "a.b", "a[0]", "0", "", " stem", "__class__", "value.real"])
_CONVERSIONS = st.sampled_from(["", "", "!r", "!s", "!a", "!x", "!"])
_SPECS = st.sampled_from(
    ["", "", ":", ":d", ":04d", ":e", ":c", ":>9", ":{index}", ":{width}", ":{index.real}", ":300", ":%Y", ":,"]
)
PIECES = st.builds("{{{}{}{}}}".format, _FIELDS, _CONVERSIONS, _SPECS)
LITERALS = st.text(CHARACTERS.filter(lambda char: char not in "{}"), max_size=5) | st.sampled_from(
    ["{", "}", "{{", "}}", "/", "../", "//", ".claim-1", ".mpt-"]
)
TEMPLATES = st.lists(PIECES | LITERALS | st.just("{stem}"), max_size=4).map("".join) | TEXT
NUMBERS = st.integers(-(10**400), 10**400) | st.floats()
SOURCES = (
    NAMES | NUMBERS | st.none() | st.binary(max_size=8) | st.tuples(TEXT, st.integers()) | st.dictionaries(
        st.sampled_from(["radius", "stem", "value", "index"]) | TEXT, NUMBERS | TEXT, max_size=3
    ) | TEXT.filter(lambda text: "\0" not in text).map(Path) | st.sampled_from(["\ud800", b"\xff", 10**10])
)  # fmt: skip


def try_to_name(sources: list[Any], template: Any) -> WorkList | MisuseError:
    try:
        return work_list(sources, template, "/D")
    except MisuseError as error:
        assert len(str(error)) > 10 and "\x1b" not in str(error)
        return error


def check(work: WorkList, files: int) -> None:
    finals = [
        *(work.slot(position).final for position in range(len(work))),
        *(other for others in work.others or () for other in others),
    ]
    assert len(finals) == len(set(finals)) == len(work.sources) * files
    for final in finals:
        assert final.startswith("/D/") and os.path.normpath(final) == final and os.fsencode(final)
        assert all(check_name(part) == part for part in final.split("/")[2:])


@given(TEMPLATES, st.lists(SOURCES, min_size=1, max_size=3))
@example("{shard}/{index}", ["\ud800"])
@example("{value:c}", [10**10])
@example("{value:e}", [10**400])
@example("{value:%Y}", [1.0])
def test_any_template_names_every_source_inside_the_directory_or_says_what_is_wrong(
    template: str, sources: list[Any]
) -> None:
    work = try_to_name(sources, template)
    if isinstance(work, WorkList):
        check(work, 1)


@given(st.lists(TEMPLATES, min_size=1, max_size=3), st.lists(SOURCES, min_size=1, max_size=2))
def test_several_templates_do_the_same_and_never_meet(templates: list[str], sources: list[Any]) -> None:
    work = try_to_name(sources, templates)
    if isinstance(work, WorkList):
        check(work, len(templates))
        assert template_text(templates)


@given(NAMES, st.lists(st.integers(), min_size=2, max_size=5))
def test_equal_finals_are_always_detected(name: str, sources: list[int]) -> None:
    try:
        check_relative(name)
    except BadName:
        return
    assert isinstance(try_to_name(sources, lambda source: name), DuplicateFinal)
    distinct = try_to_name(list(dict.fromkeys(sources)), "{value}")
    assert isinstance(distinct, WorkList)


@given(st.lists(NAMES, min_size=1, max_size=4).map("/".join) | TEXT)
def test_a_path_that_passes_stays_inside(path: str) -> None:
    try:
        assert check_relative(path) == path
    except BadName as error:
        assert str(error)
    else:
        assert os.path.normpath(f"/D/{path}") == f"/D/{path}"


@given(TEXT)
def test_an_absolute_path_that_passes_can_be_asked_of_the_system(path: str) -> None:
    try:
        check_absolute("/" + path)
    except BadName as error:
        assert str(error)
    else:
        assert not os.path.lexists("/nowhere/" + path)


@given(SOURCES)
def test_every_source_has_an_identity_that_does_not_depend_on_the_moment(source: Any) -> None:
    one, again = (source_identities([source, source], "/run", {}) for _ in range(2))
    assert one == again and one[0] == one[1] is not None
