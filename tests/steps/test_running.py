"""Several processes run one protocol: each step once, in an order that its prerequisites allow, whoever dies."""

import json
import os
import shutil
import signal
import statistics
import time
from pathlib import Path

import pytest

from multiprocesstools.run.directory import Run
from multiprocesstools.steps.conductor import Conductor
from multiprocesstools.steps.overview import overview
from multiprocesstools.steps.step import Status
from tests.processes import Child, command, wait_until
from tests.steps.scripts import STEPS, begun, crowd, stamps
from tests.steps.test_protocol import Steps

DIAMONDS = (
    STEPS
    + """
class Diamonds(Stamped):
    def insert_all_steps(self):
        last = []
        for k in range(12):
            first = self.insert_function_step("work", f"{k}a", prerequisites=last)
            middle = [self.insert_function_step("work", f"{k}{m}", prerequisites=[first]) for m in "bcde"]
            last = [self.insert_function_step("work", f"{k}z", prerequisites=middle)]

report = Diamonds(RUN, threads=int(ARGUMENTS[0]), **QUICK).run()
say("ok" if report.ok else report.problems)
"""
)


@pytest.mark.parametrize("threads", [1, 2])
def test_four_processes_run_each_step_once_and_none_too_early(tmp_path: Path, threads: int) -> None:
    run = tmp_path / "run"
    with crowd(4, run, DIAMONDS, threads):
        pass
    assert sorted(begun(run)) == sorted(f"{k}{m}" for k in range(12) for m in "abcdez")
    at = {(line["step"], line["what"]): line["time"] for line in stamps(run)}
    for k in range(12):
        for m in "bcde":
            assert at[f"{k}a", "end"] <= at[f"{k}{m}", "begin"]
            assert at[f"{k}{m}", "end"] <= at[f"{k}z", "begin"]
        if k:
            assert at[f"{k - 1}z", "end"] <= at[f"{k}a", "begin"]


def test_a_step_of_a_killed_process_is_taken_over_and_what_waited_for_it_runs(tmp_path: Path) -> None:
    run = tmp_path / "run"
    script = (
        STEPS
        + """
class Two(Stamped):
    def first(self):
        stamp("first", "begin")
        if ARGUMENTS[0] == "victim":
            say("in work")
            time.sleep(600)
    def insert_all_steps(self):
        self.insert_function_step("first")
        self.insert_function_step("work", "second")

say('over', Two(RUN, **QUICK).run())
"""
    )
    later = script.replace("say('over", "wait(); say('over")
    with Child(run, script, "victim") as victim, Child(run, later, "heir") as heir:
        victim.hear("in work")
        heir.go_on()
        known = Run(run)
        wait_until(lambda: len(known.possibly_alive()) == 2, "the heir has joined")
        victim.kill()
        assert heir.hear() == "over 2 steps: 2 finished"
    assert begun(run) == ["first", "first", "second"]
    found = overview(known)
    assert found is not None
    assert found.outcomes[1].attempt == 2


def test_a_step_that_kills_its_process_is_set_aside_and_said(tmp_path: Path) -> None:
    run = tmp_path / "run"
    script = (
        STEPS
        + """
class Killer(Stamped):
    def kill(self):
        stamp("kill", "begin")
        os.kill(os.getpid(), 9)
    def insert_all_steps(self):
        self.insert_function_step("kill")
        self.insert_function_step("work", "after")

report = Killer(RUN, **QUICK).run()
say(*report.problems)
"""
    )
    for _ in range(3):
        with Child(run, script) as child:
            assert child.finish() == -9
    with Child(run, script) as child:
        assert "step 1 kill() failed" in child.hear()
        child.succeed()
    assert begun(run) == ["kill"] * 3


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["SIGKILL", "SIGTERM"])
def test_a_program_ends_with_the_process_that_runs_its_step(tmp_path: Path, threads: int, number: int) -> None:
    """Else it would run twice at once, when somebody takes the step over."""
    pids = tmp_path / "pid"
    script = STEPS + (
        """
protocol = Protocol(RUN, threads=int(ARGUMENTS[0]), **QUICK)
protocol.insert_run_job_step("sh", ["-c", 'echo $$ > "$0.new"; mv "$0.new" "$0"; exec sleep 600', ARGUMENTS[1]])
protocol.run()
"""
    )
    with Child(tmp_path / "run", script, threads, pids) as child:
        wait_until(pids.exists, "the program runs")
        program = int(pids.read_text())
        os.kill(program, 0)
        child.send(number)
        assert child.finish() == -number
        wait_until(lambda: has_ended(program), "the program has ended")


