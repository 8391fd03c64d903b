"""Facts are a set: no order, no repeats, and the later word stands."""

import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raywf.aggregation import Answer, Candidate, FactSet, Gold, ResultAggregator
from raywf.errors import InvalidInput

FACTS = st.one_of(
    st.builds(
        Answer,
        item=st.sampled_from("xyz"),
        source=st.sampled_from("abc"),
        value=st.sampled_from(["yes", "no", 1, 1.0, True, None, ["a"]]),
        confidence=st.none() | st.sampled_from([0.0, 0.5, 1.0]),
        at=st.sampled_from([0.0, 1.0, 2.0]),
    ),
    st.builds(
        Gold, item=st.sampled_from("xyz"), truth=st.sampled_from(["yes", "no", 1]), at=st.sampled_from([0.0, 1.0])
    ),
)


def spelled(facts: FactSet) -> str:
    return json.dumps(facts.to_data())


@given(st.lists(FACTS, max_size=12), st.randoms())
def test_shards_merge_in_any_order_and_with_repeats(facts: list, chance: random.Random) -> None:
    whole = FactSet.of(facts)
    shards = [FactSet.of([fact for fact in facts if chance.random() < 0.6]) for _ in range(3)] + [FactSet.of(facts)]
    chance.shuffle(shards)
    merged = FactSet()
    for shard in [*shards, *shards]:
        merged.merge(shard)
    assert spelled(merged) == spelled(whole)


@given(st.lists(FACTS, max_size=12))
def test_facts_round_trip_through_json(facts: list) -> None:
    whole = FactSet.of(facts)
    assert spelled(FactSet.from_data(json.loads(spelled(whole)))) == spelled(whole)


def test_a_source_that_changes_its_mind_is_heard_as_it_spoke_last() -> None:
    facts = FactSet.of([Answer("i", "a", "late", at=2.0), Answer("i", "a", "early", at=1.0)])
    assert [answer.value for answer in facts.by_item()["i"]] == ["late"]


@pytest.mark.parametrize(
    "make",
    [
        lambda: Answer("", "a", 1),
        lambda: Answer("i", "a", 1, at=float("nan")),
        lambda: Answer("i", "a", 1, confidence=float("inf")),
        lambda: Gold("i", None),
        lambda: Gold("i", "x", at=float("inf")),
        lambda: FactSet.of(["x"]),
        lambda: FactSet.from_data([["answer", 1]]),
    ],
)
def test_what_is_no_fact_is_refused(make) -> None:
    with pytest.raises(InvalidInput):
        make()


def seeded(items: int, gold: int, seed: int = 3) -> list:
    """Five sources, right with 0.95, 0.5, 0.5, 0.5, 0.4, over six labels."""
    chance, facts = random.Random(seed), []
    for i in range(items):
        truth = chance.choice("uvwxyz")
        for name, q in zip("abcde", (0.95, 0.5, 0.5, 0.5, 0.4), strict=True):
            value = truth if chance.random() < q else chance.choice("uvwxyz")
            facts.append(Answer(f"i{i:04}", name, value, at=float(i)))
        if i < gold:
            facts.append(Gold(f"i{i:04}", truth, at=float(i)))
    return facts


@settings(max_examples=3, deadline=None)
@given(st.randoms())
def test_what_is_learned_is_a_function_of_the_set_bit_for_bit(chance: random.Random) -> None:
    facts = seeded(80, 60)
    shuffled = [*facts, *facts[:40]]
    chance.shuffle(shuffled)
    assert ResultAggregator.from_facts(shuffled).learned == ResultAggregator.from_facts(facts).learned


def test_the_ladder_is_climbed_as_evidence_comes_and_says_so() -> None:
    ballot = [Candidate("u", "a"), Candidate("v", "b"), Candidate("v", "e")]
    rungs = []
    for items, gold in ((0, 0), (60, 0), (60, 29), (30, 30), (60, 49), (80, 60)):
        result = ResultAggregator.from_facts(seeded(items, gold)).merge(ballot)
        rungs.append((result.rung, result.calibrated))
        assert result.why
    assert rungs[:3] == [("votes", False), ("consensus", False), ("consensus", False)]
    assert all(rung in ("stack", "best") for rung, _ in rungs[3:])
    assert [calibrated for _, calibrated in rungs[3:]] == [False, False, True]
    assert result.value == "u"  # the one good source outweighs two poor ones


