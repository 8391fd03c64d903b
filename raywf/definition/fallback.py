"""What takes a task's place when its attempts are used up: another function of the same arguments."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from raywf.core.plan import FunctionRef
from raywf.definition.functions import function_ref, plain
from raywf.definition.lines import did_you_mean
from raywf.definition.names import FUNCTION
from raywf.errors import DefinitionError

_FIELDS = ("function", "source_hash", "by_value")


def check_fallback(what: str, value: object) -> Any:
    """A function or ``@task`` (as it is), or its stored form: a mapping with ``function``, or ``module:function``."""
    if isinstance(value, str):
        value = {"function": value}
    if isinstance(value, Mapping):
        for name in value:
            if name not in _FIELDS:
                raise DefinitionError(f"{what} has no field {name!r}.{did_you_mean(name, _FIELDS)}")
        function = value.get("function")
        if not isinstance(function, str) or not FUNCTION.match(function):
            raise DefinitionError(f"{what}: {function!r} is not of the form 'package.module:function'")
        return dict(value)
    if getattr(value, "kind", "") == "workflow" or not callable(plain(value)):
        raise DefinitionError(
            f"{what} is {value!r:.100}: it must be a function or a @task that takes the same arguments, as in "
            "fallback=from_cache"
        )
    if options := getattr(value, "options", None):
        raise DefinitionError(
            f"{what}: task {getattr(value, 'name', value)!r} has {', '.join(sorted(options))} of its own, and a fallback runs once, "
            "where and for as long as the task it stands in for: give the function without options"
        )
    return value


def fallback_data(value: Any, know: Callable[[Callable[..., Any], FunctionRef], str]) -> dict[str, Any]:
    """The stored form of what ``fallback=`` was given. ``know`` gives a function its path in the workflow."""
    if isinstance(value, Mapping):
        return dict(value)
    function = plain(value)
    ref = getattr(value, "ref", None) or function_ref(function)
    data: dict[str, Any] = {"function": know(function, ref), "source_hash": ref.source_hash}
    return {**data, "by_value": True} if ref.by_value else data


def fallback_ref(options: Mapping[str, Any]) -> FunctionRef | None:
    """Which function takes a task's place, from the task's options as data."""
    data = options.get("fallback")
    if data is None:
        return None
    if isinstance(data, str):
        return FunctionRef(data)
    return FunctionRef(data["function"], data.get("source_hash", ""), data.get("by_value", False))
