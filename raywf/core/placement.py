"""Where workflow actors live, and which shards each of them holds. Pure: what is, in; what should be done, out.

One rule, used twice: actors over nodes, then shards over actors. **Everybody keeps what it has up to its fair share, and only what
is above it, or has lost its holder, moves.** Shares differ by one at most, and the larger ones go to those who hold most, so no
other balanced placement needs fewer moves (the "sticky" assignment of Kafka's KIP-54; rendezvous hashing, Thaler and Ravishankar
1998, needs no state but is balanced only on average: with 256 shards on 4 actors one has 12 too many every third time). State is no
cost here: who holds what is in the store.

**It does not flap.** A placement that is balanced within one is left alone, whatever its shape, and a node counts from when it has
been there for ``SETTLE_S``. The answer depends on nothing but the arguments, so a supervisor that starts anew decides the same.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

K = TypeVar("K")

PER_NODE = 0
"""As a wanted number of actors: one on each node."""
SETTLE_S = 2.0
"""How long a node must have been there before anything moves to it: one that comes and goes moves nothing."""


class Node(NamedTuple):
    """A live node of the cluster. ``age_s``: since it was first seen."""

    id: str
    cpus: float = 1.0
    draining: bool = False
    age_s: float = SETTLE_S


@dataclass(frozen=True, slots=True)
class Member:
    """A workflow actor, the node it is on (None: not known, and taken for a good one) and the shards it holds."""

    index: int
    node: str | None
    shards: frozenset[int]


@dataclass(frozen=True, slots=True)
class Start:
    """Start an actor on a node (None: anywhere). ``shards`` have no holder now, and are its own from the beginning."""

    index: int
    node: str | None
    shards: tuple[int, ...]


class Move(NamedTuple):
    """Shards that go from one actor to another. ``source`` None: nobody holds them."""

    source: int | None
    target: int
    shards: tuple[int, ...]


class Placement(NamedTuple):
    """What to do, in this order. Those who leave hold nothing once the moves are done."""

    starts: tuple[Start, ...] = ()
    moves: tuple[Move, ...] = ()
    leaves: tuple[int, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.starts or self.moves or self.leaves)


def usable(nodes: Iterable[Node]) -> list[Node]:
    """The nodes that an actor may be on: not draining, there for a while, and with CPUs, as far as any is."""
    found = sorted(node for node in nodes if not node.draining)
    for kept in ([node for node in found if node.cpus > 0], [node for node in found if node.age_s >= SETTLE_S]):
        found = [node for node in found if node in kept] if kept else found
    return found


def shares(held: Mapping[K, int], total: int) -> dict[K, int]:
    """Fair shares of ``total`` for everybody in ``held``: equal within one, the larger ones for those who hold most."""
    if not held:
        return {}
    least, more = divmod(total, len(held))
    most_first = sorted(held, key=lambda each: (-held[each], str(each).rjust(8)))
    return {each: least + (place < more) for place, each in enumerate(most_first)}


def place(nodes: Sequence[Node], members: Sequence[Member], wanted: int, shards: Collection[int]) -> Placement:
    """What to do so that ``wanted`` actors (or ``PER_NODE``) hold all ``shards`` evenly, on nodes that will stay.

    Where no node can be used (none is known, or all are draining), everybody stays where it is.
    """
    good = usable(nodes)
    count = max(1, min(len(good) if wanted == PER_NODE else wanted, len(shards)))
    if nodes and not good:
        count = min(count, max(1, len(members)))
    stay, leave = _who_stays(good, members, count)
    starts = _starts(good, stay, members, count)
    held = {member.index: member.shards & frozenset(shards) for member in stay} | dict.fromkeys(
        starts, frozenset[int]()
    )
    orphans = sorted(set(shards).difference(*(member.shards for member in members)))
    moves = _moves(held, {member.index: member.shards for member in leave}, orphans, len(shards))
    given = {move.target: move.shards for move in moves if move.source is None}
    return Placement(
        tuple(Start(index, node, given.get(index, ())) for index, node in starts.items()),
        tuple(move for move in moves if move.source is not None or move.target not in starts),
        tuple(member.index for member in leave),
    )


def _who_stays(good: Sequence[Node], members: Sequence[Member], count: int) -> tuple[list[Member], list[Member]]:
    """Those on good nodes, up to each node's share; of too many on one node those go who hold least."""
    if not good:
        return sorted(members, key=_by_index), []
    stay = [member for member in members if member.node is None]
    on = {node.id: [member for member in members if member.node == node.id] for node in good}
    room = shares({node: len(found) for node, found in on.items()}, max(0, count - len(stay)))
    for node, found in on.items():
        stay += sorted(found, key=lambda member: (-len(member.shards), member.index))[: room[node]]
    leave = [member for member in members if member not in stay]
    return sorted(stay, key=_by_index), sorted(leave, key=_by_index)


def _by_index(member: Member) -> int:
    return member.index


def _starts(
    good: Sequence[Node], stay: Sequence[Member], members: Sequence[Member], count: int
) -> dict[int, str | None]:
    """Where new actors start, by index. Indexes of those who still are there are not used again."""
    taken = {member.index for member in members}
    free = (index for index in range(len(taken) + count) if index not in taken)
    there = {node.id: sum(member.node == node.id for member in stay) for node in good}
    starts: dict[int, str | None] = {}
    for _ in range(count - len(stay)):
        node = min(there, key=lambda each: (there[each], each)) if there else None
        if node is not None:
            there[node] += 1
        starts[next(free)] = node
    return starts


def _moves(
    held: Mapping[int, frozenset[int]], leaving: Mapping[int, frozenset[int]], orphans: Sequence[int], total: int
) -> list[Move]:
    """Who gets what from whom, so that everybody has its share."""
    share = shares({index: len(mine) for index, mine in held.items()}, total)
    surplus = {index: sorted(mine)[share[index] :] for index, mine in held.items() if len(mine) > share[index]}
    # Orphans first: nobody looks after them now.
    moving: list[tuple[int | None, int]] = [(None, shard) for shard in orphans]
    moving += [(index, shard) for index in sorted(leaving) for shard in sorted(leaving[index])]
    moving += [(index, shard) for index in sorted(surplus) for shard in surplus[index]]
    coming = iter(moving)
    found: dict[tuple[int | None, int], list[int]] = {}
    for index in sorted(held):
        for _ in range(max(0, share[index] - len(held[index]))):
            source, shard = next(coming)
            found.setdefault((source, index), []).append(shard)
    return [Move(source, target, tuple(some)) for (source, target), some in found.items()]
