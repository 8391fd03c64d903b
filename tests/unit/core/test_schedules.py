"""What a schedule does now: overlap, what was missed, jitter, start and end. All of it from values."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import pytest

from raywf.core.schedules import (
    AT_ONCE,
    Decision,
    Previous,
    Spec,
    decide,
    firing_id,
    scheduled_at,
    spec_from,
)

NINE = datetime(2026, 1, 1, 9, tzinfo=UTC).timestamp()
HOUR = 3600.0


def a_spec(**changes: Any) -> Spec:
    return Spec("report", "hash", "{}", "f", **{"cron": "0 * * * *", **changes})


RUNS, ENDED = Previous("hourly/x", None), Previous("hourly/x", NINE - 60)


def test_it_fires_when_it_is_due_and_not_before() -> None:
    assert decide(a_spec(), "hourly", NINE, NINE - 0.1, None) == Decision((), NINE)
    assert decide(a_spec(), "hourly", NINE, NINE + 0.1, None) == Decision((NINE,), NINE + HOUR)
    assert decide(a_spec(), "hourly", NINE, NINE, ENDED) == Decision((NINE,), NINE + HOUR)


def test_skip_passes_over_an_instant_while_the_last_execution_runs() -> None:
    assert decide(a_spec(), "hourly", NINE, NINE, RUNS) == Decision((), NINE + HOUR)


def test_allow_starts_beside_the_last_execution() -> None:
    assert decide(a_spec(overlap="allow"), "hourly", NINE, NINE, RUNS) == Decision((NINE,), NINE + HOUR)


def test_buffer_one_waits_for_the_last_execution_and_then_starts_the_latest_instant() -> None:
    spec = a_spec(overlap="buffer_one")
    assert decide(spec, "hourly", NINE, NINE, RUNS) == Decision((), NINE)
    late = NINE + 5 * HOUR + 10
    ended = Previous("hourly/x", late - 1)
    assert decide(spec, "hourly", NINE, late, ended) == Decision((NINE + 5 * HOUR,), NINE + 6 * HOUR)


def test_buffer_one_starts_what_waited_longer_than_the_catch_up_window() -> None:
    spec = a_spec(cron="0 9 * * *", overlap="buffer_one", catch_up_s=60.0)
    late = NINE + 8 * HOUR
    assert decide(spec, "daily", NINE, late, Previous("daily/x", late - 1)).fire == (NINE,)
    assert decide(spec, "daily", NINE, late, Previous("daily/x", NINE - 1)).fire == (), (
        "nobody was there: it was missed"
    )


def test_cancel_previous_asks_the_last_execution_to_end_and_starts_when_it_has() -> None:
    spec = a_spec(overlap="cancel_previous")
    assert decide(spec, "hourly", NINE, NINE, RUNS) == Decision((), NINE, cancel=True)
    assert decide(spec, "hourly", NINE, NINE + 2, Previous("x", NINE + 1)) == Decision((NINE,), NINE + HOUR)


def test_what_was_missed_starts_late_within_the_window_and_else_not() -> None:
    late = NINE + 3 * HOUR + 1800
    assert decide(a_spec(), "hourly", NINE, late, None).fire == (NINE + 3 * HOUR,), "the latest of four"
    assert decide(a_spec(catch_up_s=1799.0), "hourly", NINE, late, None) == Decision((), NINE + 4 * HOUR)
    missed = decide(a_spec(overlap="allow", catch_up_s=2 * HOUR), "hourly", NINE, late, RUNS)
    assert missed == Decision((NINE + 2 * HOUR, NINE + 3 * HOUR), NINE + 4 * HOUR)


def test_many_missed_instants_start_in_parts() -> None:
    spec = a_spec(cron=None, every_s=1.0, overlap="allow")
    first = decide(spec, "often", NINE, NINE + 250, None)
    assert (len(first.fire), first.next_at) == (AT_ONCE, NINE + AT_ONCE)
    assert len(decide(spec, "often", first.next_at, NINE + 250, None).fire) == AT_ONCE


def test_jitter_is_a_constant_part_of_its_own_for_each_schedule() -> None:
    spec = a_spec(jitter_s=600.0)
    delays = {spec.delay_s(f"schedule-{number}") for number in range(100)}
    assert len(delays) > 90
    assert 0 <= min(delays) < 60
    assert 540 < max(delays) < 600
    delay = spec.delay_s("hourly")
    due_at = spec.next_at("hourly", NINE - 1 + delay)
    assert due_at == NINE + delay
    assert decide(spec, "hourly", due_at, due_at + 0.5, None) == Decision((NINE,), NINE + HOUR + delay)


def test_nothing_fires_before_the_start_or_after_the_end() -> None:
    spec = a_spec(start=NINE, end=NINE + HOUR)
    assert spec.next_at("hourly", NINE - 5 * HOUR) == NINE
    assert decide(spec, "hourly", NINE + HOUR, NINE + HOUR, None) == Decision((NINE + HOUR,), math.inf)
    assert list(spec.between(NINE - HOUR, NINE + 9 * HOUR)) == [NINE, NINE + HOUR]
    assert spec.latest(NINE + 9 * HOUR, NINE - HOUR) == NINE + HOUR


def test_the_id_of_a_firing_says_for_which_instant_it_is() -> None:
    id_ = firing_id("daily", NINE)
    assert id_ == "daily/2026-01-01T09:00:00Z"
    assert scheduled_at(id_) == scheduled_at(f"{id_}/child") == datetime(2026, 1, 1, 9, tzinfo=UTC)
    assert scheduled_at("daily") is scheduled_at("order/child") is None


@pytest.mark.parametrize("spec", [a_spec(), a_spec(cron=None, every_s=5.0, tags={"team": "blue"}, start=NINE)])
def test_a_spec_is_what_it_was_after_the_store(spec: Spec) -> None:
    assert spec_from(spec.to_json()) == spec
    assert spec_from(spec.to_json().replace(b'"kind"', b'"new_in_a_later_version": 1, "kind"')) == spec
