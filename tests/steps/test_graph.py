"""The picture of a plan: as text, for Mermaid and for Graphviz, with the states."""

import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from multiprocesstools import MultiProcessHelper
from multiprocesstools.cli import commands
from multiprocesstools.report.graph import COLOURS, TERMINAL_COLOURS, dot_graph, mermaid_graph, text_graph
from multiprocesstools.steps import Outcome, Overview, Plan, Protocol, Status, Step

QUICK: dict[str, Any] = {"durable": False, "beat_seconds": 0.5}
NASTY = 'a"b]\\<script>\x1b[31m{;|#'


def known(*steps: Step, **statuses: Status) -> Overview:
    return Overview("run", "p", Plan(steps), {int(k[1:]): Outcome(status) for k, status in statuses.items()})


DIAMOND = known(
    Step(1, "read"), Step(2, "work", '["a"]', (1,)), Step(3, "work", '["b"]', (1,)), Step(4, "close", "[]", (2, 3)),
    Step(5, "last", held=True, everything=True), s1=Status.FINISHED, s2=Status.FAILED, s3=Status.RUNNING,
)  # fmt: skip


def test_as_text_each_step_has_a_line_with_its_state_and_what_it_waits_for() -> None:
    assert text_graph(DIAMOND).splitlines() == [
        "finished  1  read()",
        'failed    2  work("a")  after 1',
        'running   3  work("b")  after 1',
        "aborted   4  close()  after 2, 3",
        "waiting   5  last()  after all that exist",
        "5 steps: 1 running, 1 finished, 1 failed, 1 aborted, 1 waiting",
    ]


def test_for_mermaid_each_step_is_a_node_of_the_class_of_its_state() -> None:
    lines = mermaid_graph(DIAMOND).splitlines()
    assert lines[0] == "flowchart TD"
    assert '    s2["2 work(#34;a#34;)"]:::failed' in lines
    assert [line.strip() for line in lines if "-->" in line] == ["s1 --> s2", "s1 --> s3", "s2 --> s4", "s3 --> s4"]
    assert f"    classDef failed fill:{COLOURS[Status.FAILED]},stroke:#666,color:#000" in lines


def test_for_graphviz_each_step_is_a_node_with_the_colour_of_its_state() -> None:
    lines = dot_graph(DIAMOND).splitlines()
    assert (lines[0], lines[-1]) == ("digraph steps {", "}")
    node = f'    s2 [label="2 work(\\"a\\")", fillcolor="{COLOURS[Status.FAILED]}", tooltip="failed"];'
    assert node in lines
    assert [line.strip() for line in lines if "->" in line] == ["s1 -> s2;", "s1 -> s3;", "s2 -> s4;", "s3 -> s4;"]


def test_each_state_has_a_colour_of_its_own() -> None:
    for colours in (COLOURS, TERMINAL_COLOURS):
        assert set(colours) == set(Status)
        assert len(set(colours.values())) == len(Status)


@pytest.mark.parametrize("draw", [text_graph, mermaid_graph, dot_graph])
def test_a_name_that_means_something_elsewhere_stays_a_name(draw: Any) -> None:
    text = draw(known(Step(1, NASTY)))
    assert "\x1b" not in text
    if draw is mermaid_graph:
        label = re.search(r'\["(.*)"\]:::', text)
        assert label is not None
        assert not set(re.sub(r"#\d+;", "", label[1])) & set('"<>[]{}|#;\\')
    if draw is dot_graph:
        assert re.search(r'label="(?:[^"\\]|\\.)*", fillcolor', text)


def test_no_steps_are_drawn_too() -> None:
    assert text_graph(known()) == "no steps"
    assert mermaid_graph(known()) == "flowchart TD"
    assert dot_graph(known()).startswith("digraph")


def draw(run: Path, *options: str, color: bool = False) -> tuple[str, Any]:
    done = CliRunner().invoke(commands, ["steps", "graph", str(run), *options], standalone_mode=False, color=color)
    return done.output, done.exception if done.exception is not None else done.return_value


def fail() -> None:
    raise ValueError("as told")


def test_the_command_draws_what_has_become_of_a_run(tmp_path: Path) -> None:
    protocol = Protocol(tmp_path, "drawn", **QUICK)
    protocol.step(len, [1])
    protocol.step(fail)
    protocol.step(len, [2])
    protocol.run()
    output, code = draw(tmp_path)
    assert code == 1
    assert [line.split()[0] for line in output.splitlines()] == ["finished", "failed", "aborted", "3"]
    assert "\x1b[32mfinished" in draw(tmp_path, color=True)[0]
    assert "s2 --> s3" in draw(tmp_path, "--format", "mermaid")[0]
    assert "s2 -> s3" in draw(tmp_path, "--format", "dot")[0]


def test_the_command_says_that_a_run_has_no_steps(tmp_path: Path) -> None:
    with MultiProcessHelper("plain", tmp_path, **QUICK):
        pass
    assert "this run has no steps" in str(draw(tmp_path)[1])
    assert "it does not exist" in str(draw(tmp_path / "nowhere")[1])


def test_all_finished_is_exit_code_0_and_something_to_do_is_3(tmp_path: Path) -> None:
    protocol = Protocol(tmp_path, "drawn", **QUICK)
    protocol.step(len, [1])
    protocol.run()
    assert draw(tmp_path)[1] == 0
    protocol.step(len, [2], interactive=True)
    protocol.run()
    assert draw(tmp_path)[1] == 3
