"""Executions that sleep: out of memory, in the store, and back when somebody or their time wants them.

An execution that only time, a signal or a person can move is *asleep* in the store from the commit on that says so: its
row has the moment of its next look (``wake_at``). Whether it is also in memory is nobody's business but ours::

             rests (waiting, in memory) --more than ``resident`` rest--> asleep (rows only)
                  ^                                                        |
                  +---- command, watch by id, wake_at comes near ----------+

**Authority.** The store. Memory is a cache of those that rested last: dropping one loses nothing, because it is dropped
only when all that was written about it is on disk.

**Time.** One alarm, set by the earliest ``wake_at`` that is not in memory. When it rings, what is due within the horizon
is loaded, and the host's own timers do the rest.

**Failure.** An owner that takes over loads what is awake, and here learns when to look first. Nothing of this is needed
for an execution to be right; at worst it is looked at late. One that cannot be loaded is said once and left alone.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import math
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from itertools import islice

from raywf.core.execution import outstanding
from raywf.errors import StoreUnavailable
from raywf.ports import Clock, Journal, Loaded
from raywf.runtime.alarms import notice_s
from raywf.runtime.host import Host
from raywf.runtime.live import Live
from raywf.runtime.outbox import Outbox

log = logging.getLogger("raywf.sleeping")
HORIZON_S = 2.0
"""What is due within this time is in memory. So a look that is late by half of it makes no timer late."""

_PER_LOAD = 200
_PER_LOOK = 2000


class Sleepers:
    """The executions of one owner that need not be in memory. Belongs to its loop."""

    def __init__(
        self,
        host: Host,
        journal: Journal,
        clock: Clock,
        outbox: Outbox,
        lane: str,
        epochs: Mapping[int, int],
        resident: int,
        fold: Callable[[Loaded], Awaitable[Live]],
        spawn: Callable[[Awaitable[None]], None],
    ) -> None:
        self._host = host
        self._journal = journal
        self._clock = clock
        self._outbox = outbox
        self._lane = lane
        self._epochs = epochs
        self._resident = resident
        self._fold = fold
        self._spawn = spawn
        self._resting: dict[str, Live] = {}
        self._rests = 0
        self._loading = asyncio.Lock()
        self._alarm: asyncio.TimerHandle | None = None
        self._look_at = math.inf
        self._broken: set[int] = set()
        self._is_over = False
        host.on_rest = self._rest
        host.on_stir = self._stir

    # out of memory

    def _rest(self, live: Live) -> None:
        """The host has written that an execution is asleep, or something about one that is."""
        self._rests += 1
        live.rested = self._rests
        self._resting.pop(live.id, None)
        self._resting[live.id] = live
        if len(self._resting) > self._resident:
            self._host.commits.on_durable(functools.partial(self._evict, self._rests))

    def _stir(self, live: Live) -> None:
        self._resting.pop(live.id, None)

    def _evict(self, durable: int) -> None:
        """Let go of those that rest longest. Whatever was written before rest number ``durable`` is on disk."""
        soon = self._clock.now() + HORIZON_S
        for live in list(islice(self._resting.values(), max(0, len(self._resting) - self._resident))):
            if live.rested > durable:
                return
            del self._resting[live.id]
            if live.wake_at is None or live.wake_at <= soon or self._host.open.get(live.id) is not live:
                continue  # those that are due soon are where they are needed
            self._host.let_go(live)
            self._outbox.keep(live)
            self.look_by(live.wake_at - HORIZON_S)

    # back into memory

    async def wake(self, namespace: str, ids: Collection[str]) -> None:
        """Have those of these executions in memory that are asleep. They stay there until ``settle``."""
        rows = await self._journal.existing(namespace, list(ids))
        await self._load(row.key for row in rows.values() if row.wake_at is not None and row.shard in self._epochs)

    def settle(self, ids: Iterable[str]) -> None:
        """What was woken has heard what it was woken for: what still sleeps may leave memory again."""
        for id_ in ids:
            live = self._host.open.get(id_)
            if live is not None and live.wake_at is not None and id_ not in self._resting:
                self._rest(live)

    async def _load(self, keys: Iterable[int]) -> None:
        """One load at a time: what is read here cannot be in memory, so it cannot change while it is read. Nor is it what
        has just ended here: that leaves memory at once, and is open in the store until its end is on disk. What ended before
        we wait is on disk when we have waited; what ends meanwhile may not be, and was in memory before."""
        async with self._loading:
            if self._host.parked:
                return
            before = list(self._host.open.values())
            await self._host.commits.drain()
            ended = {live.key for live in before if live.is_closed}
            here = {live.key for live in self._host.open.values()} | ended | self._broken
            wanted = [key for key in keys if key not in here]
            for start in range(0, len(wanted), _PER_LOAD):
                for loaded in await self._journal.load(wanted[start : start + _PER_LOAD]):
                    if loaded.row.shard in self._epochs and not self._host.parked:
                        await self._take_up(loaded)
                await asyncio.sleep(0)

    async def _take_up(self, loaded: Loaded) -> None:
        row = loaded.row
        try:
            live = await self._fold(loaded)
        except Exception:
            self._broken.add(row.key)
            log.exception("execution %s cannot be resumed; its history stays as it is", row.id)
            return
        if row.shard not in self._epochs:
            return  # it was handed over meanwhile
        live.watchers = self._outbox.kept(row.id)
        self._host.adopt(live)
        self._host.release(live, list(outstanding(live.state)))

    # time

    def look_by(self, at: float) -> None:
        """Look at the latest then (epoch second) what is due."""
        if at < self._look_at:
            self._look_at = at
            if self._alarm is not None:
                self._alarm.cancel()
            delay = min(max(0.0, at - self._clock.now()), notice_s(self._clock))
            self._alarm = asyncio.get_running_loop().call_later(delay, self._ring)

    def _ring(self) -> None:
        at, self._alarm, self._look_at = self._look_at, None, math.inf
        if at > self._clock.now() + 0.01:
            self.look_by(at)  # it rang for the clock: it might have been set ahead
        else:
            self._spawn(self.look())

    async def look(self) -> None:
        """Have in memory what is due within the horizon, and set the alarm for what comes next."""
        if self._host.parked or not self._epochs:
            return
        try:
            until = self._clock.now() + HORIZON_S
            while True:
                known = len(self._host.open) + len(self._broken)
                due = await self._journal.due(self._lane, list(self._epochs), until, known + _PER_LOOK)
                await self._load(key for key, _ in due)
                if len(due) < known + _PER_LOOK:
                    break
            following = await self._journal.next_wake(self._lane, list(self._epochs), until)
        except Exception:
            if self._is_over:
                return
            log.exception("what sleeps could not be looked at; trying again")
            self.look_by(self._clock.now() + 1.0)
            return
        if following is not None:
            self.look_by(max(following - HORIZON_S / 2, self._clock.now() + HORIZON_S / 4))

    async def are_there(self) -> bool:
        """Whether anything is asleep in these shards, in memory or not. Who cannot know says yes."""
        try:
            return await self._journal.next_wake(self._lane, list(self._epochs), -math.inf) is not None
        except StoreUnavailable:
            return True

    async def count(self) -> int:
        """How many are asleep in these shards, in memory or not; none as far as we know where the store is away."""
        try:
            return len(await self._journal.due(self._lane, list(self._epochs), math.inf, 2**40))
        except StoreUnavailable:
            return 0

    def stop(self) -> None:
        self._is_over = True
        if self._alarm is not None:
            self._alarm.cancel()
