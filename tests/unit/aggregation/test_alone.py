"""`best_source` is the one that was right most often, whatever the others say; the stack listens to all."""

import random

import pytest

from raywf.aggregation import Answer, Candidate, FactSet, Gold, ResultAggregator
from raywf.errors import InvalidInput


def known(seed: int = 1, golds: int = 200) -> FactSet:
    """Four sources that err independently: one is right 0.8 of the time, three 0.7."""
    chance, facts = random.Random(seed), FactSet()
    for n in range(golds):
        truth = chance.choice("abcd")
        for source, skill in (("best", 0.8), ("x", 0.7), ("y", 0.7), ("z", 0.7)):
            said = truth if chance.random() < skill else chance.choice([each for each in "abcd" if each != truth])
            facts.add(Answer(f"i-{n}", source, said))
        facts.add(Gold(f"i-{n}", truth))
    return facts


AGAINST = [Candidate("a", "best"), Candidate("b", "x"), Candidate("b", "y"), Candidate("b", "z")]


def test_the_best_source_stands_against_all_others_with_its_own_confidence() -> None:
    facts = known()
    alone = ResultAggregator.from_facts(facts, "best_source").merge(AGAINST)
    assert (alone.value, alone.strategy, alone.calibrated) == ("a", "best_source", True)
    right = sum(facts.answers[item, "best"].value == gold.truth for item, gold in facts.golds.items()) / 200
    assert abs(alone.confidence - right) < 0.05
    assert ResultAggregator.from_facts(facts, "stack").merge(AGAINST).value == "b"


def test_where_it_is_silent_the_others_are_heard_and_nothing_is_claimed_of_it() -> None:
    silent = ResultAggregator.from_facts(known(), "best_source").merge([Candidate(None, "best"), *AGAINST[1:]])
    assert (silent.value, silent.calibrated) == ("b", False)


def test_its_calibration_is_its_own() -> None:
    report = ResultAggregator.from_facts(known(), "best_source").calibration()
    assert report.golds == 200 and report.ece < 0.1


def test_without_gold_it_is_refused_in_words() -> None:
    with pytest.raises(InvalidInput, match="needs 30, but there are 29"):
        ResultAggregator.from_facts(known(golds=29), "best_source").merge(AGAINST)
