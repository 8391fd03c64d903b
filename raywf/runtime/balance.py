"""Balance: brings a lane's actors and shards to where ``core.placement`` wants them.

Level-triggered: what is wanted follows from the nodes and the actors there are now, and is worked out anew each time, so a
supervisor that dies in the middle of a move leaves nothing but a difference for the next one to see.

**Authority.** Who holds what is known here from the actors themselves: what they have taken and let go of, and where an answer was
lost, what they say when asked (``serving``). The store has the last word at each claim.

**Failure.** Shards that one actor has let go of and the other did not take are orphans: the next round gives them to
somebody, with all who may have held them named as gone. Should one of those be wrong, the epoch protects the journal.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Protocol

from raywf.core import placement
from raywf.core.ids import SHARDS
from raywf.core.placement import PER_NODE, Member, Move, Node
from raywf.errors import StoreUnavailable
from raywf.ports import Clock
from raywf.runtime.handing import Busy
from raywf.runtime.spec import ActorSpec, Layout

log = logging.getLogger("raywf.balance")
PER_MOVE = 16
"""Shards that move at once: while they do, their executions pause."""
PATIENCE_S = 0.05
"""How long a shard may take to come to rest before it is left for the next round, where there is no hurry."""
LEAVE_S = 10.0
"""How long an actor that leaves, on a node that stays, waits for what runs in it."""
MARGIN_S = 5.0
"""How long before the end of a draining node the last shards are taken from it, whatever runs there."""
ANSWER_S = 2.0
MOVE_S = 10.0
LOOK_S = 2.0
"""How often the nodes are looked at."""
MOVING_S = 0.25
"""The same, while something is to move."""
SUSPECT_S = 30.0
"""How long nothing is started on a node after one of its actors fell silent: Ray may take that long to see that it is gone."""
START_S = 15.0
"""How long an actor may take to start that takes nothing over. Longer, and its node is suspected: Ray believes in one that is cut off for
a minute, and until then whoever waited for an actor there would hold up the successors of others."""


def usual_count(url: str) -> int:
    """How many workflow actors a lane has when nobody says: one on each node where the store is everybody's, and one where
    it is a file of this machine."""
    return PER_NODE if url.startswith(("postgres:", "postgresql:")) else 1


class NodeRow(NamedTuple):
    """A live node of the cluster. ``leaves_at``: when it will be ended (epoch seconds), of one that is draining;
    infinite where nobody has said."""

    id: str
    host: str
    address: str
    cpus: float
    head: bool = False
    leaves_at: float | None = None


def why_it_cannot_leave(row: NodeRow, rows: Sequence[NodeRow], home: str | None, store: str) -> str | None:
    """Why a node must not be drained, in words; None where it may."""
    others = [other for other in rows if other.id != row.id and other.leaves_at is None]
    who = f"node {row.id[:12]} ({row.address})"
    if row.head:
        return (
            f"{who} is the head of the Ray cluster, which ends with it: end the whole cluster instead. Open executions go on "
            "with the next engine that connects to the store."
        )
    if not others:
        return f"{who} is the only node that would be left to hold executions: add another one first."
    if home is not None and row.host == home and not any(other.host == home for other in others):
        return (
            f"{store} is a file of host {home}, and {who} is the last node there: no other host can open it. "
            "Move the store to postgresql:// to have engines that outlive a host."
        )
    return None


class Cluster(Protocol):
    def nodes(self) -> Sequence[NodeRow]:
        """The live nodes; none where that is not known."""
        ...


@dataclass(slots=True)
class Lane:
    """The actors of a lane, by index: ``members`` holds (spec, handle), ``held`` the shards of each. ``former``: owners that may
    have held an orphan. ``resting``: actors that ended because they had nothing to do. ``lock`` is held while anything
    changes, ``moving`` only while shards are between two actors: clients that ask where they went wait for no more than that,
    while ``is_settling``. ``holding``: members that hold shards back. ``pauses_ms``: how long the last moves took."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    members: dict[int, tuple[ActorSpec, Any]] = field(default_factory=dict)
    held: dict[int, set[int]] = field(default_factory=dict)
    template: ActorSpec | None = None
    count: int = 1
    resting: int = 0
    former: set[str] = field(default_factory=set)
    in_doubt: bool = False
    leaving_since: dict[int, float] = field(default_factory=dict)
    holding: set[int] = field(default_factory=set)
    moving: asyncio.Lock = field(default_factory=asyncio.Lock)
    is_settling: bool = False
    pauses_ms: deque[float] = field(default_factory=lambda: deque(maxlen=1000))

    def joined(self, spec: ActorSpec, handle: Any, held: Sequence[int]) -> None:
        self.members[spec.index] = (spec, handle)
        self.held[spec.index] = set(held)
        self.template = self.template or spec

    def left(self, index: int) -> set[int]:
        """Forget a member; returns the shards it held."""
        spec, _ = self.members.pop(index)
        self.former.add(spec.owner)
        self.leaving_since.pop(index, None)
        self.holding.discard(index)
        return self.held.pop(index, set())

    def clear(self) -> dict[int, tuple[ActorSpec, Any]]:
        members, self.members = self.members, {}
        self.held.clear()
        self.former.clear()
        self.leaving_since.clear()
        self.holding.clear()
        return members

    def layout(self) -> Layout:
        routes = bytearray(SHARDS)
        for where, index in enumerate(sorted(self.members)):
            for shard in self.held.get(index, ()):
                routes[shard] = where
        return Layout([self.members[index][0].name for index in sorted(self.members)], bytes(routes))


