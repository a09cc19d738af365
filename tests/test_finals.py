"""From sources to finals."""

import os
from pathlib import Path
from typing import Any

import pytest

from multiprocesstools.claims.slots import check_relative
from multiprocesstools.errors import BadArgument, BadName, DuplicateFinal, NoSources
from multiprocesstools.plans.finals import WorkList, source_identities, template_text, uses_index, work_list


def names(sources: Any, final: Any) -> list[str]:
    return [path.removeprefix("/run/") for path in finals(work_list(sources, final, "/run"))]


def finals(work: WorkList) -> list[str]:
    """In the order of the list."""
    return [work.slot(position).final for position in work.in_order()]


@pytest.mark.parametrize(
    ("source", "template", "expected"),
    [
        pytest.param("data/a.tif", "{stem}.csv", "a.csv", id="stem"),
        pytest.param(Path("data/a.tif"), "{name}.csv", "a.tif.csv", id="name"),
        pytest.param("data/a.tif", "{parent}_{stem}{suffix}", "data_a.tif", id="parent and suffix"),
        pytest.param("x/scan.nii.gz", "{stem}", "scan.nii", id="the last suffix is the suffix"),
        pytest.param(7, "{value:03d}.txt", "007.txt", id="value with a format"),
        pytest.param(7, "{stem}.txt", "7.txt", id="a number as a name"),
        pytest.param({"r": 1, "s": 0.5}, "r{r}/s{s}", "r1/s0.5", id="dict"),
        pytest.param("a", "{index}", "0", id="index"),
        pytest.param("a", lambda source: source.upper(), "A", id="function"),
        pytest.param(b"d/\xff.tif", "{stem}.csv", "\udcff.csv", id="bytes that are not UTF-8"),
    ],
)
def test_templates(source: Any, template: Any, expected: str) -> None:
    assert names([source], template) == [expected]


def test_shard_spreads_over_two_hex_digits() -> None:
    shards = {name.split("/")[0] for name in names([f"{n}.tif" for n in range(3000)], "{shard}/{stem}")}
    assert len(shards) > 250 and all(len(shard) == 2 for shard in shards)


def test_several_templates_give_several_files_and_the_last_is_the_item() -> None:
    work = work_list(["a", "b"], ["log/{stem}", "{stem}.csv"], "/run")
    assert finals(work) == ["/run/a.csv", "/run/b.csv"]
    assert work.others == [("/run/log/a",), ("/run/log/b",)]
    assert work.directories() == ["/run", "/run/log"]


@pytest.mark.parametrize("template", ["", "../{stem}", "/{stem}", "a//{stem}", "{stem}/", "{stem}/../x", "{stem}\n"])
def test_finals_that_leave_their_directory_are_refused(template: str) -> None:
    with pytest.raises(BadName):
        names(["a"], template)


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{steem}", "steem} is unknown; there are index, name, parent"),
        ("{}", "is no field name"),
        ("{stem", "expected '}'"),
        ("{value.real}", "is no field name"),
        ("{value:zz}", "cannot be filled"),
        ([], "empty list of templates"),
    ],
)
def test_broken_templates_say_what_is_wrong(template: Any, words: str) -> None:
    with pytest.raises(BadArgument, match=words):
        names(["a"], template)


def test_equal_finals_propose_a_template_that_tells_them_apart() -> None:
    with pytest.raises(DuplicateFinal, match=r"'{parent}_{stem}.csv'") as caught:
        names(["x/a.tif", "y/a.tif"], "{stem}.csv")
    assert (caught.value.first, caught.value.second) == ("x/a.tif", "y/a.tif")
    assert names(["x/a.tif", "y/a.tif"], caught.value.proposal) == ["x_a.csv", "y_a.csv"]


def test_two_templates_that_meet_are_refused() -> None:
    with pytest.raises(DuplicateFinal):
        work_list(["a"], ["{stem}", "{name}"], "/run")


def test_no_sources_are_an_error_and_a_generator_is_read_first() -> None:
    with pytest.raises(NoSources, match="pattern"):
        names(iter(()), "{stem}")
    assert names((str(n) for n in range(2)), "{stem}") == ["0", "1"]


def test_a_source_is_the_same_from_another_mount_point(tmp_path: Path) -> None:
    def source_identity(source: Any, run_directory: str) -> str:
        return source_identities([source], run_directory, {})[0]

    one = source_identity("/mnt/a/share/data/x.tif", "/mnt/a/share/run")
    other = source_identity(Path("/net/b/share/data/x.tif"), "/net/b/share/run")
    assert one == other == "../data/x.tif"
    os.chdir(tmp_path)
    assert source_identity("sample1", "/run") == "sample1"
    assert source_identity({"b": 1, "a": 2}, "/run") == source_identity({"a": 2, "b": 1}, "/run")


def test_templates_are_named_in_plans() -> None:
    def rename(source: str) -> str:
        return source

    assert template_text("{stem}") == "{stem}"
    assert template_text(["{stem}", rename]).startswith("{stem} + tests.test_finals.test_templates_are_named")
    assert uses_index(["{stem}", "{index:03d}"]) and not uses_index(rename)


def test_ordinary_relative_paths_pass() -> None:
    assert check_relative("a/b/c.csv") == "a/b/c.csv"


@pytest.mark.parametrize(
    "template",
    [
        "{value}",
        "a{{{value}}}b",
        "{stem}.csv",
        "{name}",
        "{parent}/{stem}{suffix}",
        "{shard}/{value!s}",
        "{index}_{stem}",
    ],
)
def test_many_sources_get_the_names_that_each_of_them_gets_alone(template: str) -> None:
    """The first ones can only be named with care, or not at all; the others are named together."""
    odd = ["a.tif", "x/b.tar.gz", "c", ".d", "e.", "..f", "x/./g", "y//h.tif", "x/i/", "\u00e4.tif"]
    ordinary = [f"x/{number}.tif" for number in range(5000)]
    for sources in (odd, ordinary, list(map(Path, ordinary))):
        alone = {source: name for i, source in enumerate(sources) if (name := name_alone(source, template, i))}
        if "{index}" not in template or sources is not odd:
            assert finals(work_list(list(alone), template, "/run")) == list(alone.values())


def name_alone(source: Any, template: str, index: int) -> str:
    """The final of one source; nothing if it can have none."""
    try:
        return work_list([source], template.replace("{index}", str(index)), "/run").slot(0).final
    except BadName:
        return ""
