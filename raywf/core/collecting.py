"""What becomes of submits that are not executions of their own yet: debounce, singleton, batch. Pure.

Submits of one key wait in order. Asked with their times, ``decide`` says how many of them are taken off the front, and whether they
start one execution, belong to the one that runs, or are dropped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

CONFLICTS = ("skip", "cancel_previous", "join")
KEPT_S = 120.0
"""How long it is remembered which execution a submit belongs to: longer than any client asks again."""


@dataclass(frozen=True, slots=True)
class StartRule:
    """``kind`` is ``debounce``, ``singleton`` or ``batch``; ``key`` a path into the submit, or None: all are one."""

    kind: str
    key: str | None = None
    quiet_s: float = 0.0
    max_wait_s: float | None = None
    on_conflict: str = "skip"
    max_size: int = 1
    timeout_s: float = 0.0

    @property
    def last_counts(self) -> bool:
        """Whether of several submits that start one execution the last one's arguments are meant."""
        return self.kind != "batch"


def rule_from(data: Mapping[str, Any]) -> StartRule:
    return StartRule(**data)


def start_after_s(rule: StartRule, args: Sequence[Any]) -> float:
    """How long it takes to start with what is given, if nothing more comes: of a batch a list."""
    size = len(args[0]) if rule.kind == "batch" and args and isinstance(args[0], list) else 1
    at = decide(rule, [0.0] * size, 0.0, False).look_at
    return 0.0 if at is None else at


class Verdict(NamedTuple):
    """``take`` submits off the front: they start one execution (``start``), or belong to the one that runs. ``look_at``: when
    time alone changes the answer."""

    take: int
    start: bool = False
    cancel: bool = False
    look_at: float | None = None


def decide(rule: StartRule, ats: Sequence[float], now: float, is_open: bool) -> Verdict:
    """What becomes of submits that came at ``ats``, in order; ``is_open``: the execution that was started last still runs."""
    if not ats:
        return Verdict(0)
    match rule.kind:
        case "batch":
            if len(ats) >= rule.max_size:
                return Verdict(rule.max_size, start=True)
            due = ats[0] + rule.timeout_s
        case "debounce":
            due = ats[-1] + rule.quiet_s
            if rule.max_wait_s is not None:
                due = min(due, ats[0] + rule.max_wait_s)
        case _:
            if not is_open:
                return Verdict(len(ats) if rule.on_conflict == "cancel_previous" else 1, start=True)
            if rule.on_conflict == "cancel_previous":
                return Verdict(0, cancel=True, look_at=now)
            return Verdict(len(ats))
    return Verdict(len(ats), start=True) if now >= due else Verdict(0, look_at=due)
