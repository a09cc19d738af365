"""Protocols in processes of their own: each step stamps its begin and its end into a file, for an independent look."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests.processes import Child

STEPS = """
from multiprocesstools.steps import Protocol

QUICK = {"durable": False, "beat_seconds": 0.5, "patience_seconds": 20}

def stamp(name, what):
    line = json.dumps({"step": name, "what": what, "time": time.time(), "pid": os.getpid()}) + "\\n"
    descriptor = os.open(f"{RUN}.stamps", os.O_APPEND | os.O_CREAT | os.O_WRONLY, 0o644)
    os.write(descriptor, line.encode())
    os.close(descriptor)

class Stamped(Protocol):
    def work(self, name, seconds=0):
        stamp(name, "begin")
        time.sleep(seconds)
        stamp(name, "end")
        return name

"""


def stamps(run: Path) -> list[dict[str, Any]]:
    """What the steps have stamped, by time."""
    path = Path(f"{run}.stamps")
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return sorted(lines, key=lambda line: line["time"])


def begun(run: Path) -> list[Any]:
    """The names of the steps that began, in that order."""
    return [line["step"] for line in stamps(run) if line["what"] == "begin"]


@contextmanager
def crowd(number: int, run: Path, script: str, *arguments: object) -> Iterator[None]:
    """So many processes that run one script, each of which says "ok" in the end and succeeds."""
    with ExitStack() as stack:
        children = [stack.enter_context(Child(run, script, *arguments)) for _ in range(number)]
        yield
        for child in children:
            child.hear("ok")
            child.succeed()
