"""The nodes of an engine's cluster: who is where, and planned removal of one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict

from raywf.client.locate import Place, home_of, live_engine, ray_namespace
from raywf.client.of_engine import OfEngine
from raywf.config import shown
from raywf.errors import InvalidInput, NotConnected, NotFound, RaywfError
from raywf.runtime.balance import NodeRow, why_it_cannot_leave

_LOOK_S = 0.2
_GRACE_S = 60.0
"""How much longer than its deadline a drain may take: the last shards have to be taken up."""


class ActorStatus(BaseModel):
    """A workflow actor: the shards it holds, and the open executions that it has in memory."""

    model_config = ConfigDict(frozen=True)

    name: str
    lane: str
    pid: int
    shards: int
    open: int


class NodeStatus(BaseModel):
    """A node of the cluster. ``state``: ``ready``; ``draining`` while workflow actors are on it that leave; ``drained``."""

    model_config = ConfigDict(frozen=True)

    id: str
    host: str
    address: str
    cpus: float
    head: bool
    state: str
    actors: list[ActorStatus]

    @property
    def shards(self) -> int:
        return sum(actor.shards for actor in self.actors)

    @property
    def open(self) -> int:
        return sum(actor.open for actor in self.actors)


async def node_statuses(supervisor: Any) -> list[NodeStatus]:
    """The live nodes, the head first, with the workflow actors on them."""
    rows, stats = await supervisor.nodes.remote()
    found = [_status(NodeRow(*row), [each for each in stats if each.get("node") == row[0]]) for row in rows]
    return sorted(found, key=lambda node: (not node.head, node.host, node.id))


def _status(row: NodeRow, stats: Sequence[Mapping[str, Any]]) -> NodeStatus:
    actors = [ActorStatus(**{name: each[name] for name in ActorStatus.model_fields}) for each in stats]
    state = "ready" if row.leaves_at is None else "draining" if actors else "drained"
    return NodeStatus(
        id=row.id, host=row.host, address=row.address, cpus=row.cpus, head=row.head, state=state, actors=actors
    )


async def drain(
    supervisor: Any, store: str, node: str, deadline_s: float, on_look: Callable[[NodeStatus], None] | None = None
) -> None:
    """Have a node drained; returns when no workflow actor is on it. ``node``: its id, the beginning of one, or its address.
    ``on_look`` hears what is left there, again and again."""
    if not 0 < deadline_s <= 86400 * 30:
        raise InvalidInput(
            f"deadline={deadline_s!r} is not how long what runs may take: seconds, more than 0, up to 30 days"
        )
    rows = [NodeRow(*row) for row in (await supervisor.nodes.remote())[0]]
    row = named(rows, node)
    why = why_it_cannot_leave(row, rows, home_of(store), shown(store))
    if why is not None:
        raise InvalidInput(why)
    await supervisor.drain.remote(row.id, deadline_s)
    give_up_at = time.monotonic() + deadline_s + _GRACE_S
    while time.monotonic() < give_up_at:
        left = [each for each in await node_statuses(supervisor) if each.id == row.id and each.state != "drained"]
        if not left:
            return
        if on_look is not None:
            on_look(left[0])
        await asyncio.sleep(_LOOK_S)
    raise RaywfError(
        f"node {row.id[:12]} still has workflow actors {_GRACE_S:g} s after its deadline: `raywf nodes` shows them; what "
        "keeps them is in the supervisor's log. Nothing is lost if the node is ended now: others take over."
    )


def named(rows: Sequence[NodeRow], node: str) -> NodeRow:
    """The node that somebody means. Raises ``NotFound``, and ``InvalidInput`` where it may be several."""
    found = [row for row in rows if row.id.startswith(node)] if len(node) >= 4 else []
    found = found or [row for row in rows if node in (row.address, row.host)]
    known = ", ".join(f"{row.id[:12]} ({row.address})" for row in rows) or "none"
    if not found:
        raise NotFound(f"there is no node {node!r} in this cluster; there are {known}")
    if len(found) > 1:
        raise InvalidInput(
            f"{node!r} may be one of {len(found)} nodes: give the beginning of its id; there are {known}"
        )
    return found[0]


class Bystander:
    """The supervisor of an engine that runs, for a command that only looks at it or orders something: it starts nothing."""

    def __init__(self, store: str, namespace: str, lease_s: float) -> None:
        self._store, self._namespace, self._lease_s = store, namespace, lease_s

    async def __aenter__(self) -> Any:
        from raywf.actors.supervisor import NAME
        from raywf.runtime import ray as adapter

        engine = await live_engine(self._store, self._lease_s)
        if engine is None:
            raise NotConnected(
                f"no engine runs on {shown(self._store)}: its workflow actors are the ones that live on nodes. A program "
                "that is connected starts them."
            )
        space = ray_namespace(self._store, self._namespace)
        place = Place(adapter.join(engine.ray_address, space), space, False, True, "the live engine of the store")
        supervisor = adapter.find_actor(NAME, place.namespace)
        if supervisor is None:
            adapter.shutdown()
            raise NotConnected(f"the engine at {place.address} has no supervisor for namespace {self._namespace!r}")
        return supervisor

    async def __aexit__(self, *_: object) -> None:
        from raywf.runtime import ray as adapter

        adapter.shutdown()


class NodesOfEngine(OfEngine):
    """What an engine offers about nodes."""

    _supervisor: Any

    async def nodes(self) -> list[NodeStatus]:
        """The live nodes of the cluster, the head first, with the workflow actors on them."""
        self._readings()
        return await node_statuses(self._supervisor)

    async def drain(self, node: str, deadline: float = 60.0) -> None:
        """Prepare the removal of a node: Ray starts nothing there any more, and its workflow actors hand their shards to
        others. What runs there may end for ``deadline`` seconds; what has not by then is stopped and runs again elsewhere.
        Returns when the node can be ended. There is no way back: Ray knows none.

        Raises ``NotFound``, and ``InvalidInput`` for a node that the cluster cannot do without.
        """
        self._readings()
        await drain(self._supervisor, self.store, node, deadline)
