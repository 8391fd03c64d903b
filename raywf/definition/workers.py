"""``raywf.Workers``: processes that keep a model loaded, and the tasks that run in them. Data once they are given."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from raywf.core.crews import CrewRule
from raywf.core.plan import FunctionRef, PoolUse
from raywf.definition.functions import check_arity, function_ref, plain
from raywf.definition.lines import did_you_mean
from raywf.definition.names import FUNCTION
from raywf.errors import DefinitionError

if TYPE_CHECKING:
    from raywf.definition.model import TaskDefinition

POOL_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,99}\Z")
MAX_WORKERS: Final = 10_000
_FUNCTIONS: Final = ("setup", "teardown")
_REF_FIELDS = ("function", "source_hash", "by_value")


@dataclass(frozen=True, slots=True)
class Workers:
    """A pool of worker processes by name. Every task that names it, in whatever workflow of the project, runs in them.

    ``setup()`` (sync or async) runs once in each worker, before its first task; ``raywf.worker_state(setup)`` gives what it
    returned to the tasks there, and ``teardown(state)`` takes it back when a worker leaves in good order. Between ``min``
    and ``max`` workers run, as many as the tasks that wait call for; each runs ``concurrency`` tasks at a time. Each asks
    Ray for ``num_cpus`` (1 where it is not given), ``num_gpus``, ``memory`` (bytes) and ``resources``, also while it is idle.

    Times in seconds, or a ``timedelta``: one that has been idle for ``idle_timeout`` leaves; one whose ``setup`` takes longer
    than ``setup_timeout`` is ended and counts as failed. After ``max_tasks`` tasks a worker leaves and another takes its
    place. Raises ``DefinitionError``.
    """

    name: str
    setup: Callable[[], Any] | None = None
    teardown: Callable[[Any], Any] | None = None
    min: int = 0
    max: int = 1
    concurrency: int = 1
    num_cpus: float | None = None
    num_gpus: float | None = None
    memory: int | None = None
    resources: Mapping[str, float] | None = None
    idle_timeout: float | timedelta = 60.0
    setup_timeout: float | timedelta = 600.0
    max_tasks: int | None = None

    def __post_init__(self) -> None:
        check_pool("Workers", self)


_FIELDS: Final = tuple(each.name for each in fields(Workers))
_DEFAULTS: Final = {each.name: each.default for each in fields(Workers) if each.name != "name"}


def check_pool(who: str, given: Any) -> dict[str, Any]:
    """A pool as data, checked; ``setup`` and ``teardown`` as they were given. Raises ``DefinitionError`` naming ``who``."""
    if isinstance(given, Workers):
        given = {name: getattr(given, name) for name in _FIELDS}
    if not isinstance(given, Mapping):
        raise DefinitionError(f"{who} is {given!r:.80}: write pool=raywf.Workers('ocr', max=4, setup=load)")
    for name in given:
        if name not in _FIELDS:
            raise DefinitionError(
                f"{who} has no field {name!r}.{did_you_mean(name, _FIELDS)} Fields are {', '.join(_FIELDS)}"
            )
    name = given.get("name")
    if not isinstance(name, str) or not POOL_NAME.match(name):
        raise DefinitionError(
            f"{who} is named {name!r:.80}: a pool's name has 1 to 100 letters, digits and any of _ . -, and begins with "
            "a letter or '_'"
        )
    who = f"{who} {name!r}"
    data: dict[str, Any] = {"name": name}
    for field, check in _CHECKS.items():
        value = given.get(field)
        if value is not None and (checked := check(f"{who}: {field}", value)) != _DEFAULTS[field]:
            data[field] = checked
    low, high = data.get("min", 0), data.get("max", 1)
    if low > high:
        raise DefinitionError(f"{who}: min={low} is more than max={high}: raise max, or lower min")
    if "teardown" in data and "setup" not in data:
        raise DefinitionError(f"{who}: teardown takes back what setup gave, and there is no setup: give setup as well")
    return data


def _count(low: int) -> Callable[[str, Any], int]:
    def check(what: str, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= MAX_WORKERS:
            raise DefinitionError(f"{what} is {value!r:.60}: it must be a whole number from {low} to {MAX_WORKERS:,}")
        return value

    return check


def _tasks(what: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise DefinitionError(f"{what} is {value!r:.60}: it counts tasks, so it is a whole number from 1")
    return value


def _amount(what: str, value: Any, above: float | None = None) -> float:
    ok = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if ok and (value >= 0 if above is None else value > above):
        return float(value)
    raise DefinitionError(f"{what} is {value!r:.60}: it must be a number {'from 0' if above is None else 'above 0'}")


def _seconds(what: str, value: Any) -> float:
    return _amount(f"{what} (seconds)", value.total_seconds() if isinstance(value, timedelta) else value, 0.0)


def _resources(what: str, value: Any) -> dict[str, float]:
    if not isinstance(value, Mapping) or not all(isinstance(name, str) and name for name in value):
        raise DefinitionError(f"{what} is {value!r:.80}: it must be a dict from a resource's name to an amount")
    return {name: _amount(f"{what}[{name!r}]", amount, 0.0) for name, amount in value.items()}


def _function(args: tuple[Any, ...]) -> Callable[[str, Any], Any]:
    how = "load()" if not args else "close(state)"

    def check(what: str, value: Any) -> Any:
        if isinstance(value, str):
            value = {"function": value}
        if isinstance(value, Mapping):
            for name in value:
                if name not in _REF_FIELDS:
                    raise DefinitionError(f"{what} has no field {name!r}.{did_you_mean(name, _REF_FIELDS)}")
            function = value.get("function")
            if not isinstance(function, str) or not FUNCTION.match(function):
                raise DefinitionError(f"{what}: {function!r} is not of the form 'package.module:function'")
            return dict(value)
        function = plain(value)
        if getattr(value, "kind", "") == "workflow" or not callable(function):
            raise DefinitionError(f"{what} is {value!r:.80}: it must be a function, called as {how}")
        check_arity(f"{what}: it is called as {how}, so", function, args, {})
        return value

    return check


_CHECKS: Final[dict[str, Callable[[str, Any], Any]]] = {
    "setup": _function(()),
    "teardown": _function((None,)),
    "min": _count(0),
    "max": _count(1),
    "concurrency": _count(1),
    "num_cpus": _amount,
    "num_gpus": _amount,
    "memory": lambda what, value: int(_amount(f"{what} (bytes)", value, 0.0)),
    "resources": _resources,
    "idle_timeout": _seconds,
    "setup_timeout": _seconds,
    "max_tasks": _tasks,
}


def pool_data(value: Mapping[str, Any], know: Callable[[Callable[..., Any], FunctionRef], str]) -> dict[str, Any]:
    """The stored form of a checked pool. ``know`` gives a function its path in the workflow."""
    data = dict(value)
    for field in _FUNCTIONS:
        given = data.get(field)
        if given is not None and not isinstance(given, Mapping):
            function = plain(given)
            ref = function_ref(function)
            data[field] = {"function": know(function, ref), "source_hash": ref.source_hash}
            if ref.by_value:
                data[field]["by_value"] = True
    return data


def pool_functions(options: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """``setup`` and ``teardown`` of a task's pool as they stand in its options, where there are any."""
    pool: Mapping[str, Any] = options.get("pool") or {}
    for field in _FUNCTIONS:
        if pool.get(field) is not None:
            yield field, pool[field]


