"""What kind of thing is being merged? `strategy="auto"` picks by the shape of the values, and by nothing else.

    objects                     fields      dicts with text keys, pydantic models, dataclasses, named tuples
    lists of the same things    kemeny      each list has the same different labels, in an order of its own
    lists of numbers            vector      of one length, with a float among them: place by place
    other lists, sets           list, set   entities are matched, then kept or left out
    quantities                  huber       numbers of which one is a float, or has a size from 100 to 10^12
    texts                       text        one is longer than 100 characters, has a line break, or states an answer
    anything else, or a mixture             labels, which climb the ladder of `raywf.aggregation.learning`

Whole numbers below 100, and of 10^12 and more, are labels: they are classes, marks and ids at least as often as counts, and the
mean of two classes is a third one that nobody meant. One more vote for a value that is there never changes the shape.
"""

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any, Literal, Protocol, TypeAlias

from raywf.aggregation.candidates import Candidate
from raywf.aggregation.identity import identity
from raywf.aggregation.result import AggregateResult
from raywf.aggregation.strategies import evidence
from raywf.aggregation.text import extract_answer

Shape: TypeAlias = Literal["label", "number", "text", "object", "list", "vector", "set", "ranking"]


class Merger(Protocol):
    """What merges a part of a value: an aggregator with a strategy of its own."""

    def merge(self, candidates: Iterable[Candidate]) -> AggregateResult: ...


LONG_LABEL = 100
"""Characters; a label is a name, and names are shorter."""
SHORT_LABEL = 20
"""Characters up to which nobody looks for a stated answer: most labels are so short, and looking costs."""
QUANTITY = 100
NAMES = 10**12
"""Whole numbers so large are ids and instants, which have no middle, and arithmetic in floats would change their last digits."""
RANKED_UP_TO = 1000
_TAG = "$t"
_TAGGED: dict[object, Shape] = {
    "model": "object", "dataclass": "object", "tuple": "list", "set": "set", "frozenset": "set",
}  # fmt: skip
"""Values as an aggregator's actor sees them, encoded with their types; other tags are opaque and compared whole."""


def shape_of(values: Sequence[Any]) -> Shape:
    """The one shape that all `values` have, else "label". Abstentions are no values; of none the shape is "label"."""
    if all(type(value) is str and len(value) <= SHORT_LABEL for value in values):
        return "text" if any("\n" in value for value in values) else "label"
    found = {_kind(value) for value in values}
    if len(found) != 1:
        return "label"
    match found.pop():
        case "number":
            if any(isinstance(v, int) and abs(v) >= NAMES for v in values):
                return "label"
            return "number" if any(isinstance(v, float) or abs(v) >= QUANTITY for v in values) else "label"
        case "text":
            return "text" if any(_is_long(value) for value in values) else "label"
        case "list":
            return _shape_of_lists([contents(value) for value in values])
        case "object" if len({_tags(value) for value in values}) > 1:
            return "label"
        case shape:
            return shape


def _kind(value: Any) -> Shape:
    match value:
        case bool():
            return "label"
        case int() | float():
            return "number"
        case str():
            return "text"
        case Mapping() if _TAG in value:
            return _TAGGED.get(value[_TAG], "label")
        case list():
            return "list"
        case Set():
            return "set"
        case _ if record_of(value) is not None:
            return "object"
        case tuple():
            return "list"
        case _:
            return "label"


def _tags(value: Any) -> tuple[str, str] | None:
    return (value[_TAG], repr(value.get("c"))) if isinstance(value, Mapping) and _TAG in value else None


def _is_long(text: str) -> bool:
    if len(text) > LONG_LABEL or "\n" in text:
        return True
    return len(text) > SHORT_LABEL and extract_answer(text) is not None


def _shape_of_lists(lists: list[list[Any]]) -> Shape:
    first = lists[0]
    if first and all(len(each) == len(first) for each in lists):
        kinds = {type(item) for each in lists for item in each}
        if float in kinds and kinds <= {int, float}:
            return "vector"
        if len(first) > 1 and len(first) <= RANKED_UP_TO and kinds <= {str, int}:
            things = {identity(item) for item in first}
            if len(things) == len(first) and all({identity(item) for item in each} == things for each in lists[1:]):
                return "ranking"
    return "list"


def contents(value: Any) -> list[Any]:
    """The elements of a list, a tuple or a set, tagged or not; those of a set in the order of their spelling."""
    if isinstance(value, Mapping):
        value = value["v"]
    if isinstance(value, Set):
        return sorted(value, key=lambda item: (type(item).__name__, repr(item)))
    return list(value)


def refilled(like: Sequence[Any], elements: list[Any]) -> Any:
    """`elements` in a container of the kind that all of `like` are; in a list where they are of several kinds."""
    if all(isinstance(value, Mapping) for value in like):
        return {**like[0], "v": elements}
    kinds = {type(value) for value in like}
    kind = kinds.pop() if len(kinds) == 1 else list
    return kind(elements) if kind in (tuple, set, frozenset) else elements


def record_of(value: Any) -> dict[str, Any] | None:
    """The fields of an object; None for what is none, and for a dict whose keys are not all texts."""
    if isinstance(value, Mapping):
        if _TAG in value:
            inside = value.get("v")
            return inside if _TAGGED.get(value[_TAG]) == "object" and isinstance(inside, dict) else None
        return dict(value) if all(isinstance(key, str) for key in value) else None
    if is_model(value):
        return dict(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value) if field.init}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return dict(value._asdict())
    return None


def is_model(value: object) -> bool:
    """A pydantic model, told by its manners: this room does not import pydantic."""
    return hasattr(type(value), "model_fields") and hasattr(value, "model_dump")


def rebuilt(like: Sequence[Any], record: dict[str, Any]) -> Any:
    """`record` as the one class that some of `like` have, else as a dict. Raises whatever that class raises."""
    if isinstance(like[0], Mapping) and _TAG in like[0]:
        return {**like[0], "v": record}
    classes = {type(value) for value in like if not isinstance(value, Mapping)}
    if len(classes) != 1:
        return record
    kind = classes.pop()
    return validated(kind, record) if hasattr(kind, "model_validate") else kind(**record)


def validated(model: Any, record: dict[str, Any]) -> Any:
    """`record` as a pydantic `model`, by the names of its fields, whatever their aliases. Raises pydantic's error."""
    aliases = {name: field.validation_alias for name, field in model.model_fields.items()}
    named = {aliases[n] if isinstance(aliases.get(n), str) else n: value for n, value in record.items()}
    return model.model_validate(named)


def check_sound(value: Any) -> None:
    """Raises what the classes of records raise, wherever in `value` such a record is, if they refuse what is in it.

    For values that were put together where their classes were not known.
    """
    if (record := record_of(value)) is not None:
        for inside in record.values():
            check_sound(inside)
        rebuilt([value], record)
    elif isinstance(value, list | tuple | Set):
        for element in value:
            check_sound(element)


def sure(agreeing: Sequence[float], others: Sequence[float]) -> float:
    """How sure votes of these weights make a yes or no: as `majority`, of two outcomes."""
    mine, all_ = math.fsum(agreeing), math.fsum([*agreeing, *others])
    if mine <= 0:
        return 0.5 / (evidence(others) + 1)
    share, votes = mine / all_, evidence(agreeing)
    return (votes + 0.5) / (votes / share + 1)


def pointer(name: object) -> str:
    """One step of a JSON pointer (RFC 6901)."""
    return "/" + str(name).replace("~", "~0").replace("/", "~1")
