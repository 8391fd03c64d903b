"""How the executions that somebody here has a handle of ended: told by their actors, or read from the store."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from raywf.client.lane import Lane
from raywf.client.reading import Readings
from raywf.core.state import CLOSED
from raywf.errors import ResultTimeout

RECHECK_S = 5.0
REOPENS_S = 0.05
"""How often to look whether a retried execution is open again."""


class Waiting:
    """How an execution ended, once that is known here."""

    __slots__ = ("__weakref__", "future", "lane", "outcome", "past")

    def __init__(self) -> None:
        self.outcome: tuple[str, str | None, bytes | None] | None = None
        self.future: asyncio.Future[None] | None = None
        self.lane: str | None = None
        self.past = 0  # the end, by its number in the history, that was retried

    @property
    def is_over(self) -> bool:
        return self.outcome is not None

    def settle(self, kind: str, task: str | None, data: bytes | None) -> None:
        self.outcome = (kind, task, data)
        self.wake()

    def again(self, past: int) -> None:
        """The execution is opened again: what it ended with before is no end any more."""
        self.past = max(self.past, past)
        self.outcome, self.lane = None, None

    def wake(self) -> None:
        if self.future is not None and not self.future.done():
            self.future.set_result(None)


class Results:
    """Held weakly: an end that nobody has a handle of any more is nobody's business.

    ``readings`` gives the store's read side and raises ``NotConnected`` once the engine is closed; ``ended`` is told of
    every end that is learned here, so that what was kept for that execution alone can go.
    """

    def __init__(
        self,
        lanes: Mapping[str, Lane],
        readings: Callable[[], Readings],
        namespace: str,
        ended: Callable[[str], None],
    ) -> None:
        self._lanes = lanes
        self._readings = readings
        self._namespace = namespace
        self._told = ended
        self._of: weakref.WeakValueDictionary[str, Waiting] = weakref.WeakValueDictionary()

    def of(self, execution_id: str) -> Waiting:
        waiting = self._of.get(execution_id)
        if waiting is None:
            waiting = self._of[execution_id] = Waiting()
        return waiting

    def ended(self, execution_id: str, kind: str, task: str | None, data: bytes | None) -> None:
        waiting = self._of.get(execution_id)
        if waiting is not None:
            if waiting.past:  # it may be the end before the retry: whoever waits looks into the store
                waiting.wake()
            else:
                waiting.settle(kind, task, data)
        self._told(execution_id)

    def watched(self, lane: str) -> list[str]:
        """The executions of a lane whose end somebody here still wants to hear of."""
        return [id_ for id_, waiting in list(self._of.items()) if waiting.outcome is None and waiting.lane == lane]

    def wake_all(self) -> None:
        """The engine leaves: whoever waits looks again, and hears that it is closed."""
        for waiting in list(self._of.values()):
            waiting.wake()

    async def look(self, ids: Sequence[str]) -> None:
        """Read from the store how executions ended that no actor holds any more."""
        reader = self._readings().reader
        rows = await reader.existing(self._namespace, ids) if ids else {}
        closings = await reader.closings([row.key for row in rows.values()]) if rows else {}
        for id_, row in rows.items():
            closing = closings.get(row.key)
            waiting = self._of.get(id_)
            if closing is None or (waiting is not None and closing.seq <= waiting.past):
                continue
            if waiting is not None:
                waiting.settle(closing.kind, closing.task, closing.data)
            self._told(id_)

    async def wait(self, execution_id: str, waiting: Waiting, timeout: float | None) -> Any:
        """The result of an execution. Raises what it ended with, ``ResultTimeout`` or ``NotConnected``."""
        if waiting.outcome is None:
            self._readings()
            if waiting.lane is None:
                await self._adopt(execution_id, waiting)
        loop = asyncio.get_running_loop()
        give_up_at = None if timeout is None else loop.time() + timeout
        while waiting.outcome is None:
            self._readings()
            if waiting.future is None or waiting.future.done():
                waiting.future = loop.create_future()
            if waiting.lane is None:  # retried, and not open again yet
                await self._adopt(execution_id, waiting)
            pause = RECHECK_S if waiting.lane is not None else REOPENS_S
            left = pause if give_up_at is None else min(pause, give_up_at - loop.time())
            if left > 0:
                await asyncio.wait([waiting.future], timeout=left)
            if not waiting.is_over:
                await self.look([execution_id])
            if not waiting.is_over:
                await self._raise_if_broken(execution_id, waiting, give_up_at, timeout)
        return self.settled(execution_id, waiting.outcome)

    def settled(self, execution_id: str, outcome: tuple[str, str | None, bytes | None]) -> Any:
        """The result behind an outcome, or the error it stands for. Safe from any thread."""
        kind, task, data = outcome
        return self._readings().settle(execution_id, kind, task, data)

    async def _raise_if_broken(
        self, execution_id: str, waiting: Waiting, give_up_at: float | None, timeout: float | None
    ) -> None:
        if give_up_at is not None and asyncio.get_running_loop().time() >= give_up_at:
            row = await self._readings().reader.execution(self._namespace, execution_id)
            if row is None:
                raise ResultTimeout(
                    f"execution {execution_id!r} did not end within {timeout:g} s: it has not started yet, because it waits for "
                    "more submits or for the one before. It will; ask for the result again."
                )
            what = f" for {row.waiting_for}" if row.waiting_for else ""
            raise ResultTimeout(
                f"execution {execution_id!r} did not end within {timeout:g} s: it is {row.status}{what}. It goes on; "
                "ask for the result again."
            )
        lane = self._lanes.get(waiting.lane or "")
        if lane is not None and lane.broken is not None:
            raise lane.broken

    async def _adopt(self, execution_id: str, waiting: Waiting) -> None:
        """Hear of the end of an execution that this client did not start."""
        row = await self._readings().row(execution_id)
        waiting.lane = row.lane if row.status not in CLOSED or not waiting.past else None
        if row.status not in CLOSED:
            lane = self._lanes.get(row.lane)
            if lane is not None and await lane.watch(execution_id):
                return
        await self.look([execution_id])
