"""Strategies with settings as data, for merges that are tasks of a workflow.

    "majority"                                                       a strategy by its name
    {"fields": {"by": {"/total": "median"}, "validate": "app.models:Invoice"}}
    {"list": {"key": "sku", "keep": 0.5}}                            "set" likewise

``Fields`` and ``Lists`` are written so by a body; in YAML they are written by hand. A class that ``validate`` names is found as
those of stored values are. What asks somebody (``Judge``, ``Jury``, ``Synthesis``) becomes tasks: ``raywf.definition.asking``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from raywf.definition.lines import did_you_mean
from raywf.errors import DefinitionError, InvalidInput

if TYPE_CHECKING:
    from raywf.aggregation import Fields, Lists

_KINDS = ("fields", "list", "set")


def strategy_data(value: Any) -> Any:
    """A strategy as it is stored; names stay as they are. Raises ``DefinitionError`` for settings that are no data."""
    from raywf.aggregation import Fields, Lists

    if isinstance(value, Fields):
        found: dict[str, Any] = {}
        if value.by:
            found["by"] = {path: strategy_data(how) for path, how in value.by.items()}
        if value.validate is not None:
            found["validate"] = _class_data(value.validate)
        return {"fields": found}
    if isinstance(value, Lists):
        given = {each.name: getattr(value, each.name) for each in fields(Lists) if each.name not in ("of", "as_set")}
        changed = {name: each for name, each in given.items() if each != getattr(Lists(), name)}
        if value.of != "auto":
            changed["of"] = strategy_data(value.of)
        return {"set" if value.as_set else "list": changed}
    if isinstance(value, str):
        return value
    raise DefinitionError(
        f"{type(value).__name__} cannot stand inside the strategy of a merge in a workflow: a field or an element has a strategy "
        "by name, Fields or Lists"
    )


def strategy_of(data: Any, find_class: Callable[[str], type]) -> Any:
    """What ``ResultAggregator`` takes, from what was stored. Raises ``InvalidInput`` for data that no strategy has."""
    if not isinstance(data, Mapping):
        return data
    kind = next(iter(data), "")
    if len(data) != 1 or kind not in _KINDS or not isinstance(data[kind], Mapping):
        raise InvalidInput(
            f"there is no strategy {dict(data)!r:.80}: it is a name, or one of {', '.join(_KINDS)} with its settings, as in "
            "{fields: {by: {/total: median}}}"
        )
    return _fields(data[kind], find_class) if kind == "fields" else _lists(kind, data[kind], find_class)


def _fields(given: Mapping[str, Any], find_class: Callable[[str], type]) -> Fields:
    from raywf.aggregation import Fields

    _check_names("fields", given, ("by", "validate"))
    by, validate = given.get("by", {}), given.get("validate")
    if not isinstance(by, Mapping):
        raise InvalidInput(f"fields: by is {by!r:.80}: it has a strategy by JSON pointer, as in {{/total: median}}")
    if validate is not None and not isinstance(validate, str):
        raise InvalidInput(f"fields: validate is {validate!r:.80}: it is a class, as in app.models:Invoice")
    found = None if validate is None else find_class(validate)
    return Fields({path: strategy_of(how, find_class) for path, how in by.items()}, found)


def _lists(kind: str, given: Mapping[str, Any], find_class: Callable[[str], type]) -> Lists:
    from raywf.aggregation import Lists

    _check_names(kind, given, ("key", "like", "keep", "of"))
    return Lists(**{**given, "of": strategy_of(given.get("of", "auto"), find_class)}, as_set=kind == "set")


def _check_names(kind: str, given: Mapping[str, Any], known: tuple[str, ...]) -> None:
    for name in given:
        if name not in known:
            raise InvalidInput(f"strategy {kind!r} has no setting {name!r}.{did_you_mean(name, known)}")


def _class_data(validate: Any) -> str:
    if not isinstance(validate, type):
        raise DefinitionError(
            f"Fields(validate={getattr(validate, '__name__', validate)!s:.60}) is a function, and a merge in a workflow runs no code "
            "of yours: give a class, such as a pydantic model, or merge inside a task"
        )
    if "<locals>" in validate.__qualname__:
        raise DefinitionError(
            f"Fields(validate={validate.__qualname__}): the class is defined inside a function and would not be found again: "
            "move it to the top of its module"
        )
    return f"{validate.__module__}:{validate.__qualname__}"
