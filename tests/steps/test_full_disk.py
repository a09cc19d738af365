"""A result that the disk does not take is no failure of the step: it is tried again, and said if that does not help."""

import errno
from pathlib import Path
from typing import Any

import pytest

from multiprocesstools.items import item as items
from multiprocesstools.steps import Protocol
from multiprocesstools.steps.step import Status


class Two(Protocol):
    def insert_all_steps(self) -> None:
        self.insert_function_step("first")
        self.insert_function_step("second")

    def first(self) -> int:
        return 1

    def second(self) -> int:
        return 2


def refuse(monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    """The disk is full, so many times."""
    publish, left = items.publish_draft, [times]

    def full(*arguments: Any) -> Any:
        if left[0]:
            left[0] -= 1
            raise OSError(errno.ENOSPC, "No space left on device")
        return publish(*arguments)

    monkeypatch.setattr(items, "publish_draft", full)


def test_with_room_again_the_step_is_tried_again_and_what_waits_for_it_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(monkeypatch, 1)
    report = Two(tmp_path, durable=False).run().check()
    assert [report.outcomes[step].attempt for step in (1, 2)] == [2, 1]


def test_a_disk_that_stays_full_fails_the_step_and_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse(monkeypatch, 100)
    report = Two(tmp_path, durable=False).run()
    assert report.statuses == {1: Status.FAILED, 2: Status.ABORTED}
    assert "No space left" in report.problems[0]
