"""``WorkflowActor``: the Ray actor that holds executions. A shell around ``runtime.service.Service``."""

from __future__ import annotations

import asyncio
import functools
import gc
import os
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from raywf.actors.aggregator import AggregatorReach
from raywf.actors.crew import RayReach
from raywf.actors.dead import is_dead
from raywf.config import Settings
from raywf.journal.factory import open_bell, open_blobs, open_journal, parse
from raywf.journal.group_commit import GroupCommit
from raywf.journal.sealed import behind, sealer_of
from raywf.ports import OwnerRow
from raywf.runtime.attempts import Threads
from raywf.runtime.bundle import enter_bundle
from raywf.runtime.chunks import ChunkDispatcher
from raywf.runtime.clock import SystemClock, SystemEntropy
from raywf.runtime.code import Code
from raywf.runtime.collecting import inbox_of
from raywf.runtime.data import Blobs, FileBlobs, NamedBlobs, blob_mark, blob_root
from raywf.runtime.owner import Owner
from raywf.runtime.parts import Parts
from raywf.runtime.pooled import PoolDispatcher
from raywf.runtime.ray import RayTransport
from raywf.runtime.sealed import SealedBlobs
from raywf.runtime.service import Service
from raywf.runtime.watchdog import LoopWatchdog
from raywf.sealing import Codec, Sealer
from raywf.sealing.passing import passing_key
from raywf.telemetry import telemetry


class WorkflowActor(Service):
    """Holds the state machines of its shards' executions. Detached, async, ``max_restarts=0``: a successor is started
    under another name, never the same actor again."""

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
        journal = await behind(open_journal(spec.url, clock=clock), Codec.from_text(spec.codec))
        sealer = sealer_of(journal)
        blobs, root, mark = _large_values(spec.url, sealer)
        code = Code()
        parts = Parts(
            journal=journal,
            open_journal=functools.partial(open_journal, spec.url, clock=clock),
            commit_buffer=GroupCommit,
            clock=clock,
            entropy=SystemEntropy(),
            settings=settings,
            blobs=blobs,
            threads=Threads(loop, settings.max_threads),
            telemetry=telemetry(os.environ, {"raywf.lane": spec.lane, "raywf.owner": spec.owner}),
            code=code,
            bell=open_bell(spec.url, [spec.lane, inbox_of(spec.lane)]),
        )
        now = clock.now()
        me = OwnerRow(
            spec.owner, spec.lane, socket.gethostname(), os.getpid(), spec.to_json(), now, now + settings.lease_s, False
        )
        owner = Owner(me, spec.namespace, parts)
        listener = spec.name, spec.ray_namespace
        notes_key = passing_key() if sealer is not None and sealer.encrypts else None
        common = owner.host, RayTransport(), spec.bundle, code, blobs, root, mark, spec.owner, listener, notes_key
        owner.work.dispatcher = dispatcher = ChunkDispatcher(*common)
        dispatcher.pooled = PoolDispatcher(*common).serve(RayReach(), spec.owner, spec.namespace, spec.ray_namespace)
        owner.work.aggregators = AggregatorReach(spec, clock)
        await self.take_up(owner, dead, is_dead)
        self._watchdog = LoopWatchdog(loop, owner.host)
        self._watchdog.start()
        gc.collect()
        gc.freeze()
        # Thousands of executions are alive at once, and hardly anything of theirs is in a cycle.
        gc.set_threshold(200_000, 20, 50)
        return await self.stats()


def _large_values(url: str, sealer: Sealer | None) -> tuple[Blobs, Path | None, str]:
    """Where they are kept, and the directory that other nodes may see as well, with its mark. A server's, and sealed ones, are not
    handed out to Ray's workers: they would need its password, or the keys. They get and give their values through Ray."""
    scheme, place = parse(url)
    found: NamedBlobs = open_blobs(url) if scheme == "postgresql" else FileBlobs(blob_root(place))
    if sealer is not None:
        return SealedBlobs(found, sealer), None, ""
    if scheme == "postgresql":
        return found, None, ""
    root = blob_root(place)
    return found, root, blob_mark(root)
