"""Who may start now: limits of concurrency and rate, in order of priority and fair between keys. Pure.

The store reads what is held and what waits, asks ``decide``, and writes the answer, all in one transaction::

    rules, slots, meters, now  ->  decide  ->  who is admitted, new meters, when to look again, who waits for what

**Concurrency** is the sum of units over slots that are held. A slot is a lease: it belongs to an owner and counts while
that owner lives. There is no counter that a crash could leave wrong.

**Rate** is the generic cell rate algorithm (ITU-T I.371, 1993; the virtual scheduling form): one instant per limit and
key, the *theoretical arrival time*. A start of ``u`` units moves it ``u * per / count`` seconds on from where it is or
from now; a start is admitted if it then lies at most ``burst * per / count`` seconds ahead. That is a token bucket of
``burst`` tokens without a clock that ticks.

**Order**: larger priority first. Among equals the key (``fair``) that was served least: start-time fair queuing (Goyal,
Vin, Cheng, SIGCOMM 1996). A key's start tag is the larger of its last finish tag and the limit's virtual time, so who
comes late is not paid for the past, and who asks for a thousand starts waits behind everybody else's first. Among equals
of one key, who asked first. Nobody is overtaken: what cannot start keeps its limit closed to those behind it, so heavy
units do not starve.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, TypeAlias

Meter: TypeAlias = tuple[str, str, str]
"""(limit, key, ``rate`` | ``served`` | ``virtual``)."""
RATE: Final = "rate"
SERVED: Final = "served"
VIRTUAL: Final = "virtual"


@dataclass(frozen=True, slots=True)
class Rule:
    """What a limit allows for each key: units held at a time; ``count`` units started per ``per`` seconds, and
    ``burst`` at once. None: not limited."""

    concurrency: int | None = None
    count: float | None = None
    per: float = 1.0
    burst: float | None = None


def rule_data(rule: Rule) -> dict[str, float]:
    """A rule as plain data, without what it does not limit."""
    given = {"concurrency": rule.concurrency, "count": rule.count, "burst": rule.burst}
    if rule.count is not None:
        given["per"] = rule.per
    return {name: value for name, value in given.items() if value is not None}


class Claim(NamedTuple):
    """What one start needs of one limit. ``key`` chooses the bucket, ``fair`` whose turn it is within it."""

    limit: str
    key: str = ""
    units: float = 1.0
    fair: str = ""


class Slot(NamedTuple):
    """Somebody who holds what they claim, or (``held_at`` None) waits for it. ``owner`` answers for it while it lives."""

    id: str
    owner: str
    priority: int
    asked_at: float
    claims: tuple[Claim, ...]
    held_at: float | None = None
    execution: str = ""
    task: str | None = None


@dataclass(frozen=True, slots=True)
class Blocked:
    """Why a slot waits: the limit and key that are not open. ``until``: when time opens them, None when only others do."""

    limit: str
    key: str
    until: float | None = None


@dataclass(slots=True)
class Decision:
    """``admitted`` in order; ``meters`` that moved; ``look_at``: when time alone admits somebody; ``blocked`` by id."""

    admitted: list[str] = field(default_factory=list)
    meters: dict[Meter, float] = field(default_factory=dict)
    look_at: float | None = None
    blocked: dict[str, Blocked] = field(default_factory=dict)


def decide(rules: Mapping[str, Rule], slots: Iterable[Slot], meters: Mapping[Meter, float], now: float) -> Decision:
    """Who of those that wait may start now."""
    return _Deciding(rules, list(slots), meters, now).decide()


class _Deciding:
    def __init__(
        self, rules: Mapping[str, Rule], slots: Sequence[Slot], meters: Mapping[Meter, float], now: float
    ) -> None:
        self.rules = rules
        self.waiting = [slot for slot in slots if slot.held_at is None]
        self.now = now
        self.before = meters
        self.out = Decision()
        self.used: dict[tuple[str, str], float] = {}
        self.closed: dict[tuple[str, str], Blocked] = {}
        for slot in slots:
            if slot.held_at is not None:
                self._hold(slot)

    def decide(self) -> Decision:
        heap = [(-slot.priority, self._tag(slot), slot.asked_at, slot.id, slot) for slot in self.waiting]
        heapq.heapify(heap)
        while heap:
            urgency, tag, asked_at, id_, slot = heapq.heappop(heap)
            moved = self._tag(slot)
            if moved > tag:  # others of its key were served meanwhile
                heapq.heappush(heap, (urgency, moved, asked_at, id_, slot))
                continue
            blocked = self._blocked(slot)
            if blocked is None:
                self._admit(slot)
            else:
                self.out.blocked[id_] = blocked
                self.closed.setdefault((blocked.limit, blocked.key), blocked)
                if blocked.until is not None and (self.out.look_at is None or blocked.until < self.out.look_at):
                    self.out.look_at = blocked.until
        return self.out

    def _meter(self, meter: Meter) -> float:
        found = self.out.meters.get(meter)
        return self.before.get(meter, 0.0) if found is None else found

    def _tag(self, slot: Slot) -> float:
        """The start tag of whoever's turn it is; 0 where no limit is shared out."""
        for claim in slot.claims:
            if claim.fair:
                served = self._meter((claim.limit, claim.key + "\0" + claim.fair, SERVED))
                return max(served, self._meter((claim.limit, claim.key, VIRTUAL)))
        return 0.0

    def _blocked(self, slot: Slot) -> Blocked | None:
        for claim in slot.claims:
            place = (claim.limit, claim.key)
            if place in self.closed:
                return self.closed[place]
            rule = self.rules.get(claim.limit)
            if rule is None:
                continue
            used = self.used.get(place, 0.0)
            # Who asks for more than there is runs alone: waiting would never end.
            if rule.concurrency is not None and used + claim.units > rule.concurrency and used > 0:
                return Blocked(claim.limit, claim.key)
            if rule.concurrency == 0:
                return Blocked(claim.limit, claim.key)
            opens_at = self._opens_at(rule, claim)
            if opens_at > self.now + 1e-9:
                return Blocked(claim.limit, claim.key, opens_at)
        return None

    def _opens_at(self, rule: Rule, claim: Claim) -> float:
        if rule.count is None:
            return self.now
        step, burst = _pace(rule)
        arrival = max(self.now, self._meter((claim.limit, claim.key, RATE)))
        return arrival + min(claim.units, burst) * step - burst * step

    def _admit(self, slot: Slot) -> None:
        self.out.admitted.append(slot.id)
        self._hold(slot)
        for claim in slot.claims:
            rule = self.rules.get(claim.limit)
            if rule is not None and rule.count is not None:
                meter = (claim.limit, claim.key, RATE)
                self.out.meters[meter] = max(self.now, self._meter(meter)) + claim.units * _pace(rule)[0]
            if claim.fair:
                served, virtual = (
                    (claim.limit, claim.key + "\0" + claim.fair, SERVED),
                    (claim.limit, claim.key, VIRTUAL),
                )
                start = max(self._meter(served), self._meter(virtual))
                self.out.meters[virtual] = start
                self.out.meters[served] = start + claim.units

    def _hold(self, slot: Slot) -> None:
        for claim in slot.claims:
            place = (claim.limit, claim.key)
            self.used[place] = self.used.get(place, 0.0) + claim.units


def _pace(rule: Rule) -> tuple[float, float]:
    """Seconds per unit, and units at once."""
    assert rule.count is not None
    return rule.per / rule.count, rule.count if rule.burst is None else rule.burst
