"""What a merge promises."""

import math
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raywf.aggregation import AggregateResult, Candidate, ResultAggregator
from raywf.errors import InvalidInput

VALUES = ["a", "b", "c", 1, True, None, ["a"], {"k": 1}]


@st.composite
def candidates(draw: st.DrawFn, with_probs: bool | None = None) -> list[Candidate]:
    """Up to six sources; each votes with or without confidence, probs and weight, or abstains."""
    found = []
    for index in range(draw(st.integers(0, 6))):
        value = draw(st.sampled_from(VALUES))
        weight = draw(st.sampled_from([0.0, 0.1, 0.3, 1.0, 1.0, 2.5]))
        confidence = draw(st.none() | st.floats(0, 1))
        probs = None
        if value is not None and (draw(st.booleans()) if with_probs is None else with_probs):
            rest = draw(st.floats(0, 0.9))
            probs = [(value, 1 - rest), ("somewhere else", rest)]
        found.append(Candidate(value, f"s{index}", confidence, probs, weight))
    return found


@given(st.sampled_from(["auto", "majority"]), candidates(), st.randoms())
def test_the_order_of_candidates_never_matters(strategy: str, given_: list[Candidate], chance) -> None:
    aggregator = ResultAggregator(strategy)
    shuffled = list(given_)
    chance.shuffle(shuffled)
    assert aggregator.merge(shuffled) == aggregator.merge(given_)


@given(candidates(with_probs=True), st.randoms())
def test_the_order_never_matters_to_the_log_pool(given_: list[Candidate], chance) -> None:
    shuffled = list(given_)
    chance.shuffle(shuffled)
    assert ResultAggregator("log_pool").merge(shuffled) == ResultAggregator("log_pool").merge(given_)


@given(candidates())
def test_a_copy_of_an_abstaining_source_changes_nothing(given_: list[Candidate]) -> None:
    silent = Candidate(None, "silent")
    once = ResultAggregator().merge([*given_, silent])
    assert ResultAggregator().merge([*given_, silent, silent, Candidate(None, "silent")]) == once


@given(candidates())
def test_an_abstaining_source_is_not_a_vote(given_: list[Candidate]) -> None:
    without = ResultAggregator().merge(given_)
    with_ = ResultAggregator().merge([*given_, Candidate(None, "silent", 0.0)])
    for field in ("value", "confidence", "agreement", "conflicts", "decision", "probs"):
        assert getattr(with_, field) == getattr(without, field)
    assert with_.quality <= without.quality


@given(candidates(), st.sampled_from([0.001, 0.5, 3.0, 1e6]))
def test_only_the_ratios_of_weights_matter(given_: list[Candidate], factor: float) -> None:
    scaled = [Candidate(c.value, c.source, c.confidence, c.probs, c.weight * factor) for c in given_]
    before, after = ResultAggregator().merge(given_), ResultAggregator().merge(scaled)
    assert after.value == before.value
    assert after.confidence == pytest.approx(before.confidence)


@given(candidates())
def test_every_number_is_a_share(given_: list[Candidate]) -> None:
    result = ResultAggregator().merge(given_)
    for number in (result.confidence, result.quality, result.agreement, *(p for _, p in result.probs)):
        assert 0 <= number <= 1
    assert math.fsum(p for _, p in result.probs) <= 1 + 1e-9
    assert result.calibrated is False
    assert [c.source for c in result.provenance] == sorted(c.source for c in given_)
    assert pickle.loads(pickle.dumps(result)) == result


@given(candidates(with_probs=True))
def test_a_merged_distribution_can_be_merged_again(given_: list[Candidate]) -> None:
    result = ResultAggregator("log_pool").merge(given_)
    if result.value is not None:
        Candidate(result.value, "merged", probs=result.probs)


def test_majority_counts_weights_and_smooths_the_share() -> None:
    three = [Candidate("a", "1"), Candidate("a", "2"), Candidate("b", "3")]
    result = ResultAggregator("majority").merge(three)
    assert (result.value, result.decision) == ("a", "escalated")
    assert result.confidence == pytest.approx((2 + 0.5) / (3 + 1))
    assert result.agreement == pytest.approx(2 / 3)
    assert [(c.value, c.sources) for c in result.conflicts] == [("b", ("3",))]
    heavy = ResultAggregator("majority").merge([*three[:2], Candidate("b", "3", weight=5)])
    assert heavy.value == "b"


def test_one_voter_is_never_certain() -> None:
    result = ResultAggregator("majority").merge([Candidate("a", "1")])
    assert result.confidence == 0.75


def test_a_tie_goes_to_the_higher_stated_confidence() -> None:
    pair = [Candidate("a", "1", confidence=0.6), Candidate("b", "2", confidence=0.9)]
    assert ResultAggregator("majority").merge(pair).value == "b"


