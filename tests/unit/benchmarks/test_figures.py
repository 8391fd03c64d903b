"""The arithmetic under every figure that we publish."""

import pytest

from benchmarks.figures import Spread, expected_calibration_error, number, percentile, ratios


def test_a_spread_is_the_median_and_the_range():
    spread = Spread.of([3.0, 1.0, 2.0])
    assert spread == Spread(2.0, 1.0, 3.0)
    assert spread.format("s") == "2.00 [1.00-3.00] s"


def test_one_sample_has_no_range_to_show():
    assert Spread.of([1234.5]).format() == "1,234"


def test_no_samples_are_not_a_zero():
    with pytest.raises(ValueError, match="no samples"):
        Spread.of([])
    with pytest.raises(ValueError, match="no samples"):
        percentile([], 0.5)


@pytest.mark.parametrize(("share", "expected"), [(0.01, 1), (0.5, 50), (0.99, 99), (1.0, 100)])
def test_a_percentile_is_a_value_that_was_measured(share, expected):
    assert percentile(list(range(100, 0, -1)), share) == expected


def test_the_p99_of_few_samples_is_the_worst_one():
    assert percentile([5.0, 9.0, 1.0], 0.99) == 9.0


@pytest.mark.parametrize("share", [0, -0.1, 1.1, 99])
def test_a_share_outside_its_range_is_refused(share):
    with pytest.raises(ValueError, match="share"):
        percentile([1.0], share)


def test_ratios_compare_neighbours_in_time_only():
    assert ratios({1: 10.0, 2: 30.0, 3: 5.0}, {1: 5.0, 2: 10.0}) == {1: 2.0, 2: 3.0}
    assert ratios({1: 10.0}, {}) == {}


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (12345.6, "12,346"), (48.23, "48.2"), (3.456, "3.46"), (0.01234, "0.0123"), (-0.5, "-0.5")],
)
def test_numbers_show_what_is_significant(value, text):
    assert number(value) == text


def test_a_source_that_is_as_right_as_it_says_has_no_calibration_error():
    assert expected_calibration_error([0.5] * 4, [True, False, True, False]) == pytest.approx(0)


def test_a_source_that_is_sure_and_wrong_has_all_of_it():
    assert expected_calibration_error([1.0, 1.0], [False, False]) == pytest.approx(1)


def test_calibration_error_weighs_bins_by_their_answers():
    confidences, hits = [0.9] * 3 + [0.1], [True, True, True, False]
    assert expected_calibration_error(confidences, hits) == pytest.approx((0.3 + 0.1) / 4)


def test_calibration_needs_an_answer_for_each_confidence():
    with pytest.raises(ValueError, match="2 confidences for 1"):
        expected_calibration_error([0.1, 0.2], [True])
