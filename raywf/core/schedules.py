"""When a schedule fires, and what happens while its last execution still runs. Pure: the time is handed in.

Instants are *nominal*: what the cron line says. A schedule with jitter is due its own constant part of it later. The id of a firing's
execution is ``SCHEDULE/INSTANT``, so whoever decides the same again starts nothing a second time.
"""

from __future__ import annotations

import json
import math
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, fields
from datetime import UTC, datetime, tzinfo
from functools import cached_property, lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

from raywf.core.cron import Cron, parse_cron, words_of

OVERLAPS = ("skip", "allow", "buffer_one", "cancel_previous")
"""What an instant does while the execution that was started last still runs: nothing; it starts too; the latest such instant
starts when that one has ended; that one is cancelled, and the latest instant starts when it has ended."""

AT_ONCE = 100
"""How many instants of one schedule start in one look, at most."""


@dataclass(frozen=True)
class Spec:
    """What a schedule says, as it is stored. Times are epoch seconds, spans seconds."""

    workflow: str
    definition: str
    input: str
    fingerprint: str
    cron: str | None = None
    every_s: float | None = None
    timezone: str = "UTC"
    overlap: str = "skip"
    jitter_s: float = 0.0
    start: float | None = None
    end: float | None = None
    catch_up_s: float = 3600.0
    priority: int = 0
    tags: dict[str, str] | None = None
    by: str | None = None
    follow: bool = False
    """Whether it starts the current version of its workflow, instead of the one that it was made with."""

    def to_json(self) -> bytes:
        said = {each.name: getattr(self, each.name) for each in fields(self)}
        return json.dumps({"kind": "schedule"} | said, sort_keys=True, ensure_ascii=False).encode()

    @cached_property
    def zone(self) -> tzinfo:
        return UTC if self.timezone == "UTC" else ZoneInfo(self.timezone)

    @cached_property
    def _cron(self) -> Cron | None:
        return None if self.cron is None else parse_cron(self.cron)

    def following(self, after: float) -> float | None:
        """The first nominal instant later than ``after``."""
        if self.start is not None and after < self.start:
            after = self.start - 0.001
        if self._cron is not None:
            found = self._cron.following(after, self.zone)
        else:
            assert self.every_s is not None
            found = (math.floor(after / self.every_s) + 1) * self.every_s
        return found if found is not None and (self.end is None or found <= self.end) else None

    def latest(self, until: float, since: float) -> float | None:
        """The last nominal instant in [since, until]."""
        since = since if self.start is None else max(since, self.start)
        until = until if self.end is None else min(until, self.end)
        if since > until:
            return None
        if self._cron is not None:
            return self._cron.latest(until, self.zone, since)
        assert self.every_s is not None
        found = math.floor(until / self.every_s) * self.every_s
        return found if found >= since else None

    def between(self, since: float, until: float) -> Iterator[float]:
        """The nominal instants in [since, until], in order."""
        at = self.following(since - 0.001)
        while at is not None and at <= until:
            yield at
            at = self.following(at)

    def delay_s(self, schedule: str) -> float:
        """How much later than its instants this schedule is due: its own part of the jitter, in whole milliseconds."""
        return math.floor(zlib.crc32(schedule.encode()) / 2**32 * self.jitter_s * 1000) / 1000

    def next_at(self, schedule: str, after: float) -> float:
        """When it is due next after a time; infinite where it never is."""
        delay = self.delay_s(schedule)
        found = self.following(after - delay)
        return math.inf if found is None else found + delay


def kind_of(spec: bytes) -> str:
    """What a row of the store's schedules is."""
    return str(json.loads(spec).get("kind", ""))


@lru_cache(maxsize=1024)
def spec_from(spec: bytes) -> Spec:
    """A stored schedule. What a newer raywf added is left out."""
    known = {each.name for each in fields(Spec)}
    return Spec(**{name: value for name, value in json.loads(spec).items() if name in known})


class Previous(NamedTuple):
    """The execution that was started last. ``ended_at`` None: it is open."""

    id: str
    ended_at: float | None


class Decision(NamedTuple):
    """What a schedule does now: the instants that start, when to look again, and whether the previous execution is cancelled."""

    fire: tuple[float, ...]
    next_at: float
    cancel: bool = False


def decide(spec: Spec, schedule: str, due_at: float, now: float, previous: Previous | None) -> Decision:
    """What a schedule does that was due at ``due_at``. Nothing while it is not due.

    Instants that are older than ``catch_up_s`` were missed and stay so, unless they waited for the previous execution. Of several
    instants the latest starts; with overlap ``allow`` all of them do, the oldest first.
    """
    if due_at > now:
        return Decision((), due_at)
    delay = spec.delay_s(schedule)
    following = spec.next_at(schedule, now)
    is_open = previous is not None and previous.ended_at is None
    if is_open and spec.overlap == "skip":
        return Decision((), following)
    if is_open and spec.overlap != "allow":
        return Decision((), due_at, cancel=spec.overlap == "cancel_previous")
    since = max(due_at, now - spec.catch_up_s)
    if spec.overlap != "allow":
        ended_at = previous.ended_at if previous is not None else None
        if spec.overlap != "skip" and ended_at is not None and due_at <= ended_at and now - ended_at <= spec.catch_up_s:
            since = due_at  # it waited for the previous one, which ended just now
        found = spec.latest(now - delay, since - delay)
        return Decision(() if found is None else (found,), following)
    fire: list[float] = []
    for at in spec.between(since - delay, now - delay):
        if len(fire) == AT_ONCE:
            return Decision(tuple(fire), at + delay)
        fire.append(at)
    return Decision(tuple(fire), following)


def firing_id(schedule: str, at: float) -> str:
    """The execution of one instant of a schedule."""
    return f"{schedule}/{words_of(at)}"


_INSTANT = re.compile(r"[^/]+/(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)(?:/|\Z)")


def scheduled_at(execution_id: str) -> datetime | None:
    """The instant for which an execution, or the execution it is a child of, was started by a schedule."""
    found = _INSTANT.match(execution_id)
    return None if found is None else datetime.strptime(found[1], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)


def words_for(spec: Spec) -> str:
    """When it fires, in words."""
    if spec.cron is not None:
        return f"cron {spec.cron!r} in {spec.timezone}"
    return f"every {spec.every_s:g} s"
