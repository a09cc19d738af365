"""Whatever call a process is killed at, or loses the reply of: others bring the run to its end, and nothing is lost."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.proof.crash.calls import CHANGING
from tests.proof.crash.judge import FORCED
from tests.proof.crash.points import CHECKOUT, in_another_process, run
from tests.proof.crash.scenarios import PARTS, SCENARIOS
from tests.proof.figures import Figures


@pytest.fixture(scope="module")
def table() -> dict[str, Figures]:
    return {figures.part: figures for figures in run(short=True)}


def kinds(figures: Figures) -> set[str]:
    """What the notes are about: `<count> x <kind>; the first: …`."""
    return {re.match(r"\d+ x ([^;]+);", note)[1] for note in figures.notes}


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("part", PARTS.values())
def test_after_a_crash_or_an_error_at_any_call_the_run_comes_to_its_end(table: dict[str, Figures], part: str) -> None:
    figures = table[part]
    assert figures.clean, figures.notes
    assert kinds(figures) <= {FORCED}, figures.notes
    assert figures.tried["scenarios"] == sum(scenario.part == part for scenario in SCENARIOS)
    assert figures.tried["crash points"] > 15 * figures.tried["scenarios"]
    assert figures.tried["errors raised"] > figures.tried["scenarios"]


@pytest.mark.parametrize(
    ("scenario", "strike"),
    [
        ("claim a single item", ("EIO", "after", r"^link \S+ -> \S+\.claim-1$")),
        ("claim a single item", ("ESTALE", "after", r"^link \S+ -> \S+\.claim-1$")),
        ("claim a single item", ("SIGINT", "before", r"^fsync \S+a\.txt$")),
        ("claim a single item", ("SIGINT twice", "before", r"^(fsync|link|unlink) \S+a\.txt")),
        ("claim a single item", ("SIGINT twice", "after", r"^(link \S+ -> |unlink )\S+\.claim-1$")),
        ("write in place", ("SIGINT twice", "before", r"^(write \S+-e3\.ended|link \S+ -> \S+\.(tmp|direct))$")),
        ("skip, fail, drop", ("SIGINT twice", "after", r"^link \S+ -> \S+\.ended-1$")),
    ],
    ids=[
        "EIO", "ESTALE for a claim that was made", "interrupt", "two interrupts where it is published",
        "two interrupts at the claim", "two interrupts in place", "two interrupts at the end of an attempt",
    ],
)  # fmt: skip
def test_the_same_helper_can_try_again(scenario: str, strike: tuple[str, str, str]) -> None:
    (figures,) = in_another_process("--only", scenario, "--strikes", *strike)
    assert figures.tried["errors raised"] >= 1
    assert figures.clean and kinds(figures) <= {FORCED}, figures.notes


@pytest.mark.parametrize(
    ("broken", "scenario", "kind"),
    [
        ("publish by copying", "claim and publish files, not durable", "partial"),
        ("publish by replacing what is not looked at", "claim and publish files, not durable", "replaced"),
        ("publish by replacing what is not looked at", "claim and publish files, not durable", "twice"),
        ("forget the dead", "claim a single item", "lost"),
        ("sweep nothing", "claim and publish files, not durable", "litter"),
        ("say that all is well", "fail until set aside", "status"),
        ("give a wrong reason", "fail until set aside", "untrue"),
    ],
)
def test_the_detectors_see_what_is_broken_on_purpose(broken: str, scenario: str, kind: str) -> None:
    (figures,) = in_another_process("--short", "--broken", broken, "--only", scenario)
    assert kind in kinds(figures), figures.notes
    assert getattr(figures, kind, 1) > 0


@pytest.mark.timeout(120)
def test_a_process_that_hangs_is_noticed() -> None:
    strikes = ("--strikes", "EIO", "before", r"^lstat \S+a\.txt$")
    (figures,) = in_another_process("--broken", "wait for ever", "--only", "claim a single item", *strikes)
    assert "hang" in kinds(figures)


TRACE = """
import sys
from contextlib import nullcontext
from pathlib import Path
from tests.proof.crash.calls import Calls
from tests.proof.crash.place import Place
from tests.proof.crash.scenarios import SCENARIOS
from tests.proof.crash.trial import let_time_stand_still_until

base, name = Path(sys.argv[1]), sys.argv[2]
calls = Calls(str(base / "shared")).install()
place = Place(base, {"beat_seconds": 60.0, "patience_seconds": 300.0}, calls)
scenario = next(scenario for scenario in SCENARIOS if scenario.name == name)
(base / "shared").mkdir()
let_time_stand_still_until(lambda: False)
with calls.counted():
    calls.counted = nullcontext
    scenario.script(place)
    place.close()
print(*calls.seen, sep="\\n")
"""


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
@pytest.mark.parametrize("name", ["start", "publish directories", "skip, fail, drop", "write in place"])
def test_every_change_that_strace_sees_is_a_call_that_is_counted(tmp_path: Path, name: str) -> None:
    """From the start of a process to its end; the looks in between are listed by the same wrappers."""
    command = ["strace", "-f", "-qq", "-y", "-e", "trace=file,desc", "-o", str(tmp_path / "trace"), sys.executable]
    done = subprocess.run(
        [*command, "-c", TRACE, str(tmp_path), name], cwd=CHECKOUT, stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    counted = [line.split(maxsplit=1)[0] for line in done.stdout.splitlines()]
    traced = changes((tmp_path / "trace").read_text(errors="replace"), str(tmp_path / "shared"))
    assert traced == [kind for kind in counted if kind in CHANGING or kind == "fsync"]
    assert len(traced) > 20


def changes(trace: str, below: str) -> list[str]:
    """The kinds of the calls below a directory that change it or sync, in order."""
    found = []
    for line in trace.splitlines():
        match = re.match(r"\d+ +(\w+)\((.*)", line)
        if match is None or f"{below}/" not in match[2]:
            continue
        name, arguments = match[1], match[2]
        kind = {"openat": "create" if "O_CREAT" in arguments else "", "pwrite64": "pwrite"}.get(name, name)
        kind = kind.removesuffix("at")
        if kind in CHANGING or kind == "fsync":
            found.append(kind)
    return found
