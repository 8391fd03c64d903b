"""The outside world: what tasks have done to it. It outlives every crash and forgets nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from raywf.definition.context import TaskContext, current


class Deed(NamedTuple):
    """An attempt that began, as the outside world saw it. ``at`` is true time, ``round`` how often its execution had been
    opened."""

    execution: str
    task: str
    attempt: int
    key: str
    at: float
    round: int = 1


@dataclass(slots=True)
class Outside:
    """Attempts in the order in which they began. ``witness`` looks on at each."""

    deeds: list[Deed] = field(default_factory=list)
    failures: Counter[tuple[str, str]] = field(default_factory=Counter)
    witness: Callable[[TaskContext], None] = lambda context: None


_now: list[Outside] = [Outside()]


def enter(outside: Outside) -> None:
    """Make this the outside world of whatever runs from here on."""
    _now[0] = outside


def begin() -> None:
    """Called by each task of the catalogue as it begins."""
    _now[0].witness(current())


def fails(times: int) -> bool:
    """True the first ``times`` times for the task that asks, whichever attempts these are."""
    outside, here = _now[0], current()
    outside.failures[here.execution_id, here.task_id] += 1
    return outside.failures[here.execution_id, here.task_id] <= times
