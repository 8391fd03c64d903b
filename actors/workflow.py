"""``WorkflowActor``: the Ray actor that holds executions. A shell around ``runtime.owner.Owner``."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import logging
import os
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from raywf.config import Settings
from raywf.errors import NotConnected, StoreUnavailable
from raywf.journal.factory import open_journal, parse
from raywf.journal.group_commit import GroupCommit
from raywf.ports import DefinitionRow, OwnerRow
from raywf.runtime.attempts import Threads
from raywf.runtime.bundle import enter_bundle
from raywf.runtime.chunks import ChunkDispatcher
from raywf.runtime.clock import SystemClock, SystemEntropy
from raywf.runtime.code import Code
from raywf.runtime.data import FileBlobs, blob_mark, blob_root
from raywf.runtime.outbox import Ending
from raywf.runtime.owner import Owner, Parts, SubmitRequest
from raywf.runtime.ray import RayTransport
from raywf.runtime.spec import ActorSpec
from raywf.runtime.watchdog import LoopWatchdog
from raywf.telemetry import telemetry

log = logging.getLogger("raywf.actors.workflow")
_RETRY_S = 0.2
IDLE_S = 5
"""How long the actor of an isolated execution stays after its end, for those who ask again."""
FINISHED = "finished"


class WorkflowActor:
    """Holds the state machines of its shards' executions. Detached, async, ``max_restarts=0``: a successor is started
    under another name, never the same actor again."""

    def __init__(self, spec: ActorSpec) -> None:
        self.spec = spec
        self._owner: Owner | None = None
        self._leaving = False

    async def begin(self, dead: Sequence[str]) -> dict[str, Any]:
        """Open the store, take the leases, adopt what is open. ``dead`` are owners known to have died.

        Raises ``StoreUnavailable`` when the leases stay with somebody else.
        """
        if self._owner is not None:
            return await self.stats()
        spec = self.spec
        enter_bundle(spec.bundle)
        settings = Settings.from_env(os.environ, spec.url)
        clock = SystemClock()
        loop = asyncio.get_running_loop()
        root = blob_root(parse(spec.url)[1])
        blobs = FileBlobs(root)
        code = Code()
        parts = Parts(
            journal=open_journal(spec.url, clock=clock),
            open_journal=functools.partial(open_journal, spec.url, clock=clock),
            commit_buffer=GroupCommit,
            clock=clock,
            entropy=SystemEntropy(),
            settings=settings,
            blobs=blobs,
            threads=Threads(loop, settings.max_threads),
            telemetry=telemetry(os.environ, {"raywf.lane": spec.lane, "raywf.owner": spec.owner}),
            code=code,
        )
        now = clock.now()
        me = OwnerRow(
            spec.owner, spec.lane, socket.gethostname(), os.getpid(), spec.to_json(), now, now + settings.lease_s, False
        )
        owner = Owner(me, spec.namespace, parts)
        owner.work.dispatcher = ChunkDispatcher(
            owner.host, RayTransport(), spec.bundle, code, blobs, root, blob_mark(root), spec.owner
        )
        owner.work.on_worn_out = self._worn_out
        await self._claim(owner, dead)
        self._owner = owner
        owner.spawn(owner.take_commands())
        self._watchdog = LoopWatchdog(loop, owner.host)
        self._watchdog.start()
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 20, 50)
        return await self.stats()

    async def _claim(self, owner: Owner, dead: Sequence[str]) -> None:
        """Take all shards of this actor; wait for those whose lease has yet to lapse."""
        spec = self.spec
        give_up_at = time.monotonic() + 3 * spec.lease_s + 2
        before = await owner.journal.owners()
        others = [row for row in before if row.lane == spec.lane]
        gone = {row.owner for row in others if _is_dead(row)} | set(dead)
        owner.keep_leases_soon()
        while True:
            await owner.claim(spec.shards, dead=sorted(gone), clean=not others)
            if len(owner.epochs) >= len(spec.shards):
                return
            if time.monotonic() > give_up_at:
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
        await self._owner.park()
        os._exit(0)

    @property
    def owner(self) -> Owner:
        if self._owner is None or self._leaving:
            raise NotConnected(f"the workflow actor {self.spec.name} is not serving: ask the supervisor for the lane")
        return self._owner

    # what clients call

    async def submit(
        self, client: str, definitions: Sequence[DefinitionRow], requests: Sequence[SubmitRequest], watch: bool
    ) -> list[tuple[str, str]]:
        return await self.owner.submit(client, definitions, [SubmitRequest(*each) for each in requests], watch)

    async def poll(self, client: str, acknowledged: int, wait_s: float) -> list[Ending]:
        return await self.owner.outbox.poll(client, acknowledged, wait_s)

    async def watch(self, client: str, ids: Sequence[str]) -> list[str]:
        return self.owner.watch(client, ids)

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

    # what the supervisor calls

    async def drain(self, grace_s: float) -> list[str]:
        """Start nothing new, let what runs end for at most ``grace_s``, park the rest, and go."""
        owner, self._leaving = self.owner, True
        await owner.drain(grace_s)
        parked = await owner.park()
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
            idle_for = 0 if busy else idle_for + 1
            if idle_for >= patience and not owner.gone.is_set():
                self._leaving = True
                await owner.park()
                return FINISHED
        return "parked" if self._leaving else "fenced"

    async def stats(self) -> dict[str, Any]:
        owner = self.owner
        return {
            "owner": self.spec.owner,
            "name": self.spec.name,
            "pid": os.getpid(),
            "lane": self.spec.lane,
            "open": len(owner.host.open),
            "shards": len(owner.epochs),
            "trouble": owner.trouble,
            "waiting_rows": owner.commits.waiting_rows,
            **owner.parts.telemetry.counts(),
        }


def _is_dead(row: OwnerRow) -> bool:
    """Whether an owner of this host has no process any more."""
    if row.host != socket.gethostname():
        return False
    if not Path("/proc").is_dir():
        return False
    try:
        command = Path(f"/proc/{row.pid}/cmdline").read_bytes()
    except OSError:
        return True
    return b"ray" not in command.lower()


def _held_by(spec: ActorSpec, owners: Sequence[OwnerRow]) -> str:
    holders = [row for row in owners if row.lane == spec.lane and row.owner != spec.owner]
    who = "; ".join(f"process {row.pid} on {row.host} until {row.expires_at:.0f}" for row in holders) or "another owner"
    return (
        f"the store {spec.url} is held by {who}: it has one engine at a time. "
        "Connect to that engine (its Ray's address), or end it first."
    )
