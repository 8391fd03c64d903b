"""How many small Ray tasks travel in one call."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from raywf.core.chunking import BRIEF_S, MAX_CHUNK, TARGET_S, Pace, brief_s, calls_in_flight, chunk_size

PACES = st.builds(Pace, st.none() | st.floats(1e-7, 1e4))
COUNTS = st.integers(0, 10**6)


@given(PACES, COUNTS, st.integers(0, 10**4))
def test_something_goes_whenever_something_is_ready_and_nobody_takes_more_than_a_fair_share(
    pace: Pace, ready: int, idle: int
) -> None:
    size = chunk_size(pace, ready, idle)
    assert (size > 0) == (ready > 0)
    assert size <= min(ready, MAX_CHUNK)
    assert size <= -(-ready // max(idle, 1)), "the other calls would stay idle"
    if size > 1:
        assert pace.seconds is not None
        assert (size - 0.5) * pace.seconds <= TARGET_S, "rounded to the nearest"


@given(st.integers(1, 10**6), st.integers(0, 10**4))
def test_what_was_never_measured_travels_alone(ready: int, idle: int) -> None:
    assert chunk_size(Pace(), ready, idle) == 1


@given(st.floats(TARGET_S, 1e6), st.integers(1, 10**6), st.integers(0, 100))
def test_what_takes_long_travels_alone(seconds: float, ready: int, idle: int) -> None:
    assert chunk_size(Pace(seconds), ready, idle) == 1


@given(st.lists(st.tuples(st.floats(0, 100), st.integers(0, 512)), min_size=1, max_size=30))
def test_the_pace_stays_between_the_slowest_and_the_fastest_that_was_seen(calls: list[tuple[float, int]]) -> None:
    pace, seen = Pace(), []
    for seconds, tasks in calls:
        seen.append(max(seconds, 1e-7) / max(tasks, 1))
        pace = pace.after(seconds, tasks)
    assert pace.seconds is not None
    assert min(seen) * (1 - 1e-9) <= pace.seconds <= max(seen) * (1 + 1e-9)


def test_the_pace_follows_a_change() -> None:
    pace = Pace().after(1.0, 1)
    for _ in range(20):
        pace = pace.after(0.001, 1)
    assert pace.seconds is not None
    assert pace.seconds < 0.01


@given(st.floats(0, 1e4), st.just(0.0) | st.floats(0.001, 64))
def test_calls_in_flight_fill_the_cluster_twice_and_are_never_fewer_than_two(cpus: float, each: float) -> None:
    calls = calls_in_flight(cpus, each)
    assert calls >= 2
    if each > 0 and cpus >= each:
        assert calls >= int(2 * cpus / each)


@given(st.floats(1e-7, 1e4), st.integers(1, 10**6), st.integers(1, 100))
def test_calls_whose_size_was_chosen_by_the_pace_are_brief_and_long_tasks_are_told_of(
    seconds: float, ready: int, idle: int
) -> None:
    size = chunk_size(Pace(seconds), ready, idle)
    if size > 1:
        assert brief_s(Pace(seconds), size) == BRIEF_S
    if seconds > 1.5 * TARGET_S:
        assert brief_s(Pace(seconds), size) == 0.0


def test_a_call_that_was_never_measured_is_told_of() -> None:
    assert brief_s(Pace(), 1) == 0.0
