"""What kind of disagreement is this? Only a contradiction needs a judge; the other kinds need a rule."""

import math
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from raywf.aggregation.identity import identity
from raywf.aggregation.result import ConflictKind

_SPACE_AND_MARKS = re.compile(r"[\s_\-.,;:!?]+")
_NUMBER = re.compile(r"^([-+]?)(\d[\d,' ]*\.?\d*)\s*(%?)$")
_WITH_UNIT = re.compile(r"^([-+]?\d[\d,' ]*\.?\d*)\s*([A-Za-zµ]+)$")
_UNITS = {
    **{name: ("length", metres) for name, metres in (
        ("mm", 1e-3), ("cm", 1e-2), ("m", 1.0), ("km", 1e3), ("in", 0.0254), ("ft", 0.3048), ("yd", 0.9144), ("mi", 1609.344),
    )},
    **{name: ("mass", grams) for name, grams in (
        ("mg", 1e-3), ("g", 1.0), ("kg", 1e3), ("t", 1e6), ("oz", 28.349523125), ("lb", 453.59237),
    )},
    **{name: ("time", seconds) for name, seconds in (
        ("ms", 1e-3), ("s", 1.0), ("sec", 1.0), ("min", 60.0), ("h", 3600.0), ("hours", 3600.0), ("minutes", 60.0),
        ("seconds", 1.0), ("days", 86_400.0), ("d", 86_400.0),
    )},
    **{name: ("volume", litres) for name, litres in (("ml", 1e-3), ("l", 1.0), ("gal", 3.785411784))},
    **{name: ("bytes", size) for name, size in (("kb", 1e3), ("mb", 1e6), ("gb", 1e9), ("tb", 1e12))},
}  # fmt: skip
"""What is converted, by its SI definition; as written first, then in small letters. Others are compared as texts."""
SAME_QUANTITY = 0.005
LONGEST = 500
"""Characters of a text that are compared; whoever disagrees over a longer one disagrees."""


SHORT = 100
"""Characters of a label: what was found of two is remembered."""


def conflict_kind(merged: Any, other: Any) -> ConflictKind:
    """How `other` differs from `merged`; the order of the two does not matter."""
    if type(merged) is str and type(other) is str and len(merged) <= SHORT and len(other) <= SHORT:
        return _kind_of_labels(merged, other)
    return _kind_of(merged, other)


@lru_cache(maxsize=4096)
def _kind_of_labels(merged: str, other: str) -> ConflictKind:
    """The same two labels meet in many ballots."""
    return _kind_of(merged, other)


def _kind_of(merged: Any, other: Any) -> ConflictKind:
    one, two = _plain(merged), _plain(other)
    if one is not None and one == two:
        return "format"
    if isinstance(merged, Mapping) and isinstance(other, Mapping):
        return "missing" if _leaves_out(merged, other) else "contradiction"
    if _same_quantity(merged, other):
        return "unit"
    if isinstance(merged, str) and isinstance(other, str) and max(len(merged), len(other)) <= LONGEST:
        words, more = sorted((_words(merged), _words(other)), key=len)
        if words and len(words) < len(more) and _inside(words, more):
            return "granularity"
    return "contradiction"


def contains(specific: Any, general: Any) -> bool:
    """Whether `general` stands inside `specific`, which says more: "Paris" in "Paris, France"."""
    if (
        not isinstance(specific, str)
        or not isinstance(general, str)
        or conflict_kind(specific, general) != "granularity"
    ):
        return False
    return len(_words(general)) < len(_words(specific))


def _plain(value: Any) -> object:
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int | float):
        return identity(value)[1]
    if not isinstance(value, str) or len(value) > LONGEST:
        return None
    if found := _NUMBER.match(value.strip()):
        sign, digits, percent = found.groups()
        number = float(re.sub(r"[,' ]", "", digits)) * (-1 if sign == "-" else 1)
        return identity(number / 100 if percent else number)[1]
    return _SPACE_AND_MARKS.sub("", value).casefold() or None


def _leaves_out(one: Mapping[Any, Any], other: Mapping[Any, Any]) -> bool:
    """Whether the two agree wherever both say something (None says nothing), and one says more."""
    said = [
        {identity(key): identity(value) for key, value in each.items() if value is not None} for each in (one, other)
    ]
    shared = said[0].keys() & said[1].keys()
    return bool(shared) and said[0] != said[1] and all(said[0][key] == said[1][key] for key in shared)


def _same_quantity(one: object, other: object) -> bool:
    if not isinstance(one, str) or not isinstance(other, str) or max(len(one), len(other)) > LONGEST:
        return False
    a, b = _quantity(one), _quantity(other)
    return a is not None and b is not None and a[0] == b[0] and math.isclose(a[1], b[1], rel_tol=SAME_QUANTITY)


def _quantity(text: str) -> tuple[str, float] | None:
    found = _WITH_UNIT.match(text.strip())
    if not found or (unit := _UNITS.get(found.group(2)) or _UNITS.get(found.group(2).casefold())) is None:
        return None
    return unit[0], float(re.sub(r"[,' ]", "", found.group(1))) * unit[1]


def _words(text: str) -> list[str]:
    return [word for word in _SPACE_AND_MARKS.split(text.casefold()) if word]


def _inside(few: list[str], many: list[str]) -> bool:
    return any(many[i : i + len(few)] == few for i in range(len(many) - len(few) + 1))
