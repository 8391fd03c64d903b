"""The handle of an aggregator, on a store in memory: what it refuses, what it gives, and that none suffers for another."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio
from pydantic import BaseModel, model_validator
from pydantic_core import from_json

from raywf.aggregation import Candidate, ResultAggregator
from raywf.client.aggregators import AsyncAggregator, _decoded
from raywf.definition import values
from raywf.errors import InvalidInput
from raywf.journal import memory
from raywf.journal.memory import MemoryJournal
from raywf.runtime.clock import SystemClock
from raywf.testing.aggregators import LocalReach

Make = Callable[..., AsyncAggregator]


@pytest_asyncio.fixture
async def make() -> AsyncIterator[Make]:
    reach = LocalReach(MemoryJournal("handles", clock=SystemClock()), SystemClock(), 0, {})

    def aggregator(strategy: str = "auto", name: str = "triage") -> AsyncAggregator:
        return AsyncAggregator(reach, name, strategy, 0.7, SystemClock())

    yield aggregator
    await reach.close()
    memory.forget("handles")


def votes(*values: Any) -> list[Candidate]:
    return [Candidate(value, f"s{n}") for n, value in enumerate(values)]


@pytest.mark.parametrize(
    ("candidates", "item", "says"),
    [
        (votes("x"), "", "1 to 500 characters"),
        (votes("x"), None, "1 to 500 characters"),
        (None, "i", "a list of Candidates, not NoneType"),
        (Candidate("x", "a"), "i", "a list of Candidates, not Candidate"),
        ([{"value": 1}], "i", "merge takes Candidates, not dict"),
        ([Candidate("x", "a"), Candidate("y", "a")], "i", "answers twice"),
        ([Candidate(object, "a")], "i", "cannot be stored"),
    ],
)
async def test_what_cannot_be_merged_is_refused_before_it_is_told(
    make: Make, candidates: Any, item: Any, says: str
) -> None:
    with pytest.raises(InvalidInput, match=says):
        await make().merge(candidates, item)
    assert (await make().state()).items == 0


@pytest.mark.parametrize(
    ("truths", "says"),
    [({"i": None}, "is None"), ({"i": float("nan")}, "is nan"), ([("i", "x")], "a mapping from item to truth")],
)
async def test_what_is_no_truth_is_refused(make: Make, truths: Any, says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        await make().feedback_many(truths)


async def test_nobody_and_none_and_one_are_answers_that_say_so(make: Make) -> None:
    nobody = await make().merge([], "nobody")
    assert (nobody.value, nobody.confidence, nobody.decision, nobody.why) == (None, 0.0, "abstained", "no source voted")
    none = await make().merge(votes(None, None), "none")
    assert (none.value, none.decision) == (None, "abstained")
    one = await make().merge(votes("x"), "one")
    assert (one.value, one.confidence, one.calibrated, one.rung) == ("x", 0.75, False, "votes")
    assert one.why.startswith("0 truths so far")


async def test_ten_thousand_sources_and_a_text_of_five_megabytes(make: Make) -> None:
    many = await make().merge([Candidate("abc"[n % 3], f"s{n}") for n in range(10_000)], "many")
    assert many.value in "abc" and many.confidence < 0.35
    long = "lorem " * 900_000
    assert (await make().merge(votes(long, long), "long")).value == long
    (told,) = await make().insights()
    assert len(told.text) < 400 and "9,99" in told.text


async def test_a_distribution_is_a_claim_that_the_source_is_held_to(make: Make) -> None:
    for n in range(25):
        await make().merge([Candidate("x", "boaster", probs={"x": 0.95, "y": 0.05}), Candidate("y", "other")], f"i-{n}")
    await make().feedback_many({f"i-{n}": "y" for n in range(25)})
    assert "overconfident" in [each.kind for each in await make().insights()]


async def test_who_says_something_else_later_has_changed_its_mind(make: Make) -> None:
    await make().merge([Candidate("x", "a"), Candidate("y", "b")], "i")
    result = await make().merge([Candidate("x", "b")], "i")
    assert {part.source: part.value for part in result.provenance} == {"a": "x", "b": "x"}


async def test_what_is_refused_of_one_is_not_refused_of_those_who_asked_with_it(make: Make) -> None:
    numbers = make("median")
    answers = await asyncio.gather(
        *(numbers.merge([Candidate("x" if n == 7 else float(n), "a")], f"i-{n}") for n in range(20)),
        return_exceptions=True,
    )
    assert [type(each).__name__ for n, each in enumerate(answers) if n != 7] == ["AggregateResult"] * 19
    assert isinstance(answers[7], InvalidInput)
    assert (await numbers.state()).items == 19


async def test_its_facts_have_all_that_a_merge_in_memory_has(make: Make) -> None:
    triage = make("stack")
    for n in range(60):
        right = ("a", "b")[n % 2]
        said = [Candidate(right if n % 10 else "c", "sage", 0.9), Candidate("c", "fool", 0.9), Candidate((1, n), "odd")]
        await triage.merge(said, f"i-{n}")
    assert len(await triage.facts()) == 0, "none has its truth yet"
    await triage.feedback_many({f"i-{n}": ("a", "b")[n % 2] for n in range(60)})
    facts = await triage.facts()
    assert len(facts.golds) == 60 and facts.answers["i-3", "odd"].value == (1, 3)
    known = ResultAggregator.from_facts(facts)
    asked = [Candidate("a", "sage"), Candidate("c", "fool"), Candidate("c", "odd")]
    mine, theirs = known.merge(asked), await triage.merge(asked, "next")
    assert (mine.value, mine.confidence) == (theirs.value, theirs.confidence) == ("a", mine.confidence)
    assert known.calibration().golds == 60
    assert "a" in known.conformal_set(asked)
    assert known.early_stop({"sage": 1.0, "fool": 1.0}).next_source([]).source == "sage"


class Span(BaseModel):
    low: int
    high: int

    @model_validator(mode="after")
    def in_order(self) -> Span:
        if self.low > self.high:
            raise ValueError(f"{self.low} is above {self.high}")
        return self


@pytest.mark.parametrize("strategy", ["stack", "best_source", "majority"])
def test_a_record_that_its_class_refuses_is_merged_from_what_the_sources_said(strategy: str) -> None:
    """The fields of two answers may not go together; there is no evidence here that a stack could be learned from."""
    spans = [from_json(values.encode(Span(low=low, high=low + 1))) for low in (1, 1, 5)]
    merged = ResultAggregator("fields").merge(votes(*(each["v"] for each in spans)))
    broken = replace(
        ResultAggregator("majority").merge(votes(*spans)),
        strategy=strategy, value={**spans[0], "v": {"low": 5, "high": 2}}, parts=merged.parts,
    )  # fmt: skip
    assert _decoded(broken, 0.5).value == Span(low=1, high=2)