def has_ended(pid: int) -> bool:
    """Also if nobody has waited for it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_a_killed_process_among_those_of_mpi_is_noticed(tmp_path: Path) -> None:
    run = tmp_path / "run"
    script = (
        STEPS
        + """
class Ranks(Stamped):
    def die_if_child(self, parent):
        stamp("die", "begin")
        if os.getpid() != parent:
            os.kill(os.getpid(), 9)
        while not os.path.exists(RUN + ".died"):
            time.sleep(0.01)
    def insert_all_steps(self):
        for number in range(2):
            self.insert_function_step("die_if_child", PARENT, prerequisites=[])

PARENT = os.getpid()
protocol = Ranks(RUN, mpi=2, **QUICK)
def watch():
    while True:
        lines = open(f"{RUN}.stamps").read().splitlines() if os.path.exists(f"{RUN}.stamps") else []
        if any(json.loads(line)["pid"] != PARENT for line in lines):
            time.sleep(0.2)
            return open(RUN + ".died", "w").close()
        time.sleep(0.01)
import multiprocessing
w = multiprocessing.get_context("fork").Process(target=watch); w.start()
report = protocol.run()
w.join()
say(report.ok, *report.notes)
"""
    )
    with Child(run, script) as child:
        said = child.hear()
        child.succeed()
    assert said.startswith("True process ")
    assert said.endswith("was killed by signal 9")


PING = (
    STEPS
    + """
class Relay(Stamped):
    def mine(self, name):
        stamp(name, "begin")
        time.sleep(0.05)
        stamp(name, "end")
    def insert_all_steps(self):
        for number in range(20):
            self.insert_function_step("mine" + "ab"[number % 2], number)
    def __getattr__(self, name):
        if name == "mine" + ARGUMENTS[0]:
            return self.mine
        if name.startswith("mine") and not RUNNING:
            return self.mine
        raise AttributeError(name)

RUNNING = False
protocol = Relay(RUN, **QUICK)
from multiprocesstools.steps import conductor
before = conductor.Conductor.look
def look(self):
    global RUNNING
    while not RUNNING and len(self.ledger.parties()) < 2:
        time.sleep(0.01)
    RUNNING = True
    before(self)
conductor.Conductor.look = look
say(protocol.run().ok)
"""
)


def test_a_step_starts_within_a_tenth_of_a_second_after_one_of_another_process(tmp_path: Path) -> None:
    """A relay: each process has the functions of every second step only. The median, of the best of three tries."""
    gaps = []
    for attempt in range(3):
        run = tmp_path / f"run{attempt}"
        with Child(run, PING, "a") as one, Child(run, PING, "b") as two:
            assert (one.hear(), two.hear()) == ("True", "True")
        lines = stamps(run)
        assert begun(run) == list(range(20))
        assert len({line["pid"] for line in lines}) == 2
        ends = {line["step"]: line["time"] for line in lines if line["what"] == "end"}
        begins = {line["step"]: line["time"] for line in lines if line["what"] == "begin"}
        gaps.append(statistics.median(begins[n + 1] - ends[n] for n in range(1, 19)))
        if gaps[-1] < 0.1:
            return
    raise AssertionError(gaps)


def test_nobody_polls_the_disk_fast_while_it_waits(tmp_path: Path) -> None:
    """Listings of an instance that waits for two seconds for a step of another one."""
    run = tmp_path / "run"
    script = (
        STEPS
        + """
