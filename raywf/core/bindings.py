"""Where a task's arguments come from: constants, references to results, and small expressions over them.

A binding is data. ``evaluate`` fills it in with results; how a result becomes a Python value is handed in.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

INPUT = -1
"""The pseudo task whose result is the execution's input (a mapping from parameter to value)."""


@dataclass(frozen=True, slots=True)
class Const:
    """A constant, in its encoded form."""

    value: bytes


@dataclass(frozen=True, slots=True)
class Ref:
    """The result of a task (its index in the plan, or ``INPUT``), then keys to follow: item first, then attribute."""

    task: int
    path: tuple[str | int, ...] = ()


@dataclass(frozen=True, slots=True)
class Sequence:
    """A list or a tuple with references in it."""

    items: tuple[Binding, ...]
    is_tuple: bool = False


@dataclass(frozen=True, slots=True)
class Mapping:
    """A dict with references among its values; keys are encoded constants."""

    items: tuple[tuple[bytes, Binding], ...]


@dataclass(frozen=True, slots=True)
class Template:
    """An f-string: literal text and (binding, conversion, format spec) in turn."""

    parts: tuple[str | tuple[Binding, str, str], ...]


@dataclass(frozen=True, slots=True)
class Compare:
    """A comparison: ``op`` is one of ``< <= > >= == !=``."""

    op: str
    left: Binding
    right: Binding


@dataclass(frozen=True, slots=True)
class Logic:
    """``and``, ``or`` or ``not`` over conditions."""

    op: str
    operands: tuple[Binding, ...]


Binding: TypeAlias = Const | Ref | Sequence | Mapping | Template | Compare | Logic

COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
_CONVERSIONS: dict[str, Callable[[Any], Any]] = {"": lambda value: value, "s": str, "r": repr, "a": ascii}


def follow(value: Any, path: tuple[str | int, ...]) -> Any:
    """Follow keys into a value: item first, then attribute. Raises ``LookupError`` naming the key and the type."""
    for key in path:
        try:
            value = value[key]
            continue
        except (TypeError, KeyError, IndexError):
            pass
        if isinstance(key, str) and hasattr(value, key):
            value = getattr(value, key)
            continue
        raise LookupError(f"{type(value).__name__} has neither an item nor an attribute {key!r}: {value!r:.200}")
    return value


def evaluate(binding: Binding, result_of: Callable[[int], Any], decode: Callable[[bytes], Any]) -> Any:
    """The Python value of a binding. ``result_of(task)`` gives a decoded result, ``decode`` a constant's value."""
    match binding:
        case Ref(task, path):
            value = result_of(task)
            return follow(value, path) if path else value
        case Const(value):
            return decode(value)
        case Sequence(items, is_tuple):
            values = [evaluate(item, result_of, decode) for item in items]
            return tuple(values) if is_tuple else values
        case Mapping(items):
            return {decode(key): evaluate(item, result_of, decode) for key, item in items}
        case Template(parts):
            return "".join(_fill(part, result_of, decode) for part in parts)
        case Compare(op, left, right):
            return COMPARISONS[op](evaluate(left, result_of, decode), evaluate(right, result_of, decode))
        case Logic(op, operands):
            return _logic(op, operands, result_of, decode)


def _fill(part: str | tuple[Binding, str, str], result_of: Callable[[int], Any], decode: Callable[[bytes], Any]) -> str:
    if isinstance(part, str):
        return part
    binding, conversion, spec = part
    return format(_CONVERSIONS[conversion](evaluate(binding, result_of, decode)), spec)


def _logic(
    op: str, operands: tuple[Binding, ...], result_of: Callable[[int], Any], decode: Callable[[bytes], Any]
) -> bool:
    if op == "not":
        return not evaluate(operands[0], result_of, decode)
    if op == "and":
        return all(evaluate(operand, result_of, decode) for operand in operands)
    return any(evaluate(operand, result_of, decode) for operand in operands)


def references(binding: Binding) -> tuple[int, ...]:
    """The tasks a binding refers to, in order, without repeats and without ``INPUT``."""
    seen: dict[int, None] = {}
    stack: list[Binding] = [binding]
    while stack:
        match stack.pop():
            case Ref(task, _):
                if task != INPUT:
                    seen[task] = None
            case Const():
                pass
            case Sequence(items, _):
                stack.extend(items)
            case Mapping(pairs):
                stack.extend(item for _, item in pairs)
            case Template(parts):
                stack.extend(part[0] for part in parts if not isinstance(part, str))
            case Compare(_, left, right):
                stack.extend((left, right))
            case Logic(_, operands):
                stack.extend(operands)
    return tuple(sorted(seen))