@pytest.mark.parametrize("strategy", ["auto", "stack", "best_source"])
def test_few_truths_give_weights_and_say_that_the_confidence_is_not_calibrated_yet(strategy: str) -> None:
    ballot = [Candidate("u", "a"), Candidate("v", "b"), Candidate("v", "e")]
    few = ResultAggregator.from_facts(seeded(60, 49), strategy).merge(ballot)
    assert (few.value, few.calibrated) == ("u", False)
    assert few.why.startswith("49 gold answers") and "calibrated from 50 on" in few.why
    enough = ResultAggregator.from_facts(seeded(60, 50), strategy).merge(ballot)
    assert (enough.value, enough.calibrated) == ("u", True)
    assert "calibrated" not in enough.why


@pytest.mark.parametrize("strategy", ["dawid_skene", "wawa"])
def test_who_learns_without_gold_says_nothing_of_a_stack(strategy: str) -> None:
    result = ResultAggregator.from_facts(seeded(40, 40), strategy).merge([Candidate("u", "a"), Candidate("u", "b")])
    assert (result.value, result.calibrated) == ("u", False)
    assert "gold" not in result.why


def test_a_truth_of_an_item_that_nobody_answered_takes_no_rung_away() -> None:
    silent = [fact for n in range(5) for fact in (Answer(f"s{n}", "a", None), Gold(f"s{n}", "u"))]
    with_them = ResultAggregator.from_facts([*seeded(300, 45), *silent]).learned
    without = ResultAggregator.from_facts(seeded(300, 45)).learned
    assert with_them.golds == 45 and with_them.stack == without.stack is not None


def test_feedback_told_twice_teaches_once() -> None:
    aggregator = ResultAggregator()
    for _ in range(2):
        aggregator.feedback([Candidate("x", "a"), Candidate("y", "b")], truth="x")
    assert (len(aggregator.facts.golds), len(aggregator.facts.answers)) == (1, 2)


@pytest.mark.parametrize("noise", [0.0, 0.05, 0.1])
def test_copies_of_a_poor_source_share_one_voice(noise: float) -> None:
    chance = random.Random(5)
    batch, truths = [], []
    for _ in range(400):
        truth = chance.choice("uvwxyz")
        truths.append(truth)
        says = {f"honest{i}": truth if chance.random() < 0.6 else chance.choice("uvwxyz") for i in range(8)}
        poor = truth if chance.random() < 0.2 else chance.choice("uvwxyz")
        for i in range(8):
            says[f"copy{i}"] = chance.choice("uvwxyz") if chance.random() < noise else poor
        batch.append([Candidate(value, source) for source, value in says.items()])
    honest = [[c for c in candidates if c.source.startswith("honest")] for candidates in batch]

    def accuracy(given_: list) -> float:
        results = ResultAggregator().merge_many(given_)
        return sum(r.value == t for r, t in zip(results, truths, strict=True)) / len(truths)

    result = ResultAggregator().merge_many(batch)[0]
    assert "copy0, copy1" in result.insights[0] and "honest" not in result.insights[0]
    assert accuracy(batch) >= accuracy(honest) - 0.03


def test_a_conformal_set_needs_gold_and_covers_as_it_says() -> None:
    with pytest.raises(InvalidInput, match="50 gold answers, but there are 0"):
        ResultAggregator().conformal_set([Candidate("u", "a")])
    with pytest.raises(InvalidInput, match="50 gold answers, but there are 49"):
        ResultAggregator.from_facts(seeded(60, 49)).conformal_set([Candidate("u", "a")])
    known = ResultAggregator.from_facts(seeded(200, 200))
    fresh = seeded(400, 400, seed=9)
    items, truths = FactSet.of(fresh).by_item(), FactSet.of(fresh).golds
    covered = [
        truths[item].truth in found or None in found
        for item, answers in items.items()
        if (found := known.conformal_set([answer.candidate() for answer in answers], 0.9))
    ]
    assert 0.84 <= sum(covered) / len(items) <= 0.97
