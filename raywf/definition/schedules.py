"""When something starts by itself: cron lines, zones and spans, checked where they are given."""

from __future__ import annotations

import functools
import math
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import available_timezones

from raywf.core.cron import CronError, parse_cron
from raywf.core.schedules import OVERLAPS, Spec
from raywf.definition.lines import did_you_mean
from raywf.errors import DefinitionError, InvalidInput

TIMETABLE = ("cron", "every", "timezone", "overlap", "jitter", "start", "end", "catch_up")
CATCH_UP_S = 3600.0


def on_cron(
    cron: str,
    *,
    timezone: str = "UTC",
    overlap: str = "skip",
    jitter: float = 0.0,
    catch_up: float = CATCH_UP_S,
    args: Any = None,
    id: str | None = None,
    follow: bool = False,
) -> dict[str, Any]:
    """A trigger for ``@workflow(triggers=[…])``: start at the instants of a cron line, as ``engine.schedule`` says. It takes
    effect with ``engine.register(workflow)``. ``args`` is JSON and stands for the arguments. ``follow``: it starts the version
    of its workflow that is deployed, not the one it was made with. Raises ``DefinitionError``."""
    trigger = {
        "type": "cron",
        "cron": cron,
        "timezone": timezone,
        "overlap": overlap,
        "jitter": jitter,
        "catch_up": catch_up,
        "args": args,
        "id": id,
        "follow": follow,
    }
    usual: dict[str, Any] = {"timezone": "UTC", "overlap": "skip", "jitter": 0.0, "catch_up": CATCH_UP_S}
    usual |= {"args": None, "id": None, "follow": False}
    check_cron_trigger("raywf.on_cron", trigger)
    return {name: value for name, value in trigger.items() if name not in usual or value != usual[name]}


def check_cron_trigger(who: str, trigger: dict[str, Any]) -> None:
    known = ("type", *TIMETABLE, "args", "id", "follow")
    for name in trigger:
        if name not in known:
            raise DefinitionError(f"{who}: a cron trigger has no field {name!r}.{did_you_mean(name, known)}")
    try:
        timetable({name: trigger[name] for name in TIMETABLE if name in trigger})
    except InvalidInput as error:
        raise DefinitionError(f"{who}: {error}") from None


def timetable(given: dict[str, Any]) -> dict[str, Any]:
    """The fields of a ``Spec`` that say when, checked. Raises ``InvalidInput`` with the value and what to write."""
    cron, every = given.get("cron"), given.get("every")
    if (cron is None) == (every is None):
        what = "neither cron nor every" if cron is None else "both cron and every"
        raise InvalidInput(f"a schedule with {what}: give one, as in cron='0 7 * * *' or every=3600 (seconds)")
    if cron is not None:
        try:
            parse_cron(cron)
        except CronError as error:
            raise InvalidInput(str(error)) from None
    overlap = given.get("overlap", "skip")
    if overlap not in OVERLAPS:
        raise InvalidInput(f"overlap={overlap!r} is one of {', '.join(OVERLAPS)}.{did_you_mean(overlap, OVERLAPS)}")
    start, end = (_instant(name, given.get(name)) for name in ("start", "end"))
    if start is not None and end is not None and end <= start:
        raise InvalidInput(f"end={given['end']} is not after start={given['start']}: it would never fire")
    every_s = None if every is None else _span("every", every, 1.0)
    if every_s is not None and every_s != math.floor(every_s):
        raise InvalidInput(f"every={every!r}: it is a whole number of seconds")
    return {
        "cron": cron,
        "every_s": every_s,
        "timezone": check_timezone(given.get("timezone", "UTC")),
        "overlap": overlap,
        "jitter_s": _span("jitter", given.get("jitter", 0.0), 0.0),
        "start": start,
        "end": end,
        "catch_up_s": _span("catch_up", given.get("catch_up", CATCH_UP_S), 0.0),
    }


def check_timezone(name: Any) -> str:
    """The name of a zone of the IANA database. Raises ``InvalidInput`` with the nearest one."""
    if not isinstance(name, str):
        raise InvalidInput(f"timezone={name!r} must be a zone's name, as in 'Europe/Berlin'")
    if name == "UTC":
        return name
    known = _zones()
    if name in known:
        return name
    last = {zone.rpartition("/")[2].lower(): zone for zone in sorted(known)}
    word = name.rpartition("/")[2].lower().replace(" ", "_")
    hint = f" Did you mean {last[word]!r}?" if word in last else did_you_mean(name, known)
    raise InvalidInput(
        f"timezone {name!r} is not in the IANA database.{hint} It is a name like 'Europe/Berlin' or 'UTC'"
    )


@functools.cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())


def instant_of(name: str, given: Any) -> float:
    """The epoch seconds of an aware datetime, or of its ISO text. Raises ``InvalidInput``."""
    found = _instant(name, given)
    if found is None:
        raise InvalidInput(f"{name} is missing: give a datetime with a time zone")
    return found


def _instant(name: str, given: Any) -> float | None:
    if given is None:
        return None
    if isinstance(given, str):
        try:
            given = datetime.fromisoformat(given)
        except ValueError:
            raise InvalidInput(f"{name}={given!r} is not an instant like 2026-03-29T07:00:00+02:00") from None
    if not isinstance(given, datetime) or given.tzinfo is None:
        raise InvalidInput(
            f"{name}={given!s}: without a time zone nobody knows which instant that is: write {name}=datetime(…, tzinfo=UTC), "
            "or 2026-03-29T07:00:00Z"
        )
    return given.astimezone(UTC).timestamp()


def _span(name: str, given: Any, low: float) -> float:
    if isinstance(given, timedelta):
        given = given.total_seconds()
    ok = isinstance(given, (int, float)) and not isinstance(given, bool) and math.isfinite(given) and given >= low
    if not ok:
        raise InvalidInput(f"{name}={given!r}: it is a number of seconds from {low:g}, or a timedelta")
    return float(given)


def first_instants(spec: Spec, after: float, count: int) -> list[datetime]:
    """The next ``count`` instants of a schedule, in its own zone."""
    found: list[datetime] = []
    at = spec.following(after)
    while at is not None and len(found) < count:
        found.append(datetime.fromtimestamp(at, spec.zone))
        at = spec.following(at)
    return found


__all__ = ["check_cron_trigger", "check_timezone", "first_instants", "instant_of", "on_cron", "timetable"]