class Waiting(Stamped):
    def insert_all_steps(self):
        self.insert_function_step("long")
        self.insert_function_step("work", "after")
    def long(self):
        say("in work")
        wait()

from multiprocesstools.steps import conductor
looks = []
before = conductor.Conductor.look
def look(self):
    looks.append(time.monotonic())
    before(self)
conductor.Conductor.look = look
if ARGUMENTS[0] == "two":
    threading.Timer(2, lambda: say(len(looks))).start()
Waiting(RUN, **QUICK).run()
"""
    )
    with Child(run, script, "one") as one:
        one.hear("in work")
        with Child(run, script, "two") as two:
            looks = int(two.hear())
            assert 2 <= looks <= 10
            one.go_on()
            one.succeed()
            two.succeed()


def test_a_stop_lets_the_step_in_work_finish_and_a_later_start_goes_on(tmp_path: Path) -> None:
    run = tmp_path / "run"
    script = (
        STEPS
        + """
class Stopped(Stamped):
    def first(self):
        stamp("first", "begin")
        say("in work")
        wait()
    def insert_all_steps(self):
        self.insert_function_step("first")
        self.insert_function_step("work", "second")

say(Stopped(RUN, **QUICK | {"beat_seconds": 0.1}).run())
"""
    )
    with Child(run, script) as child:
        child.hear("in work")
        assert command("stop", run).returncode == 0
        journal = run / "multiprocesstools_logs" / "Stopped-1.jsonl"
        assert journal.exists()
        time.sleep(0.5)  # several beats, in which nothing observable happens
        child.go_on()
        assert child.hear() == "2 steps: 1 scheduled, 1 finished"
        child.succeed()
    with Child(run, script) as child:
        assert child.hear() == "2 steps: 2 finished"
    assert begun(run) == ["first", "second"]


@pytest.mark.parametrize("threads", [1, 2])
def test_ctrl_c_gives_the_step_back_and_ends_at_once(tmp_path: Path, threads: int) -> None:
    run = tmp_path / "run"
    script = (
        STEPS
        + """
class Interrupted(Stamped):
    def long(self):
        say("in work")
        time.sleep(600 if ARGUMENTS[1] == "first" else 0)
    def insert_all_steps(self):
        self.insert_function_step("long")

try:
    say(Interrupted(RUN, threads=int(ARGUMENTS[0]), **QUICK).run())
except KeyboardInterrupt:
    say("interrupted")
"""
    )
    with Child(run, script, threads, "first") as child:
        child.hear("in work")
        child.send(2)
        child.hear("interrupted")
        child.finish()
    with Child(run, script, threads, "second") as child:
        child.hear("in work")
        assert child.hear() == "1 steps: 1 finished"
    found = overview(Run(run))
    assert found is not None
    assert found.outcomes[1].attempt == 2, "what was given back does not count as a failure"
    assert found.counts == {Status.FINISHED: 1}


def test_a_chain_of_two_hundred_steps_goes_through_two_processes_in_order(tmp_path: Path) -> None:
    run = tmp_path / "run"
    script = (
        STEPS
        + """
class Chain(Stamped):
    def insert_all_steps(self):
        for number in range(200):
            self.insert_function_step("work", number)

say(Chain(RUN, **QUICK).run().ok)
"""
    )
    with Child(run, script) as one, Child(run, script) as two:
        assert (one.hear(), two.hear()) == ("True", "True")
    assert begun(run) == list(range(200))
    lines = stamps(run)
    ends = {line["step"]: line["time"] for line in lines if line["what"] == "end"}
    gaps = [line["time"] - ends[line["step"] - 1] for line in lines if line["what"] == "begin" and line["step"]]
    assert all(gap >= 0 for gap in gaps)
    assert statistics.median(gaps) < 1


def test_a_retry_while_others_run_lets_the_failed_step_and_what_waits_for_it_run(tmp_path: Path) -> None:
    run = tmp_path / "run"
    script = (
        STEPS
        + """
