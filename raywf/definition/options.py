"""How a task runs: retry, timeout, place and resources. Checked when they are given, stored as data."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, TypeAlias

from raywf.core.plan import CLEANUP_S, DEFAULT_OPTIONS, TaskOptions
from raywf.core.retry import RetryPolicy
from raywf.definition.caching import cache_data, check_cacheable, policy_from
from raywf.definition.compensation import check_compensate
from raywf.definition.fallback import check_fallback
from raywf.definition.limits import limits_data, uses
from raywf.definition.lines import did_you_mean
from raywf.definition.workers import check_pool, pool_use
from raywf.errors import DefinitionError, InvalidInput

NonRetryable: TypeAlias = "tuple[type[BaseException] | str, ...] | type[BaseException] | str"

RESOURCE_OPTIONS: Final = ("num_cpus", "num_gpus", "memory", "resources")
OPTIONS: Final = (
    "retry", "timeout", "heartbeat_timeout", "cleanup_timeout", "runs_on", *RESOURCE_OPTIONS, "effect", "in_doubt",
    "compensate", "fallback", "limits", "cache", "pool",
)  # fmt: skip
_PLACES = ("actor", "ray")
_EFFECTS = ("at_least_once", "at_most_once")
_IN_DOUBT = ("ask", "retry", "fail")


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """Try a failed task again.

    ``max_attempts`` counts the first attempt. Before the n-th repetition there is a pause drawn uniformly from zero to
    ``min(max_delay, initial * backoff ** (n - 1))`` seconds. Exceptions named in ``non_retryable`` (classes, or their
    qualified names) fail the task at once. Raises ``DefinitionError`` for values that make no sense.
    """

    max_attempts: int = 3
    initial: float = 0.2
    backoff: float = 2.0
    max_delay: float = 10.0
    non_retryable: NonRetryable = ()

    def __post_init__(self) -> None:
        attempts: Any = self.max_attempts
        if isinstance(attempts, bool) or not isinstance(attempts, int) or attempts < 1:
            raise DefinitionError(
                f"Retry(max_attempts={attempts!r}): it counts the first attempt, so it is an integer from 1"
            )
        for name, low in (("initial", 0.0), ("backoff", 1.0), ("max_delay", 0.0)):
            object.__setattr__(self, name, _number(f"Retry({name}=…)", getattr(self, name), low))
        given = self.non_retryable
        names = given if isinstance(given, (tuple, list, set, frozenset)) else (given,)
        object.__setattr__(self, "non_retryable", tuple(_exception_name(each) for each in names))

    def policy(self) -> RetryPolicy:
        """The same as the brain reads it."""
        names = tuple(str(name) for name in self.non_retryable) if isinstance(self.non_retryable, tuple) else ()
        return RetryPolicy(self.max_attempts, self.initial, self.backoff, self.max_delay, names)


def _exception_name(given: object) -> str:
    if isinstance(given, str):
        if not given or not all(part.isidentifier() for part in given.replace("<locals>", "locals").split(".")):
            raise DefinitionError(f"Retry(non_retryable=…): {given!r} is not the qualified name of an exception")
        return given
    if isinstance(given, type) and issubclass(given, BaseException):
        module = given.__module__
        return given.__qualname__ if module == "builtins" else f"{module}.{given.__qualname__}"
    raise DefinitionError(
        f"Retry(non_retryable=…): {given!r} is not an exception class. Write non_retryable=(ValueError, KeyError)"
    )


def _number(what: str, value: object, low: float, *, exclusive: bool = False) -> float:
    ok = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if ok and (value > low if exclusive else value >= low):  # type: ignore[operator]
        return float(value)  # type: ignore[arg-type]
    bound = "above" if exclusive else "from"
    raise DefinitionError(f"{what} is {value!r}: it must be a number {bound} {low:g}")


def seconds(what: str, value: object, *, zero: bool = False) -> float:
    """A duration: a number of seconds or a ``timedelta``; above zero, or also zero where that makes sense."""
    if isinstance(value, timedelta):
        value = value.total_seconds()
    return _number(f"{what} (seconds)", value, 0.0, exclusive=not zero)


ON_LIMIT: Final = ("fail", "last")


def iterations(what: str, value: object) -> int:
    """How many passes a loop may make."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise DefinitionError(f"{what} is {value!r}: it counts the passes, so it is an integer from 1")
    return value


