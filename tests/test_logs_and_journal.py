"""The log file of an instance and its journal: what stands in them, when it is written, and that nothing else is
touched."""

import json
import logging
import os
import re
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from multiprocesstools import MultiProcessHelper
from multiprocesstools.errors import RunDirectoryUnusable
from multiprocesstools.run.journal import read_journal
from tests.processes import Child, briefly, command, events, records, run_to_end, wait_until

LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}:[^:]+:[^:]+:(?P<name>[^:]+):(?P<level>[A-Z]+):(?P<message>.*)")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return tmp_path / "run"


@pytest.fixture
def loggers() -> Iterator[tuple[logging.Logger, logging.Logger]]:
    """Two loggers with a level of their own and none; as they were, afterwards."""
    one, two = logging.getLogger("test.one"), logging.getLogger("test.two")
    one.setLevel(logging.WARNING)
    two.setLevel(logging.NOTSET)
    yield one, two
    for logger in (one, two):
        logger.setLevel(logging.NOTSET)
        for handler in list(logger.handlers):
            logger.removeHandler(handler)


Loggers = tuple[logging.Logger, logging.Logger]
NAMES = ["test.one", "test.two"]


class TestLogFile:
    """One log file per instance, shared by the loggers that the user named."""

    def test_the_named_loggers_share_the_file_of_their_instance(self, run: Path, loggers: Loggers) -> None:
        one, two = loggers
        with MultiProcessHelper("test", run, loggers=NAMES) as mph:
            assert mph.loggers == {"test.one": one, "test.two": two}
            one.warning("from one")
            two.debug("from two")
            logging.getLogger("test.other").warning("not asked for")
        lines = (run / "multiprocesstools_logs" / "test-1.log").read_text().splitlines()
        matches = [LINE.fullmatch(line) for line in lines]
        assert [match.group("name", "level", "message") for match in matches] == [
            ("test.one", "WARNING", "from one"), ("test.two", "DEBUG", "from two"),
        ]  # fmt: skip
        function = "test_the_named_loggers_share_the_file_of_their_instance"
        assert lines[0].split(":")[3:5] == ["test_logs_and_journal.py", function]

    def test_two_instances_have_two_files(self, run: Path, loggers: Loggers) -> None:
        for text in ("first", "second"):
            with MultiProcessHelper("test", run, loggers="test.one"):
                loggers[0].warning(text)
        logs = run / "multiprocesstools_logs"
        assert "first" in (logs / "test-1.log").read_text()
        assert "second" in (logs / "test-2.log").read_text()
        assert "second" not in (logs / "test-1.log").read_text()

    @pytest.mark.parametrize("way", ["cleanup", "close_all_loggers", "with"])
    @pytest.mark.usefixtures("loggers")
    def test_every_handler_is_closed_and_detached_and_levels_are_put_back(self, run: Path, way: str) -> None:
        mph = MultiProcessHelper("test", run, loggers=[*NAMES, "test.three", "test.four"])
        everyone = list(mph.loggers.values())
        handlers = {handler for logger in everyone for handler in logger.handlers}
        assert len(handlers) == 1
        assert [logger.level for logger in everyone] == [logging.WARNING] + [logging.DEBUG] * 3
        if way == "with":
            with mph:
                pass
        else:
            getattr(mph, way)()
        assert [logger.handlers for logger in everyone] == [[]] * 4
        assert [logger.level for logger in everyone] == [logging.WARNING] + [logging.NOTSET] * 3
        handler = handlers.pop()
        assert handler.stream is None or handler.stream.closed
        mph.cleanup()

    def test_a_level_that_the_user_sets_meanwhile_stays(self, run: Path, loggers: Loggers) -> None:
        with MultiProcessHelper("test", run, loggers=NAMES):
            loggers[1].setLevel(logging.ERROR)
        assert loggers[1].level == logging.ERROR

    def test_a_failed_item_has_its_traceback_in_the_log_and_one_line_on_stderr(
        self, run: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with MultiProcessHelper("test", run, max_attempts=1) as mph:
            for item in mph.items(["a", "b"], final="{value}.txt", progress=False):
                with item:
                    if item.source == "a":
                        raise ValueError("broken\nimage")
                    item.path.touch()
        log = (run / "multiprocesstools_logs" / "test-1.log").read_text()
        assert "a.txt failed, attempt 1" in log
        assert "Traceback (most recent call last)" in log
        assert 'raise ValueError("broken\\nimage")' in log
        failed = [line for line in capsys.readouterr().err.splitlines() if "a.txt failed" in line]
        assert len(failed) == 1
        assert "ValueError: broken" in failed[0]

    def test_importing_the_package_configures_nothing(self, tmp_path: Path) -> None:
        run_to_end(tmp_path, """
            import importlib, logging, pkgutil, multiprocesstools
            for module in pkgutil.walk_packages(multiprocesstools.__path__, "multiprocesstools."):
                if not module.name.endswith("__main__"):
                    importlib.import_module(module.name)
            manager = logging.root.manager
            made = [logger for logger in manager.loggerDict.values() if isinstance(logger, logging.Logger)]
            assert logging.root.handlers == [] and logging.root.level == logging.WARNING
            assert manager.disable == 0
            assert all(logger.level == logging.NOTSET for logger in made), made
            assert not any(h for logger in made for h in logger.handlers if type(h) is not logging.NullHandler), made
            assert threading.active_count() == 1
            assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
            assert signal.getsignal(signal.SIGINT) == signal.default_int_handler
            assert os.listdir(RUN) == []
        """)  # fmt: skip

    def test_a_helper_without_loggers_changes_none(self, run: Path) -> None:
        before = {name: getattr(logger, "level", None) for name, logger in logging.root.manager.loggerDict.items()}
        with MultiProcessHelper("test", run) as mph:
            assert mph.loggers == {}
            assert logging.root.manager.loggerDict.keys() == before.keys()
        after = {name: getattr(logger, "level", None) for name, logger in logging.root.manager.loggerDict.items()}
        assert after == before

    def test_a_log_that_cannot_be_made_leaves_no_record(self, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(path: str, names: tuple[str, ...]) -> None:
            assert records(run) == ["test-1"]
            raise OSError(28, "No space left on device", path)

        monkeypatch.setattr("multiprocesstools.run.logs.LogFile", refuse)
        with pytest.raises(RunDirectoryUnusable, match="No space left"):
            MultiProcessHelper("test", run)
        assert records(run) == []


class TestJournalEvents:
    """What is written down."""

    def test_each_way_to_end_has_its_event(self, run: Path) -> None:
        with MultiProcessHelper("test", run, max_attempts=1) as mph:
            for item in mph.items(
                ["done", "failed", "skipped", "dropped"], final="{value}.txt", directory="out", order="given",
                progress=False,
            ):  # fmt: skip
                with item:
                    if item.source == "failed":
                        raise ValueError("broken image")
                    if item.source == "skipped":
                        item.skip("nothing to see")
                    if item.source == "dropped":
                        item.drop()
                    item.path.touch()
        assert [event for event, _, _ in briefly(events(run)) if event != "claimed"] == [
            "started", "done", "failed", "skipped", "dropped", "ended",
        ]  # fmt: skip
        for event in ("done", "failed", "skipped", "dropped"):
            (line,) = events(run, event)
            assert (line["item"], line["attempt"]) == (f"out/{event}.txt", 1)
            assert 0 <= line["seconds"] < 10
            assert 1e6 < line["rss"] < 1e12
        assert events(run, "failed")[0]["reason"] == "ValueError: broken image"
        assert events(run, "skipped")[0]["reason"] == "nothing to see"

    def test_every_line_has_its_times_and_its_host(self, run: Path) -> None:
        before = time.time()
        with MultiProcessHelper("test", run) as mph, mph.claim("a") as item:
            item.path.touch()
        lines = [line for line in events(run) if line["event"] != "claimed"]
        assert [line["event"] for line in lines] == ["started", "done", "ended"]
        assert {line["host"] for line in lines} == {os.uname().nodename}
        assert all(before - 0.01 <= line["time"] <= time.time() + 0.01 for line in lines)
        assert sorted(line["at"] for line in lines) == [line["at"] for line in lines]
        assert 0 <= lines[0]["at"] <= lines[-1]["at"] < 10
        started = lines[0]
        assert (started["event"], started["pid"], started["name"]) == ("started", os.getpid(), "test")

    def test_it_is_one_json_object_a_line_whatever_a_name_contains(self, run: Path) -> None:
        odd = 'a "quoted" näme\tand \udcff'
        with MultiProcessHelper("test", run) as mph, mph.claim(odd) as item:
            item.path.touch()
        data = (run / "multiprocesstools_logs" / "test-1.jsonl").read_bytes()
        lines = [json.loads(line) for line in data.decode("ascii").splitlines()]
        assert {line["item"] for line in lines if "item" in line} == {odd}

    def test_the_journal_of_a_peer_names_from_whom_it_took_over(self, run: Path) -> None:
        script = """
            with helper().claim("a.txt", directory="out") as item:
                item.path.write_text("whole")
                say("working", item.attempt)
                wait()
        """
        with Child(run, script) as child:
            child.hear("working 1")
            child.kill()
        with Child(run, script) as peer:
            peer.hear("working 2")
            peer.go_on()
            peer.succeed()
        (line,) = events(run, "taken over")
        assert line["from"] == {"name": "test", "number": 1, "host": os.uname().nodename, "pid": child.pid}
        assert (line["number"], line["item"], line["attempt"]) == (2, "out/a.txt", 1)

    def test_the_time_that_an_item_is_in_work_comes_from_its_owner(self, run: Path) -> None:
        script = """
            with helper().claim("a.txt", directory="out") as item:
                say("working")
                wait()
                item.path.touch()
        """
        with Child(run, script) as child:
            began = time.time()
            child.hear("working")
            wait_until(lambda: events(run, "claimed"), "the journal is written")
            status = json.loads(command("status", "--json", run).stdout)
            (item,) = [item for item in status["items"] if item["state"] == "running"]
            assert (item["item"], item["pid"], item["instance"]) == ("out/a.txt", child.pid, "test-1")
            assert 0 < item["seconds"] <= time.time() - began


class TestJournalWrites:
    """When it is written."""

    def test_lines_are_gathered_and_written_at_most_once_a_second(
        self, run: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        writes: list[tuple[float, int]] = []
        write = os.write

        def counted(descriptor: int, data: bytes) -> int:
            if os.readlink(f"/proc/self/fd/{descriptor}").endswith(".jsonl"):
                writes.append((time.monotonic(), data.count(b"\n")))
            return write(descriptor, data)

        monkeypatch.setattr(os, "write", counted)
        end = time.monotonic() + 2.5
        with MultiProcessHelper("test", run, durable=False) as mph:
            for item in mph.items(range(100_000), final="{value}", progress=False, order="given"):
                with item:
                    item.path.touch()
                if time.monotonic() > end:
                    break
            during = [(moment, lines) for moment, lines in writes if moment < end]  # without those of the loop's end
        assert len(during) >= 2
        gaps = [later - earlier for (earlier, _), (later, _) in pairwise(during)]
        assert min(gaps) > 0.95, gaps
        assert max(lines for _, lines in during) > 100
        assert sum(lines for _, lines in writes) == len(list(read_journal(str(next(run.glob("*/test-1.jsonl"))))))

    def test_a_claimed_line_appears_within_about_a_second(self, run: Path) -> None:
        script = """
            mph = helper(beat_seconds=20, patience_seconds=300)
            for name in ("a", "b"):
                with mph.claim(name, directory="out") as item:
                    say("working", name)
                    wait()
                    item.path.touch()
        """
        with Child(run, script) as child:
            child.hear("working a")
            wait_until(lambda: briefly(events(run, "claimed"))[-1:] == [("claimed", "a", 1)], "a is claimed", 1.3)
            child.go_on()
            child.hear("working b")
            wait_until(lambda: briefly(events(run, "claimed"))[-1:] == [("claimed", "b", 1)], "b is claimed", 1.3)
            assert briefly(events(run, "done")) == [("done", "a", 1)]

    def test_before_waiting_everything_is_written(self, run: Path) -> None:
        hold = """
            with helper().claim("b.txt", directory="out") as item:
                say("working")
                wait()
                item.path.touch()
        """
        waiting = """
            def listen(tally):
                if tally.waiting_for:
                    say("waiting")
            for item in items(helper(beat_seconds=20, patience_seconds=300), ["a", "b"], progress=listen):
                with item:
                    item.path.touch()
        """
        with Child(run, hold.replace("helper()", "helper(beat_seconds=20, patience_seconds=300)")) as child:
            child.hear("working")
            with Child(run, waiting) as peer:
                peer.hear("waiting")
                assert briefly(events(run, "done", number=2)) == [("done", "a.txt", 1)]
                child.go_on()
                child.succeed()
                while peer.process.poll() is None:
                    time.sleep(0.01)
                peer.succeed()

    def test_a_killed_process_loses_its_last_second_at_most(self, run: Path) -> None:
        script = """
            for item in items(helper(beat_seconds=20, patience_seconds=300), range(100_000)):
                with item:
                    item.path.touch()
                with open(ARGUMENTS[0], "a") as audit:
                    audit.write(f"{time.monotonic()} {item.source}.txt\\n")
        """
        audit = run.parent / "audit"

        def lived_seconds() -> float:
            lines = audit.read_text().splitlines() if audit.exists() else []
            return float(lines[-1].split()[0]) - float(lines[0].split()[0]) if len(lines) > 1 else 0.0

        with Child(run, script, audit) as child:
            wait_until(lambda: lived_seconds() > 2.2, "the child has worked for two seconds")
            killed = time.monotonic()
            child.kill()
        lines = [line.split() for line in audit.read_text().splitlines() if line.count(" ") == 1]
        early = {name for at, name in lines if float(at) < killed - 1.2}
        journal = {os.path.basename(line["item"]) for line in events(run, "done")}
        assert len(early) > 50
        assert early <= journal

    def test_a_torn_last_line_hides_nothing_but_itself(self, run: Path) -> None:
        with MultiProcessHelper("test", run) as mph, mph.claim("a") as item:
            item.path.touch()
        path = run / "multiprocesstools_logs" / "test-1.jsonl"
        whole = path.read_bytes()
        expected = [json.loads(line) for line in whole.splitlines()]
        for cut in range(len(whole)):
            path.write_bytes(whole[:cut])
            found = list(read_journal(str(path)))
            assert found == expected[: len(found)]
            assert len(found) >= whole[:cut].count(b"\n")
        path.write_bytes(b"\xff\x00torn\n[1]\n{}\n" + whole + b'{"event": "cla')
        assert list(read_journal(str(path))) == expected
        assert command("status", run).returncode == 0

    def test_what_a_full_disk_does_not_take_is_written_later(self, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        write, room = os.write, [0, 7]

        def meagre(descriptor: int, data: bytes) -> int:
            if room and os.readlink(f"/proc/self/fd/{descriptor}").endswith(".jsonl"):
                if (size := room.pop(0)) == 0:
                    raise OSError(28, "No space left on device")
                data = data[:size]
            return write(descriptor, data)

        monkeypatch.setattr(os, "write", meagre)
        with MultiProcessHelper("test", run) as mph:
            journal = mph._crew.latest_member.journal
            for name in ("a", "b"):
                with mph.claim(name) as item:
                    journal.flush()
                    item.path.touch()
                journal.flush()
        assert room == []
        assert [event for event, _, _ in briefly(events(run))] == [
            "started", "claimed", "done", "claimed", "done", "ended",
        ]  # fmt: skip

    def test_a_beginning_is_written_of_what_is_in_work_and_only_once(self, run: Path) -> None:
        with MultiProcessHelper("test", run) as mph:
            journal = mph._crew.latest_member.journal
            with mph.claim("short") as item:
                item.path.touch()
            with mph.claim("long") as item:
                journal.flush()
                journal.flush()
                item.path.touch()
        assert briefly(events(run, "claimed", "done")) == [
            ("done", "short", 1),
            ("claimed", "long", 1),
            ("done", "long", 1),
        ]

    def test_threads_never_tear_a_line(self, run: Path) -> None:
        with MultiProcessHelper("test", run) as mph:
            journal = mph._crew.latest_member.journal

            def work(thread: int) -> None:
                for number in range(200):
                    journal.add("done", item=f"{thread}-{number}")
                    if number % 20 == 0:
                        journal.flush()

            threads = [threading.Thread(target=work, args=(thread,)) for thread in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert {line["item"] for line in events(run, "done")} == {f"{t}-{n}" for t in range(4) for n in range(200)}
        assert len(events(run)) == 802


class TestSignalsInTheJournal:
    """Handlers note events while the main thread is in the middle of a note."""

    def test_a_handler_may_note_an_event_at_any_moment_of_another_note(self, run: Path) -> None:
        script = """
            import itertools
            mph = helper()
            journal, numbers = mph._crew.member().journal, itertools.count()
            def note(*_):
                journal.add("handler", tick=next(numbers))
            signal.signal(signal.SIGALRM, note)
            signal.setitimer(signal.ITIMER_REAL, 0.0003, 0.0003)
            end = time.monotonic() + 1.5
            while time.monotonic() < end:
                journal.add("loop")
                journal.flush()
            signal.setitimer(signal.ITIMER_REAL, 0)
            journal.flush()
            say("through", next(numbers))
        """
        with Child(run, script) as child:
            noted = int(child.hear().removeprefix("through "))
            child.finish()
        assert noted > 100
        numbers = [event["tick"] for event in events(run, "handler")]
        assert sorted(numbers) == list(range(noted))  # none lost, none twice


class TestHeart:
    """What happens at each beat."""

    def test_a_progress_function_that_fails_does_not_stop_the_beat(self, run: Path) -> None:
        script = """
            def broken(tally):
                if threading.current_thread() is not threading.main_thread():
                    say("called")
                    raise RuntimeError("no such widget")
            for item in items(helper(), ["a"], progress=broken):
                with item:
                    say("working")
                    wait()
                    item.path.touch()
        """
        with Child(run, script) as child:
            child.hear("working")
            child.hear("called")
            record = run / ".multiprocesstools" / "instances" / "test-1"
            beat = record.read_bytes()
            wait_until(lambda: record.read_bytes() != beat, "the record beats on")
            wait_until(lambda: "no such widget" in child.errors, "it is said")
            child.hear("called")
            child.go_on()
            child.succeed()
            assert child.errors.count("fails at each beat") == 1

    def test_no_thread_or_descriptor_stays_after_cleanup(self, run: Path) -> None:
        before = threading.active_count(), set(os.listdir("/proc/self/fd"))
        for _ in range(3):
            mph = MultiProcessHelper("test", run, loggers=["test.one"])
            with mph.claim("a" + str(mph.instance_number)) as item:
                item.path.touch()
            mph.cleanup()
        assert (threading.active_count(), set(os.listdir("/proc/self/fd"))) == before