class Mended(Stamped):
    def first(self):
        stamp("first", "begin")
        if not os.path.exists(RUN + ".mended"):
            raise ValueError("not yet")
    def other(self):
        say("in work")
        wait()
    def insert_all_steps(self):
        self.insert_function_step("first", prerequisites=[])
        self.insert_function_step("work", "second", prerequisites=[1])
        self.insert_function_step("other", prerequisites=[])

say(Mended(RUN, threads=2, **QUICK).run())
"""
    )
    with Child(run, script) as child:
        child.hear("in work")
        wait_until(lambda: list((run / "steps").glob(".first.*.ended-1")), "the first step has failed")
        Path(f"{run}.mended").touch()
        assert command("retry", run, "1").returncode == 0
        wait_until(lambda: "second" in begun(run), "what waited for it runs")
        child.go_on()
        assert child.hear() == "3 steps: 3 finished"
    assert begun(run) == ["first", "first", "second"]


def test_a_step_that_was_inserted_after_its_prerequisite_failed_runs_when_that_is_retried(tmp_path: Path) -> None:
    class Mended(Steps):
        def first(self) -> None:
            if not hasattr(self, "mended"):
                raise ValueError("not yet")

        def insert(self) -> None:
            self.insert_function_step("note", "after", prerequisites=[1])
            self.mended = True
            assert command("retry", tmp_path, "1").returncode == 0

    protocol = Mended(tmp_path)
    protocol.step("first", after=[])
    protocol.step("insert", after=[])
    assert protocol.run().ok
    assert protocol.ran == ["after"]


def test_threads_that_wait_for_a_gpu_do_not_spin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    choose = Conductor._choose
    monkeypatch.setattr(Conductor, "_choose", lambda conductor, thread: asked.append(1) or choose(conductor, thread))
    protocol = Steps(tmp_path, threads=4, gpus=[0])
    for _ in range(2):
        protocol.step(time.sleep, 0.5, after=[], needs_gpu=True)
    assert protocol.run().ok
    assert 2 <= len(asked) <= 100


MEETING = (
    STEPS
    + """
os.environ.update(json.loads(ARGUMENTS[0]))
RANKS = int(ARGUMENTS[1])

class Ranked(Stamped):
    def meet(self, number):
        stamp(number, "begin")
        while len(set(json.loads(line)["pid"] for line in open(f"{RUN}.stamps"))) < RANKS:
            time.sleep(0.01)
    def insert_all_steps(self):
        for number in range(RANKS):
            self.insert_function_step("meet", number, prerequisites=[])
        self.insert_function_step("work", "last", wait=True)

import multiprocessing
report = Ranked(RUN, mpi=4, **QUICK).run()
say(report.ok, len(multiprocessing.active_children()))
"""
)


@pytest.mark.parametrize("variable", ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"])
def test_under_mpirun_or_srun_each_rank_is_there_already_and_none_is_started(tmp_path: Path, variable: str) -> None:
    run, ranked = tmp_path / "run", (json.dumps({variable: "2"}), 2)
    with Child(run, MEETING, *ranked) as one, Child(run, MEETING, *ranked) as two:
        assert (one.hear(), two.hear()) == ("True 0", "True 0")
    assert {line["pid"] for line in stamps(run)} == {one.pid, two.pid}
    assert len(begun(run)) == 3


@pytest.mark.skipif(shutil.which("mpirun") is None, reason="mpirun is not installed")
def test_a_real_mpirun_starts_the_ranks_that_share_the_steps(tmp_path: Path) -> None:
    run = tmp_path / "run"
    mpirun = ("mpirun", "--allow-run-as-root", "--oversubscribe", "-np", "3")
    with Child(run, MEETING, "{}", 3, before=mpirun) as child:
        assert [child.hear() for _ in range(3)] == ["True 0"] * 3
        child.succeed()
    assert sorted(map(str, begun(run))) == ["0", "1", "2", "last"]
