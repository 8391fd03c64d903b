"""The JSON form of values and conditions (see ``recording``) read as bindings, with the place of every flaw."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

from pydantic_core import to_json

from raywf.core.bindings import COMPARISONS, Binding, Compare, Const, Logic, Mapping, Ref, Sequence, Template
from raywf.definition.lines import did_you_mean
from raywf.definition.recording import SIMPLE_KEY, has_operator
from raywf.errors import DefinitionError

Place: TypeAlias = tuple[str | int, ...]
"""Where in a definition: ``("tasks", 2, "args", 0)``."""

Resolve: TypeAlias = Callable[[str, tuple[str | int, ...], Place], int]
"""Task id, keys and place -> the task's index, or ``INPUT``; raises for what is not there."""

_OPERATORS = ("$ref", "$template", "$cond", "$const", "$tuple", "$dict")


class PlacedError(DefinitionError):
    """A flaw in a definition that was given as data, with its place in it."""

    def __init__(self, place: Place, message: str) -> None:
        self.place = place
        self.message = message
        where = place_text(place)
        super().__init__(f"{where}: {message}" if where else message)
        self.args = (place, message)

    def __str__(self) -> str:
        where = place_text(self.place)
        return f"{where}: {self.message}" if where else self.message


def place_text(place: Place) -> str:
    """``("tasks", 2, "args", 0)`` -> ``tasks[2].args[0]``."""
    text = ""
    for step in place:
        if isinstance(step, int):
            text += f"[{step}]"
        elif SIMPLE_KEY.match(step) or step.startswith("$"):
            text += f".{step}" if text else step
        else:
            text += f"[{step!r}]"
    return text


def read_value(data: Any, resolve: Resolve, place: Place) -> Binding:
    """The binding of a value. Raises ``PlacedError``."""
    if isinstance(data, dict):
        return _read_object(data, resolve, place)
    if isinstance(data, list):
        if not has_operator(data):
            return _constant(data, place)
        return Sequence(tuple(read_value(item, resolve, (*place, i)) for i, item in enumerate(data)))
    return _constant(data, place)


def _constant(data: Any, place: Place) -> Const:
    _check_plain(data, place)
    try:
        return Const(to_json(data))
    except ValueError as error:
        raise PlacedError(place, f"the text is not UTF-8 and so not JSON: {error}") from None


def _check_plain(data: Any, place: Place) -> None:
    """A definition holds JSON: what JSON has no word for would come back as something else."""
    if isinstance(data, dict):
        keys: dict[Any, Any] = data
        for key, item in keys.items():
            if not isinstance(key, str):
                raise PlacedError(place, f"the key {key!r} is not text: write {{$dict: [[key, value], …]}}")
            _check_plain(item, (*place, key))
    elif isinstance(data, list):
        for at, item in enumerate(data):
            _check_plain(item, (*place, at))
    elif not (data is None or type(data) in (str, int, bool) or (type(data) is float and math.isfinite(data))):
        raise PlacedError(
            place,
            f"{data!r:.60} is not JSON: write {{$const: …}} with the value as raywf stores it "
            "(raywf.definition.values.encode)",
        )


def _read_object(data: dict[str, Any], resolve: Resolve, place: Place) -> Binding:
    operators = [key for key in data if str(key).startswith("$")]
    if not operators:
        if not has_operator(data):
            return _constant(data, place)
        return Mapping(tuple((to_json(key), read_value(item, resolve, (*place, key))) for key, item in data.items()))
    operator = operators[0]
    if operator not in _OPERATORS:
        raise PlacedError(
            (*place, operator),
            f"there is no operator {operator!r}.{did_you_mean(operator, _OPERATORS)} Operators are "
            f"{', '.join(_OPERATORS)}; a constant with such a key is written {{$const: …}}",
        )
    allowed = {"$ref", "path"} if operator == "$ref" else {operator}
    for key in data:
        if key not in allowed:
            raise PlacedError((*place, key), f"{key!r} does not go with {operator!r}")
    return _READERS[operator](data, resolve, place)


def _items(data: Any, place: Place) -> list[Any]:
    if not isinstance(data, list):
        raise PlacedError(place, f"{place[-1]} takes a list, not {data!r:.60}")
    return data


def _read_ref(data: dict[str, Any], resolve: Resolve, place: Place) -> Binding:
    text = data["$ref"]
    here = (*place, "$ref")
    if not isinstance(text, str) or not text:
        raise PlacedError(here, f"a reference is text like 'task.field', not {text!r:.60}")
    head, *keys = text.split(".")
    path: tuple[str | int, ...] = tuple(keys)
    for key in keys:
        if not SIMPLE_KEY.match(key):
            raise PlacedError(
                here, f"the key {key!r} of {text!r} is not a simple name: write {{$ref: {head}, path: [{key!r}]}}"
            )
    if "path" in data:
        more = _items(data["path"], (*place, "path"))
        for at, key in enumerate(more):
            if isinstance(key, bool) or not isinstance(key, (str, int)):
                raise PlacedError((*place, "path", at), f"a key is text or an integer, not {key!r:.60}")
        path += tuple(more)
    return Ref(resolve(head, path, here), path)


