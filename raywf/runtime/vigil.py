"""When an actor that has fallen silent is asked, when its successor is made ready, and when it is replaced.

An owner renews its lease every third of its length, so a lease with less than 0.6 of it left is overdue. Waiting for its end
before anything is asked would add the wait for an answer and the start of a process to every takeover; so both happen
while the lease still runs, and what is left for its end is one claim:

    renewed ......... overdue: ask ... no answer: start a process ......... lapsed: replace
    0                 0.4 of it        not earlier than START_S before      1.0 of it

The process that is started early holds nothing and touches nothing until it is told to begin. Nobody is replaced who
answers, whose lease still runs, or who has had less than ``ANSWER_S`` to answer: a supervisor that was itself
paused finds every lease lapsed. Pure: values in, values out.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass

OVERDUE = 0.6
"""Share of a lease that is left when a renewal is late by a fifth of its interval."""
EARLY_S = 3.0
"""However long a lease is, nobody is asked earlier than this before its end."""
START_S = 1.8
"""What the start of a process takes on a busy machine."""
SILENT_S = 0.4
"""Without an answer for so long, a successor is worth its start."""
ANSWER_S = 1.5
"""How long an actor has to answer before it is replaced."""
LOOK_S = 1.0
_LEAST_LOOK_S = 0.25
_TICK_S = 0.001


class Verdict(enum.Enum):
    TRUST = "trust"
    WAIT = "wait"
    PREPARE = "prepare"
    REPLACE = "replace"


@dataclass(frozen=True, slots=True)
class Doubt:
    """What is known of an actor whose lease is overdue. Wall times in s; ``waited_s`` since it was asked; ``answered`` is
    None before an answer, and False for one that says it does not serve."""

    expires_at: float
    lease_s: float
    waited_s: float
    answered: bool | None
    prepared: bool


def overdue_at(expires_at: float, lease_s: float) -> float:
    """The moment from which a lease that ends then should have been renewed."""
    return expires_at - min(OVERDUE * lease_s, EARLY_S)


def next_look_s(leases: Iterable[tuple[float, float]], now: float) -> float:
    """How long to wait before the leases, (expires_at, lease_s) each, are read again: until the next is overdue."""
    soonest = min((overdue_at(*lease) for lease in leases), default=now + LOOK_S) - now
    return min(LOOK_S, max(_LEAST_LOOK_S, soonest))


def judge(doubt: Doubt, now: float) -> tuple[Verdict, float]:
    """What to do, and with ``WAIT`` for how many seconds at most before this is asked again."""
    if doubt.answered or now < overdue_at(doubt.expires_at, doubt.lease_s):
        return Verdict.TRUST, 0.0
    replace_in = max(doubt.expires_at - now, ANSWER_S - doubt.waited_s if doubt.answered is None else 0.0)
    if replace_in <= 0:
        return Verdict.REPLACE, 0.0
    if doubt.prepared:
        return Verdict.WAIT, max(replace_in, _TICK_S)
    prepare_in = max(SILENT_S - doubt.waited_s, replace_in - START_S)
    return (Verdict.PREPARE, 0.0) if prepare_in <= 0 else (Verdict.WAIT, max(prepare_in, _TICK_S))
