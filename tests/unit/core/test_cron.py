"""Cron lines: what they mean, what is refused and where, and what happens when clocks change."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim, CronSimError
from hypothesis import given, settings
from hypothesis import strategies as st

from raywf.core.cron import CronError, parse_cron

BERLIN, NEW_YORK, SYDNEY = map(ZoneInfo, ("Europe/Berlin", "America/New_York", "Australia/Sydney"))


def instants(line: str, zone: ZoneInfo, after: str, count: int) -> list[str]:
    cron, at, found = parse_cron(line), datetime.fromisoformat(after).replace(tzinfo=zone).timestamp(), []
    for _ in range(count):
        following = cron.following(at, zone)
        assert following is not None
        assert following > at
        at = following
        found.append(datetime.fromtimestamp(at, zone).isoformat(timespec="minutes"))
    return found


@pytest.mark.parametrize(
    ("line", "after", "expected"),
    [
        ("0 7 * * *", "2026-01-01T07:00", "2026-01-02T07:00+00:00"),
        ("*/15 9-17 * * MON-FRI", "2026-01-02T17:45", "2026-01-05T09:00+00:00"),
        ("0 0 29 2 *", "2026-01-01T00:00", "2028-02-29T00:00+00:00"),
        ("0 0 L * *", "2026-02-01T00:00", "2026-02-28T00:00+00:00"),
        ("0 0 * * FRI#2", "2026-01-01T00:00", "2026-01-09T00:00+00:00"),
        ("0 0 * * 5#L", "2026-01-01T00:00", "2026-01-30T00:00+00:00"),
        ("0 0 13 * FRI", "2026-01-01T00:00", "2026-01-02T00:00+00:00"),
        ("@weekly", "2026-01-01T00:00", "2026-01-04T00:00+00:00"),
        ("0 0 * * sat-sun", "2026-01-01T00:00", "2026-01-03T00:00+00:00"),
        ("5/20 * * * *", "2026-01-01T00:06", "2026-01-01T00:25+00:00"),
    ],
)
def test_a_line_is_due_when_it_says(line: str, after: str, expected: str) -> None:
    assert instants(line, ZoneInfo("UTC"), after, 1) == [expected]


def test_in_the_gap_hour_a_time_of_day_fires_right_after_it() -> None:
    assert instants("30 2 * * *", BERLIN, "2026-03-28T02:30", 2) == ["2026-03-29T03:00+02:00", "2026-03-30T02:30+02:00"]
    assert instants("30 2 * * *", NEW_YORK, "2026-03-07T02:30", 1) == ["2026-03-08T03:00-04:00"]


def test_in_the_gap_hour_of_the_southern_hemisphere_a_time_of_day_fires_right_after_it() -> None:
    assert instants("30 2 * * *", SYDNEY, "2026-10-03T02:30", 2) == ["2026-10-04T03:00+11:00", "2026-10-05T02:30+11:00"]


def test_in_the_repeated_hour_a_time_of_day_fires_once_in_the_first_pass() -> None:
    assert instants("30 2 * * *", BERLIN, "2026-10-24T02:30", 2) == ["2026-10-25T02:30+02:00", "2026-10-26T02:30+01:00"]


def test_in_the_repeated_hour_of_the_southern_hemisphere_a_time_of_day_fires_once() -> None:
    assert instants("30 2 * * *", SYDNEY, "2026-04-04T02:30", 2) == ["2026-04-05T02:30+11:00", "2026-04-06T02:30+10:00"]


def test_an_interval_follows_real_time_through_both_passes_of_the_repeated_hour() -> None:
    assert instants("*/30 * * * *", BERLIN, "2026-10-25T01:30", 5) == [
        "2026-10-25T02:00+02:00",
        "2026-10-25T02:30+02:00",
        "2026-10-25T02:00+01:00",
        "2026-10-25T02:30+01:00",
        "2026-10-25T03:00+01:00",
    ]


def test_an_interval_does_not_fire_in_an_hour_that_is_left_out() -> None:
    assert instants("*/30 * * * *", SYDNEY, "2026-10-04T01:30", 2) == [
        "2026-10-04T03:00+11:00",
        "2026-10-04T03:30+11:00",
    ]


def test_a_change_by_half_an_hour_and_one_at_midnight_and_a_day_that_is_left_out() -> None:
    assert instants("15 2 * * *", ZoneInfo("Australia/Lord_Howe"), "2026-10-03T02:15", 1) == ["2026-10-04T02:30+11:00"]
    assert instants("30 0 * * *", ZoneInfo("America/Havana"), "2026-03-07T00:30", 1) == ["2026-03-08T01:00-04:00"]
    assert instants("0 7 * * *", ZoneInfo("Pacific/Apia"), "2011-12-29T07:00", 2) == [
        "2011-12-31T00:00+14:00",  # the 30th was left out
        "2011-12-31T07:00+14:00",
    ]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("61 7 * * *", "minute '61' (column 1): it is 0 to 59"),
        ("0 24 * * *", "hour '24' (column 3): it is 0 to 23. Did you mean 0"),
        ("0 7 * * MNO", "(column 9): it is 0 to 7 or SUN to SAT. Did you mean 'MON'?"),
        ("0 7 * JANUARY *", "(column 7): it is 1 to 12 or JAN to DEC. Did you mean 'JAN'?"),
        (
            "0 7 * *",
            "has 4 fields, and a cron line has five: minute hour day-of-month month day-of-week. Did you mean '0 7 * * *'?",
        ),
        ("0 0 7 * * *", "has 6 fields"),
        ("0 0 7 * * *", "write every=10"),
        ("*/0 * * * *", "the step is '0': it is a whole number from 1 to 59"),
        ("*/90 * * * *", "the step is '90'"),
        ("0 22-6 * * *", "22 comes after 6: write 22-23,0-6"),
        ("1,,2 * * * *", "(column 3): there is nothing between two commas"),
        ("0 0 31 2 *", "no month of '2' has more than 29 days"),
        ("0 0 ? * *", "write '*'"),
        ("0 0 2#3 * *", "belongs to the day of week"),
        ("0 0 * * FRI#6", "1 to 5, or L"),
        ("@dayly", "Did you mean '@daily'?"),
        ("", "has five fields"),
        (7, "cron is 7"),
        ("² * * * *", "it is 0 to 59"),
    ],
)
def test_what_is_wrong_is_refused_with_its_place_and_what_to_write(line: object, said: str) -> None:
    with pytest.raises(CronError) as refused:
        parse_cron(line)
    assert said in str(refused.value)


def _field(low: int, high: int) -> st.SearchStrategy[str]:
    number = st.integers(low, high)
    span = st.tuples(number, number).map(lambda pair: f"{min(pair)}-{max(pair)}")
    step = st.integers(1, min(20, high - low)).map(lambda step: f"*/{step}")
    several = st.lists(number, min_size=1, max_size=3).map(lambda each: ",".join(map(str, each)))
    return st.one_of(st.just("*"), step, several, span)


LINES = st.tuples(_field(0, 59), _field(0, 23), _field(1, 31), _field(1, 12), _field(0, 7)).map(" ".join)
ZONES = st.sampled_from(
    [ZoneInfo("UTC"), BERLIN, NEW_YORK, SYDNEY, ZoneInfo("America/Santiago"), ZoneInfo("Asia/Kathmandu")]
)
MINUTES = st.integers(1_767_225_600 // 60, 1_830_000_000 // 60)


@settings(max_examples=150, deadline=None)
@given(LINES, ZONES, MINUTES)
def test_it_agrees_with_cronsim(line: str, zone: ZoneInfo, minute: int) -> None:
    """cronsim counts minute by minute what is computed here. It differs in zones that change by half hours or at midnight."""
    at = minute * 60.0
    try:
        cron = parse_cron(line)
        theirs = CronSim(line, datetime.fromtimestamp(at, zone))
    except (CronError, CronSimError):
        return
    for expected, _ in zip(theirs, range(3), strict=False):
        following = cron.following(at, zone)
        if following is None:
            assert expected.year > 2060  # beyond our horizon
            return
        assert datetime.fromtimestamp(following, UTC) == expected.astimezone(UTC)
        assert cron.latest(following, zone, at) == following
        at = following


@settings(max_examples=60, deadline=None)
@given(LINES, st.sampled_from(["Australia/Lord_Howe", "America/Havana", "Pacific/Apia", "Asia/Beirut"]), MINUTES)
def test_instants_rise_and_none_is_between_two(line: str, name: str, minute: int) -> None:
    try:
        cron = parse_cron(line)
    except CronError:
        return
    zone, at, found = ZoneInfo(name), minute * 60.0, []
    for _ in range(4):
        following = cron.following(at, zone)
        if following is None:
            break
        assert following > at
        at = following
        found.append(at)
    for one, other in pairwise(found):
        assert cron.latest(other - 1, zone, one) == one
