"""Patterns: fan-out, map-reduce, saga, a person, a fallback and a quorum, by name. No Ray.

    python examples/gallery/patterns.py

prints::

    fan-out: [6, 9]
    map-reduce: 14
    person: 6
    fallback: 6
    quorum: [6, 9]
    saga: undo 9, undo 6
"""

import raywf
import raywf.testing
from raywf import WorkflowFailed, patterns, task, workflow

undone: list[str] = []


@task
def double(number: int) -> int:
    return 2 * number


@task
def square(number: int) -> int:
    return number * number


@task
def total(numbers: list[int]) -> int:
    return sum(numbers)


@task
def broken(number: int) -> int:
    raise ValueError("broken")


@task
def plus_three(number: int) -> int:
    return number + 3


def undo(number: int) -> None:
    undone.append(f"undo {number}")


@workflow
def shapes(number: int, numbers: list[int]) -> dict[str, object]:
    return {
        "fan-out": patterns.fan_out([double, square], number),
        "map-reduce": patterns.map_reduce(square, total, numbers),
        "person": patterns.human_in_the_loop(double, f"Twice {number}?", number),
        "fallback": patterns.retry_with_fallback(broken, double, number),
        "quorum": patterns.scatter_gather([double, broken, square], number, quorum=2),
    }


@workflow
def booking(number: int) -> int:
    return patterns.saga([(double, undo), (plus_three, undo), (broken, None)], number)


if __name__ == "__main__":
    for name, value in raywf.testing.run(shapes, 3, [1, 2, 3], approve=True).items():
        print(f"{name}: {value}")
    try:
        raywf.testing.run(booking, 3)
    except WorkflowFailed:
        print(f"saga: {', '.join(undone)}")
