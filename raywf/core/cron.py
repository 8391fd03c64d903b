"""Cron lines: parsed with the place of every mistake, and asked for the instants at which they are due. Pure.

Five fields as in Vixie's cron of Debian, whose rules these are: minute, hour, day of month, month, day of week. ``*``, lists,
ranges, steps, names; ``L`` as a day of month is its last day, ``FRI#2`` the second Friday, ``FRI#L`` the last one. Where both
days are restricted either fits; where one begins with ``*`` both must.

**When clocks change.** A line whose minute or hour begins with ``*`` means an interval: it follows real time, so it fires in both
passes of a repeated hour and not in an hour that is left out. Any other line means a time of day: it fires once in a repeated
hour, in the first pass, and what falls into an hour that is left out fires at the moment after it.

A library was looked for. cronsim has the same rules and is well kept, but says "Bad minute" for all that is wrong, and needs a
local clock to count minute by minute; croniter computed these hours wrongly for years. So the tests compare with cronsim.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from difflib import get_close_matches

_DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_LONGEST = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
ALIASES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_HORIZON_DAYS = 366 * 41
"""A 29 February that must be a given weekday comes after 40 years at the latest."""

_MINUTE_S, _DAY_S = 60, 86_400
_LAST = -1


class CronError(ValueError):
    """A cron line that cannot be meant, with the place and what to write instead."""


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()
    first: int = 0
    """The number of the first name."""


_FIELDS = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of month", 1, 31),
    _Field("month", 1, 12, _MONTHS, 1),
    _Field("day of week", 0, 7, _DAYS),
)


@dataclass(frozen=True, slots=True)
class Cron:
    """A cron line that was understood. ``times`` are its minutes of a day; in ``nth`` are (weekday, which of the month)."""

    text: str
    times: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    nth: frozenset[tuple[int, int]]
    both_days: bool
    is_interval: bool

    def following(self, after: float, zone: tzinfo) -> float | None:
        """The first instant later than ``after`` (epoch seconds); None: there is none in 40 years."""
        day = datetime.fromtimestamp(after, zone).date() - timedelta(days=1)
        for _ in range(_HORIZON_DAYS):
            found = self._first_after(day, after, zone)
            if found is not None:
                # Where a day is turned back to the day before, an instant of the next day may come earlier.
                other = self._first_after(day + timedelta(days=1), after, zone)
                return found if other is None else min(found, other)
            day = self._skip(day + timedelta(days=1))
        return None

    def latest(self, until: float, zone: tzinfo, since: float) -> float | None:
        """The last instant in [since, until]; None: there is none."""
        day = datetime.fromtimestamp(until, zone).date() + timedelta(days=1)
        first = datetime.fromtimestamp(since, zone).date() - timedelta(days=1)
        best: float | None = None
        while day >= first:
            for at in self._instants(day, zone):
                if since <= at <= until and (best is None or at > best):
                    best = at
            if best is not None and datetime.fromtimestamp(best, zone).date() > day:
                break
            day -= timedelta(days=1)
        return best

    def _first_after(self, day: date, after: float, zone: tzinfo) -> float | None:
        if not self.fits(day):
            return None
        offset = _one_offset(day, zone)
        if offset is None:
            return min((at for at in self._instants(day, zone) if at > after), default=None)
        midnight = _midnight(day) - offset
        place = bisect_right(self.times, (after - midnight) / _MINUTE_S)
        return midnight + self.times[place] * _MINUTE_S if place < len(self.times) else None

    def _instants(self, day: date, zone: tzinfo) -> Iterator[float]:
        """The instants of one day of the calendar, in no order."""
        if not self.fits(day):
            return
        offset = _one_offset(day, zone)
        for minute in self.times:
            if offset is not None:
                yield _midnight(day) - offset + minute * _MINUTE_S
                continue
            wall = datetime(day.year, day.month, day.day, minute // 60, minute % 60, tzinfo=zone)
            first, second = wall.timestamp(), wall.replace(fold=1).timestamp()
            if first == second:
                yield first
            elif first < second:  # this hour is there twice
                yield first
                if self.is_interval:
                    yield second
            elif not self.is_interval:  # this hour is left out: first and second are what either offset makes of it
                yield _moment_after(second, first, zone)

    def fits(self, day: date) -> bool:
        """Whether the line has instants on a day."""
        if day.month not in self.months:
            return False
        weekday = day.isoweekday() % 7
        length = monthrange(day.year, day.month)[1]
        in_month = day.day in self.days or (_LAST in self.days and day.day == length)
        which = (day.day + 6) // 7
        in_week = (
            weekday in self.weekdays
            or (weekday, which) in self.nth
            or ((weekday, _LAST) in self.nth and day.day + 7 > length)
        )
        return (in_month and in_week) if self.both_days else (in_month or in_week)

    def _skip(self, day: date) -> date:
        """The first day from ``day`` on whose month is meant."""
        while day.month not in self.months:
            day = date(day.year + day.month // 12, day.month % 12 + 1, 1)
        return day


def _midnight(day: date) -> int:
    return (day - date(1970, 1, 1)).days * _DAY_S


def _one_offset(day: date, zone: tzinfo) -> float | None:
    """The offset from UTC in seconds, where it is the same from noon before to noon after the day; else None."""
    noon = datetime(day.year, day.month, day.day, 12, tzinfo=zone)
    offsets = {(noon + timedelta(days=days)).utcoffset() for days in (-1, 0, 1)}
    offset = offsets.pop()
    return offset.total_seconds() if not offsets and offset is not None else None


def _moment_after(low: float, high: float, zone: tzinfo) -> float:
    """The instant at which clocks go forward, between two instants around it."""
    low, high = low // _MINUTE_S, high // _MINUTE_S
    before = datetime.fromtimestamp(low * _MINUTE_S, zone).utcoffset()
    while high - low > 1:
        middle = (low + high) // 2
        if datetime.fromtimestamp(middle * _MINUTE_S, zone).utcoffset() == before:
            low = middle
        else:
            high = middle
    return high * _MINUTE_S


# parsing


def parse_cron(text: object) -> Cron:
    """Understand a cron line. Raises ``CronError`` with the field, the column and what to write."""
    if not isinstance(text, str) or not text.strip():
        raise CronError(f"cron is {text!r}: a cron line has five fields, as in '0 7 * * *' (every day at 7:00)")
    line = text.strip()
    if line.startswith("@"):
        line = _alias(line)
    words = [(match.group(), match.start() + 1) for match in re.finditer(r"\S+", line)]
    if len(words) != len(_FIELDS):
        raise CronError(_wrong_number(text, words))
    parsed = [_parse_field(text, field, *word) for field, word in zip(_FIELDS, words, strict=True)]
    minutes, hours, days, months, weekdays = ({each for each in one if isinstance(each, int)} for one in parsed)
    nth = frozenset(each for each in parsed[4] if isinstance(each, tuple))
    stars = [word.startswith("*") for word, _ in words]
    cron = Cron(
        line,
        tuple(sorted(60 * hour + minute for hour in hours for minute in minutes)),
        frozenset(days),
        frozenset(months),
        frozenset(day % 7 for day in weekdays),
        nth,
        stars[2] or stars[4],
        stars[0] or stars[1],
    )
    longest = max(_LONGEST[month - 1] for month in months)
    if cron.both_days and days and _LAST not in days and min(days) > longest:
        raise _wrong(
            text, _FIELDS[2], *words[2], f"no month of {words[3][0]!r} has more than {longest} days: it never comes"
        )
    return cron


def _alias(line: str) -> str:
    found = ALIASES.get(line.lower())
    if found is None:
        close = get_close_matches(line.lower(), list(ALIASES), n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise CronError(f"cron {line!r} is not known.{hint} There are {', '.join(ALIASES)}")
    return found


def _wrong_number(text: str, words: list[tuple[str, int]]) -> str:
    said = f"cron {text!r} has {len(words)} field{'s' if len(words) != 1 else ''}, and a cron line has five: "
    said += "minute hour day-of-month month day-of-week"
    if len(words) == 6:
        said += ". Seconds and years are not part of it: for less than a minute write every=10 (seconds)"
    elif len(words) < 5:
        said += f". Did you mean {' '.join([*(word for word, _ in words), *['*'] * (5 - len(words))])!r}?"
    return said


def _wrong(text: str, field: _Field, word: str, column: int, what: str) -> CronError:
    return CronError(f"cron {text!r}: {field.name} {word!r} (column {column}): {what}")


def _parse_field(text: str, field: _Field, word: str, column: int) -> set[int | tuple[int, int]]:
    found: set[int | tuple[int, int]] = set()
    at = column
    for part in word.split(","):
        if not part:
            raise _wrong(text, field, word, at, "there is nothing between two commas: leave one out")
        found |= _parse_part(text, field, part, at)
        at += len(part) + 1
    return found


def _parse_part(text: str, field: _Field, part: str, column: int) -> set[int | tuple[int, int]]:
    if field.name == "day of month" and part.upper() == "L":
        return {_LAST}
    if "#" in part:
        return {_parse_nth(text, field, part, column)}
    span, slash, step_text = part.partition("/")
    step = 1
    if slash:
        width = field.high - field.low
        if not step_text.isdecimal() or not 1 <= int(step_text) <= width:
            raise _wrong(
                text,
                field,
                part,
                column,
                f"the step is {step_text!r}: it is a whole number from 1 to {width}, as in '*/5'",
            )
        step = int(step_text)
    if span == "*":
        low, high = field.low, field.high - (field.high == 7)
    elif "-" in span[1:]:
        first, _, second = span.partition("-")
        low = _number(text, field, first, column)
        high = _number(text, field, second, column + len(first) + 1)
        if high == 0 and second.upper() == "SUN":
            high = 7
        if low > high:
            hint = f"write {first}-{field.high},{field.low}-{second}"
            raise _wrong(text, field, part, column, f"{first} comes after {second}: {hint}")
    else:
        low = _number(text, field, span, column)
        high = field.high if slash else low
    return set(range(low, high + 1, step))


def _parse_nth(text: str, field: _Field, part: str, column: int) -> tuple[int, int]:
    if field.name != "day of week":
        raise _wrong(
            text, field, part, column, "'#' says which weekday of a month, and belongs to the day of week: FRI#2"
        )
    day, _, which = part.partition("#")
    weekday = _number(text, field, day, column) % 7
    if which.upper() == "L":
        return weekday, _LAST
    if which not in ("1", "2", "3", "4", "5"):
        raise _wrong(text, field, part, column, f"{which!r} is not which one of the month: 1 to 5, or L for the last")
    return weekday, int(which)


def _number(text: str, field: _Field, word: str, column: int) -> int:
    upper = word.upper()
    if upper in field.names:
        return field.names.index(upper) + field.first
    values = f"{field.low} to {field.high}" + (f" or {field.names[0]} to {field.names[-1]}" if field.names else "")
    if word.isascii() and word.isdecimal():
        if field.low <= int(word) <= field.high:
            return int(word)
        hint = " Did you mean 0, which is midnight?" if field.name == "hour" and int(word) == 24 else ""
        raise _wrong(text, field, word, column, f"it is {values}.{hint}")
    if word == "?":
        raise _wrong(text, field, word, column, "'?' is not known here: write '*'")
    close = get_close_matches(upper, list(field.names), n=1, cutoff=0.5) or [
        name for name in field.names if upper.startswith(name)
    ]
    hint = f" Did you mean {close[0]!r}?" if close else ""
    raise _wrong(text, field, word, column, f"it is {values}.{hint}")


def words_of(at: float) -> str:
    """An instant as part of an id: ``2026-03-29T01:30:00Z``."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
