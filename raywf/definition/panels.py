"""Who is asked for an approval: the fields of it that say so, checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

ASKED: Final = ("assignee", "approvers", "required", "escalate_after", "escalate_to")
MAX_APPROVERS: Final = 1000


class Panel(NamedTuple):
    """Who is asked; ``required`` of them must approve."""

    assignee: str = ""
    approvers: tuple[str, ...] = ()
    required: int = 1
    escalate_after: Any = None
    escalate_to: tuple[str, ...] = ()


def panel_of(given: Mapping[str, Any], known: frozenset[str] | None = None) -> Panel:
    """The panel of what was given for ``ASKED``; None is the same as not given. ``known`` are the fields whose values are
    known already: what follows from others is left for when they are. Raises ``ValueError`` in words."""
    sure = frozenset(ASKED) if known is None else known
    assignee = _name("assignee", given.get("assignee")) if "assignee" in sure else ""
    approvers = _names("approvers", given.get("approvers")) if "approvers" in sure else ()
    to = _names("escalate_to", given.get("escalate_to")) if "escalate_to" in sure else ()
    required = given.get("required", 1)
    if "required" in sure and (isinstance(required, bool) or not isinstance(required, int) or required < 1):
        raise ValueError(f"required is {required!r:.60}: it counts approvals, so it is an integer from 1")
    everybody = {*approvers, *((assignee,) if assignee else ())}
    if {"required", "approvers", "assignee"} <= sure and everybody and required > len(everybody):
        raise ValueError(
            f"required is {required}, and only {len(everybody)} may approve ({', '.join(sorted(everybody)[:10])}): "
            "it could never be approved. Name more, or require fewer"
        )
    after = given.get("escalate_after")
    if (after is None) != (given.get("escalate_to") is None):
        missing, there = ("escalate_to", "escalate_after") if after is not None else ("escalate_after", "escalate_to")
        raise ValueError(f"{there} is given without {missing}: say when, and to whom, it is escalated")
    return Panel(assignee, approvers, required, after, to)


def check_order(after: object, timeout: object) -> None:
    """Raise ``ValueError`` for an escalation that comes no sooner than the end."""
    if isinstance(after, (int, float)) and isinstance(timeout, (int, float)) and after >= timeout:
        raise ValueError(
            f"escalate_after is {after:g} s and timeout {timeout:g} s: nobody could answer after the escalation. "
            "Escalate sooner, or allow more time"
        )


def _name(what: str, given: object) -> str:
    if given is None:
        return ""
    if not isinstance(given, str) or not given.strip():
        raise ValueError(f"{what} is {given!r:.60}: it is a name, as text")
    return given


def _names(what: str, given: object) -> tuple[str, ...]:
    if given is None:
        return ()
    if isinstance(given, str):
        given = [given]
    if not isinstance(given, (list, tuple)) or not given:
        raise ValueError(f"{what} is {given!r:.60}: it is a list of names")
    if len(given) > MAX_APPROVERS:
        raise ValueError(f"{what} has {len(given):,} names; the limit is {MAX_APPROVERS:,}")
    names = tuple(_name(what, each) for each in given)
    twice = next((each for at, each in enumerate(names) if not each or each in names[:at]), None)
    if twice is not None:
        raise ValueError(f"{what} has {twice!r} twice: each person counts once")
    return names
