"""The simulated disk: the journal's twin in memory, behind latency, trouble and death.

What is written and refused is decided by the twin that passes the same contract suite as SQLite; here is only when it
happens and whether anybody hears of it. Each call goes to the store and back, and each way may take its time; a process
that dies meanwhile leaves a commit that was written or not; a reply may be lost although the commit is written.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from raywf.errors import StoreUnavailable
from raywf.journal.memory import MemoryJournal
from raywf.ports import Batch, Loaded, OwnerRow
from raywf.testing.simulation.loop import Process

LONGEST = 6.0
"""So many times its latency takes the slowest call: a disk has a last resort, and the judge knows how late is too late."""


@dataclass
class Disk:
    """How the store fares: ``slow`` multiplies its latencies; ``full`` refuses commits; who is in ``cut_off`` does not
    reach it; the next ``lost_replies`` commits of a process are written and answered with an error."""

    name: str
    latency: float
    slow: float = 1.0
    full: bool = False
    cut_off: set[Process] = field(default_factory=set)
    lost_replies: dict[str, int] = field(default_factory=dict)
    die_at: dict[str, tuple[int, bool]] = field(default_factory=dict)
    commits: dict[str, int] = field(default_factory=dict)


class SimulatedJournal:
    """``ports.Journal`` for one simulated process."""

    def __init__(self, disk: Disk, process: Process, watch: Watch) -> None:
        self._disk = disk
        self._process = process
        self._watch = watch
        self._store = MemoryJournal(disk.name, clock=process.clock)

    async def _call(
        self, work: Callable[[], Coroutine[Any, Any, Any]], *, last: Callable[[], bool] | None = None
    ) -> Any:
        """Do something at the store, some time from now; hear of it later still."""
        process, world, disk = self._process, self._process.world, self._disk
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Any] = loop.create_future()

        def answer(result: Any, error: BaseException | None) -> None:
            if not process.alive or done.done():
                return
            if error is not None:
                loop.call_soon(_fail, done, error)
            else:
                loop.call_soon(_resolve, done, result)

        def arrive() -> None:
            if process in disk.cut_off:
                gone = StoreUnavailable(f"store {disk.name}: the connection was lost")
                world.after(1.0, lambda: answer(None, gone))
                return
            if last is not None and last():
                return
            try:
                work().send(None)
            except StopIteration as stop:
                answer(stop.value, None)
            except Exception as error:
                answer(None, error)
            else:
                raise AssertionError("the twin in memory never waits")

        world.after(min(process.chance.expovariate(1.0), LONGEST) * disk.latency * disk.slow, arrive)
        return await done

    # the write side

    async def commit(self, batch: Batch) -> None:
        disk, process = self._disk, self._process
        number = disk.commits[process.name] = disk.commits.get(process.name, 0) + 1
        dies = disk.die_at.get(process.name)
        at_death = dies if dies is not None and dies[0] == number else None

        async def write() -> None:
            if disk.full:
                raise StoreUnavailable(f"store {disk.name}: the disk is full")
            self._watch.about_to_commit(process, batch)
            await self._store.commit(batch)
            self._watch.committed(process, batch)
            if disk.lost_replies.get(process.name, 0) > 0:
                disk.lost_replies[process.name] -= 1
                raise StoreUnavailable(f"store {disk.name}: the connection was lost; nobody knows what became of it")

        def last() -> bool:
            """The process dies in this very commit: what it wrote stays, or was never written."""
            if at_death is not None and process.alive:
                process.kill()
                return not at_death[1]
            return not process.alive and process.chance.random() < 0.5

        await self._call(write, last=last)

    async def claim(
        self, owner: OwnerRow, shards: Sequence[int], lease_s: float, *, dead: Sequence[str] = ()
    ) -> dict[int, int]:
        async def claim() -> dict[int, int]:
            held = await self._store.claim(owner, shards, lease_s, dead=dead)
            self._watch.claimed(self._process, owner, held)
            return held

        return await self._call(claim)  # type: ignore[no-any-return]

    async def load_open(self, lane: str, shards: Sequence[int]) -> AsyncIterator[Loaded]:
        async def load() -> list[Loaded]:
            return [each async for each in self._store.load_open(lane, shards)]

        for each in await self._call(load):
            yield each

    async def close(self) -> None:
        return None

    def __getattr__(self, name: str) -> Any:
        """Whatever else the port has (``renew``, ``inbox``, all that reads): the twin's answer, later."""
        method = getattr(self._store, name)
        return lambda *args, **kwargs: self._call(lambda: method(*args, **kwargs))


class Watch:
    """Who looks on at the store (``judge.Judge``)."""

    def about_to_commit(self, process: Process, batch: Batch) -> None: ...
    def committed(self, process: Process, batch: Batch) -> None: ...
    def claimed(self, process: Process, owner: OwnerRow, held: Mapping[int, int]) -> None: ...


def _resolve(done: asyncio.Future[Any], result: Any) -> None:
    if not done.done():
        done.set_result(result)


def _fail(done: asyncio.Future[Any], error: BaseException) -> None:
    if not done.done():
        done.set_exception(error)


__all__ = ["Disk", "SimulatedJournal", "Watch"]
