"""What the demo shows of an aggregator: it hears what the identifiers said of every ticket, is told the truth of some, and is
then asked about the others, before and after. An actor of the engine, with its evidence in the store, as for any user.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from raywf import AggregateResult, Candidate
from raywf.demo.inputs import Ticket
from raywf.demo.score import Row, Share

GOLD = 100
"""Tickets whose language it is told; of fewer than twice as many, half of them."""
ENOUGH = 50
"""From so many truths on a stack is learned."""


@dataclass(frozen=True, slots=True)
class Answers:
    """Its answers to the tickets whose truth it was not told. `claims` is the mean confidence."""

    share: Share
    claims: float
    calibrated: bool
    strategy: str


@dataclass(frozen=True, slots=True)
class Learned:
    """`best` is the identifier that turned out best on the same tickets, which nobody knew; `trust` is by identifier."""

    name: str
    heard: int
    gold: int
    best: tuple[str, Share] | None
    before: Answers | None
    after: Answers | None
    trust: dict[str, float]
    insights: tuple[str, ...]


def learn(engine: Any, name: str, tickets: Sequence[Ticket], rows: Sequence[Row | None]) -> Learned | None:
    """None where no ticket went through."""
    said = {
        ticket.id: (ticket.language or "", _candidates(row))
        for ticket, row in zip(tickets, rows, strict=True)
        if row is not None
    }
    if not said:
        return None
    aggregator = engine.aggregator(name, strategy="stack")
    items = list(said)
    first = dict(zip(items, aggregator.merge_many([said[item][1] for item in items], items=items), strict=True))
    told = [item for item in items if said[item][0]]
    gold = random.Random(1).sample(told, min(GOLD, len(told) // 2))
    aggregator.feedback_many({item: said[item][0] for item in gold})
    rest = [item for item in told if item not in set(gold)]
    second = dict(zip(rest, aggregator.merge_many([said[item][1] for item in rest], items=rest), strict=True))
    truths = {item: said[item][0] for item in rest}
    return Learned(
        name,
        len(items),
        len(gold),
        _best({item: said[item][1] for item in rest}, truths),
        _judged(first, truths),
        _judged(second, truths),
        {source: known.mean for source, known in aggregator.state().trust.items()},
        tuple(insight.text for insight in aggregator.insights()),
    )


def _candidates(row: Row) -> list[Candidate]:
    said = row.get("said", {})
    return [
        Candidate(value, source, probs=said.get(source) or None) if value else Candidate(None, source)
        for source, value in row["votes"].items()
    ]


def _judged(results: dict[str, AggregateResult], truths: dict[str, str]) -> Answers | None:
    if not truths:
        return None
    found = [results[item] for item in truths]
    right = sum(result.value == truth for result, truth in zip(found, truths.values(), strict=True))
    names = {result.strategy for result in found}
    return Answers(
        Share(right, len(found)),
        sum(result.confidence for result in found) / len(found),
        all(result.calibrated for result in found),
        names.pop() if len(names) == 1 else "auto",
    )


def _best(said: dict[str, list[Candidate]], truths: dict[str, str]) -> tuple[str, Share] | None:
    hits: dict[str, int] = {}
    for item, candidates in said.items():
        for each in candidates:
            hits[each.source] = hits.get(each.source, 0) + (each.value == truths[item])
    name = max(hits, key=lambda source: hits[source], default=None)
    return None if name is None else (name, Share(hits[name], len(said)))
