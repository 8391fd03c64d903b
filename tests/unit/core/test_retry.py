"""Whether to try again, and when."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raywf.core.failures import Failure
from raywf.core.retry import AfterLoss, GiveUp, RetryAt, RetryPolicy, after_loss, decide

FAILURE = Failure("ValueError", "no")
POLICIES = st.builds(
    RetryPolicy,
    max_attempts=st.integers(1, 50),
    initial=st.floats(0, 100),
    backoff=st.floats(1, 1000),
    max_delay=st.floats(0, 1e6),
)


@given(POLICIES, st.integers(1, 10**6), st.floats(0, 2e9), st.floats(0, 1, exclude_max=True))
def test_the_delay_is_drawn_from_nothing_up_to_the_backoff_and_never_above_the_longest(
    policy: RetryPolicy, failures: int, now: float, chance: float
) -> None:
    policy = replace(policy, max_attempts=failures + 1)
    match decide(policy, FAILURE, failures, now, chance):
        case RetryAt(at):
            assert now <= at <= now + policy.max_delay + 1e-6
            if failures == 1:
                assert at <= now + policy.initial + 1e-6
        case GiveUp():
            raise AssertionError("there was an attempt left")


@given(POLICIES, st.integers(1, 60))
def test_max_attempts_counts_the_first(policy: RetryPolicy, failures: int) -> None:
    gave_up = isinstance(decide(policy, FAILURE, failures, 0.0, 0.5), GiveUp)
    assert gave_up == (failures >= policy.max_attempts)


@given(POLICIES, st.integers(1, 60))
def test_what_trying_again_cannot_help_is_not_tried_again(policy: RetryPolicy, failures: int) -> None:
    assert decide(policy, replace(FAILURE, retryable=False), failures, 0.0, 0.5) == GiveUp()


def test_full_jitter_uses_the_whole_range_and_the_range_grows() -> None:
    policy = RetryPolicy(max_attempts=9, initial=1.0, backoff=2.0, max_delay=5.0)
    ceilings = [decide(policy, FAILURE, failures, 100.0, 0.999999) for failures in range(1, 6)]
    assert [round(each.at - 100.0, 3) for each in ceilings if isinstance(each, RetryAt)] == [1, 2, 4, 5, 5]
    assert decide(policy, FAILURE, 5, 100.0, 0.0) == RetryAt(100.0)


def test_no_policy_means_one_attempt() -> None:
    assert decide(RetryPolicy(), FAILURE, 1, 0.0, 0.0) == GiveUp()


@pytest.mark.parametrize(
    ("losses", "then"), [(0, "rerun"), (1, "rerun"), (2, "isolate"), (3, "fail"), (4, "fail"), (99, "fail")]
)
def test_after_the_second_loss_a_task_runs_alone_and_after_the_third_it_fails(losses: int, then: str) -> None:
    assert after_loss(losses) is AfterLoss(then)
