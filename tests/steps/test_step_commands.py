"""The commands know steps: status, explain, retry, cleanup."""

import json
from pathlib import Path

import pytest

from tests.processes import command
from tests.steps.test_protocol import Steps


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Step 1 finished, step 2 failed, step 3 waits for it."""

    def insert(protocol: Steps) -> None:
        protocol.insert_function_step("note", "first")
        protocol.insert_function_step("fail", "second")
        protocol.insert_function_step("note", "third")

    Steps(tmp_path, insert).run()
    return tmp_path


def test_status_counts_the_steps_and_says_why_one_cannot_start(run: Path) -> None:
    done = command("status", run)
    assert done.returncode == 1
    assert "protocol Steps, 3 steps: 1 finished, 1 failed, 1 aborted" in done.stdout
    assert 'step 2 fail("second") failed: ValueError: as told' in done.stdout
    assert 'step 3 note("third") cannot start, because step 2 fail("second") failed' in done.stdout
    told = json.loads(command("status", "--json", run).stdout)
    assert told["code"] == 1
    assert [step["status"] for step in told["steps"]["steps"]] == ["finished", "failed", "aborted"]


def test_status_of_finished_steps_is_all_done_also_after_failures_of_former_sessions(run: Path) -> None:
    changed = Steps(run, lambda p: p.insert_function_step("note", "first"))
    assert changed.run().ok
    done = command("status", run)
    assert done.returncode == 0
    assert "1 steps: 1 finished" in done.stdout


def test_status_of_steps_that_nobody_has_begun_is_unfinished(tmp_path: Path) -> None:
    protocol = Steps(tmp_path)
    protocol.step("note", 1, interactive=True)
    protocol.run()
    done = command("status", tmp_path)
    assert done.returncode == 3
    assert "step 1 note(1) waits for a person" in done.stdout


def test_explain_says_what_a_step_waits_for_and_why_its_item_failed(run: Path) -> None:
    failed = command("explain", run, "2")
    assert failed.returncode == 0
    assert 'step 2 fail("second"): failed' in failed.stdout
    assert 'after step 1 note("first"): finished' in failed.stdout
    assert "ValueError: as told" in failed.stdout
    waiting = command("explain", run, "3")
    assert 'step 3 note("third"): aborted' in waiting.stdout
    assert "cannot start, because step 2" in waiting.stdout
    unknown = command("explain", run, "9")
    assert unknown.returncode == 2
    assert "does not exist; there are the steps 1 to 3" in unknown.stderr


def test_retry_makes_a_failed_step_claimable_by_its_id(run: Path) -> None:
    assert command("retry", run, "1").returncode == 2, "it has not failed"
    done = command("retry", run, "2")
    assert done.returncode == 0
    assert "1 item can be claimed again" in done.stdout
    assert command("status", run).returncode == 3
    assert "nothing to clean up" in command("cleanup", run, "--no-wait").stdout