_NEED_GOLD: Final = ("stack", "best_source")
CANDIDATES: Final = "candidates"
"""The strategy of a merge that waits and collects, and leaves the merging to a task: its result is what was said."""


def check_merge(
    what: str, strategy: object, accept_at: object, reconcile: object = (), *, learns: bool = False
) -> None:
    """Whether there is such a strategy (as it is stored), and whether it can do with the answers alone, unless it ``learns``.
    Raises ``DefinitionError``."""
    from raywf.aggregation import ResultAggregator
    from raywf.definition.strategies import strategy_of

    try:
        known = "auto" if strategy == CANDIDATES and not learns else strategy
        found = strategy_of(known, lambda path: object)  # a class may be at home in another process than this one
        ResultAggregator(found, accept_at=accept_at, reconcile=reconcile)  # type: ignore[arg-type]
    except InvalidInput as error:
        raise DefinitionError(f"{what}: {error}") from None
    if strategy in _NEED_GOLD and not learns:
        raise DefinitionError(
            f"{what}: strategy {strategy!r} learns from gold answers, and a merge in a workflow has none: name the aggregator whose "
            f"feedback it learns from, as in raywf.aggregate([…], strategy={strategy!r}, aggregator='triage'), or take strategy='auto'"
        )


EARLY: Final = (
    "auto", "majority", "weighted_vote", "confidence_weighted", "linear_pool", "log_pool", "wawa", "dawid_skene", "one_coin", CANDIDATES,
)  # fmt: skip
"""Strategies that vote on whole values. With any other the next answer may always change the value."""


def check_waiting(what: str, options: Mapping[str, Any], count: int | None) -> None:
    """``quorum, at_least, timeout, early_stop`` of a merge of ``count`` results (None: as many as a fan-out has). Raises
    ``DefinitionError``."""
    quorum, at_least = options.get("quorum"), options.get("at_least")
    for name, value, low in (("quorum", quorum, 1), ("at_least", at_least, 0)):
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int) or value < low:
            raise DefinitionError(f"{what}: {name} is {value!r:.60}: it counts answers, so it is an integer from {low}")
        if count is not None and value > count:
            raise DefinitionError(f"{what}: {name} is {value}, but there are {count} sources, so it cannot be reached")
    if quorum is not None and at_least is not None and at_least > quorum:
        raise DefinitionError(f"{what}: at_least={at_least} is more than quorum={quorum}, at which the merge ends")
    timeout = options.get("timeout")
    if timeout is not None and not isinstance(timeout, dict):
        seconds(f"{what}: timeout", timeout)
    early = options.get("early_stop", False)
    if not isinstance(early, bool):
        raise DefinitionError(f"{what}: early_stop is {early!r:.60}: it is True or False")
    strategy = options.get("strategy", "auto")
    settings = isinstance(strategy, dict) and not any(key[:1] == "$" for key in strategy)
    if early and (settings or (isinstance(strategy, str) and strategy not in EARLY)):
        raise DefinitionError(
            f"{what}: early_stop needs a strategy that votes, and with {strategy!r:.80} the next answer may always change "
            "the value: leave early_stop out, or give quorum= or timeout="
        )
    if early and not isinstance(strategy, str):
        raise DefinitionError(f"{what}: early_stop needs a strategy that is known beforehand, such as 'majority'")


