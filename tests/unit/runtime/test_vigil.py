"""When a silent actor is asked, when its successor is made ready, and when it is replaced."""

from __future__ import annotations

import pytest

from raywf.runtime import vigil
from raywf.runtime.vigil import Doubt, Verdict, judge

LEASE_S = 3.0


def followed(lease_s: float, *, stopped_at: float = 0.0, answers_at: float | None = None) -> dict[str, float]:
    """Play one actor that renewed at 0 and then fell silent: when is it asked, prepared for, replaced, trusted?"""
    expires_at = stopped_at + lease_s
    asked_at = now = max(stopped_at, vigil.overdue_at(expires_at, lease_s))
    found = {"asked": asked_at}
    for _ in range(20):
        answered = True if answers_at is not None and now >= answers_at else None
        verdict, wait_s = judge(Doubt(expires_at, lease_s, now - asked_at, answered, "prepare" in found), now)
        if verdict is not Verdict.WAIT:
            found[verdict.value] = now
        if verdict in (Verdict.TRUST, Verdict.REPLACE):
            return found
        assert verdict is Verdict.PREPARE or wait_s > 0, "a loop that waits for nothing"
        now += wait_s if answers_at is None or now >= answers_at else min(wait_s, answers_at - now)
    raise AssertionError(f"no end: {found}")


@pytest.mark.parametrize("lease_s", [0.5, 2.0, 3.0, 30.0, 300.0])
def test_a_silent_actor_is_replaced_when_its_lease_lapses_and_not_before(lease_s: float) -> None:
    found = followed(lease_s)
    assert found["replace"] >= lease_s
    assert found["replace"] == pytest.approx(max(lease_s, found["asked"] + vigil.ANSWER_S), abs=0.002)
    assert found["asked"] + vigil.SILENT_S <= found["prepare"] + 0.002
    assert found["prepare"] <= max(found["replace"] - vigil.START_S, found["asked"] + vigil.SILENT_S) + 0.002


def test_at_the_usual_lease_the_start_of_a_process_fits_into_what_is_left_of_it() -> None:
    assert followed(LEASE_S)["prepare"] <= LEASE_S - 1.3


def test_who_answers_is_trusted_even_with_a_lease_that_has_lapsed() -> None:
    assert "replace" not in followed(LEASE_S, answers_at=2.9)
    assert judge(Doubt(0.0, LEASE_S, 9.0, True, True), 99.0) == (Verdict.TRUST, 0.0)


def test_who_renews_is_trusted_without_an_answer() -> None:
    """A loop that hangs while its lease is kept beside it: it owns what it holds."""
    assert judge(Doubt(10.0 + LEASE_S, LEASE_S, 2.0, None, True), 10.0)[0] is Verdict.TRUST


def test_a_supervisor_that_was_paused_itself_gives_time_to_answer() -> None:
    verdict, wait_s = judge(Doubt(0.0, LEASE_S, 0.0, None, False), 1000.0)
    assert (verdict, wait_s) == (Verdict.WAIT, pytest.approx(vigil.SILENT_S))
    assert judge(Doubt(0.0, LEASE_S, 1.0, None, True), 1001.0) == (Verdict.WAIT, pytest.approx(0.5))
    assert judge(Doubt(0.0, LEASE_S, vigil.ANSWER_S, None, True), 1001.5)[0] is Verdict.REPLACE


def test_one_that_says_it_does_not_serve_is_replaced_at_the_lapse() -> None:
    assert judge(Doubt(3.0, LEASE_S, 0.1, False, True), 2.5) == (Verdict.WAIT, 0.5)
    assert judge(Doubt(3.0, LEASE_S, 0.1, False, True), 3.0)[0] is Verdict.REPLACE


def test_leases_are_looked_at_when_the_next_is_overdue_within_limits() -> None:
    assert vigil.next_look_s([], 0.0) == vigil.LOOK_S
    assert vigil.next_look_s([(3.0, LEASE_S), (2.3, LEASE_S)], 0.0) == pytest.approx(0.5)
    assert vigil.next_look_s([(3.0, LEASE_S)], 50.0) > 0, "one in trouble does not make it spin"
    assert vigil.next_look_s([(1000.0, LEASE_S)], 0.0) == vigil.LOOK_S


def test_an_actor_that_renews_every_third_is_never_overdue() -> None:
    for lease_s in (0.5, 3.0, 300.0):
        renewed = 100.0
        assert vigil.overdue_at(renewed + lease_s, lease_s) > renewed + lease_s / 3
