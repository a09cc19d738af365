"""A hostile neighbour with a user id of its own, beside a victim that works: what the modes of the folders allow.

The neighbour tries everything that would make the victim's claims look dead. Whatever succeeds, an output is written
once, and whole. Needs root, to become these users.
"""

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.security.plants import SECRET, state_of
from tests.tools import Child, require_root

pytestmark = pytest.mark.timeout(60)

VICTIM, NEIGHBOUR, FRIEND, GROUP = 65534, 65533, 65532, 54321

VICTIM_WORKS = """
with MultiProcessHelper("victim", sys.argv[1], beat_seconds=1000, patience_seconds=5000, durable=False) as mph:
    items = {name: mph.claim(name, directory="out") for name in ("x", "y", "z")}
    for item in items.values():
        item.path.write_text("half")
    say("in work")
    for name, item in items.items():
        wait()
        with item:
            item.path.write_text("by the victim")
        say(item.fate)
"""
NEIGHBOUR_ACTS = """
import json
from pathlib import Path

run = Path(sys.argv[1])
out, home = run / "out", run / ".multiprocesstools"
record = home / "instances" / "victim-1"
dead = json.dumps(json.loads(record.read_bytes()) | {"pid": 2**22 + 1}).encode()

def attempt(what, act):
    try:
        act()
    except OSError as error:
        say(f"{what} {type(error).__name__}")
    else:
        say(f"{what} done")

def replace(path):
    other = path.with_name(path.name + ".forged")
    other.write_bytes(dead)
    other.rename(path)

def rewrite(path):
    with path.open("r+b") as file:
        file.write(dead)

staging = next(out.glob(".mpt-*.x"))
attempt("declare an attempt over", lambda: (out / ".x.ended-1").write_bytes(b"forged"))
attempt("replace a claim", lambda: replace(out / ".y.claim-1"))
attempt("rewrite a record", lambda: rewrite(record))
attempt("replace a record", lambda: replace(record))
attempt("write into what is being written", lambda: staging.open("r+b").close())
attempt("remove what is being written", lambda: next(out.glob(".mpt-*.z")).rename(out / "stolen"))
attempt("ask all to stop", lambda: (home / "stop").write_text("forged"))
attempt("forge settings", lambda: (home / "run-9.json").write_bytes(b"forged"))
attempt("forge a plan", lambda: (home / "plans" / "forged.json").write_bytes(b"forged"))
for path in (home / "run-9.json", home / "plans" / "forged.json"):
    path.unlink(missing_ok=True) if os.access(path.parent, os.W_OK) else None
"""
FRIEND_LOOKS = """
with MultiProcessHelper("friend", sys.argv[1], durable=False) as mph:
    for name in ("x", "y", "z"):
        item = mph.claim(name, directory="out")
        say(f"{name} {item and item.attempt}")
        if item:
            with item:
                item.path.write_text("by the friend")
"""


@pytest.fixture
def run() -> Iterator[Path]:
    """A run directory that its users can reach, unlike the folders of pytest."""
    require_root()
    with tempfile.TemporaryDirectory(prefix="mpt-test-") as folder:
        os.chmod(folder, 0o755)
        yield Path(folder, "run")


def prepare(run: Path, mode: int) -> None:
    """The folders of a run, as an administrator, or the umask of whoever came first, has made them."""
    run.mkdir()
    home = ".multiprocesstools"
    for folder in ("", "out", home, f"{home}/instances", f"{home}/plans", "multiprocesstools_logs"):
        path = run / folder
        path.mkdir(exist_ok=True)
        os.chown(path, VICTIM, GROUP)
        path.chmod(mode)


def said(child: Child) -> dict[str, str]:
    lines = child.process.stdout.read().splitlines()
    assert child.finish() == 0, child.errors
    return dict(line.rsplit(" ", 1) for line in lines)


PLANTED = frozenset({"declare an attempt over", "ask all to stop", "forge settings", "forge a plan"})
REPLACED = frozenset({"replace a claim", "replace a record", "remove what is being written"})
REWRITTEN = frozenset({"rewrite a record", "write into what is being written"})