def to_data(who: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Options as data: checked, converted, without those that are None. Raises ``DefinitionError`` naming ``who``."""
    data: dict[str, Any] = {}
    for name, value in given.items():
        if name not in OPTIONS:
            raise DefinitionError(
                f"{who}: there is no option {name!r}.{did_you_mean(name, OPTIONS)} Options are {', '.join(OPTIONS)}."
            )
        if value is not None:
            data[name] = _CHECKS[name](f"{who}: {name}", value)
    if "cache" in data:
        if data["cache"] is None:
            del data["cache"]
        else:
            check_cacheable(who, data)
    resources = [name for name in RESOURCE_OPTIONS if name in data]
    if "pool" in data:
        _check_pooled(who, data, resources)
    if resources and data.setdefault("runs_on", "ray") != "ray":
        raise DefinitionError(
            f"{who}: {resources[0]} is a resource of a Ray task, but runs_on={data['runs_on']!r} was given. "
            "Leave runs_on out, or write runs_on='ray'."
        )
    if "fallback" in data and data.get("effect") == "at_most_once":
        raise DefinitionError(
            f"{who}: fallback= of an effect that must happen at most once would be a second try at it: leave one of them out, "
            "or let the task itself decide"
        )
    if "in_doubt" in data and data.get("effect") != "at_most_once":
        raise DefinitionError(
            f"{who}: in_doubt={data['in_doubt']!r} says what follows when nobody knows whether the task happened, which "
            "only concerns effect='at_most_once': give both, or leave it out."
        )
    return data


def _check_pooled(who: str, data: dict[str, Any], resources: Sequence[str]) -> None:
    name = data["pool"]["name"]
    if resources:
        raise DefinitionError(
            f"{who}: {resources[0]} is given, and so is pool={name!r}: a worker of the pool has its resources from its start, so "
            f"write raywf.Workers({name!r}, {resources[0]}=…)"
        )
    if data.setdefault("runs_on", "ray") != "ray":
        raise DefinitionError(
            f"{who}: runs_on={data['runs_on']!r} is given, and so is pool={name!r}: it runs in the pool's workers. Leave one out"
        )


def _choice(what: str, value: object, known: tuple[str, ...]) -> str:
    if value in known and isinstance(value, str):
        return value
    raise DefinitionError(f"{what} is {value!r}: it must be one of {', '.join(map(repr, known))}."
                          + did_you_mean(value, known))  # fmt: skip


def _retry(what: str, value: object) -> dict[str, Any]:
    if isinstance(value, Mapping):
        known = Retry.__dataclass_fields__
        for name in value:
            if name not in known:
                raise DefinitionError(f"{what} has no field {name!r}.{did_you_mean(name, known)}")
        try:
            value = Retry(**value)
        except DefinitionError as error:
            raise DefinitionError(f"{what}: {error}") from None
    if not isinstance(value, Retry):
        raise DefinitionError(f"{what} is {value!r}: write retry=raywf.Retry(max_attempts=3)")
    policy = value.policy()
    return {
        "max_attempts": policy.max_attempts,
        "initial": policy.initial,
        "backoff": policy.backoff,
        "max_delay": policy.max_delay,
        "non_retryable": list(policy.non_retryable),
    }


def _memory(what: str, value: object) -> int:
    return int(_number(f"{what} (bytes)", value, 0.0, exclusive=True))


def _resources(what: str, value: object) -> dict[str, float]:
    if not isinstance(value, Mapping) or not all(isinstance(name, str) and name for name in value):
        raise DefinitionError(f"{what} is {value!r}: it must be a dict from a resource's name to an amount")
    return {name: _number(f"{what}[{name!r}]", amount, 0.0, exclusive=True) for name, amount in value.items()}


_CHECKS: dict[str, Any] = {
    "retry": _retry,
    "timeout": seconds,
    "heartbeat_timeout": seconds,
    "cleanup_timeout": lambda what, value: seconds(what, value, zero=True),
    "runs_on": lambda what, value: _choice(what, value, _PLACES),
    "num_cpus": lambda what, value: _number(what, value, 0.0),
    "num_gpus": lambda what, value: _number(what, value, 0.0),
    "memory": _memory,
    "resources": _resources,
    "effect": lambda what, value: _choice(what, value, _EFFECTS),
    "in_doubt": lambda what, value: _choice(what, value, _IN_DOUBT),
    "compensate": check_compensate,
    "fallback": check_fallback,
    "limits": limits_data,
    "cache": cache_data,
    "pool": check_pool,
}


def from_data(data: Mapping[str, Any]) -> TaskOptions:
    """The options of a plan."""
    if not data:
        return DEFAULT_OPTIONS
    data = to_data("options", data)
    retry = Retry(**data["retry"]).policy() if "retry" in data else DEFAULT_OPTIONS.retry
    return TaskOptions(
        retry=retry,
        timeout=data.get("timeout"),
        runs_on=data.get("runs_on", "actor"),
        num_cpus=data.get("num_cpus"),
        num_gpus=data.get("num_gpus"),
        memory=data.get("memory"),
        resources=tuple(sorted(data.get("resources", {}).items())),
        effect=data.get("effect", "at_least_once"),
        limits=uses(data.get("limits", ())),
        in_doubt=data.get("in_doubt", "ask"),
        heartbeat_timeout=data.get("heartbeat_timeout"),
        cleanup_timeout=data.get("cleanup_timeout", CLEANUP_S),
        cache=policy_from(data["cache"]) if "cache" in data else None,
        pool=pool_use(data.get("pool")),
    )
