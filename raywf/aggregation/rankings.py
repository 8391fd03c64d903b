"""Rankings: lists of the same things, the best first, and one order for all.

    borda     the mean place (de Borda 1781). Fast, and one source can move its favourite's rivals far down
    kemeny    the order with the least total disagreement by pairs (Kemeny 1959; Young 1988): the one that keeps a majority wherever
              there is one. Exact up to 10 things (2^n steps); beyond, Borda put right by swaps of neighbours that a majority asks
              for (local Kemenization; Dwork, Kumar, Naor and Sivakumar 2001)
    rrf       reciprocal rank fusion, the sum of 1/(60 + place) (Cormack, Clarke and Büttcher 2009): for long lists of finds that
              share only some

A list may leave things out: those come after everything it names, and it says nothing of their order. The confidence is that of the least
sure pair of neighbours in the merged order: a plain vote on who comes first.
"""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, TypeAlias

from raywf.aggregation.account import conflicts_with, contributions, unit
from raywf.aggregation.ballot import Ballot
from raywf.aggregation.identity import Key, identity, spelling
from raywf.aggregation.result import AggregateResult
from raywf.aggregation.shapes import contents, refilled, sure
from raywf.errors import InvalidInput

Ranking: TypeAlias = tuple[float, dict[Key, int]]
"""A weight, and the place of each thing, from 0."""

KEMENY_UP_TO = 10
RRF_K = 60
EPSILON = 1e-12


def borda(rankings: Sequence[Ranking], things: Sequence[Key]) -> list[Key]:
    """By mean place; what a source leaves out shares the middle of the places that it leaves."""

    def place(thing: Key) -> float:
        return math.fsum(
            weight * (places[thing] if thing in places else (len(places) + len(things) - 1) / 2)
            for weight, places in rankings
        )

    return sorted(things, key=lambda thing: (round(place(thing), 9), spelling(thing)))


def rrf(rankings: Sequence[Ranking], things: Sequence[Key]) -> list[Key]:
    """By the sum of 1/(60 + place), places from 1; what a source leaves out gets nothing from it."""

    def score(thing: Key) -> float:
        return math.fsum(weight / (RRF_K + 1 + places[thing]) for weight, places in rankings if thing in places)

    return sorted(things, key=lambda thing: (-round(score(thing), 12), spelling(thing)))


def kemeny(rankings: Sequence[Ranking], things: Sequence[Key]) -> list[Key]:
    """The order that goes against the least weight of pairs; of several such orders, the one nearest to Borda's."""
    start = borda(rankings, things)
    over = _preferences(rankings, start)
    return _exact(start, over) if len(start) <= KEMENY_UP_TO else _locally(start, over)


def _preferences(rankings: Sequence[Ranking], things: Sequence[Key]) -> list[list[float]]:
    """[a][b]: the weight that puts a before b."""
    parts: list[list[list[float]]] = [[[] for _ in things] for _ in things]
    last = len(things)
    for weight, places in rankings:
        at = [places.get(thing, last) for thing in things]
        for a, mine in enumerate(at):
            for b, other in enumerate(at):
                if mine < other:
                    parts[a][b].append(weight)
    return [[math.fsum(each) for each in row] for row in parts]


def _exact(start: list[Key], over: list[list[float]]) -> list[Key]:
    """Dynamic programming over the sets of things that come first: the cost of a set, and who is last in it."""
    n = len(start)
    cost, last = [0.0] * (1 << n), [0] * (1 << n)
    for chosen in range(1, 1 << n):
        best = math.inf
        inside = [i for i in range(n) if chosen >> i & 1]
        for one in reversed(inside):  # of equal orders, the one where those that start last stay last
            against = sum(over[one][other] for other in inside if other != one)
            total = cost[chosen ^ (1 << one)] + against
            if total < best - EPSILON:
                best, last[chosen] = total, one
        cost[chosen] = best
    order, chosen = [], (1 << n) - 1
    while chosen:
        order.append(last[chosen])
        chosen ^= 1 << last[chosen]
    return [start[i] for i in reversed(order)]


def _locally(start: list[Key], over: list[list[float]]) -> list[Key]:
    """Each thing moves up past neighbours that a majority puts behind it; afterwards no swap of neighbours helps."""
    order: list[int] = []
    for thing in range(len(start)):
        at = len(order)
        while at > 0 and over[thing][order[at - 1]] > over[order[at - 1]][thing] + EPSILON:
            at -= 1
        order.insert(at, thing)
    return [start[i] for i in order]


RANKINGS: dict[str, Callable[[Sequence[Ranking], Sequence[Key]], list[Key]]] = {
    "borda": borda, "kemeny": kemeny, "rrf": rrf,
}  # fmt: skip
"""By the names users write."""


def merge_rankings(ballot: Ballot, strategy: str, accept_at: float) -> AggregateResult:
    """The merged order. Raises `InvalidInput` for a vote that is no list, and for one that names a thing twice."""
    said = {candidate.source: candidate for candidate in ballot.candidates}
    things: dict[Key, Any] = {}
    rankings: list[Ranking] = []
    for vote in ballot.votes:
        places = _places(vote.source, said[vote.source].value, things)
        rankings.append((vote.share, places))
    order = RANKINGS[strategy](rankings, sorted(things, key=spelling))
    value = refilled([said[vote.source].value for vote in ballot.votes], [things[key] for key in order])
    mine = identity(value)
    confidence = _least_sure(rankings, order)
    return AggregateResult(
        value=value,
        confidence=confidence,
        calibrated=False,
        quality=_kept_pairs(rankings, order) * len(ballot.votes) / len(ballot.candidates),
        agreement=unit(ballot.voted(mine)),
        conflicts=conflicts_with(ballot, mine),
        provenance=contributions(ballot, mine),
        decision="accepted" if confidence >= accept_at else "escalated",
        strategy=strategy,
        probs=(),
    )


def _places(source: str, value: Any, things: dict[Key, Any]) -> dict[Key, int]:
    if not isinstance(value, list | tuple) and not (isinstance(value, dict) and isinstance(value.get("v"), list)):
        raise InvalidInput(f"source {source!r} says {value!r:.80}, which is no ranking: give a list, the best first")
    places: dict[Key, int] = {}
    for at, thing in enumerate(contents(value)):
        key = identity(thing)
        if key in places:
            raise InvalidInput(
                f"source {source!r} ranks {thing!r:.80} twice, at places {places[key] + 1} and {at + 1}; leave one out"
            )
        places[key] = at
        known = things.get(key)
        if known is None or (type(thing).__name__, repr(thing)) < (type(known).__name__, repr(known)):
            things[key] = thing
    return places


def _least_sure(rankings: Sequence[Ranking], order: Sequence[Key]) -> float:
    found = [sure([weight for weight, _ in rankings], [])]
    for a, b in pairwise(order):
        for_: list[float] = []
        against: list[float] = []
        for weight, places in rankings:
            mine, other = places.get(a, len(order)), places.get(b, len(order))
            if mine != other:
                (for_ if mine < other else against).append(weight)
        found.append(sure(for_, against) if for_ or against else 0.5)
    return min(found)


def _kept_pairs(rankings: Sequence[Ranking], order: Sequence[Key]) -> float:
    """The share of what the sources say of pairs that the order keeps; of no pairs, 1."""
    over = _preferences(rankings, order)
    kept = math.fsum(over[a][b] for a in range(len(order)) for b in range(a + 1, len(order)))
    lost = math.fsum(over[b][a] for a in range(len(order)) for b in range(a + 1, len(order)))
    return kept / (kept + lost) if kept + lost else 1.0