@pytest.mark.parametrize(
    ("mode", "umask", "allowed"),
    [
        pytest.param(0o755, 0o022, frozenset(), id="the victim's own folders"),
        pytest.param(0o1777, 0o022, PLANTED, id="open folders with the sticky bit"),
        pytest.param(0o777, 0o022, PLANTED | REPLACED, id="open folders without it"),
        pytest.param(0o2775, 0o002, PLANTED | REPLACED | REWRITTEN, id="a group that shares its files"),
    ],
)
def test_what_a_neighbour_can_do_and_that_outputs_are_whole_and_written_once_all_the_same(
    run: Path, mode: int, umask: int, allowed: frozenset[str]
) -> None:
    prepare(run, mode)
    with Child(VICTIM_WORKS, run, user=(VICTIM, GROUP), umask=umask) as victim:
        assert victim.hear() == "in work"
        with Child(NEIGHBOUR_ACTS, run, user=(NEIGHBOUR, GROUP), umask=umask) as neighbour:
            acts = said(neighbour)
        assert set(acts) == PLANTED | REPLACED | REWRITTEN and set(acts.values()) <= {"done", "PermissionError"}
        assert {act for act, answer in acts.items() if answer == "done"} == allowed
        other = FRIEND if allowed else VICTIM
        with Child(FRIEND_LOOKS, run, user=(other, GROUP), umask=umask) as friend:
            taken = {name for name, attempt in said(friend).items() if attempt == "2"}
        looks_dead = {"x": "declare an attempt over", "y": "replace a claim", "z": "rewrite a record"}
        assert taken == {name for name, act in looks_dead.items() if act in allowed}
        written = state_of(run / "out")
        fates = [victim.go_on() or victim.hear() for _ in "xyz"]
        assert victim.finish() == 0, victim.errors
    assert fates == ["lost" if name in taken else "done" for name in "xyz"]
    after = state_of(run / "out")
    for name in "xyz":
        assert (run / "out" / name).read_text() == ("by the friend" if name in taken else "by the victim")
        assert name not in taken or after[name] == written[name], "what was there first does not change any more"


PLANTS = """
from pathlib import Path

run, secret = Path(sys.argv[1]), Path(sys.argv[2])
home = run / ".multiprocesstools"
places = [run / "out" / f".a.{kind}" for kind in ("claim-1", "retry-1", "partial-1", "claim-2")]
places += [run / "out" / f".b.{kind}" for kind in ("ended-1", "direct")] + [run / "out" / f".mpt-{'0' * 32}-1.a"]
places += [home / "stop", home / "instances" / "odd-1", run / "multiprocesstools_logs" / "odd-1.jsonl"]
places += [run / "out" / "a.tmp"] + ([run / "out" / "c"] if sys.argv[3] == "link" else [])
for path in places:
    if sys.argv[3] == "link":
        path.symlink_to(secret)
    else:
        os.mkfifo(path)
say("planted")
"""
VICTIM_MEETS_THEM = """
from multiprocesstools.cli import main

run = sys.argv[1]
with MultiProcessHelper("victim", run, durable=False) as mph:
    for item in mph.items(["a", "b", "c", "free"], final="{value}", directory="out", progress=False, wait=False):
        with item:
            item.path.write_text("result")
    say(mph.create_temp_file("in place", "a.tmp", "out"))
    say(mph.claim("c", directory="out"))
codes = []
commands = (["status", "--failed", "--running"], ["retry"], ["stop"], ["cleanup", "--no-wait"], ["cleanup", "--force"])
for words in commands:
    sys.argv = ["multiprocesstools", words[0], *words[1:], run]
    try:
        main()
    except SystemExit as end:
        codes.append(end.code)
say(codes)
"""


@pytest.mark.parametrize("how", ["link", "pipe"])
def test_no_link_or_pipe_of_a_neighbour_makes_the_victim_show_or_change_what_only_it_may_read(
    run: Path, how: str
) -> None:
    prepare(run, 0o1777)
    secret = run.parent / "secret"
    secret.write_bytes(SECRET)
    os.chown(secret, VICTIM, VICTIM)
    secret.chmod(0o600)
    before = state_of(run.parent)["secret"]
    with Child(PLANTS, run, secret, how, user=(NEIGHBOUR, NEIGHBOUR), umask=0) as neighbour:
        assert neighbour.hear() == "planted" and neighbour.finish() == 0, neighbour.errors
    with Child(VICTIM_MEETS_THEM, run, user=(VICTIM, GROUP), umask=0o022) as victim:
        shown = victim.process.stdout.read()
        assert victim.finish() == 0, victim.errors
    said_first, *_, codes = shown.splitlines()
    assert said_first == "False", "the placeholder belongs to somebody else"
    assert set(json.loads(codes)) <= {0, 1, 3}, shown
    assert "SECRET" not in shown + victim.errors and state_of(run.parent)["secret"] == before
    assert (run / "out" / "free").read_text() == "result"