def pool_refs(options: Mapping[str, Any]) -> Iterator[tuple[str, FunctionRef]]:
    """The same of stored options."""
    for field, each in pool_functions(options):
        yield field, _ref(each)


def _ref(data: Any) -> FunctionRef:
    if isinstance(data, str):
        return FunctionRef(data)
    return FunctionRef(data["function"], data.get("source_hash", ""), data.get("by_value", False))


def pool_use(data: Mapping[str, Any] | None) -> PoolUse | None:
    """The pool of a plan."""
    if data is None:
        return None
    cpus = data.get("num_cpus")
    wanted = {
        "CPU": 1.0 if cpus is None else cpus,
        "GPU": data.get("num_gpus", 0.0),
        "memory": float(data.get("memory", 0)),
        **data.get("resources", {}),
    }
    rule = CrewRule(
        **{
            name: data[name]
            for name in ("min", "max", "concurrency", "idle_timeout", "setup_timeout", "max_tasks")
            if name in data
        }
    )
    return PoolUse(
        name=data["name"],
        rule=rule,
        demand=tuple(sorted((name, amount) for name, amount in wanted.items() if amount)),
        setup=_ref(data["setup"]) if "setup" in data else None,
        teardown=_ref(data["teardown"]) if "teardown" in data else None,
    )


def settings(pool: PoolUse) -> str:
    """The settings of a pool in words, as they would be written."""
    said = [f"{name}={getattr(pool.rule, name):g}" for name in ("min", "max", "concurrency")]
    said += [f"{name} {amount:g}" for name, amount in pool.demand]
    said += [f"{name}={getattr(pool.rule, name):g} s" for name in ("idle_timeout", "setup_timeout")]
    if pool.rule.max_tasks is not None:
        said.append(f"max_tasks={pool.rule.max_tasks}")
    said += [f"{name}={ref.path}" for name, ref in (("setup", pool.setup), ("teardown", pool.teardown)) if ref]
    return ", ".join(said)


def conflict(one: PoolUse, other: PoolUse) -> str | None:
    """Both settings in words, where two pools of one name are not the same; an edited function is no other setting."""
    mine, theirs = settings(one), settings(other)
    return None if mine == theirs else f"({mine}) and ({theirs})"


def check_pools(tasks: Sequence[TaskDefinition]) -> None:
    """Raise ``PlacedError`` where two tasks name one pool with different settings."""
    from raywf.definition.expressions import PlacedError

    seen: dict[str, tuple[str, PoolUse]] = {}
    for at, task in enumerate(tasks):
        use = pool_use(task.options.get("pool"))
        if use is None:
            continue
        first, known = seen.setdefault(use.name, (task.id, use))
        said = conflict(known, use)
        if said is not None:
            raise PlacedError(
                ("tasks", at, "options", "pool"),
                f"tasks {first!r} and {task.id!r} name the pool {use.name!r} with different settings: {said}. A pool is "
                "one set of workers: write raywf.Workers(…) once and give it to both, or give the other a name of its own",
            )