def test_a_bare_tie_favours_no_label_over_many_ballots() -> None:
    pairs = [[Candidate("a", f"left{i}"), Candidate("b", f"right{i}")] for i in range(400)]
    wins = sum(result.value == "a" for result in ResultAggregator("majority").merge_many(pairs))
    assert 150 < wins < 250


def test_log_pool_is_the_geometric_mean_of_the_distributions() -> None:
    pair = [
        Candidate("da", "1", probs={"da": 0.6, "no": 0.4}),
        Candidate("no", "2", probs={"da": 0.1, "no": 0.9}),
    ]
    result = ResultAggregator("log_pool").merge(pair)
    da, no = math.sqrt(0.6 * 0.1), math.sqrt(0.4 * 0.9)
    assert result.value == "no"
    assert result.confidence == pytest.approx(no / (da + no), abs=1e-3)  # the floor of "elsewhere" takes the rest
    assert result.strategy == "log_pool"


def test_repeating_a_source_under_another_name_does_not_make_the_pool_surer() -> None:
    one = Candidate("a", "1", probs={"a": 0.7, "b": 0.3})
    twins = [one, Candidate("a", "2", probs={"a": 0.7, "b": 0.3})]
    assert ResultAggregator().merge(twins).confidence == pytest.approx(ResultAggregator().merge([one]).confidence)


def test_no_source_can_veto_a_value_by_leaving_it_out() -> None:
    sources = [Candidate("a", f"{i}", probs={"a": 0.99}) for i in range(3)]
    assert ResultAggregator().merge([*sources, Candidate("b", "x", probs={"b": 1.0})]).value == "a"


def test_agreeing_on_an_unsure_answer_stays_unsure() -> None:
    sources = [Candidate("yes", f"{i}", confidence=0.6) for i in range(3)]
    assert ResultAggregator("log_pool").merge(sources).confidence == pytest.approx(0.6)


def test_log_pool_says_which_source_gave_no_probability() -> None:
    with pytest.raises(InvalidInput, match=r"'bare'.*majority"):
        ResultAggregator("log_pool").merge([Candidate("a", "1", confidence=0.5), Candidate("a", "bare")])


def test_auto_needs_whole_distributions_for_the_log_pool() -> None:
    whole = Candidate("a", "1", probs={"a": 0.9})
    assert ResultAggregator().merge([whole]).strategy == "log_pool"
    assert ResultAggregator().merge([whole, Candidate("a", "2", confidence=0.9)]).strategy == "majority"


def test_decisions() -> None:
    sure = [Candidate("a", "1", probs={"a": 0.95, "b": 0.05})]
    assert ResultAggregator(accept_at=0.9).merge(sure).decision == "accepted"
    assert ResultAggregator(accept_at=0.99).merge(sure).decision == "escalated"
    nothing = ResultAggregator().merge([Candidate(None, "1"), Candidate("a", "2", weight=0)])
    assert (nothing.value, nothing.confidence, nothing.decision) == (None, 0.0, "abstained")
    assert [(c.source, c.share, c.agrees) for c in nothing.provenance] == [("1", 0.0, None), ("2", 0.0, None)]
    assert ResultAggregator().merge([]).decision == "abstained"


def test_quality_is_lower_where_sources_were_silent() -> None:
    vote = Candidate("a", "1", probs={"a": 0.8, "b": 0.2})
    assert ResultAggregator().merge([vote]).quality == pytest.approx(0.8)
    assert ResultAggregator().merge([vote, Candidate(None, "2")]).quality == pytest.approx(0.4)


def test_a_source_that_votes_twice_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"'gpt' answers twice.*gpt#1"):
        ResultAggregator().merge([Candidate("a", "gpt"), Candidate("a", "gpt")])


def test_something_else_than_a_candidate_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"Candidate\(value, source"):
        ResultAggregator().merge(["yes"])  # type: ignore[list-item]


def test_merge_many_keeps_the_order_and_names_the_item_it_refuses() -> None:
    batch = [[Candidate(value, "1")] for value in ("x", "y", "z")]
    results = ResultAggregator().merge_many(batch)
    assert [result.value for result in results] == ["x", "y", "z"]
    assert all(isinstance(result, AggregateResult) for result in results)
    with pytest.raises(InvalidInput) as refused:
        ResultAggregator().merge_many([*batch, [Candidate("a", "1"), Candidate("b", "1")]])
    assert refused.value.index == 3


@pytest.mark.parametrize(
    ("name", "says"), [("logpool", "did you mean 'log_pool'"), ("oracle", "auto, best_source, .*log_pool, majority")]
)
def test_an_unknown_strategy_says_which_exist(name: str, says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        ResultAggregator(name)


@pytest.mark.parametrize("threshold", [-0.1, 1.1, math.nan, "high", True])
def test_a_threshold_that_is_no_confidence_is_refused(threshold: object) -> None:
    with pytest.raises(InvalidInput, match="accept_at"):
        ResultAggregator(accept_at=threshold)  # type: ignore[arg-type]
