"""Random graphs of steps run by many processes, one of which is killed, before the eyes of an independent detector."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.processes import CHECKOUT, wait_until
from tests.steps import graph_protocol
from tests.steps.detector import attempts, faults, random_graph, read_stamps

SEED = int(os.environ.get("MPT_STEPS_SEED", "7"))
STEPS = int(os.environ.get("MPT_STEPS", "1000"))
"""The long form: MPT_STEPS=2000."""
_SECONDS = 250


@contextmanager
def started(number: int, *arguments: object) -> Iterator[list[subprocess.Popen[bytes]]]:
    """So many processes with the protocol, which are gone in the end; what they say on stderr is shown."""
    command = [sys.executable, str(Path(graph_protocol.__file__)), *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": str(CHECKOUT)}
    with tempfile.TemporaryFile() as output:
        children = [subprocess.Popen(command, env=environment, stdout=output, stderr=output) for _ in range(number)]
        try:
            yield children
        finally:
            for child in children:
                child.kill()
                child.wait()
            output.seek(0)
            sys.stderr.write(output.read().decode())


@pytest.mark.timeout(300)
def test_eight_processes_run_a_random_graph_though_one_of_them_is_killed(tmp_path: Path) -> None:
    run, folder = tmp_path / "run", tmp_path / "run.stamps"
    folder.mkdir()
    graph = random_graph(SEED, STEPS)
    with started(8, run, SEED, STEPS) as children:
        victim = children[0]
        mine = folder / f"{os.uname().nodename}-{victim.pid}"
        wait_until(lambda: mine.exists() and mine.stat().st_size > 1000, "the victim is at work", 60)
        victim.kill()
        assert [child.wait(_SECONDS) for child in children[1:]] == [0] * 7
    stamps = read_stamps(folder)
    assert faults(graph, stamps, crashed={mine.name}) == []
    assert len(attempts(stamps)) == STEPS
    assert len({stamp.who for stamp in stamps}) == 8  # all of them took part
