"""What a start claims of its limits: paths into the execution, read. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from raywf.core.admission import Blocked, Claim
from raywf.core.plan import LimitUse

_STEP = re.compile(r"([A-Za-z_]\w*)|\[(\d+)\]")


def claims_of(limits: Iterable[LimitUse], scope: Mapping[str, Any]) -> tuple[Claim, ...]:
    """The claims of one start. ``scope`` has ``input`` and ``tags``. Raises ``ValueError`` where units are no number."""
    return tuple(Claim(use.name, _word(use.key, scope), _units(use, scope), _word(use.fair, scope)) for use in limits)


def lookup(path: str, scope: Mapping[str, Any]) -> Any:
    """What is at ``input.rows[0].size``; None where there is nothing."""
    found: Any = scope
    for name, index in _STEP.findall(path):
        if name:
            found = found.get(name) if isinstance(found, Mapping) else None
        else:
            found = found[int(index)] if isinstance(found, list) and int(index) < len(found) else None
    return found


def _word(path: str | None, scope: Mapping[str, Any]) -> str:
    found = None if path is None else lookup(path, scope)
    return "" if found is None else str(found)


def _units(use: LimitUse, scope: Mapping[str, Any]) -> float:
    if not isinstance(use.units, str):
        return use.units
    found = lookup(use.units, scope)
    if isinstance(found, bool) or not isinstance(found, (int, float)) or not 0 <= found < float("inf"):
        raise ValueError(
            f"limit {use.name!r} weighs a start by {use.units}, and that is {found!r:.60}: it must be a number from 0"
        )
    return float(found)


def words(why: Blocked) -> str:
    """What is waited for, as an owner notes it."""
    key = f" for {why.key!r}" if why.key else ""
    return f"limit: room in the limit {why.limit!r}{key}" + ("" if why.until is None else ", whose rate is used up")
