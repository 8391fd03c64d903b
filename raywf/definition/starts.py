"""How submits of a workflow become executions: ``@workflow(start=raywf.Debounce(…))`` and the like. Checked, and stored as data."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from raywf.core.claims import lookup
from raywf.core.collecting import CONFLICTS
from raywf.definition.lines import did_you_mean
from raywf.errors import DefinitionError

_PATH = re.compile(r"(input|tags)((?:\.[A-Za-z_]\w*|\[\d+\])+)\Z")
MOST_IN_A_BATCH = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Debounce:
    """Start when no submit of a key has come for ``quiet_s`` seconds, with the last one's arguments; at the latest ``max_wait_s``
    after the first. Raises ``DefinitionError``."""

    key: str | None = None
    quiet_s: float
    max_wait_s: float | None = None

    def __post_init__(self) -> None:
        start_data("Debounce", self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Singleton:
    """One execution of a key at a time. While one runs, a submit is refused (``skip``), is given that one (``join``), or has it
    cancelled and starts when it has ended (``cancel_previous``; of several that wait the last one's arguments count).
    Raises ``DefinitionError``."""

    key: str | None = None
    on_conflict: str = "skip"

    def __post_init__(self) -> None:
        start_data("Singleton", self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """One execution for up to ``max_size`` submits of a key, ``timeout`` seconds after the first at the latest. The workflow has one
    parameter, the list; each submit gives one item of it. Raises ``DefinitionError``."""

    max_size: int
    timeout: float | timedelta
    key: str | None = None

    def __post_init__(self) -> None:
        start_data("Batch", self)


Start = Debounce | Singleton | Batch
_FIELDS = {
    "debounce": ("kind", "key", "quiet_s", "max_wait_s"),
    "singleton": ("kind", "key", "on_conflict"),
    "batch": ("kind", "key", "max_size", "timeout_s"),
}


def start_data(who: str, given: Any) -> dict[str, Any]:
    """A start rule as data, checked. Raises ``DefinitionError`` naming ``who`` and the field."""
    match given:
        case Debounce():
            data: dict[str, Any] = {"kind": "debounce", "quiet_s": given.quiet_s, "max_wait_s": given.max_wait_s}
        case Singleton():
            data = {"kind": "singleton", "on_conflict": given.on_conflict}
        case Batch():
            timeout = given.timeout.total_seconds() if isinstance(given.timeout, timedelta) else given.timeout
            data = {"kind": "batch", "max_size": given.max_size, "timeout_s": timeout}
        case Mapping():
            data = dict(given)
        case _:
            raise DefinitionError(
                f"{who} is {given!r:.80}: it is raywf.Debounce(…), raywf.Singleton(…) or raywf.Batch(…), one of them"
            )
    if isinstance(given, Start):
        data["key"] = given.key
    kind = data.get("kind")
    if kind not in _FIELDS:
        raise DefinitionError(
            f"{who}: kind is {kind!r}: it is one of {', '.join(_FIELDS)}.{did_you_mean(kind, _FIELDS)}"
        )
    for name in data:
        if name not in _FIELDS[kind]:
            raise DefinitionError(f"{who}: a {kind} has no field {name!r}.{did_you_mean(name, _FIELDS[kind])}")
    _check_values(who, data)
    return {name: value for name, value in data.items() if value is not None}


def _check_values(who: str, data: Mapping[str, Any]) -> None:
    kind, key = data["kind"], data.get("key")
    if key is not None and (not isinstance(key, str) or not _PATH.match(key)):
        head = re.split(r"[.\[]", str(key))[0]
        raise DefinitionError(
            f"{who}: key is {key!r:.80}: it is a path like 'input.user' or 'tags.team'."
            + (did_you_mean(head, ("input", "tags")) if head not in ("input", "tags") else "")
        )
    if kind == "singleton":
        policy = data.get("on_conflict", "skip")
        if policy not in CONFLICTS:
            raise DefinitionError(
                f"{who}: on_conflict is {policy!r}: it is one of {', '.join(CONFLICTS)}.{did_you_mean(policy, CONFLICTS)}"
            )
        return
    if kind == "batch":
        size = data.get("max_size")
        if isinstance(size, bool) or not isinstance(size, int) or not 1 <= size <= MOST_IN_A_BATCH:
            raise DefinitionError(f"{who}: max_size is {size!r}: it is a whole number from 1 to {MOST_IN_A_BATCH:,}")
        _seconds(f"{who}: timeout", data.get("timeout_s"))
        return
    _seconds(f"{who}: quiet_s", data.get("quiet_s"))
    if data.get("max_wait_s") is not None:
        _seconds(f"{who}: max_wait_s", data["max_wait_s"])
        if data["max_wait_s"] < data["quiet_s"]:
            raise DefinitionError(
                f"{who}: max_wait_s={data['max_wait_s']:g} is less than quiet_s={data['quiet_s']:g}: quiet would never count"
            )


def _seconds(what: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value) or value <= 0:
        raise DefinitionError(f"{what} is {value!r:.60}: it must be a number of seconds above 0")


def check_start(who: str, data: Any, parameters: Collection[str]) -> None:
    """A start rule fits its workflow. Raises ``DefinitionError``."""
    said = start_data(who, data)
    key = said.get("key")
    if said["kind"] == "batch" and len(parameters) != 1:
        raise DefinitionError(
            f"{who}: a batch gives the workflow one list, and it has {len(parameters)} parameters: let it have one"
        )
    if said["kind"] == "batch" and key is not None and key.startswith("input") and not key.startswith("input.item"):
        raise DefinitionError(
            f"{who}: key is {key!r}: what a submit gives to a batch is 'input.item', as in 'input.item.user'"
        )
    if said["kind"] != "batch" and key is not None and key.startswith("input."):
        first = re.split(r"[.\[]", key)[1]
        if first not in parameters:
            raise DefinitionError(
                f"{who}: key is {key!r}, and there is no parameter {first!r}.{did_you_mean(first, parameters)}"
            )


def collector_id(workflow: str, key: str | None, scope: Mapping[str, Any]) -> str:
    """The one that collects the submits of a key; executions it starts are ``COLLECTOR/SUBMIT``."""
    value = "" if key is None else repr(lookup(key, scope))
    return f"{workflow}@{hashlib.sha256(value.encode()).hexdigest()[:12]}" if value else f"{workflow}@all"
