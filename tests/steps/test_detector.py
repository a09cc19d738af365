"""The detector sees what must not be: without that, its silence elsewhere would say nothing."""

import pytest

from tests.steps.detector import Stamp, faults, most_at_once, random_graph

GRAPH = {"a": [], "b": ["a"]}


def stamps(*lines: tuple[str, str, float] | tuple[str, str, float, str]) -> list[Stamp]:
    return [Stamp(line[2], line[0], line[1], line[3] if len(line) > 3 else "p") for line in lines]


RIGHT = [("a", "begin", 1.0), ("a", "end", 2.0), ("b", "begin", 2.0), ("b", "end", 3.0)]


def test_what_is_right_has_no_fault() -> None:
    assert faults(GRAPH, stamps(*RIGHT)) == []
    assert most_at_once(stamps(*RIGHT)) <= 2


@pytest.mark.parametrize(
    ("lines", "word"),
    [
        (RIGHT[:3], "never ended"),
        (RIGHT[:2], "b was never carried out"),
        ([*RIGHT, ("a", "begin", 5.0), ("a", "end", 6.0)], "carried out 2 times"),
        ([*RIGHT, ("a", "begin", 1.5, "q"), ("a", "end", 1.7, "q")], "in work twice at once"),
        ([("a", "begin", 1.0), ("b", "begin", 1.5, "q"), ("a", "end", 2.0), ("b", "end", 3.0, "q")], "before a had"),
        ([*RIGHT, ("c", "begin", 5.0), ("c", "end", 6.0)], "no step of the graph"),
    ],
    ids=["not ended", "missing", "twice", "at once", "too early", "unknown"],
)
def test_each_kind_of_fault_is_seen(lines: list[tuple[str, str, float]], word: str) -> None:
    assert any(word in fault for fault in faults(GRAPH, stamps(*lines))), faults(GRAPH, stamps(*lines))


def test_what_a_crashed_process_had_begun_may_be_begun_again_and_by_one_other_only() -> None:
    again = [("a", "begin", 0.5, "dead"), *RIGHT]
    assert faults(GRAPH, stamps(*again), crashed={"dead"}) == []
    assert faults(GRAPH, stamps(*again)) != []
    twice = [*again, ("a", "begin", 4.0, "q"), ("a", "end", 5.0, "q")]
    assert faults(GRAPH, stamps(*twice), crashed={"dead"}) != []


def test_a_random_graph_has_no_cycle_and_waits_also_for_later_steps() -> None:
    graph = random_graph(1, 200)
    order = list(graph)
    assert any(order.index(other) > order.index(step) for step, others in graph.items() for other in others)
    assert all(int(other[1:]) < int(step[1:]) for step, others in graph.items() for other in others)
