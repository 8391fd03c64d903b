"""Whom a stack follows while gold answers are few."""

import random
import statistics
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raywf.aggregation import Candidate
from raywf.aggregation.ballot import Ballot, collect
from raywf.aggregation.identity import Key, identity
from raywf.aggregation.leaning import direction
from raywf.aggregation.learning import Learned, learn_from

OPTIONS = "ABCDE"
Said = list[str | None]


def panel(skills: Sequence[float], items: int, seed: int, *, shared: float = 0.5) -> tuple[list[Said], list[str]]:
    """Answers of sources of these skills. So many of the wrong ones are the one that everybody is tempted by."""
    chance = random.Random(seed)
    said, truths = [], []
    for _ in range(items):
        truth, *wrong = chance.sample(OPTIONS, len(OPTIONS))
        row: Said = []
        for skill in skills:
            if chance.random() < skill:
                row.append(truth)
            else:
                row.append(wrong[0] if chance.random() < shared else chance.choice(wrong))
        said.append(row)
        truths.append(truth)
    return said, truths


def ballots_of(said: Sequence[Said], names: Sequence[str] | None = None) -> list[Ballot]:
    known = names or [f"s{i:02d}" for i in range(len(said[0]))]
    return [collect(Candidate(value, name) for name, value in zip(known, row, strict=True)) for row in said]


def taught(ballots: Sequence[Ballot], truths: Sequence[str], gold: int) -> Learned:
    return learn_from(ballots, [identity(truth) if i < gold else None for i, truth in enumerate(truths)])


def accuracy(learned: Learned, ballots: Sequence[Ballot], truths: Sequence[str]) -> float:
    assert learned.stack is not None
    right = []
    for ballot, truth in zip(ballots, truths, strict=True):
        scores = learned.stack.scores(ballot)
        right.append(max(scores, key=lambda key: (scores[key], repr(key))) == identity(truth))
    return statistics.fmean(right)


def leaning(said: Sequence[Said], truths: Sequence[str]) -> list[float]:
    columns = {f"s{i:02d}": i for i in range(len(said[0]))}
    return [float(w) for w in direction(ballots_of(said), [identity(t) for t in truths], columns, len(columns))]


@pytest.mark.parametrize(
    "others", [[0.5] * 7, [0.45, 0.4, 0.35], [0.55, 0.5, 0.45, 0.4, 0.4, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3]]
)
def test_a_source_that_towers_is_not_outvoted(others: list[float]) -> None:
    losses, gold = [], 50
    for seed in range(4):
        said, truths = panel([0.9, *others], gold + 300, seed, shared=0.8)
        ballots = ballots_of(said)
        alone = statistics.fmean(row[0] == truth for row, truth in zip(said[gold:], truths[gold:], strict=True))
        losses.append(alone - accuracy(taught(ballots, truths, gold), ballots[gold:], truths[gold:]))
    assert statistics.fmean(losses) <= 0.005
    assert max(losses) <= 0.02


@pytest.mark.parametrize("gold", [30, 40, 49])
def test_fewer_than_fifty_truths_are_no_cliff(gold: int) -> None:
    """Seven poor sources that err together outvote a good one by far where nothing but agreement is known."""
    losses = []
    for seed in range(4):
        said, truths = panel([0.85, *[0.45] * 7], 350, seed, shared=0.8)
        alone = statistics.fmean(row[0] == truth for row, truth in zip(said[50:], truths[50:], strict=True))
        ballots = ballots_of(said)
        losses.append(alone - accuracy(taught(ballots, truths, gold), ballots[50:], truths[50:]))
    assert statistics.fmean(losses) <= 0.01


def test_many_of_one_skill_are_better_together_than_the_luckiest_of_them() -> None:
    gains = []
    for seed in range(4):
        said, truths = panel([0.55] * 8, 350, seed, shared=0.2)
        ballots = ballots_of(said)
        best = max(
            statistics.fmean(row[s] == t for row, t in zip(said[50:], truths[50:], strict=True)) for s in range(8)
        )
        gains.append(accuracy(taught(ballots, truths, 50), ballots[50:], truths[50:]) - best)
    assert min(gains) > 0.02


def test_whoever_cannot_be_told_apart_shares_the_weight_and_the_better_by_far_has_it() -> None:
    said, truths = panel([0.6, 0.6, 0.6, 0.6], 50, 1)
    assert min(leaning(said, truths)) > 0.1
    said, truths = panel([0.9, 0.4, 0.4, 0.4], 50, 1)
    first, *rest = leaning(said, truths)
    assert first == 1.0
    assert max(rest) < 0.1


@given(st.integers(0, 10_000), st.integers(2, 6), st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_neither_names_nor_the_order_of_items_matter(seed: int, sources: int, chance: random.Random) -> None:
    skills = [0.3 + 0.5 * chance.random() for _ in range(sources)]
    said, truths = panel(skills, 50, seed)
    weights = leaning(said, truths)
    items, places = list(range(50)), list(range(sources))
    chance.shuffle(items)
    chance.shuffle(places)
    again = leaning([[said[i][p] for p in places] for i in items], [truths[i] for i in items])
    assert again == pytest.approx([weights[p] for p in places], abs=1e-9)
    assert max(weights) == 1.0
    assert min(weights) >= 0.0


@given(st.integers(0, 10_000), st.sampled_from(OPTIONS), st.integers(0, 4))
@settings(max_examples=8, deadline=None)
def test_one_more_vote_for_a_value_never_makes_it_less_likely(seed: int, value: str, who: int) -> None:
    said, truths = panel([0.7, 0.6, 0.5, 0.4, 0.2], 60, seed)
    learned = taught(ballots_of(said), truths, 60)
    assert learned.stack is not None
    row: Said = list(said[0])
    row[who] = None
    row[(who + 1) % 5] = value
    before = learned.stack.scores(ballots_of([row])[0]).get(identity(value), 0.0)
    row[who] = value
    after = learned.stack.scores(ballots_of([row])[0])[identity(value)]
    assert after >= before - 1e-12


def test_who_is_seldom_asked_is_neither_praised_nor_blamed_for_it() -> None:
    """Two of one skill, one of them asked on a third of the items; and one that was never graded at all."""
    said, truths = panel([0.7, 0.7, 0.3], 120, 5)
    ballots: list[Ballot] = []
    for at, row in enumerate(said):
        asked = [Candidate(row[0], "s00"), Candidate(row[2], "s02")]
        ballots.append(collect([*asked, Candidate(row[1], "s01")] if at % 3 == 0 else asked))
    keys: list[Key] = [identity(truth) for truth in truths]
    weights = direction(ballots, keys, {"s00": 0, "s01": 1, "s02": 2, "new": 3}, 4)
    assert np.isfinite(weights).all()
    assert weights[1] > 3 * weights[2]
    assert weights[3] < weights[0]


def test_one_source_alone_and_a_panel_that_is_always_right_or_never() -> None:
    assert leaning([["A"]] * 50, ["A"] * 50) == [1.0]
    assert leaning([["A", "A"]] * 50, ["A"] * 50) == pytest.approx([1.0, 1.0])
    assert leaning([["A", "B"]] * 50, ["C"] * 50) == pytest.approx([1.0, 1.0])
