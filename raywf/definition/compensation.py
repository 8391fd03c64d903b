"""What takes a task's effect back: a function of its result, written down with how it runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from raywf.core.plan import FunctionRef, TaskOptions
from raywf.definition.functions import check_arity, function_ref, plain
from raywf.definition.names import FUNCTION
from raywf.definition.workers import pool_data
from raywf.errors import DefinitionError

_FIELDS = ("function", "source_hash", "by_value", "options")


def check_compensate(what: str, value: object) -> Any:
    """A function or ``@task`` that takes the result (as it is), or its stored form: a mapping with ``function``."""
    if isinstance(value, str):
        value = {"function": value}
    if isinstance(value, Mapping):
        return _check_stored(what, value)
    function = plain(value)
    if getattr(value, "kind", "") == "workflow" or not callable(function):
        raise DefinitionError(
            f"{what} is {value!r:.100}: it must be a function or a @task that takes the task's result, as in "
            "compensate=refund"
        )
    check_arity(f"{what}: it is called with the result of the task, so", function, (None,), {})
    if "compensate" in getattr(value, "options", {}):
        raise DefinitionError(f"{what}: a compensation is not itself taken back: leave compensate= out of it")
    return value


def _check_stored(what: str, given: Mapping[str, Any]) -> dict[str, Any]:
    from raywf.definition.lines import did_you_mean
    from raywf.definition.options import to_data

    for name in given:
        if name not in _FIELDS:
            raise DefinitionError(f"{what} has no field {name!r}.{did_you_mean(name, _FIELDS)}")
    function = given.get("function")
    if not isinstance(function, str) or not FUNCTION.match(function):
        raise DefinitionError(f"{what}: {function!r} is not of the form 'package.module:function'")
    options = to_data(what, given.get("options", {}))
    if "compensate" in options:
        raise DefinitionError(f"{what}: a compensation is not itself taken back: leave compensate out of it")
    return {**given, "options": options} if options else {key: each for key, each in given.items() if key != "options"}


def compensation_data(value: Any, know: Callable[[Callable[..., Any], FunctionRef], str]) -> dict[str, Any]:
    """The stored form of what ``compensate=`` was given. ``know`` gives a function its path in the workflow."""
    if isinstance(value, Mapping):
        return dict(value)
    function = plain(value)
    ref = getattr(value, "ref", None) or function_ref(function)
    data: dict[str, Any] = {"function": know(function, ref), "source_hash": ref.source_hash}
    if ref.by_value:
        data["by_value"] = True
    options = dict(getattr(value, "options", None) or {})
    if "pool" in options:
        options["pool"] = pool_data(options["pool"], know)
    return {**data, "options": options} if options else data


def compensation_ref(options: Mapping[str, Any]) -> FunctionRef | None:
    """Which function takes a task's effect back, from the task's options as data."""
    data = options.get("compensate")
    if data is None:
        return None
    if isinstance(data, str):
        return FunctionRef(data)
    return FunctionRef(data["function"], data.get("source_hash", ""), data.get("by_value", False))


def compensation_options(options: Mapping[str, Any]) -> TaskOptions:
    """How it runs."""
    from raywf.definition.options import from_data

    data = options["compensate"]
    return from_data({} if isinstance(data, str) else data.get("options", {}))
