"""Debounce, singleton and batch: what becomes of submits, from their times alone."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from raywf.core.collecting import StartRule, Verdict, decide

DEBOUNCE = StartRule("debounce", quiet_s=5.0, max_wait_s=12.0)
BATCH = StartRule("batch", max_size=3, timeout_s=10.0)


def test_a_debounce_waits_for_quiet_after_the_last_submit() -> None:
    assert decide(DEBOUNCE, [100.0], 104.0, False) == Verdict(0, look_at=105.0)
    assert decide(DEBOUNCE, [100.0, 104.0], 105.0, False) == Verdict(0, look_at=109.0)
    assert decide(DEBOUNCE, [100.0, 104.0], 109.0, False) == Verdict(2, start=True)


def test_a_debounce_waits_no_longer_than_it_may() -> None:
    busy = [100.0, 104.0, 108.0, 111.0]
    assert decide(DEBOUNCE, busy, 111.5, False) == Verdict(0, look_at=112.0)
    assert decide(DEBOUNCE, busy, 112.0, False) == Verdict(4, start=True)


def test_a_batch_starts_when_it_is_full_or_its_time_is_up() -> None:
    assert decide(BATCH, [100.0, 101.0], 102.0, False) == Verdict(0, look_at=110.0)
    assert decide(BATCH, [100.0, 101.0, 102.0, 103.0], 103.0, False) == Verdict(3, start=True)
    assert decide(BATCH, [100.0, 101.0], 110.0, False) == Verdict(2, start=True)


def test_a_singleton_starts_one_and_the_others_are_skipped_or_join_it() -> None:
    for policy in ("skip", "join"):
        rule = StartRule("singleton", on_conflict=policy)
        assert decide(rule, [1.0, 2.0], 3.0, False) == Verdict(1, start=True)
        assert decide(rule, [2.0], 3.0, True) == Verdict(1, start=False)


def test_cancel_previous_waits_for_the_end_and_then_starts_one_for_all_that_wait() -> None:
    rule = StartRule("singleton", on_conflict="cancel_previous")
    assert decide(rule, [1.0, 2.0], 3.0, True) == Verdict(0, cancel=True, look_at=3.0)
    assert decide(rule, [1.0, 2.0], 4.0, False) == Verdict(2, start=True)


@given(st.sampled_from([DEBOUNCE, BATCH]), st.lists(st.floats(0, 100), max_size=8), st.floats(0, 200))
def test_whoever_looks_when_told_always_gets_on(rule: StartRule, ats: list[float], now: float) -> None:
    """Nothing that waits is forgotten: there is a time at which it starts, and it is not in the past."""
    ats = sorted(at for at in ats if at <= now)
    verdict = decide(rule, ats, now, False)
    if ats and verdict.take == 0:
        assert verdict.look_at is not None
        assert verdict.look_at > now
        assert decide(rule, ats, verdict.look_at, False).take > 0
