"""An owner in service: how it takes its shards up, when it serves, and when it is over.

This is a workflow actor without Ray. ``raywf.actors.workflow`` makes a Ray actor of it, ``raywf.testing.simulation`` runs it
as it stands.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable, Sequence
from typing import Any

from raywf.config import shown
from raywf.errors import NotConnected, StoreUnavailable
from raywf.ports import DefinitionRow, OwnerRow
from raywf.runtime import handing
from raywf.runtime.listening import listen
from raywf.runtime.outbox import Ending
from raywf.runtime.owner import Owner
from raywf.runtime.parts import SubmitRequest
from raywf.runtime.spec import ActorSpec

log = logging.getLogger("raywf.service")
_RETRY_S = 0.2
IDLE_S = 5
"""How long the owner of an isolated execution stays after its end, for those who ask again."""
FINISHED = "finished"


class Service:
    """Serves one owner from its first lease to its last. ``leave`` ends the process it is in."""

    def __init__(self, spec: ActorSpec) -> None:
        self.spec = spec
        self._owner: Owner | None = None
        self._leaving = False

    async def take_up(self, owner: Owner, dead: Sequence[str], is_dead: Callable[[OwnerRow], bool]) -> None:
        """Take the leases, adopt what is open, and serve. ``dead`` are owners known to have died; ``is_dead`` looks
        for others.

        Raises ``StoreUnavailable`` when the leases stay with somebody else.
        """
        await self._claim(owner, dead, is_dead)
        owner.work.on_worn_out = self._worn_out
        with contextlib.suppress(StoreUnavailable):  # whoever looks into the inbox from now on tries again
            await owner.hear()
        self._owner = owner
        owner.spawn(listen(owner.parts, owner.epochs, owner.poke, owner.gone))
        owner.spawn(owner.take_commands())
        owner.spawn(owner.triggers.look_after(owner.gone))
        owner.spawn(owner.collectors.look_after(owner.gone))

    async def _claim(self, owner: Owner, dead: Sequence[str], is_dead: Callable[[OwnerRow], bool]) -> None:
        """Take all shards of this actor; wait for those whose lease has yet to lapse."""
        spec, clock = self.spec, owner.parts.clock
        give_up_at = clock.monotonic() + 3 * spec.lease_s + 2
        before = await owner.journal.owners()
        lane = [row for row in before if row.lane == spec.lane]
        gone = {row.owner for row in lane if is_dead(row)} | set(dead)
        others = set(dead) or any(_may_hold(row, spec.shards) for row in lane)
        owner.keep_leases_soon()
        while True:
            await owner.claim(spec.shards, dead=sorted(gone), clean=not others)
            if len(owner.epochs) >= len(spec.shards):
                return
            if clock.monotonic() > give_up_at:
                raise StoreUnavailable(_held_by(spec, await owner.journal.owners()))
            await asyncio.sleep(_RETRY_S)

    def _worn_out(self) -> None:
        """Too many threads are stuck in attempts that were given up on: make room by going."""
        if not self._leaving:
            self._leaving = True
            log.warning("16 abandoned threads: this actor parks its executions and is replaced")
            asyncio.get_running_loop().create_task(self._leave())

    async def _leave(self) -> None:
        assert self._owner is not None
        await self._park(self._owner)
        self.end_process()

    async def _park(self, owner: Owner) -> int:
        """Stop in good order, and leave the pools of workers that it used. Returns how many executions stay open."""
        parked = await owner.park()
        if owner.work.dispatcher is not None:
            await owner.work.dispatcher.close()
        return parked

    def end_process(self) -> None:
        """Go at once; whoever watches the process starts a successor."""
        os._exit(0)

    @property
    def owner(self) -> Owner:
        if self._owner is None or self._leaving:
            raise NotConnected(f"the workflow actor {self.spec.name} is not serving: ask the supervisor for the lane")
        return self._owner

    # what clients call

    async def submit(
        self, client: str, definitions: Sequence[DefinitionRow], requests: Sequence[SubmitRequest], watch: bool
    ) -> tuple[tuple[str, str], ...]:
        """Tuples, here and below, because Ray packs a list item by item through Python, and a tuple in one go."""
        return tuple(await self.owner.submit(client, definitions, [*map(SubmitRequest._make, requests)], watch))

    async def poll(self, client: str, acknowledged: int, wait_s: float) -> tuple[Ending, ...]:
        return tuple(await self.owner.outbox.poll(client, acknowledged, wait_s))

    async def watch(self, client: str, ids: Sequence[str]) -> list[str]:
        return await self.owner.watch(client, ids)

    async def submitted(self, client: str, collector: str, submit: str) -> tuple[str, str]:
        """What has become of a submit that is collected, and tell this client how that execution ends."""
        owner = self.owner
        verdict, execution = await owner.collectors.submitted(collector, submit)
        if verdict == "execution":
            owner.tell_of(client, execution)
        return verdict, execution

    async def forget(self, client: str) -> None:
        if self._owner is not None:
            self._owner.outbox.forget(client)

    async def receive(self, blob: bytes) -> None:
        """Take functions sent by value."""
        self.owner.parts.code.receive(blob)
        self.owner.work.code_came()

    async def poke(self) -> None:
        if self._owner is not None:
            self._owner.poke()

    async def hear(self, number: int, index: int, progress: bytes | None, first: int, items: list[bytes]) -> bool:
        """What a task in a Ray worker says while it runs. False: its attempt counts no more."""
        dispatcher = self.owner.work.dispatcher
        return dispatcher is not None and dispatcher.hear(number, index, progress, first, items)

    # what the supervisor calls

    async def give(self, shards: Sequence[int], patience_s: float, busy: str) -> list[int]:
        """Let go of those of ``shards`` that are not ``busy``; see ``handing.give``."""
        return await handing.give(self.owner, shards, patience_s, handing.Busy(busy))

    async def take(self, shards: Sequence[int], dead: Sequence[str], clean: bool) -> list[int]:
        """Take over shards; returns all that are held here now. See ``handing.take``."""
        return await handing.take(self.owner, shards, dead, clean)

    async def drain(self, grace_s: float) -> int:
        """Start nothing new, let what runs end for at most ``grace_s``, park the rest, and go. Returns how many stay
        open."""
        owner, self._leaving = self.owner, True
        await owner.drain(grace_s)
        parked = await self._park(owner)
        owner.parts.telemetry.close()
        return parked

    async def death(self) -> str:
        """Returns when the owner has lost everything, or has nothing left to do; otherwise ends with the process."""
        owner = self.owner
        patience = owner.parts.settings.linger_s if self.spec.only is None else IDLE_S
        idle_for = 0
        while not owner.gone.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(owner.gone.wait(), 1.0)
            busy = owner.host.open or owner.commits.waiting_rows or (self.spec.only is None and owner.outbox.is_heard)
            busy = busy or (self.spec.only is None and (owner.triggers.are_there or owner.collectors.is_holding))
            idle_for = 0 if busy or await owner.sleepers.are_there() else idle_for + 1
            if idle_for >= patience and not owner.gone.is_set():
                self._leaving = True
                await self._park(owner)
                return FINISHED
        return "parked" if self._leaving else "fenced"

    async def stats(self) -> dict[str, Any]:
        owner = self.owner
        return {
            "owner": self.spec.owner,
            "name": self.spec.name,
            "pid": owner.me.pid,
            "lane": self.spec.lane,
            "open": len(owner.host.open),
            "shards": len(owner.epochs),
            "serving": sorted(owner.epochs),
            "node": self.spec.node,
            "holds_back": owner.host.held_back is not None,
            "backlog": [] if owner.work.dispatcher is None else owner.work.dispatcher.backlog(),
            "trouble": owner.trouble,
            "waiting_rows": owner.commits.waiting_rows,
            **owner.parts.telemetry.counts(),
        }


def _may_hold(row: OwnerRow, shards: Sequence[int]) -> bool:
    """Whether an owner that has not released its leases may have begun something in these shards."""
    try:
        return not set(ActorSpec.from_json(row.spec).shards).isdisjoint(shards)
    except (ValueError, KeyError, TypeError):
        return True


def _held_by(spec: ActorSpec, owners: Sequence[OwnerRow]) -> str:
    holders = [row for row in owners if row.lane == spec.lane and row.owner != spec.owner]
    who = "; ".join(f"process {row.pid} on {row.host} until {row.expires_at:.0f}" for row in holders) or "another owner"
    return (
        f"the store {shown(spec.url)} is held by {who}: it has one engine at a time. "
        "Connect to that engine (its Ray's address), or end it first."
    )
