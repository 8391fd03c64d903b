"""Python values of a body as data: references, conditions, templates, and encoded constants.

The JSON form. A plain JSON value stands for itself, and an object with one key that begins with ``$`` is an operator:

====================================================  ================================================================
``{"$ref": "write.score"}``                           the result of a task (or ``input.name``), then keys to follow
``{"$ref": "write", "path": ["a b", 0]}``             the same for keys that are not simple names
``{"$template": ["Publish ", {"$ref": …}, …]}``       a text; ``{"value": …, "conversion": "r", "spec": ">8"}`` where
                                                      a part is formatted
``{"$cond": …}``                                      a condition as a value
``{"$tuple": […]}``, ``{"$dict": [[key, value], …]}``  a tuple, and a dict with other keys, with references in them
``{"$const": …}``                                     a constant in its stored encoding, read as it stands
====================================================  ================================================================

A condition is ``{"op": "<", "left": …, "right": …}``, ``{"and": […]}``, ``{"or": […]}``, ``{"not": …}`` or a value.
"""

from __future__ import annotations

import dataclasses
import json
import re
from typing import Any

from raywf.definition.lines import user_line
from raywf.definition.references import Condition, Expression, Reference, Scope, check_in_scope, refuse
from raywf.definition.templates import Marker, has_markers, hides_markers, split
from raywf.errors import DefinitionError, RaywfError

SIMPLE_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_DEEPEST = 200


def record(value: Any, scope: Scope, what: str, depth: int = 0) -> Any:
    """The JSON form of a value. ``what`` says for errors which argument it is.

    Raises ``DefinitionError`` for a foreign reference, a damaged text and what cannot be stored.
    """
    if isinstance(value, Reference):
        return reference_data(value, scope, what)
    if isinstance(value, Condition):
        return {"$cond": record_condition(value, scope, what)}
    if isinstance(value, str) and (type(value) is Marker or has_markers(value)):
        return _template(value, scope, what)
    if isinstance(value, (bytes, bytearray)) and hides_markers(value):
        raise _flaw(scope, f"{what}: a text with a reference in it was encoded to bytes: do that inside a task")
    if depth > _DEEPEST:
        raise _flaw(scope, f"{what} is nested deeper than {_DEEPEST} levels, or contains itself: flatten it")
    kind = type(value)
    if kind in (list, tuple, dict) and holds_expression(value):
        return _structure(value, scope, what, depth)
    return constant(value, scope, what)


def _structure(value: Any, scope: Scope, what: str, depth: int) -> Any:
    if type(value) is not dict:
        items = [record(item, scope, f"{what}[{place}]", depth + 1) for place, item in enumerate(value)]
        return {"$tuple": items} if type(value) is tuple else items
    if any(isinstance(key, str) and (type(key) is Marker or has_markers(key)) for key in value):
        raise _flaw(scope, f"{what} has a text with a reference as a key: a key must be known when the graph is built")
    pairs = [(key, record(item, scope, f"{what}[{key!r}]", depth + 1)) for key, item in value.items()]
    if all(type(key) is str and not key.startswith("$") for key, _ in pairs):
        return dict(pairs)
    return {"$dict": [[constant(key, scope, f"a key of {what}"), item] for key, item in pairs]}


def reference_data(reference: Reference, scope: Scope, what: str) -> dict[str, Any]:
    check_in_scope(scope, reference, what)
    task, path = reference._raywf_task, reference._raywf_path
    head = "input" if task is None else task.id
    return ref(head, path)


def ref(head: str, path: tuple[str | int, ...]) -> dict[str, Any]:
    """``$ref`` in its short form where every key is a simple name."""
    if all(isinstance(key, str) and SIMPLE_KEY.match(key) for key in path):
        return {"$ref": ".".join([head, *map(str, path)])}
    return {"$ref": head, "path": list(path)}


def record_condition(value: Any, scope: Scope, what: str) -> Any:
    """The JSON form of a condition, or of a reference that stands for one."""
    if not isinstance(value, Condition):
        return record(value, scope, what)
    if value._raywf_scope is not scope:
        refuse(value, f"is used as {what} in workflow {scope.workflow!r}, but it is a foreign reference")
    op, operands = value._raywf_op, value._raywf_operands
    if op in ("and", "or"):
        return {op: [record_condition(each, scope, what) for each in operands]}
    if op == "not":
        return {"not": record_condition(operands[0], scope, what)}
    return {"op": op, "left": record(operands[0], scope, what), "right": record(operands[1], scope, what)}


def _template(given: str, scope: Scope, what: str) -> dict[str, Any]:
    parts: list[Any] = []
    for part in split(given, scope):
        if isinstance(part, str):
            parts.append(part)
            continue
        expression, conversion, spec = part
        value = record(expression, scope, what)
        how = {name: text for name, text in (("conversion", conversion), ("spec", spec)) if text}
        parts.append({"value": value, **how} if how else value)
    return {"$template": parts}


def constant(value: Any, scope: Scope | None, what: str) -> Any:
    """The JSON form of a value without references."""
    from raywf.definition.values import encode

    try:
        encoded = encode(value)
    except RaywfError as error:
        raise _flaw(scope, f"{what}: {_why_not(value, str(error))}") from None
    if hides_markers(encoded):
        raise _flaw(scope, f"{what}: a reference was formatted into a {type(value).__name__}: texts with references "
                    "are found in lists, tuples and dicts only. Build the object inside a task")  # fmt: skip
    data = json.loads(encoded)
    return {"$const": data} if has_operator(data) else data


def _why_not(value: Any, reason: str) -> str:
    if holds_expression(value) or hides_expression(value):
        return (
            f"a reference was found inside a {type(value).__name__}: references are found in lists, tuples and dicts "
            "only. Build the object inside a task"
        )
    if callable(value):
        name = getattr(value, "__qualname__", repr(value))
        return f"{name} is a function, and an argument must be data. To use its result, make it a @task and call it"
    return reason


def holds_expression(value: Any, depth: int = 0) -> bool:
    """Whether lists, tuples and dicts hold a reference, a condition or a text with one."""
    if isinstance(value, Expression):
        return True
    if isinstance(value, str):
        return type(value) is Marker or has_markers(value)
    if isinstance(value, (bytes, bytearray)):
        return hides_markers(value)
    if depth > _DEEPEST:
        return False
    if type(value) in (list, tuple):
        return any(holds_expression(item, depth + 1) for item in value)
    if type(value) is dict:
        return any(holds_expression(key) or holds_expression(item, depth + 1) for key, item in value.items())
    return False


def hides_expression(value: Any) -> bool:
    """Whether an object that is opaque to us has a reference in a field."""
    if isinstance(value, tuple):
        return any(holds_expression(item) for item in value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return any(holds_expression(getattr(value, each.name, None)) for each in dataclasses.fields(value))
    return any(holds_expression(item) for item in getattr(value, "__dict__", {}).values())


def has_operator(data: Any) -> bool:
    """Whether a key that begins with ``$`` occurs anywhere."""
    if isinstance(data, dict):
        return any(str(key).startswith("$") or has_operator(item) for key, item in data.items())
    return isinstance(data, list) and any(has_operator(item) for item in data)


def _flaw(scope: Scope | None, message: str) -> DefinitionError:
    return DefinitionError(message if scope is None else f"{user_line(scope.body_file)}: {message}")
