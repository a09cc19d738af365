"""Plans: totals without the script, and one source for each final."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from multiprocesstools.errors import DuplicateFinal, ListChanged, NewerFormat
from multiprocesstools.plans.finals import work_list
from multiprocesstools.plans.inventory import Inventory, decode
from multiprocesstools.plans.plans import Plan, Plans
from multiprocesstools.run.directory import Run
from tests.clocks import FrozenClock, HandClock
from tests.disks import Lagging


@pytest.fixture
def plans(tmp_path: Path) -> Plans:
    return Plans(Run(tmp_path / "run").prepare())


def record(plans: Plans, items: dict[str, str], template: str = "{stem}", *, numbered: bool = False) -> Plan:
    return plans.record("name", template, "out", ["/run/out"], inventory(plans, items), numbered=numbered)


def inventory(plans: Plans, items: dict[str, str]) -> Inventory:
    """Finals and their sources, in the run directory."""
    finals, directory = iter(items), plans._run.directory
    return Inventory(work_list(list(items.values()), lambda source: next(finals), directory), directory)


def items_of(plans: Plans, plan: Plan) -> dict[str, str]:
    return {
        final: source
        for block in plans.items(plan)
        for final, source in zip(block.finals(), block.sources, strict=True)
    }


def test_a_plan_is_written_once_and_read_back(plans: Plans) -> None:
    one, again = (record(plans, {"a.csv": "a.tif", "\udcff": "\udcff.tif"}) for _ in range(2))
    assert one == again
    assert plans.all() == [one]
    assert items_of(plans, one) == {"a.csv": "a.tif", "\udcff": "\udcff.tif"}


def test_a_later_list_takes_the_earlier_ones_place_and_can_give_it_back(plans: Plans) -> None:
    first = record(plans, {"a": "a"})
    second = record(plans, {"a": "a", "b": "b"})
    assert plans.current() == [second]
    back = record(plans, {"a": "a"})
    assert back.key == first.key and plans.current() == [back]
    other = record(plans, {"c": "c"}, "{name}")
    assert plans.current() == [back, other]


def test_the_same_final_from_another_source_is_an_error_naming_both(plans: Plans) -> None:
    record(plans, {"a": "one.tif"})
    with pytest.raises(DuplicateFinal) as caught:
        record(plans, {"a": "two.tif"}, "{name}")
    assert {caught.value.first, caught.value.second} == {"one.tif", "two.tif"}
    assert len(plans.all()) == 1


def test_a_numbered_list_must_not_change(plans: Plans) -> None:
    record(plans, {"0": "a"}, "{index}", numbered=True)
    record(plans, {"0": "a"}, "{index}", numbered=True)
    with pytest.raises(ListChanged, match="1 items then, 2 now"):
        record(plans, {"0": "a", "1": "b"}, "{index}", numbered=True)


def test_a_foreign_or_torn_plan_is_refused_with_its_name(plans: Plans, tmp_path: Path) -> None:
    plan = record(plans, {"a": "a"})
    folder = tmp_path / "run" / ".multiprocesstools" / "plans"
    (folder / f"{plan.key}.names").write_bytes(b"torn")
    with pytest.raises(NewerFormat, match=r"\.names"):
        items_of(plans, plan)
    path = folder / f"{plan.key}.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 99}))
    with pytest.raises(NewerFormat, match=r"\.json"):
        plans.all()


@pytest.mark.parametrize("known", [None, 0, 1, 9])
def test_what_a_client_knows_of_a_run_from_before_it_was_written_is_read_again(
    known: int | None, plans: Plans, tmp_path: Path
) -> None:
    plans._run.agree({"max_attempts": 7})
    plan = record(plans, {f"{number}": f"{number}.tif" for number in range(5000)})
    plans.propose(replace(plan, chunk=0), 12)
    late = Run(tmp_path / "run", disk=Lagging(known), clock=HandClock())
    settings = late.settings()
    assert settings is not None and settings.max_attempts == 7
    assert Plans(late).all() == [plan]
    assert items_of(Plans(late), plan) == items_of(plans, plan)
    assert Plans(late).cut(replace(plan, chunk=0)).items == 12


def test_a_list_of_which_more_comes_to_be_seen_each_time_gives_each_block_once(plans: Plans, tmp_path: Path) -> None:
    plan = record(plans, {f"{number}": f"{number}.tif" for number in range(50_000)})
    whole = (tmp_path / "run" / ".multiprocesstools" / "plans" / f"{plan.key}.names").read_bytes()
    growing = iter([whole[: len(whole) * part // 5] for part in range(6)])
    late = Run(tmp_path / "run", clock=HandClock())
    late.disk.read = lambda *_: next(growing)  # type: ignore[method-assign, assignment]
    found = [final for block in Plans(late).items(plan) for final in block.finals()]
    assert found == [f"{number}" for number in range(50_000)]


@pytest.mark.parametrize("known", [0, 9])
def test_plans_and_names_that_stay_torn_are_refused(known: int, plans: Plans, tmp_path: Path) -> None:
    plan = record(plans, {"a": "a"})
    torn = Plans(Run(tmp_path / "run", disk=Lagging(known, reads=99), clock=FrozenClock()))
    with pytest.raises(NewerFormat, match=r"\.json.*it is (torn|empty)"):
        torn.all()
    with pytest.raises(NewerFormat, match=r"\.names.*it is (torn|empty)"):
        items_of(torn, plan)


def test_an_in_place_plan_is_never_missing_and_directories_outside_the_run_are_always_in_place(
    plans: Plans, tmp_path: Path
) -> None:
    out = str(tmp_path / "run" / "out")
    assert not plans.writes_in_place(out)
    plans.record_open(out, in_place=True)
    assert plans.writes_in_place(out)
    plan = next(path for path in (tmp_path / "run" / ".multiprocesstools" / "plans").glob("*.json"))
    inode = plan.stat().st_ino
    plans.record_open(out, in_place=True)
    assert plan.stat().st_ino == inode
    assert plans.writes_in_place(str(tmp_path / "elsewhere"))
    assert plans.directories() == [out]


def test_a_list_has_one_digest_and_one_text_whether_they_are_made_together_or_one_by_one(plans: Plans) -> None:
    items = {f"{index}.csv": f"in{index % 3}/{index}.tif" for index in range(10_000)}
    together, by_and_by = inventory(plans, items), inventory(plans, items)
    assert together.digest(likely_new=True) == by_and_by.digest()
    assert together.compressed() == by_and_by.compressed()
    blocks = list(decode(by_and_by.compressed(), len(items)))
    assert [name for block in blocks for name in block.names] == list(items)
