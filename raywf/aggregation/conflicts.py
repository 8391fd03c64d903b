"""What kind of disagreement is this? Only a contradiction needs a judge; the other kinds need a rule."""

import re
from typing import Any

from raywf.aggregation.identity import identity
from raywf.aggregation.result import ConflictKind

_SPACE_AND_MARKS = re.compile(r"[\s_\-.,;:!?]+")
_NUMBER = re.compile(r"^([-+]?)(\d[\d,' ]*\.?\d*)\s*(%?)$")
LONGEST = 500
"""Characters of a text that are compared; whoever disagrees over a longer one disagrees."""


def conflict_kind(merged: Any, other: Any) -> ConflictKind:
    """How `other` differs from `merged`; the order of the two does not matter."""
    one, two = _plain(merged), _plain(other)
    if one is not None and one == two:
        return "format"
    if isinstance(merged, str) and isinstance(other, str) and max(len(merged), len(other)) <= LONGEST:
        words, more = sorted((_words(merged), _words(other)), key=len)
        if words and len(words) < len(more) and _inside(words, more):
            return "granularity"
    return "contradiction"


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


def _words(text: str) -> list[str]:
    return [word for word in _SPACE_AND_MARKS.split(text.casefold()) if word]


def _inside(few: list[str], many: list[str]) -> bool:
    return any(many[i : i + len(few)] == few for i in range(len(many) - len(few) + 1))
