"""``CrewActor``: the workers of one pool, and ``WarmWorker``, one of them. Shells around ``runtime.crews`` and ``runtime.warm``.

A crew is detached and named after its pool and bundle; its workers are its children and end with it. It is started by the
first workflow actor that uses it and leaves when nobody does.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any

from raywf.runtime import ray as adapter
from raywf.runtime.clock import SystemClock
from raywf.runtime.crews import Crew, CrewSpec, Slot
from raywf.runtime.warm import WarmProcess
from raywf.runtime.worker import Chunk
from raywf.telemetry import pool_metrics


class WarmWorker:
    """One worker of a pool. Ray calls it on a loop that runs none of the user's code."""

    def __init__(self, spec: CrewSpec) -> None:
        self._process = WarmProcess(spec)

    async def hello(self) -> tuple[int, str]:
        return adapter.here()

    async def begin(self) -> tuple[float, dict[str, object] | None]:
        return await self._process.begin()

    async def run(self, token: int, chunk: Chunk, sent: bytes | None, *hot: bytes) -> tuple[float, list[Any], bool]:
        return await self._process.run(token, chunk, sent, hot, adapter.tell)

    async def stop(self, token: int, number: int) -> None:
        await self._process.stop(token, number)

    async def until_free(self, token: int) -> None:
        await self._process.until_free(token)

    async def leave(self) -> str | None:
        return await self._process.leave()

    async def death(self) -> None:
        """Ends with the process."""
        await asyncio.Event().wait()


class RayHands:
    """``crews.Hands`` over Ray."""

    died: tuple[type[BaseException], ...] = adapter.ActorDied

    def spawn(self, spec: CrewSpec) -> Any:
        return adapter.spawn_worker(WarmWorker, (spec,), dict(spec.pool.demand))

    def kill(self, handle: Any) -> None:
        adapter.kill(handle)

    def nodes(self) -> list[dict[str, float]]:
        return adapter.node_resources()

    def end(self) -> None:
        adapter.end_this_actor()


class CrewActor(Crew):
    """Detached, ``max_restarts=0``: whoever needs it again starts it again."""

    def __init__(self, spec: CrewSpec) -> None:
        super().__init__(spec, RayHands(), SystemClock(), pool_metrics(os.environ, spec.namespace, spec.pool.name))


class RayReach:
    """``pooled.Reach`` over Ray."""

    died: tuple[type[BaseException], ...] = adapter.ActorDied

    def crew(self, spec: CrewSpec) -> Any:
        return adapter.spawn(CrewActor, spec.name, spec.ray_namespace, (spec,), max_restarts=0, get_if_exists=True)

    def run(self, slot: Slot, chunk: Chunk, sent: Any, hot: list[Any]) -> Any:
        return slot.handle.run.remote(slot.token, chunk, sent, *hot)

    def kill(self, handle: Any) -> None:
        adapter.kill(handle)
