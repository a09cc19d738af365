"""A picture of steps and what they wait for: as text, for Mermaid and for Graphviz, with the states coloured. Pure.

Mermaid: https://mermaid.js.org/syntax/flowchart.html. DOT: https://graphviz.org/doc/info/lang.html.
"""

from collections.abc import Callable

from multiprocesstools.display.text import printable
from multiprocesstools.steps.overview import Overview
from multiprocesstools.steps.step import Status, Step

COLOURS = {
    Status.NEW: "#eeeeee", Status.SCHEDULED: "#cfe2f3", Status.RUNNING: "#ffe599", Status.FINISHED: "#b6d7a8",
    Status.FAILED: "#ea9999", Status.ABORTED: "#b7b7b7", Status.WAITING: "#d9d2e9", Status.INTERACTIVE: "#f9cb9c",
}  # fmt: skip
TERMINAL_COLOURS = {
    Status.NEW: "white", Status.SCHEDULED: "cyan", Status.RUNNING: "yellow", Status.FINISHED: "green",
    Status.FAILED: "red", Status.ABORTED: "bright_black", Status.WAITING: "magenta", Status.INTERACTIVE: "blue",
}  # fmt: skip
_LONGEST_LABEL = 48


def text_graph(known: Overview, paint: Callable[[str, Status], str] = lambda text, status: text) -> str:
    """A line for each step, after those it waits for: its state, itself, and what it waits for. `paint` colours the
    state."""
    if not len(known.plan):
        return "no steps"
    width = max(len(known.statuses[step.id]) for step in known.plan)
    digits = len(str(max(step.id for step in known.plan)))
    lines = [_line(known, known.plan[step], width, digits, paint) for step in known.plan.in_order()]
    return "\n".join([*lines, str(known)])


def mermaid_graph(known: Overview) -> str:
    """A flowchart, from a step to those that wait for it."""
    nodes = [f'    s{step.id}["{_mermaid(_label(step))}"]:::{known.statuses[step.id]}' for step in known.plan]
    edges = [f"    s{before} --> s{step.id}" for step in known.plan for before in step.prerequisites]
    used = dict.fromkeys(known.statuses[step.id] for step in known.plan)
    classes = [f"    classDef {status} fill:{COLOURS[status]},stroke:#666,color:#000" for status in used]
    return "\n".join(["flowchart TD", *nodes, *edges, *classes])


def dot_graph(known: Overview) -> str:
    """A digraph, from a step to those that wait for it; the state is the colour, and the tooltip."""
    nodes = [
        f'    s{step.id} [label="{_dot(_label(step))}", fillcolor="{COLOURS[known.statuses[step.id]]}", '
        f'tooltip="{known.statuses[step.id]}"];'
        for step in known.plan
    ]
    edges = [f"    s{before} -> s{step.id};" for step in known.plan for before in step.prerequisites]
    head = ["digraph steps {", '    node [shape=box, style="filled,rounded", fontname="sans-serif"];']
    return "\n".join([*head, *nodes, *edges, "}"])


def _line(
    known: Overview, step: Step, width: int, digits: int, paint: Callable[[str, Status], str]
) -> str:  # fmt: skip
    status = known.statuses[step.id]
    waits = ", ".join(map(str, step.prerequisites))
    after = f"  after {waits}" if waits else "  after all that exist" if step.everything else ""
    return f"{paint(f'{status:<{width}}', status)}  {step.id:>{digits}}  {_call(step)}{after}"


def _call(step: Step) -> str:
    return printable(f"{step.name}{step.title.partition(step.name)[2]}")


def _label(step: Step) -> str:
    text = f"{step.id} {_call(step)}"
    return text if len(text) <= _LONGEST_LABEL else f"{text[: _LONGEST_LABEL - 3]}..."


def _mermaid(text: str) -> str:
    """Every character that could mean something, by its number: Mermaid reads #38; as &."""
    return "".join(char if char.isalnum() or char in " _.,()=/-" else f"#{ord(char)};" for char in text)


def _dot(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
