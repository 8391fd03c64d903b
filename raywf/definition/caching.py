"""``cache=`` of a task: results kept by content key and reused. Checked when it is given, stored as data."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from raywf.core.caching import CachePolicy
from raywf.definition.functions import signature_of
from raywf.definition.lines import did_you_mean
from raywf.errors import DefinitionError

_FIELDS: Final = ("ttl", "version", "ignore", "scope")
_SCOPES: Final = ("namespace", "workflow")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cache:
    """Keep results and reuse them where the same is asked again.

    ``ttl``: seconds (or a ``timedelta``) for which a result counts; None: until it is cleared. ``version``: what the results
    depend on besides the arguments; where it is given, an edit of the task's source does not make them stale. ``ignore``:
    parameters that make no difference to the result. ``scope``: who shares, ``"namespace"`` or ``"workflow"`` (this one's
    executions only). Raises ``DefinitionError``.
    """

    ttl: float | timedelta | None = None
    version: str | None = None
    ignore: str | Sequence[str] = ()
    scope: str = "namespace"

    def __post_init__(self) -> None:
        cache_data("Cache", self)


def cache_data(what: str, given: object) -> dict[str, Any] | None:
    """What ``cache=`` was given, as data; None for False. Raises ``DefinitionError`` naming the field."""
    if given is True:
        return {}
    if given is False:
        return None
    if isinstance(given, Cache):
        given = {name: getattr(given, name) for name in _FIELDS}
    if not isinstance(given, Mapping):
        raise DefinitionError(f"{what} is {given!r:.80}: write cache=True, or cache=raywf.Cache(ttl=3600)")
    for name in given:
        if name not in _FIELDS:
            raise DefinitionError(f"{what} has no field {name!r}.{did_you_mean(name, _FIELDS)}")
    data: dict[str, Any] = {}
    if given.get("ttl") is not None:
        data["ttl"] = _ttl(what, given["ttl"])
    version = given.get("version")
    if version is not None:
        if not isinstance(version, str) or not version:
            raise DefinitionError(f"{what}: version is {version!r:.60}: it is a text, as in version='2'")
        data["version"] = version
    if ignored := _ignored(what, given.get("ignore", ())):
        data["ignore"] = ignored
    scope = given.get("scope", "namespace")
    if scope not in _SCOPES:
        raise DefinitionError(
            f"{what}: scope is {scope!r:.60}: it must be one of {', '.join(map(repr, _SCOPES))}."
            + did_you_mean(scope, _SCOPES)
        )
    return data if scope == "namespace" else {**data, "scope": scope}


def _ttl(what: str, value: Any) -> float:
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(seconds, (int, float)) and not isinstance(seconds, bool) and math.isfinite(seconds) and seconds > 0:
        return float(seconds)
    raise DefinitionError(
        f"{what}: ttl is {value!r:.60}: it must be a number of seconds above 0; leave it out to keep results until "
        "they are cleared"
    )


def _ignored(what: str, given: Any) -> list[str]:
    names = [given] if isinstance(given, str) else given
    if not isinstance(names, (list, tuple, set, frozenset)) or not all(
        isinstance(each, str) and each.isidentifier() for each in names
    ):
        raise DefinitionError(f"{what}: ignore is {given!r:.80}: it names parameters, as in ignore=('session',)")
    return sorted(set(names))


def policy_from(data: Mapping[str, Any]) -> CachePolicy:
    """The same as the brain reads it."""
    return CachePolicy(
        data.get("ttl", math.inf), data.get("version"), tuple(data.get("ignore", ())), data.get("scope", "namespace")
    )


def check_cacheable(who: str, options: Mapping[str, Any]) -> None:
    """Refuse what a reused result would break. Raises ``DefinitionError``."""
    if options.get("effect") == "at_most_once":
        raise DefinitionError(
            f"{who}: cache= gives the result of an earlier call without running the task, and effect='at_most_once' says that "
            "running it does something in the world: leave one of them out"
        )
    if "compensate" in options:
        raise DefinitionError(
            f"{who}: compensate= would take back what another execution has done, because a cached result is one that this "
            "execution has not made: leave cache= or compensate= out"
        )


def check_ignored(who: str, function: Callable[..., Any], options: Mapping[str, Any]) -> None:
    """Each ignored name must be a parameter. Raises ``DefinitionError``."""
    signature = signature_of(function)
    if signature is None:
        return
    for name in options.get("cache", {}).get("ignore", ()):
        if name not in signature.parameters:
            raise DefinitionError(
                f"{who}: cache: ignore names {name!r}, and there is no such parameter."
                f"{did_you_mean(name, signature.parameters)} It is defined as {getattr(function, '__name__', 'function')}{signature}"
            )
