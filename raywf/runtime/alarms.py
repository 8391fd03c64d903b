"""When a host has to look at what: one timer of the loop for whatever comes first.

An instant (a timer of a workflow, a deadline) is the wall clock's, because it is in the history and every owner must read it alike.
A length (a timeout, a silence) is this process's own, and counted by the clock that does not jump: an administrator or a machine
that wakes up may set the wall clock an hour ahead, and nothing has run for an hour because of that.

A jump of the wall clock is noticed within ``NOTICE_S``: the loop sleeps by a clock that does not hear of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from raywf.core.timers import Timers
from raywf.ports import Clock
from raywf.runtime.local import LoopClock

Key = tuple[str, int, int | None, str]
"""Execution, task, item, and what for."""

NOTICE_S = 10.0
"""Nobody who waits for an instant sleeps longer than this without having looked at the wall clock."""


def notice_s(clock: Clock) -> float:
    """How long one may sleep on a clock without looking at it. A clock that the loop itself moves cannot jump unseen, and years
    pass on it: looking would be all there is to do."""
    return float("inf") if isinstance(clock, LoopClock) else NOTICE_S


class Alarms:
    """Calls ``ring`` with the keys whose time has come, on the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, clock: Clock, ring: Callable[[list[Key]], None]) -> None:
        self._loop = loop
        self._clock = clock
        self._ring = ring
        self._instants: Timers[Key] = Timers()
        self._lengths: Timers[Key] = Timers()
        self._handle: asyncio.TimerHandle | None = None
        self._rings_at = float("inf")
        self._is_over = False
        self._notice_s = notice_s(clock)

    def __len__(self) -> int:
        return len(self._instants) + len(self._lengths)

    def at(self, key: Key, due_at: float) -> None:
        """At an instant: an epoch second."""
        self._instants.arm(key, due_at)
        self._within(due_at - self._clock.now())

    def within(self, key: Key, seconds: float) -> None:
        """So many seconds from now."""
        self._lengths.arm(key, self._clock.monotonic() + seconds)
        self._within(seconds)

    def disarm(self, key: Key) -> None:
        self._instants.disarm(key)
        self._lengths.disarm(key)

    def stop(self) -> None:
        self._is_over = True
        self._cancel()

    def _within(self, seconds: float) -> None:
        """Look in so many seconds at the latest."""
        now = self._clock.monotonic()
        if now + seconds < self._rings_at and not self._is_over:
            self._cancel()
            delay = min(max(0.0, seconds), self._notice_s)
            self._rings_at = now + delay
            self._handle = self._loop.call_later(delay, self._look)

    def _cancel(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
        self._handle, self._rings_at = None, float("inf")

    def _look(self) -> None:
        self._handle, self._rings_at = None, float("inf")
        if self._is_over:
            return
        self._ring(self._instants.pop_due(self._clock.now()) + self._lengths.pop_due(self._clock.monotonic()))
        instant, length = self._instants.next_due(), self._lengths.next_due()
        if instant is not None:
            self._within(instant - self._clock.now())
        if length is not None:
            self._within(length - self._clock.monotonic())
