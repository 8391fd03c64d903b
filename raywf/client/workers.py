"""The worker pools of an engine, looked at: who is loading, ready, busy, and what waits."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict

from raywf.client.locate import Place, live_engine, ray_namespace
from raywf.client.of_engine import OfEngine
from raywf.core.plan import PoolUse
from raywf.definition.model import WorkflowDefinition
from raywf.definition.workers import conflict, pool_use
from raywf.errors import DefinitionError

PATIENCE_S = 5.0
PREFIX = "crew-"


class PoolWorker(BaseModel):
    """One worker of a pool. ``state``: unplaced (Ray has found no place), loading, ready, busy or leaving; ``served``: tasks
    it has run; ``pid`` and ``node`` are 0 and "" while it has no place."""

    model_config = ConfigDict(frozen=True)

    pid: int
    node: str
    state: str
    served: int


class PoolStatus(BaseModel):
    """A pool as it stands now. Workers: ``unplaced``, ``loading``, ``ready`` (``busy`` of them run something), ``leaving``; tasks:
    ``running``, and ``backlog`` that wait for a worker. Since the pool was started: ``loads`` counts setups, ``tasks`` the
    tasks that ended. ``needs``: why there is no place for the unplaced; ``trouble``: what became of the last setup, while
    none has succeeded since."""

    model_config = ConfigDict(frozen=True)

    pool: str
    project: str
    min: int
    max: int
    concurrency: int
    demand: dict[str, float]
    unplaced: int
    loading: int
    ready: int
    busy: int
    leaving: int
    running: int
    backlog: int
    loads: int
    tasks: int
    needs: str | None
    trouble: str | None
    workers: list[PoolWorker]

    def __str__(self) -> str:
        parts = [f"{self.ready} of {self.max} ready", f"{self.busy} busy"]
        parts += [f"{count} {what}" for count, what in ((self.loading, "loading"), (self.leaving, "leaving")) if count]
        if self.unplaced:
            parts.append(f"{self.unplaced} {self.needs}")
        text = f"{self.pool}: {', '.join(parts)}; {self.backlog} waiting, {self.tasks} run, {self.loads} setups"
        return f"{text}; the last setup failed: {self.trouble}" if self.trouble else text


async def pool_statuses(space: str) -> list[PoolStatus]:
    """Every pool in a Ray namespace, by name. This process is connected to that Ray."""
    from raywf.runtime import ray as adapter

    asked = []
    for name in await asyncio.to_thread(adapter.named_actors, space, PREFIX):
        handle = await asyncio.to_thread(adapter.find_actor, name, space)
        if handle is not None:
            asked.append(_stats(handle))
    found = [each for each in await asyncio.gather(*asked) if each is not None]
    return sorted(found, key=lambda each: (each.pool, each.project))


async def _stats(handle: Any) -> PoolStatus | None:
    """None of one that goes this moment."""
    from raywf.runtime import ray as adapter

    try:
        return PoolStatus.model_validate(await asyncio.wait_for(_answer(handle.stats.remote()), PATIENCE_S))
    except (TimeoutError, *adapter.OutOfReach):
        return None


async def _answer(ref: Any) -> Any:
    return await ref


async def pools_of_store(url: str, namespace: str, lease_s: float) -> list[PoolStatus] | None:
    """Every pool of the engine that holds a store; None where none does. Connects to its Ray for that. Raises
    ``StoreUnavailable``."""
    from raywf.runtime import ray as adapter

    engine = await live_engine(url, lease_s)
    if engine is None:
        return None
    space = ray_namespace(url, namespace)
    await asyncio.to_thread(adapter.join, engine.ray_address, space)
    try:
        return await pool_statuses(space)
    finally:
        await asyncio.to_thread(adapter.shutdown)


class WorkersOfEngine(OfEngine):
    """What an engine offers about pools of workers."""

    _place: Place | None

    @functools.cached_property
    def _pools(self) -> dict[str, tuple[str, PoolUse]]:
        """The pools of the workflows that were submitted here: who named each first, and with which settings."""
        return {}

    def _space(self) -> str:
        """The Ray namespace of this engine's actors. Raises ``NotConnected`` once it is closed."""
        self._readings()
        assert self._place is not None
        return self._place.namespace

    async def workers(self) -> list[PoolStatus]:
        """Every pool that runs now, in all projects of this namespace, with its workers."""
        return await pool_statuses(self._space())

    def _check_pools(self, definition: WorkflowDefinition) -> None:
        """Raise ``DefinitionError`` where a workflow names a pool that another one of this engine has with other settings."""
        found: Sequence[WorkflowDefinition] = (definition, *definition.children().values())
        for each in found:
            for task in each.tasks:
                use = pool_use(task.options.get("pool"))
                if use is None:
                    continue
                who, known = self._pools.setdefault(use.name, (f"task {task.id!r} of {each.id!r}", use))
                said = conflict(known, use)
                if said is not None:
                    raise DefinitionError(
                        f"{who} and task {task.id!r} of {each.id!r} name the pool {use.name!r} with different settings: {said}. A "
                        "pool is one set of workers: write raywf.Workers(…) once and import it, or give the other a name of its "
                        "own. To change a pool's settings, connect anew"
                    )
