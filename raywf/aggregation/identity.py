"""When are two values the same answer?

Sources rarely hand back the same object: one gives a tuple and the other a list, one gives 1 and the other 1.0, two
dicts have their keys in another order. `identity` maps each value to a hashable key that is equal exactly when the
values are the same JSON-like answer:

- dicts compare without key order, lists and tuples alike, sets without order;
- 1 and 1.0 are one number, but `True` is not 1 and "1" is not 1;
- a pydantic model, and a dataclass that cannot be hashed, are the object of their fields;
- any other hashable value (an Enum, a date, a frozen dataclass) is itself.
"""

import dataclasses
import math
from collections.abc import Hashable, Mapping, Set
from typing import Any, TypeAlias

from raywf.errors import InvalidInput

Key: TypeAlias = tuple[str, Hashable]
"""A kind and a payload; the kind keeps `True` apart from 1 and a list apart from a set."""


def identity(value: Any) -> Key:
    """The key of `value`; raises `InvalidInput` for NaN (equal to nothing) and for values that cannot be compared."""
    try:
        return _identity(value)
    except RecursionError:
        raise InvalidInput(
            f"a {type(value).__name__} is nested too deeply to be compared with other answers, or contains itself; give the part "
            "that answers the question"
        ) from None


def _identity(value: Any) -> Key:
    match value:
        case None:
            return ("null", None)
        case bool():
            return ("bool", value)
        case str():
            return ("text", value)
        case int() | float():
            return ("number", _number(value))
        case Mapping():
            return ("object", frozenset((_identity(k), _identity(v)) for k, v in value.items()))
        case list() | tuple():
            return ("array", tuple(_identity(item) for item in value))
        case Set():
            return ("set", frozenset(_identity(item) for item in value))
        case _ if hasattr(type(value), "model_fields"):
            return ("object", frozenset((_identity(k), _identity(v)) for k, v in value))
        case _ if type(value).__hash__ is None and dataclasses.is_dataclass(value):
            return (
                "object",
                frozenset((("text", f.name), _identity(getattr(value, f.name))) for f in dataclasses.fields(value)),
            )
        case _:
            return ("other", _hashable(value))


def spelling(key: Key) -> str:
    """A text of the key that does not depend on hashing or on dict order: what ties are ordered by."""
    kind, payload = key
    match kind:
        case "object":
            assert isinstance(payload, frozenset)
            return "{" + ",".join(sorted(f"{spelling(k)}:{spelling(v)}" for k, v in payload)) + "}"
        case "array":
            assert isinstance(payload, tuple)
            return "[" + ",".join(spelling(item) for item in payload) + "]"
        case "set":
            assert isinstance(payload, frozenset)
            return "<" + ",".join(sorted(spelling(item) for item in payload)) + ">"
        case _:
            return f"{kind} {payload!r}"


def _number(value: int | float) -> int | float:
    if isinstance(value, float) and math.isnan(value):
        raise InvalidInput(
            "the value NaN is equal to nothing, not even to itself; use None for a source without an answer"
        )
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _hashable(value: Any) -> Hashable:
    try:
        hash(value)
    except TypeError:
        raise InvalidInput(
            f"a {type(value).__name__} cannot be compared with other answers because it is not hashable; give a text, "
            "a number, a JSON-like structure or a frozen dataclass"
        ) from None
    assert isinstance(value, Hashable)
    return value