class Balancer:
    """Carries placements out. ``start(lane, spec, dead)`` starts a member; ``dismiss(spec, handle)`` ends one that holds
    nothing. Belongs to the supervisor's loop; the lane's lock is held around ``settle``."""

    def __init__(
        self,
        cluster: Cluster,
        clock: Clock,
        start: Callable[[Lane, ActorSpec, tuple[str, ...]], Awaitable[None]],
        dismiss: Callable[[ActorSpec, Any], Awaitable[None]],
    ) -> None:
        self._cluster = cluster
        self._clock = clock
        self._start = start
        self._dismiss = dismiss
        self._seen: dict[str, float] = {}
        self._suspects: dict[str, float] = {}
        self.rows: Sequence[NodeRow] = ()

    def look(self) -> None:
        """See which nodes there are. Those of the first look count as having been there."""
        self.rows = self._cluster.nodes()
        now = self._clock.monotonic()
        first = now if self._seen else float("-inf")
        self._seen = {row.id: self._seen.get(row.id, first) for row in self.rows}

    def nodes(self, home: str | None = None) -> list[Node]:
        """Those on which an actor may live. ``home``: only those of this host, as far as it has any."""
        now = self._clock.monotonic()
        rows = [row for row in self.rows if row.host == home] or self.rows
        return [Node(row.id, row.cpus, not self._is_good(row), now - self._seen[row.id]) for row in rows]

    def _is_good(self, row: NodeRow) -> bool:
        return row.leaves_at is None and self._suspects.get(row.id, float("-inf")) < self._clock.monotonic()

    def stays(self, node: str | None) -> bool:
        """Whether an actor may be started on a node: it lives, and is to stay. Where nothing is known of nodes, yes."""
        if node is None or not self.rows:
            return True
        return any(row.id == node and self._is_good(row) for row in self.rows)

    def _placement(self, lane: Lane) -> placement.Placement:
        assert lane.template is not None
        nodes = self.nodes(lane.template.home)
        count = len(placement.usable(nodes)) if lane.count == PER_NODE else lane.count
        members = [
            Member(index, spec.node, frozenset(lane.held.get(index, ()))) for index, (spec, _) in lane.members.items()
        ]
        return placement.place(nodes, members, max(1, count - lane.resting), lane.template.all_shards)

    def is_settled(self, lane: Lane) -> bool:
        return not lane.in_doubt and not lane.holding and not self._placement(lane)

    def suspect(self, spec: ActorSpec) -> str | None:
        """An actor is silent, and maybe its whole node is: nothing is started there for a while, if there is another one
        to start on, which is returned."""
        self.look()
        others = [each.id for each in placement.usable(self.nodes(spec.home)) if each.id != spec.node]
        if spec.node is None or not others:
            return None
        self._suspects[spec.node] = self._clock.monotonic() + SUSPECT_S
        return others[0]

    def any_node(self, spec: ActorSpec) -> str | None:
        """A node for the successor of an actor that cannot be started where it was."""
        return next((each.id for each in placement.usable(self.nodes(spec.home))), None)

    async def settle(self, lane: Lane) -> None:
        """One round: start who is missing, move what can move now, let those go who hold nothing. Raises what kept an
        actor from starting; everything else waits for the next round."""
        if lane.in_doubt:
            await self._survey(lane)
        wanted = self._placement(lane)
        for index in sorted(lane.holding.difference(wanted.leaves)):
            await self._let_go_on(lane, index)
        if not wanted:
            if not lane.in_doubt:
                lane.former.clear()
            return
        await self._begin(lane, wanted.starts)
        now = self._clock.monotonic()
        lane.leaving_since = {index: lane.leaving_since.get(index, now) for index in wanted.leaves}
        for move in wanted.moves:
            for first in range(0, len(move.shards), PER_MOVE):
                async with lane.moving:
                    await self._move(lane, move._replace(shards=move.shards[first : first + PER_MOVE]))
                if lane.in_doubt:
                    return
        for index in wanted.leaves:
            if not lane.held.get(index):
                spec, handle = lane.members[index]
                lane.left(index)
                await self._dismiss(spec, handle)

    async def _let_go_on(self, lane: Lane, index: int) -> None:
        """A member that was to leave stays after all."""
        try:
            await asyncio.wait_for(_answer(lane.members[index][1].give.remote([], 0.0, str(Busy.RESUME))), ANSWER_S)
        except Exception as error:
            log.warning("%s holds shards back (%s): trying again", lane.members[index][0].name, error)
        else:
            lane.holding.discard(index)

    async def _begin(self, lane: Lane, starts: Sequence[placement.Start]) -> None:
        dead, template = tuple(sorted(lane.former)), lane.template
        assert template is not None
        specs = [replace(template, index=each.index, node=each.node, held=each.shards) for each in starts]
        began = await asyncio.gather(*(self._begin_one(lane, spec, dead) for spec in specs), return_exceptions=True)
        for error in began:
            if error is not None:
                raise error

    async def _begin_one(self, lane: Lane, spec: ActorSpec, dead: tuple[str, ...]) -> None:
        try:
            await asyncio.wait_for(self._start(lane, spec, dead), None if spec.held else START_S)
        except TimeoutError:
            if spec.node is not None:
                self._suspects[spec.node] = self._clock.monotonic() + SUSPECT_S
            raise StoreUnavailable(
                f"workflow actor {spec.name or spec.index} did not start on node {spec.node} within {START_S:g} s: nothing is "
                f"started there for {SUSPECT_S:g} s"
            ) from None

    async def _move(self, lane: Lane, move: Move) -> None:
        began = self._clock.monotonic()
        given, dead, clean = list(move.shards), tuple(sorted(lane.former)), False
        try:
            if move.source is not None:
                source, handle = lane.members[move.source]
                patience_s, busy = self._patience(lane, source)
                if busy is Busy.HOLD:
                    lane.holding.add(move.source)
                ask = handle.give.remote(given, patience_s, str(busy))
                given, dead, clean = await asyncio.wait_for(_answer(ask), MOVE_S), (source.owner,), True
                lane.held[move.source].difference_update(given)
                lane.former.add(source.owner)
            if not given:
                return
            target, handle = lane.members[move.target]
            taken = await asyncio.wait_for(_answer(handle.take.remote(given, dead, clean)), MOVE_S)
        except Exception as error:  # who does not answer is somebody else's business; the shards are the next round's
            log.warning("shards %s could not move (%s): trying again", _brief(move.shards), error)
            lane.former.update(spec.owner for spec, _ in lane.members.values())
            lane.in_doubt = True
            return
        lane.held[move.target] = set(taken)
        took_ms = 1000 * (self._clock.monotonic() - began)
        lane.pauses_ms.append(took_ms)
        log.info("%d shards of %s moved to %s in %.0f ms", len(given), target.lane, target.name, took_ms)

    def _patience(self, lane: Lane, source: ActorSpec) -> tuple[float, Busy]:
        """How long shards of this actor may take to come to rest, and what becomes of those that do not."""
        since = lane.leaving_since.get(source.index)
        if since is None:
            return PATIENCE_S, Busy.RESUME
        leaves_at = next((row.leaves_at for row in self.rows if row.id == source.node), None)
        left_s = LEAVE_S - (self._clock.monotonic() - since)
        if leaves_at is not None:
            left_s = leaves_at - MARGIN_S - self._clock.now()
        return (0.0, Busy.FORCE) if left_s <= 0 else (0.0, Busy.HOLD)

    async def _survey(self, lane: Lane) -> None:
        """Ask everybody what it serves. Who does not answer is believed to hold what it held."""
        lane.in_doubt = False
        for index, (_, handle) in list(lane.members.items()):
            try:
                answer = await asyncio.wait_for(_answer(handle.stats.remote()), ANSWER_S)
            except Exception:
                lane.in_doubt = True
                continue
            if "serving" in answer:
                lane.held[index] = set(answer["serving"])
            if answer.get("holds_back"):
                lane.holding.add(index)


async def _answer(ref: Any) -> Any:
    return await ref


def _brief(shards: Sequence[int]) -> str:
    return ", ".join(map(str, shards[:4])) + (f" and {len(shards) - 4} more" if len(shards) > 4 else "")
