"""Who holds a store now, from the store alone: what a command may say of the engine that will take it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from raywf.client.locate import _live_owners, _spec
from raywf.client.reading import instant


@dataclass(frozen=True, slots=True)
class Holder:
    """A live workflow actor. ``lane`` says whose executions it holds, ``ray_address`` where it can be joined."""

    lane: str
    host: str
    pid: int
    since: datetime
    ray_address: str | None

    def __str__(self) -> str:
        ray = f", Ray at {self.ray_address}" if self.ray_address else ""
        return f"the engine of process {self.pid} on {self.host}{ray}"


async def holders(url: str) -> list[Holder]:
    """The live workflow actors of a store, the longest-lived first; none where there is no store yet. Starts nothing.

    Raises ``StoreUnavailable``.
    """
    found = []
    for row in await _live_owners(url):
        spec = _spec(row)
        found.append(Holder(row.lane, row.host, row.pid, instant(row.started_at), spec.ray_address if spec else None))
    return found