def _read_template(data: dict[str, Any], resolve: Resolve, place: Place) -> Binding:
    here = (*place, "$template")
    return Template(
        tuple(_read_part(part, resolve, (*here, i)) for i, part in enumerate(_items(data["$template"], here)))
    )


def _read_part(part: Any, resolve: Resolve, place: Place) -> str | tuple[Binding, str, str]:
    if isinstance(part, str):
        return part
    if not isinstance(part, dict) or "value" not in part:
        return read_value(part, resolve, place), "", ""
    for key in part:
        if key not in ("value", "conversion", "spec"):
            raise PlacedError((*place, key), f"a formatted part has value, conversion and spec, not {key!r}")
    conversion, spec = part.get("conversion", ""), part.get("spec", "")
    if conversion not in ("", "s", "r", "a"):
        raise PlacedError((*place, "conversion"), f"a conversion is 's', 'r' or 'a', not {conversion!r}")
    if not isinstance(spec, str):
        raise PlacedError((*place, "spec"), f"a format spec is text like '.2f', not {spec!r:.60}")
    return read_value(part["value"], resolve, (*place, "value")), conversion, spec


def _read_dict(data: dict[str, Any], resolve: Resolve, place: Place) -> Binding:
    here = (*place, "$dict")
    pairs = []
    for at, pair in enumerate(_items(data["$dict"], here)):
        if not isinstance(pair, list) or len(pair) != 2:
            raise PlacedError((*here, at), f"each item is a list of a key and a value, not {pair!r:.60}")
        key = read_value(pair[0], resolve, (*here, at, 0))
        if not isinstance(key, Const):
            raise PlacedError((*here, at, 0), "a key must be a constant")
        pairs.append((key.value, read_value(pair[1], resolve, (*here, at, 1))))
    return Mapping(tuple(pairs))


def _read_tuple(data: dict[str, Any], resolve: Resolve, place: Place) -> Binding:
    here = (*place, "$tuple")
    items = enumerate(_items(data["$tuple"], here))
    return Sequence(tuple(read_value(item, resolve, (*here, i)) for i, item in items), is_tuple=True)


_READERS: dict[str, Callable[[dict[str, Any], Resolve, Place], Binding]] = {
    "$ref": _read_ref,
    "$template": _read_template,
    "$cond": lambda data, resolve, place: read_condition(data["$cond"], resolve, (*place, "$cond")),
    "$const": lambda data, resolve, place: _constant(data["$const"], (*place, "$const")),
    "$tuple": _read_tuple,
    "$dict": _read_dict,
}


def read_condition(data: Any, resolve: Resolve, place: Place) -> Binding:
    """The binding of a condition. Raises ``PlacedError``; a constant is refused, because nothing would be decided."""
    if not isinstance(data, dict) or not data:
        raise PlacedError(
            place,
            f"{data!r:.60} is not a condition: write {{op: '<', left: …, right: …}}, {{and: […]}}, {{or: […]}}, "
            "{not: …} or {$ref: task}",
        )
    if "op" in data:
        return _read_comparison(data, resolve, place)
    for op in ("and", "or"):
        if set(data) == {op}:
            operands = _items(data[op], (*place, op))
            if not operands:
                raise PlacedError((*place, op), f"{op!r} needs at least one condition")
            return Logic(op, tuple(read_condition(each, resolve, (*place, op, i)) for i, each in enumerate(operands)))
    if set(data) == {"not"}:
        return Logic("not", (read_condition(data["not"], resolve, (*place, "not")),))
    if not any(key.startswith("$") for key in data):
        unknown = next(iter(data))
        raise PlacedError(
            (*place, unknown), f"a condition has no key {unknown!r}.{did_you_mean(unknown, ('op', 'and', 'or', 'not'))}"
        )
    found = read_value(data, resolve, place)
    if isinstance(found, Const):
        raise PlacedError(place, "the condition is a constant: one side would never run, so leave the other out")
    return found


def _read_comparison(data: dict[str, Any], resolve: Resolve, place: Place) -> Binding:
    for key in data:
        if key not in ("op", "left", "right"):
            raise PlacedError((*place, key), f"a comparison has op, left and right, not {key!r}")
    for key in ("left", "right"):
        if key not in data:
            raise PlacedError(place, f"the comparison has no {key!r}")
    op = data["op"]
    if op not in COMPARISONS:
        raise PlacedError((*place, "op"), f"{op!r} is not a comparison: it is one of {' '.join(COMPARISONS)}")
    left = read_value(data["left"], resolve, (*place, "left"))
    return Compare(op, left, read_value(data["right"], resolve, (*place, "right")))
