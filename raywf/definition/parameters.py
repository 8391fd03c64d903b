"""A workflow's parameters: names, annotations, defaults, and the JSON schemas derived from them."""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter
from pydantic.errors import PydanticUserError

from raywf.definition.recording import constant
from raywf.definition.values import type_adapter

NO_DEFAULT: Any = inspect.Parameter.empty


@dataclass(frozen=True, eq=False)
class Parameter:
    """``adapter`` is None where there is no annotation, or none that pydantic can check."""

    name: str
    annotation: Any
    default: Any
    keyword_only: bool
    positional_only: bool

    @functools.cached_property
    def adapter(self) -> TypeAdapter[Any] | None:
        return None if self.annotation in (Any, object) else type_adapter(self.annotation)

    def to_schema(self) -> dict[str, Any]:
        """The JSON schema, with ``default`` exactly where there is one; empty where pydantic cannot derive it."""
        schema: dict[str, Any] = {}
        if self.adapter is not None:
            try:
                schema = self.adapter.json_schema()
            except (PydanticUserError, TypeError, ValueError):
                schema = {}
        schema.pop("default", None)
        if self.default is not NO_DEFAULT:
            schema["default"] = constant(self.default, None, f"default of parameter {self.name!r}")
        return schema


@functools.lru_cache(maxsize=1024)
def parameters_of(function: Callable[..., Any]) -> tuple[Parameter, ...]:
    """The parameters of a body, in order."""
    hints = _hints(function)
    return tuple(
        Parameter(
            each.name,
            hints.get(each.name, Any),
            each.default,
            each.kind is each.KEYWORD_ONLY,
            each.kind is each.POSITIONAL_ONLY,
        )
        for each in inspect.signature(function).parameters.values()
    )


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function, include_extras=True)
    except Exception:
        # A name that only a type checker sees: that parameter goes unchecked, the others do not.
        return {name: hint for name in function.__annotations__ if (hint := _hint(function, name)) is not None}


def _hint(function: Callable[..., Any], name: str) -> Any:
    given = function.__annotations__[name]
    try:
        return eval(given, function.__globals__) if isinstance(given, str) else given
    except Exception:
        return None
