"""Effects: what the brain asks of the hands. Each is named by (task, item, attempt), so a repeat is recognisable.

``task`` is an index into the plan, ``item`` the place in a fan-out (None outside one), ``at`` the pass of each loop
around the task, outermost first: attempts are numbered from 1 in every pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class StartAttempt:
    """Run the task's function. ``isolated``: alone in a process, because earlier attempts died with theirs."""

    task: int
    item: int | None
    attempt: int
    isolated: bool = False
    at: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Announce:
    """Record ``AttemptStarted``. Of a task that must not happen twice the start is on disk before the attempt begins."""

    task: int
    item: int | None
    attempt: int
    at: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class StartChild:
    """Start (or find) the child execution and report how it ends."""

    task: int
    item: int | None
    attempt: int
    at: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Evaluate:
    """Fill in the task's bindings and report what they give: a width, a side, a wait, a value. No outside effect."""

    task: int


@dataclass(frozen=True, slots=True)
class ArmTimer:
    """Report ``TimerFired`` at ``due_at``, and not before."""

    task: int
    item: int | None
    due_at: float


@dataclass(frozen=True, slots=True)
class CancelAttempt:
    """Stop the attempt and report its end, whichever it is."""

    task: int
    item: int | None
    attempt: int
    at: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Close:
    """Nothing is left to do: evaluate the result where the execution completed, and report the end."""


Effect: TypeAlias = StartAttempt | Announce | StartChild | Evaluate | ArmTimer | CancelAttempt | Close
