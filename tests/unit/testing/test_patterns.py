"""``raywf.patterns``: each shape does what its name says, and refuses what it cannot take."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import raywf
import raywf.testing
from raywf import DefinitionError, WorkflowFailed, patterns, task, workflow

ledger: list[str] = []


@pytest.fixture(autouse=True)
def _fresh() -> None:
    ledger.clear()


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


def took_back(number: int) -> None:
    ledger.append(f"took back {number}")


def test_fan_out_and_in() -> None:
    @workflow
    def both(number: int) -> list[int]:
        return patterns.fan_out([double, square], number)

    assert raywf.testing.run(both, 3) == [6, 9]


def test_map_reduce() -> None:
    @workflow
    def summed(numbers: list[int]) -> int:
        return patterns.map_reduce(square, total, numbers)

    assert raywf.testing.run(summed, [1, 2, 3]) == 14


def test_saga_takes_back_what_was_done_newest_first() -> None:
    @workflow
    def booked(number: int) -> int:
        return patterns.saga([(double, took_back), (square, took_back), (broken, None)], number)

    with pytest.raises(WorkflowFailed, match="broken"):
        raywf.testing.run(booked, 3)
    assert ledger == ["took back 36", "took back 6"]


def test_human_in_the_loop() -> None:
    @workflow
    def reviewed(number: int) -> int:
        return patterns.human_in_the_loop(double, f"Is {number} doubled well?", number, timeout=60)

    assert raywf.testing.run(reviewed, 2, approve=True) == 4
    with pytest.raises(WorkflowFailed):
        raywf.testing.run(reviewed, 2, approve=False)


def test_retry_with_fallback() -> None:
    @workflow
    def tried(number: int) -> int:
        return patterns.retry_with_fallback(broken, double, number, attempts=2)

    assert raywf.testing.run(tried, 4) == 8


def test_scatter_gather_needs_a_quorum() -> None:
    @workflow
    def asked(number: int) -> list[int]:
        return patterns.scatter_gather([double, broken, square], number, quorum=2)

    @workflow
    def asked_all(number: int) -> list[int]:
        return patterns.scatter_gather([double, broken, square], number, quorum=3)

    assert raywf.testing.run(asked, 3) == [6, 9]
    with pytest.raises(WorkflowFailed, match="2 of 3 have answered, and the quorum is 3"):
        raywf.testing.run(asked_all, 3)


@pytest.mark.parametrize(
    ("shape", "says"),
    [
        (lambda: patterns.fan_out([]), "no task"),
        (lambda: patterns.fan_out([len], 1), "takes tasks, uncalled, not the function 'len'"),
        (lambda: patterns.map_reduce(double, 3, [1]), "takes tasks"),
        (lambda: patterns.saga([double], 1), "write (do, undo)"),
        (lambda: patterns.scatter_gather([double], 1, quorum=2), "from 1 to 1"),
    ],
)
def test_what_a_shape_cannot_take_is_refused(shape: Callable[[], Any], says: str) -> None:
    import re

    @workflow
    def wrong() -> Any:
        return shape()

    with pytest.raises(DefinitionError, match=re.escape(says)):
        _ = wrong.definition
