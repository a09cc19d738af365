"""Cutting tasks into partitions: pure arithmetic, the same for everybody.

Guarantee: each task is in exactly one partition, in order; no partition is empty, and their sizes differ by 1 at most.
"""


def number_of(num_tasks: int, num_partitions: int) -> int:
    """How many partitions there are: never more than tasks."""
    return min(num_tasks, num_partitions)


def bounds(num_tasks: int, partitions: int, number: int) -> tuple[int, int]:
    """From which place to before which one partition `number` (from 0 on) goes."""
    return number * num_tasks // partitions, (number + 1) * num_tasks // partitions
