"""Models fitted without gold: they find who errs how, and do not boast; gold answers make their claims honest."""

import random

import pytest

from raywf.aggregation import Answer, Candidate, Gold, ResultAggregator
from raywf.aggregation.ballot import collect
from raywf.aggregation.calibration import Calibrator, calibration_report
from raywf.aggregation.em import fit
from raywf.errors import InvalidInput

Batch = list[list[Candidate]]


def biased(items: int, seed: int = 4) -> tuple[Batch, list[str]]:
    """Three careful sources, and three that call half of what is "no" a "yes": most votes for "yes" mean little."""
    chance, batch, truths = random.Random(seed), [], []
    for _ in range(items):
        truth = chance.choice(["yes", "no"])
        says = {f"careful{i}": truth if chance.random() < 0.65 else chance.choice(["yes", "no"]) for i in range(3)}
        says |= {f"eager{i}": "yes" if truth == "yes" or chance.random() < 0.55 else "no" for i in range(3)}
        batch.append([Candidate(value, source) for source, value in says.items()])
        truths.append(truth)
    return batch, truths


def accuracy(strategy: str, batch: Batch, truths: list[str]) -> float:
    results = ResultAggregator(strategy).merge_many(batch)
    return sum(r.value == t for r, t in zip(results, truths, strict=True)) / len(truths)


def test_dawid_skene_learns_who_confuses_what() -> None:
    batch, truths = biased(600)
    assert accuracy("dawid_skene", batch, truths) > accuracy("majority", batch, truths) + 0.03


def test_one_coin_learns_who_is_right_among_many_values() -> None:
    chance, batch, truths = random.Random(2), [], []
    for i in range(400):
        truth = f"v{i % 50}"
        skills = {"a": 0.9, "b": 0.85, "c": 0.2, "d": 0.2, "e": 0.2}
        batch.append(
            [Candidate(truth if chance.random() < q else f"v{chance.randrange(6)}", s) for s, q in skills.items()]
        )
        truths.append(truth)
    assert accuracy("one_coin", batch, truths) > accuracy("majority", batch, truths) + 0.03
    model = fit("one_coin", [collect(each) for each in batch])
    assert model is not None and model.accuracy["a"] > model.accuracy["c"] + 0.4


@pytest.mark.parametrize("strategy", ["dawid_skene", "one_coin"])
def test_a_posterior_is_never_shown_above_the_votes_behind_it(strategy: str) -> None:
    batch, _ = biased(200)
    for result, plain in zip(
        ResultAggregator(strategy).merge_many(batch), ResultAggregator("majority").merge_many(batch), strict=True
    ):
        bound = dict(plain.probs)[result.value]
        assert result.confidence <= bound + 1e-12 and not result.calibrated and result.strategy == strategy


@pytest.mark.parametrize("strategy", ["dawid_skene", "one_coin"])
def test_order_teaches_nothing_and_fewer_than_fifty_items_neither(strategy: str) -> None:
    batch, _ = biased(120)
    results = ResultAggregator(strategy).merge_many(batch)
    assert ResultAggregator(strategy).merge_many(batch[::-1]) == results[::-1]
    assert {r.strategy for r in ResultAggregator(strategy).merge_many(batch[:49])} == {"majority"}
    stranger = ResultAggregator(strategy).merge([Candidate("yes", "nobody knows me")])
    assert (stranger.value, stranger.confidence) == ("yes", 0.75)
    assert stranger.why == "nothing is known of the sources yet"


@pytest.mark.parametrize("method", ["dawid_skene", "one_coin"])
def test_copies_speak_with_one_voice(method: str) -> None:
    chance, batch, truths = random.Random(8), [], []
    for _ in range(300):
        truth = chance.choice("uvwxyz")
        says = {f"honest{i}": truth if chance.random() < 0.6 else chance.choice("uvwxyz") for i in range(6)}
        poor = truth if chance.random() < 0.2 else chance.choice("uvwxyz")
        batch.append([Candidate(v, s) for s, v in (says | {f"copy{i}": poor for i in range(8)}).items()])
        truths.append(truth)
    honest = [[c for c in candidates if c.source.startswith("honest")] for candidates in batch]
    assert accuracy(method, batch, truths) >= accuracy(method, honest, truths) - 0.03


def test_too_many_labels_for_a_matrix_are_refused_with_what_to_do() -> None:
    batch = [[Candidate(f"{i}-{s}", f"s{s}") for s in range(6)] for i in range(400)]
    with pytest.raises(InvalidInput, match=r"2400 labels.*one_coin"):
        ResultAggregator("dawid_skene").merge_many(batch)


def taught(
    strategy: str, items: int, claim: float = 0.99, skill: float = 0.7, late: float | None = None
) -> ResultAggregator:
    """Three that always agree and claim 0.99, right with 0.7; from the middle on with `late`, if given."""
    chance, facts = random.Random(items), []
    for i in range(items):
        right = chance.random() < (skill if late is None or i < items / 2 else late)
        value = "x" if right else "y"
        facts += [Answer(f"i{i:05}", source, value, claim, at=float(i)) for source in "abc"]
        facts.append(Gold(f"i{i:05}", "x", at=float(i)))
    return ResultAggregator.from_facts(facts, strategy)


@pytest.mark.parametrize(
    "strategy", ["majority", "weighted_vote", "confidence_weighted", "linear_pool", "log_pool", "one_coin"]
)
@pytest.mark.parametrize("items", [60, 520])
def test_gold_makes_any_strategy_say_how_often_it_is_right(strategy: str, items: int) -> None:
    result = taught(strategy, items).merge([Candidate("x", source, 0.99) for source in "abc"])
    assert result.calibrated
    assert result.confidence == pytest.approx(0.7, abs=0.1)
    assert not taught(strategy, 40).merge([Candidate("x", source, 0.99) for source in "abc"]).calibrated


def test_a_calibrator_is_never_certain_and_keeps_the_winner() -> None:
    always = Calibrator.fit([{"x": 0.9, "y": 0.1}] * 600, ["x"] * 600)
    assert always({"x": 0.9, "y": 0.1})["x"] == 601 / 602
    never = Calibrator.fit([{"x": 0.9, "y": 0.1}] * 600, ["y"] * 600)
    after = never({"x": 0.9, "y": 0.1})
    assert after["x"] >= after["y"] >= 0
    assert not Calibrator.fit([{"x": 0.9}] * 49, ["x"] * 49)


def test_calibration_is_followed_over_time_and_drift_is_told() -> None:
    steady = taught("majority", 300).calibration()
    assert steady.golds == 300 and len(steady.periods) == 6 and not steady.drifted
    assert steady.ece < 0.1 and all(0.5 < period.right < 0.9 for period in steady.periods)
    fallen = taught("majority", 300, skill=0.95, late=0.4).calibration()
    assert fallen.drifted and fallen.periods[-1].right < 0.6 < fallen.periods[0].right
    assert ResultAggregator("majority").calibration() == calibration_report([])
    with pytest.raises(InvalidInput, match="'huber' has no calibration"):
        ResultAggregator("huber").calibration()


def test_the_auto_ladder_has_a_calibration_of_its_own() -> None:
    report = taught("auto", 120).calibration()
    assert report.golds == 120 and report.ece < 0.15
