"""The store's aggregators of a run without Ray: the real one, on the run's own store."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, cast

from pydantic_core import to_json

from raywf.aggregation import FactSet
from raywf.aggregation.facts import Fact
from raywf.aggregation.reliability import dossiers
from raywf.config import Settings
from raywf.errors import InvalidInput
from raywf.journal.group_commit import GroupCommit
from raywf.ports import Clock, Journal, OwnerRow
from raywf.runtime.aggregating import Aggregating, packed
from raywf.runtime.spec import aggregator_lane

Known = Mapping[str, FactSet | Iterable[Fact]]
_FOREVER_S = 3600.0 * 24 * 3650


def checked(known: Known | None) -> dict[str, FactSet]:
    """The facts that each aggregator begins with. Raises ``InvalidInput``."""
    found = {}
    for name, facts in (known or {}).items():
        try:
            found[name] = facts if isinstance(facts, FactSet) else FactSet.of(facts)
        except (TypeError, AttributeError):
            raise InvalidInput(
                f"aggregators={{{name!r}: {facts!r:.60}}}: what an aggregator knows is a FactSet, or a list of Answer and Gold"
            ) from None
    return found


class LocalReach:
    """``client.aggregators.Reach`` of one life of a run."""

    def __init__(self, journal: Any, clock: Clock, life: int, known: Mapping[str, FactSet]) -> None:
        self.clock = clock
        self.handles: dict[Any, Any] = {}
        self._journal = journal
        self._life = life
        self._known = known
        self._serving: dict[str, Awaitable[Aggregating]] = {}

    def _check_open(self) -> None:
        """As long as the run."""

    def _aggregator_actor(self, name: str) -> _Local:
        return _Local(lambda: self._of(name))

    def _forget_aggregator(self, name: str) -> None:
        """There is no other."""

    async def close(self) -> None:
        for serving in self._serving.values():
            await (await serving).park()

    async def _of(self, name: str) -> Aggregating:
        if name not in self._serving:
            self._serving[name] = asyncio.ensure_future(self._begin(name))
        return await self._serving[name]

    async def _begin(self, name: str) -> Aggregating:
        now, lane = self.clock.now(), aggregator_lane("default", name)
        owner = f"aggregator-{name}-{self._life}"
        me = OwnerRow(owner, lane, "localhost", 0, b"{}", now, now + _FOREVER_S, False)
        found = Aggregating(me, "default", name, cast(Journal, self._journal), self.clock, GroupCommit)
        settings = replace(Settings.from_env(os.environ, "memory://testing"), lease_s=_FOREVER_S)
        await found.claim(settings, dead=[f"aggregator-{name}-{life}" for life in range(self._life)])
        if name in self._known:
            told = dossiers(self._known[name])
            await found.absorb(to_json([[item, *dossier.to_data()] for item, dossier in told.items()]))
        return found


class _Local:
    """As the actor's handle is called."""

    def __init__(self, serving: Callable[[], Awaitable[Aggregating]]) -> None:
        async def merge(blob: bytes, strategy: str, accept_at: float) -> list[list[Any]]:
            return packed(await (await serving()).merge(blob, strategy, accept_at))

        async def absorb(blob: bytes) -> int:
            return await (await serving()).absorb(blob)

        async def state() -> tuple[list[list[Any]], int, int]:
            standing, seq = await (await serving()).state()
            return standing.to_data(), seq, os.getpid()

        async def facts() -> bytes:
            return to_json((await (await serving()).known()).to_data())

        self.merge, self.absorb, self.state, self.facts = (
            _Method(merge),
            _Method(absorb),
            _Method(state),
            _Method(facts),
        )


class _Method:
    def __init__(self, remote: Callable[..., Awaitable[Any]]) -> None:
        self.remote = remote
