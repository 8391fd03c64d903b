"""Deadlines in order of time: a heap with lazy deletion."""

from __future__ import annotations

import heapq
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class Timers(Generic[K]):
    """At most one deadline per key. Arming again replaces; disarmed entries are dropped when they surface."""

    def __init__(self) -> None:
        self._due: dict[K, float] = {}
        self._heap: list[tuple[float, int, K]] = []
        self._count = 0

    def __len__(self) -> int:
        return len(self._due)

    def arm(self, key: K, due_at: float) -> None:
        self._due[key] = due_at
        self._count += 1
        heapq.heappush(self._heap, (due_at, self._count, key))
        if len(self._heap) > 64 and len(self._heap) > 4 * len(self._due):
            self._heap = [entry for entry in self._heap if self._due.get(entry[2]) == entry[0]]
            heapq.heapify(self._heap)

    def disarm(self, key: K) -> None:
        self._due.pop(key, None)

    def next_due(self) -> float | None:
        """The earliest deadline, or None."""
        while self._heap:
            due_at, _, key = self._heap[0]
            if self._due.get(key) == due_at:
                return due_at
            heapq.heappop(self._heap)
        return None

    def pop_due(self, now: float) -> list[K]:
        """Remove and return the keys whose deadline has come, earliest first."""
        out: list[K] = []
        while (due_at := self.next_due()) is not None and due_at <= now:
            _, _, key = heapq.heappop(self._heap)
            del self._due[key]
            out.append(key)
        return out
