"""Numbers: the middle, and what one gross error does to it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raywf.aggregation import Candidate, ResultAggregator
from raywf.aggregation.calibration import (
    Isotonic,
    conformal_threshold,
    drifted,
    expected_calibration_error,
    temperature,
)
from raywf.aggregation.conflicts import conflict_kind
from raywf.aggregation.numeric import NUMERIC
from raywf.errors import InvalidInput


def ballot(*values: object) -> list[Candidate]:
    return [Candidate(value, f"s{index}") for index, value in enumerate(values)]


@pytest.mark.parametrize("strategy", ["median", "huber", "hodges_lehmann", "trimmed"])
def test_a_gross_error_moves_the_mean_and_not_the_robust(strategy: str) -> None:
    given_ = ballot(10.0, 10.2, 9.9, 10.1, 9.8, 1e6)
    assert ResultAggregator(strategy).merge(given_).value == pytest.approx(10.0, abs=0.3)
    assert ResultAggregator("mean").merge(given_).value > 1e5
    assert [c.value for c in ResultAggregator(strategy).merge(given_).conflicts] == [1e6]


@pytest.mark.parametrize("strategy", sorted(NUMERIC))
@given(st.lists(st.floats(-1e308, 1e308), min_size=1, max_size=8), st.randoms())
def test_the_middle_lies_between_the_ends_whatever_the_order(strategy: str, values: list[float], chance) -> None:
    given_ = ballot(*values)
    result = ResultAggregator(strategy).merge(given_)
    slack = 1e-9 * max(map(abs, values))
    assert min(values) - slack <= result.value <= max(values) + slack
    assert 0 <= result.confidence < 1 and not result.calibrated
    chance.shuffle(given_)
    assert ResultAggregator(strategy).merge(given_) == result


@pytest.mark.parametrize("strategy", sorted(NUMERIC))
@given(
    st.lists(st.floats(-1e6, 1e6).map(lambda v: round(v, 3)), min_size=1, max_size=7),
    st.floats(1.0, 50.0),
)
def test_answers_that_move_apart_never_make_it_surer(strategy: str, values: list[float], factor: float) -> None:
    """Apart means away from what they come to together, by one factor: so that stays where it was."""
    before = ResultAggregator(strategy).merge(ballot(*values))
    middle = before.value
    after = ResultAggregator(strategy).merge(ballot(*[middle + factor * (value - middle) for value in values]))
    if abs(after.value - middle) <= 1e-9 * (
        abs(middle) + 1
    ):  # the robust ones may change their mind by a rounding of equal spreads
        assert after.confidence <= before.confidence + 1e-6


@given(st.lists(st.floats(1.0, 100.0), min_size=3, max_size=7), st.floats(1.0, 1e6))
def test_one_answer_that_moves_away_never_makes_it_surer(values: list[float], further: float) -> None:
    last = max(values)
    before = ResultAggregator("median").merge(ballot(*values, last))
    after = ResultAggregator("median").merge(ballot(*values, last + further))
    if after.value == pytest.approx(
        before.value
    ):  # of an even number the middle is between two, and one of them may be this
        assert after.confidence <= before.confidence + 1e-9


def test_ten_twenty_and_thirty_agree_less_than_ten_and_a_bit() -> None:
    near, far = (ResultAggregator("huber").merge(ballot(*said)) for said in ((10.0, 10.1, 10.2), (10.0, 20.0, 30.0)))
    assert near.confidence > 0.74 and near.decision == "accepted"
    assert far.confidence < 0.3 and far.decision == "escalated"
    assert ResultAggregator("huber").merge(ballot(0.0, 0.0, 0.0)).confidence == 0.75
    assert ResultAggregator("mean").merge(ballot(-1.0, 1.0)).confidence == 0.0


def test_a_text_among_numbers_is_named() -> None:
    with pytest.raises(InvalidInput, match=r"'s1' says 'ten'"):
        ResultAggregator("huber").merge(ballot(1.0, "ten"))


@pytest.mark.parametrize(
    ("one", "other", "kind"),
    [
        ("1,000", 1000, "format"),
        ("50%", 0.5, "format"),
        ("New York", "new-york", "format"),
        ("Paris", "Paris, France", "granularity"),
        ("C", "C++", "contradiction"),
        ("5 kg", "5 g", "contradiction"),
        ("5 kg", "5,000 g", "unit"),
        ("11 lb", "5kg", "unit"),
        ("90 min", "1.5 h", "unit"),
        ("5 kg", "5000 m", "contradiction"),
        ({"a": 1, "b": 2}, {"a": 1.0}, "missing"),
        ({"a": 1, "b": None}, {"a": 1, "b": 2}, "missing"),
        ({"a": 1, "b": 2}, {"a": 2}, "contradiction"),
        ({"a": 1}, {"b": 1}, "contradiction"),
        (True, 1, "contradiction"),
        ("a" * 5_000_000, "b" * 5_000_000, "contradiction"),
    ],
)
def test_what_kind_of_conflict_it_is(one: object, other: object, kind: str) -> None:
    assert conflict_kind(one, other) == conflict_kind(other, one) == kind


def test_temperature_cools_what_is_too_sure() -> None:
    claims = [[0.99, 0.01]] * 10
    assert temperature(claims, [0] * 7 + [1] * 3) > 3
    assert temperature([[0.7, 0.3]] * 10, [0] * 7 + [1] * 3) == pytest.approx(1, abs=0.05)


def test_isotonic_rises_and_pools_what_falls() -> None:
    steps = Isotonic.fit([0.1, 0.2, 0.3, 0.9], [False, True, False, True])
    assert [steps(c) for c in (0.0, 0.15, 0.25, 1.0)] == [0.0, 0.0, 0.5, 1.0]
    assert Isotonic.fit([0.9] * 4, [True, False, True, True])(0.9) == 0.75  # equal claims are one step


def test_calibration_error_drift_and_conformal_rank() -> None:
    assert expected_calibration_error([0.8] * 10, [True] * 8 + [False] * 2) == pytest.approx(0)
    assert expected_calibration_error([0.9] * 10, [False] * 10) == pytest.approx(0.9)
    assert drifted([0.9] * 100, [False] * 50 + [True] * 50) and not drifted([0.5] * 100, [True, False] * 50)
    assert conformal_threshold([i / 100 for i in range(99)], 0.9) == pytest.approx(0.89)
    assert conformal_threshold([0.1] * 8, 0.9) == 1.0


def test_a_number_that_was_said_comes_back_to_the_last_digit() -> None:
    for a, b in [(10.1, 10.2), (0.1, 0.3), (1e-9, 7.7), (123456.789, 987654.321), (19.99, 24.99)]:
        for strategy in ("median", "huber", "auto"):
            result = ResultAggregator(strategy).merge([Candidate(a, "1"), Candidate(a, "2"), Candidate(b, "3")])
            assert result.value == a, strategy
    ids = [Candidate(1234567890123456789, "1"), Candidate(1234567890123456789, "2"), Candidate(7, "3")]
    assert ResultAggregator().merge(ids).value == 1234567890123456789
    with pytest.raises(InvalidInput, match=r"'1' says 1000.*no finite number"):
        ResultAggregator("huber").merge([Candidate(10**400, "1")])
