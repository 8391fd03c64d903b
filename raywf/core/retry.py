"""Whether to try again, and when. Time and chance are passed in.

Backoff is exponential with full jitter: the delay is drawn uniformly from [0, min(max_delay, initial * backoff**n)]
("Exponential Backoff And Jitter", AWS Architecture Blog, 2015).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from raywf.core.failures import Failure


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """``max_attempts`` counts the first. Delays in seconds. ``non_retryable`` are qualified exception names."""

    max_attempts: int = 1
    initial: float = 0.2
    backoff: float = 2.0
    max_delay: float = 10.0
    non_retryable: tuple[str, ...] = ()


NO_RETRY = RetryPolicy()


@dataclass(frozen=True, slots=True)
class RetryAt:
    at: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    pass


def decide(policy: RetryPolicy, failure: Failure, failures: int, now: float, chance: float) -> RetryAt | GiveUp:
    """What follows the ``failures``-th failure of a task. ``chance`` is uniform in [0, 1). Who was asked and said when to come
    again is believed, whatever the policy's longest delay."""
    if not failure.retryable or failures >= policy.max_attempts:
        return GiveUp()
    exponent = min(failures - 1, 1000)
    try:
        ceiling = min(policy.max_delay, policy.initial * policy.backoff**exponent)
    except OverflowError:
        ceiling = policy.max_delay
    return RetryAt(now + max(chance * ceiling, failure.retry_after or 0.0))


def has_given_up(policy: RetryPolicy, failures: int, last: Failure | None) -> bool:
    """Whether the attempts of a task are used up, after so many failures of which this was the last. If it goes on all
    the same, then with its fallback."""
    return last is not None and (failures >= policy.max_attempts or not last.retryable)


class AfterLoss(Enum):
    """What follows the loss of an attempt together with its process."""

    RERUN = "rerun"
    ISOLATE = "isolate"
    FAIL = "fail"


def after_loss(losses: int) -> AfterLoss:
    """After the second loss a task runs alone in a process; after the third it fails (``WorkerLost``)."""
    if losses >= 3:
        return AfterLoss.FAIL
    return AfterLoss.ISOLATE if losses == 2 else AfterLoss.RERUN
