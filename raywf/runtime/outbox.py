"""Telling clients how executions ended: each parks one call here and is answered in batches."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from raywf.ports import EventRow
from raywf.runtime.live import Live

MAX_REPLY = 2000
MOVED = "@moved"
"""The kind of what is no ending: the shards in its data have another owner now. The supervisor knows which."""
Ending = tuple[int, str, str, str | None, bytes | None]
"""A number that counts up per client, the execution's id, and kind, task and data of its closing event."""


class _Box:
    __slots__ = ("endings", "number", "parked")

    def __init__(self) -> None:
        self.endings: list[Ending] = []
        self.number = 0
        self.parked: asyncio.Future[None] | None = None


class Outbox:
    """Endings by client. An ending is kept until its number is acknowledged, so a lost reply loses nothing."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._boxes: dict[str, _Box] = {}
        self._shared: dict[frozenset[str], frozenset[str]] = {}
        self._kept: dict[str, frozenset[str]] = {}

    def watch(self, client: str, live: Live) -> None:
        """Tell this client how the execution ends. Sets are shared: thousands of executions have the same watcher."""
        watchers = frozenset((client,)) if live.watchers is None else live.watchers | {client}
        live.watchers = self._shared.setdefault(watchers, watchers)

    def watch_asleep(self, client: str, id_: str) -> None:
        """The same for an execution that is not in memory: whoever wakes it takes its watchers up again."""
        watchers = self._kept.get(id_, frozenset()) | {client}
        self._kept[id_] = self._shared.setdefault(watchers, watchers)

    def keep(self, live: Live) -> None:
        """Remember who watches an execution that leaves memory."""
        if live.watchers:
            self._kept[live.id] = live.watchers

    def kept(self, id_: str) -> frozenset[str] | None:
        """Who watches an execution that comes back into memory, or has ended."""
        return self._kept.pop(id_, None)

    def post(self, clients: Iterable[str], id_: str, last: EventRow) -> None:
        for client in clients:
            self._post(client, id_, last.kind, last.task, last.data)

    def leave(self, is_leaving: Callable[[str], bool]) -> set[str]:
        """Forget executions that are not in memory and get another owner; returns who watched them."""
        return {client for id_ in [*filter(is_leaving, self._kept)] for client in self._kept.pop(id_)}

    def say_moved(self, clients: Iterable[str], shards: Iterable[int]) -> None:
        data = bytes(shards)
        for client in clients:
            self._post(client, "", MOVED, None, data)

    def _post(self, client: str, id_: str, kind: str, task: str | None, data: bytes | None) -> None:
        box = self._box(client)
        box.number += 1
        box.endings.append((box.number, id_, kind, task, data))
        if box.parked is not None and not box.parked.done():
            box.parked.set_result(None)

    def _box(self, client: str) -> _Box:
        box = self._boxes.get(client)
        if box is None:
            box = self._boxes[client] = _Box()
        return box

    async def poll(self, client: str, acknowledged: int, wait_s: float) -> list[Ending]:
        """The endings after ``acknowledged``; parks for at most ``wait_s`` seconds while there are none."""
        box = self._box(client)
        box.endings = [ending for ending in box.endings if ending[0] > acknowledged]
        if not box.endings:
            if box.parked is not None and not box.parked.done():
                box.parked.set_result(None)
            box.parked = self._loop.create_future()
            timer = self._loop.call_later(wait_s, _wake, box.parked)
            try:
                await box.parked
            finally:
                timer.cancel()
        return box.endings[:MAX_REPLY]

    @property
    def is_heard(self) -> bool:
        """Whether any client is parked here."""
        return any(box.parked is not None and not box.parked.done() for box in self._boxes.values())

    def forget(self, client: str) -> None:
        box = self._boxes.pop(client, None)
        if box is not None and box.parked is not None:
            _wake(box.parked)


def _wake(parked: asyncio.Future[None]) -> None:
    if not parked.done():
        parked.set_result(None)
