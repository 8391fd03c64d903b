"""``AggregatorActor``: the Ray actor of one aggregator. A shell around ``runtime.aggregating.Aggregating``.

Detached, async, ``max_restarts=-1``: Ray starts it again, and it reads from the store what it knew. It claims its lease at
the first call after that, so a lost lease and a restart are one case.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import logging
import os
import socket
import time
import uuid
from dataclasses import replace
from typing import Any

from pydantic_core import to_json

from raywf.actors.dead import is_dead
from raywf.config import Settings, shown
from raywf.errors import StoreUnavailable
from raywf.journal.factory import open_journal, parse
from raywf.journal.group_commit import GroupCommit
from raywf.journal.sealed import behind
from raywf.ports import Clock, OwnerRow
from raywf.runtime import ray as adapter
from raywf.runtime.aggregating import Aggregating, packed
from raywf.runtime.clock import SystemClock
from raywf.runtime.leases import LeaseKeeper, ThreadBeside
from raywf.runtime.spec import ActorSpec, aggregator_spec
from raywf.sealing import Codec

log = logging.getLogger("raywf.actors.aggregator")
_RETRY_S = 0.2


class AggregatorActor:
    """Collects what sources said from all over the cluster. Every call may be repeated: a fact counts once."""

    def __init__(self, spec: ActorSpec) -> None:
        self.spec = spec
        self._name = spec.name
        self._aggregating: Aggregating | None = None
        self._beginning = asyncio.Lock()
        self._asked_at = time.monotonic()
        self._calls = 0
        self._leaving: asyncio.Task[None] = asyncio.get_running_loop().create_task(self._leave_when_idle())

    async def merge(self, blob: bytes, strategy: str, accept_at: float) -> list[list[Any]]:
        with _Counted(self):
            return packed(await (await self._serving()).merge(blob, strategy, accept_at))

    async def absorb(self, blob: bytes) -> int:
        with _Counted(self):
            return await (await self._serving()).absorb(blob)

    async def state(self) -> tuple[list[list[Any]], int, int]:
        """The standing as data, the number of the last evidence, and this process."""
        with _Counted(self):
            standing, seq = await (await self._serving()).state()
            return standing.to_data(), seq, os.getpid()

    async def facts(self) -> bytes:
        """Those of the newest items with known truth, as JSON."""
        with _Counted(self):
            return to_json((await (await self._serving()).known()).to_data())

    async def _serving(self) -> Aggregating:
        async with self._beginning:
            if self._aggregating is None or self._aggregating.gone.is_set():
                self._aggregating = await self._begin()
            return self._aggregating

    async def _begin(self) -> Aggregating:
        """Take the lease; wait for one that has yet to lapse. Raises ``StoreUnavailable`` when it stays with another."""
        url = self.spec.url
        settings = Settings.from_env(os.environ, url)
        clock = SystemClock()
        loop = asyncio.get_running_loop()
        spec = replace(self.spec, owner=f"{self._name}-{uuid.uuid4().hex[:8]}")
        now = clock.now()
        until = now + settings.lease_s
        me = OwnerRow(spec.owner, spec.lane, socket.gethostname(), os.getpid(), spec.to_json(), now, until, False)
        open_ = functools.partial(open_journal, url, clock=clock)
        name = spec.lane.rpartition("/")[2]
        journal = await behind(open_(), Codec.from_text(spec.codec))
        found = Aggregating(me, spec.namespace, name, journal, clock, GroupCommit)
        give_up_at = time.monotonic() + 3 * settings.lease_s + 2
        while True:
            dead = [row.owner for row in await found.journal.owners() if row.lane == spec.lane and _is_over(row)]
            claimed_at = clock.monotonic()
            if await found.claim(settings, dead=dead):
                break
            if time.monotonic() > give_up_at:
                raise StoreUnavailable(
                    f"aggregator {name!r} of {shown(url)} is held by another process: end that one first"
                )
            await asyncio.sleep(_RETRY_S)

        def lost() -> None:
            loop.call_soon_threadsafe(found.lease_lost)

        keeper = LeaseKeeper(open_, spec.owner, settings.lease_s, clock, lost, ThreadBeside())
        found.keep_lease(keeper, claimed_at)
        gc.collect()
        gc.freeze()
        # A batch is some thousand small objects that die with its answer, and none of them is in a cycle.
        gc.set_threshold(200_000, 20, 50)
        return found

    async def _leave_when_idle(self) -> None:
        """An actor that nobody uses leaves; the next who asks starts another."""
        linger_s = Settings.from_env(os.environ, self.spec.url).linger_s
        while self._calls or time.monotonic() - self._asked_at < linger_s:
            await asyncio.sleep(min(linger_s / 4, 5.0))
        if self._aggregating is not None:
            await self._aggregating.park()
        adapter.end_this_actor()


def started(spec: ActorSpec) -> Any:
    """The actor of an aggregator, started if it does not run: on a node of this host, where the store is a file of it."""
    return adapter.spawn(
        AggregatorActor,
        spec.name,
        spec.ray_namespace,
        (spec,),
        max_restarts=-1,
        node_id=adapter.steady_node(socket.gethostname()) if parse(spec.url)[0] == "sqlite" else None,
        get_if_exists=True,
    )


class AggregatorReach:
    """The way to the store's aggregators from an actor of the engine: its workflows merge by them. Belongs to its loop."""

    def __init__(self, spec: ActorSpec, clock: Clock) -> None:
        self.clock = clock
        self.handles: dict[Any, Any] = {}
        """Those in use, so that what is asked at once travels together; whoever asks keeps them here."""
        self._spec = spec
        self._actors: dict[str, Any] = {}

    def _check_open(self) -> None:
        """As long as the actor lives."""

    def _aggregator_actor(self, name: str) -> Any:
        if name not in self._actors:
            of = self._spec
            self._actors[name] = started(
                aggregator_spec(of.url, of.namespace, name, of.ray_address, of.ray_namespace, of.driver, of.codec)
            )
        return self._actors[name]

    def _forget_aggregator(self, name: str) -> None:
        self._actors.pop(name, None)


class _Counted:
    """A call that is under way."""

    def __init__(self, actor: AggregatorActor) -> None:
        self._actor = actor

    def __enter__(self) -> None:
        self._actor._calls += 1

    def __exit__(self, *_: object) -> None:
        self._actor._calls -= 1
        self._actor._asked_at = time.monotonic()


def _is_over(row: OwnerRow) -> bool:
    """Whether an owner is no more: its process is gone, or it is this one, which then had lost its lease before."""
    return (row.pid == os.getpid() and row.host == socket.gethostname()) or is_dead(row)
