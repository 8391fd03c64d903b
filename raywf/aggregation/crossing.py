"""What an aggregator would have said of its gold items, had it not known their truths.

Judging a merge by the gold it learned from flatters it. So the gold is dealt into parts, each is merged by what the others teach,
and what comes out is what `calibration` reports and what the confidence of whole records is fitted to.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

from raywf.aggregation.calibration import ENOUGH_FOR_TEMPERATURE, Calibrator
from raywf.aggregation.facts import FactSet
from raywf.aggregation.identity import Key, identity
from raywf.aggregation.result import AggregateResult
from raywf.aggregation.shapes import Merger, record_of

PARTS = 5
RECORDS_FROM = math.ceil(ENOUGH_FOR_TEMPERATURE * PARTS / (PARTS - 1))
"""So many, that the parts a merge is judged by teach its fields as all of them do: what it claims on less is another claim."""
RECORDS_UP_TO = 500
"""Gold records that the confidence of whole records is fitted to, the newest: each costs five fits of every field."""


class Judged(NamedTuple):
    """A gold item: when its truth was told, what the others made of it, and what is right."""

    at: float
    result: AggregateResult
    truth: Key

    @property
    def right(self) -> bool:
        return self.result.value is not None and identity(self.result.value) == self.truth


def held_out(facts: FactSet, make: Callable[[FactSet], Merger], newest: int | None = None) -> list[Judged]:
    """The gold items in order of time, each merged by an aggregator that knows the gold of the other parts only.

    `newest` are so many that are judged; the others teach all the same.
    """
    items = facts.by_item()
    graded = sorted((gold.at, item) for item, gold in facts.golds.items() if item in items)
    chosen = graded if newest is None else graded[-newest:]
    found: list[Judged | None] = [None] * len(chosen)
    for part in range(PARTS):
        inside = range(part, len(chosen), PARTS)
        hidden = {chosen[i][1] for i in inside}
        judge = make(FactSet(facts.answers, {i: g for i, g in facts.golds.items() if i not in hidden}))
        for i in inside:
            at, item = chosen[i]
            result = judge.merge(answer.candidate() for answer in items[item])
            found[i] = Judged(at, result, identity(facts.golds[item].truth))
    return [each for each in found if each is not None]


def calibrator_of_records(facts: FactSet, make: Callable[[FactSet], Merger]) -> Calibrator:
    """What gold says of the claims that whole records make. A record claims what its least sure part does; that it is right in all
    of them is more than that, and how much more, only whole records tell."""
    told = {item for item, _ in facts.answers}
    known = {item for item, gold in facts.golds.items() if item in told and record_of(gold.truth) is not None}
    if len(known) < RECORDS_FROM:
        return Calibrator(len(known))
    records = FactSet(
        {key: each for key, each in facts.answers.items() if key[0] in known},
        {item: gold for item, gold in facts.golds.items() if item in known},
    )
    judged = [each for each in held_out(records, make, RECORDS_UP_TO) if each.result.value is not None]
    claimed = [{identity(each.result.value): each.result.confidence} for each in judged]
    return Calibrator.fit(claimed, [each.truth for each in judged])
