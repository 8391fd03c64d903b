"""``raywf.Limit`` and ``raywf.Rate``: how many may run at a time and how fast they may start. Data once they are given."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from raywf.core.admission import Rule, rule_data
from raywf.core.plan import LimitUse
from raywf.definition.lines import did_you_mean
from raywf.errors import DefinitionError

LIMIT_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.:-]{0,99}\Z")
_PATH = re.compile(r"(input|tags)((?:\.[A-Za-z_]\w*|\[\d+\])+)\Z")
_FIELDS = ("name", "concurrency", "rate", "key", "units", "fair")
_RATE_FIELDS = ("count", "per", "burst")


@dataclass(frozen=True, slots=True)
class Rate:
    """``count`` units may start per ``per`` seconds (or a ``timedelta``), and up to ``burst`` (default: ``count``) at once.

    A token bucket, kept by the generic cell rate algorithm. Raises ``DefinitionError``.
    """

    count: float
    per: float | timedelta = 1.0
    burst: float | None = None

    def __post_init__(self) -> None:
        per = self.per.total_seconds() if isinstance(self.per, timedelta) else self.per
        object.__setattr__(self, "per", _amount("Rate(per=…) (seconds)", per))
        object.__setattr__(self, "count", _amount("Rate(count=…)", self.count))
        if self.burst is not None:
            object.__setattr__(self, "burst", _amount("Rate(burst=…)", self.burst))


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit by name. Everything that names it, in whatever workflow of the namespace, shares it.

    ``concurrency``: units held at a time; ``rate``: units started per time; at least one of them. ``key``: each value of
    it has the limit to itself. ``units``: what one start weighs. ``fair``: values that take turns within the limit. Keys
    and units may be paths into the execution: ``input.tenant``, ``tags.team``, ``input.rows[0].size``.
    Raises ``DefinitionError``.
    """

    name: str
    concurrency: int | None = None
    rate: Rate | None = None
    key: str | None = None
    units: float | str = 1.0
    fair: str | None = None

    def __post_init__(self) -> None:
        limit_data("Limit", self)


def limit_data(who: str, given: Any) -> dict[str, Any]:
    """A limit as data, checked. Raises ``DefinitionError`` naming ``who`` and the field."""
    if isinstance(given, Limit):
        given = {name: getattr(given, name) for name in _FIELDS}
    if not isinstance(given, Mapping):
        raise DefinitionError(f"{who} is {given!r:.80}: write raywf.Limit('openai', concurrency=10)")
    for name in given:
        if name not in _FIELDS:
            raise DefinitionError(f"{who} has no field {name!r}.{did_you_mean(name, _FIELDS)}")
    name = check_name(who, given.get("name"))
    who = f"{who} {name!r}"
    data: dict[str, Any] = {"name": name}
    concurrency, rate = given.get("concurrency"), given.get("rate")
    if concurrency is not None:
        data["concurrency"] = check_concurrency(who, concurrency)
    if rate is not None:
        data["rate"] = rate_data(who, rate)
    if concurrency is None and rate is None:
        raise DefinitionError(f"{who} limits nothing: give it concurrency=10 or rate=raywf.Rate(100, per=60)")
    for field in ("key", "fair"):
        if given.get(field) is not None:
            data[field] = _path(f"{who}: {field}", given[field])
    units = given.get("units", 1.0)
    if isinstance(units, str):
        data["units"] = _path(f"{who}: units", units)
    elif units != 1:
        data["units"] = _amount(f"{who}: units", units)
        most = [each for each in (concurrency, data.get("rate", {}).get("burst")) if each is not None]
        if most and units > min(most):
            raise DefinitionError(
                f"{who}: units={units:g} is more than the {min(most):g} there are: it could never start"
            )
    return data


def limits_data(who: str, given: Any) -> list[dict[str, Any]]:
    """Several limits as data. Raises ``DefinitionError``."""
    several = given if isinstance(given, (list, tuple)) else [given]
    found = [limit_data(f"{who}: limit {at}" if len(several) > 1 else f"{who}: limit", each)
             for at, each in enumerate(several)]  # fmt: skip
    names = [each["name"] for each in found]
    for name in names:
        if names.count(name) > 1:
            raise DefinitionError(f"{who}: limit {name!r} is named twice: say once how many units it takes")
    return found


def uses(data: Sequence[Mapping[str, Any]]) -> tuple[LimitUse, ...]:
    """The limits of a plan."""
    return tuple(
        LimitUse(each["name"], rule_from(each), each.get("key"), each.get("units", 1.0), each.get("fair"))
        for each in data
    )


def rule_from(data: Mapping[str, Any]) -> Rule:
    return Rule(concurrency=data.get("concurrency"), **data.get("rate", {}))


def rule_of(who: str, concurrency: Any = None, rate: Any = None) -> Rule:
    """A rule that is set by hand. Raises ``DefinitionError``."""
    if concurrency is None and rate is None:
        raise DefinitionError(f"{who} would limit nothing: give concurrency or rate")
    return Rule(
        concurrency=None if concurrency is None else check_concurrency(who, concurrency, low=0),
        **({} if rate is None else rate_data(who, rate)),
    )


def rate_data(who: str, given: Any) -> dict[str, float]:
    if isinstance(given, Mapping):
        for name in given:
            if name not in _RATE_FIELDS:
                raise DefinitionError(f"{who}: rate has no field {name!r}.{did_you_mean(name, _RATE_FIELDS)}")
        if "count" not in given:
            raise DefinitionError(f"{who}: rate is missing its count, as in {{count: 100, per: 60}}")
        given = Rate(**given)
    if not isinstance(given, Rate):
        raise DefinitionError(f"{who}: rate is {given!r:.80}: write rate=raywf.Rate(100, per=60)")
    assert not isinstance(given.per, timedelta)
    data = rule_data(Rule(count=given.count, per=given.per, burst=given.burst))
    return dict(data)


def check_name(who: str, name: Any) -> str:
    if not isinstance(name, str) or not LIMIT_NAME.match(name):
        raise DefinitionError(
            f"{who} is named {name!r:.80}: a limit's name has 1 to 100 letters, digits and any of _ . : -, and begins with a letter"
        )
    return name


def check_concurrency(who: str, value: Any, low: int = 1) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < low:
        raise DefinitionError(f"{who}: concurrency is {value!r}: it must be a whole number from {low}")
    return value


def check_input_paths(who: str, data: Sequence[Mapping[str, Any]], parameters: Collection[str]) -> None:
    """Each path into the input must begin with a parameter. Raises ``DefinitionError``."""
    for each in data:
        for field in ("key", "units", "fair"):
            path = each.get(field)
            if isinstance(path, str) and path.startswith("input."):
                first = re.split(r"[.\[]", path)[1]
                if first not in parameters:
                    raise DefinitionError(
                        f"{who}: limit {each['name']!r}: {field} is {path!r}, and there is no parameter {first!r}."
                        + did_you_mean(first, parameters)
                    )


def _path(what: str, value: Any) -> str:
    if not isinstance(value, str) or not _PATH.match(value):
        head = re.split(r"[.\[]", str(value))[0]
        raise DefinitionError(
            f"{what} is {value!r:.80}: it is a path like 'input.tenant' or 'tags.team'."
            + (did_you_mean(head, ("input", "tags")) if head not in ("input", "tags") else "")
        )
    return value


def _amount(what: str, value: Any) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value) and value > 0:
        return float(value)
    raise DefinitionError(f"{what} is {value!r:.80}: it must be a number above 0")
