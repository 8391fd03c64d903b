"""f-strings with references in them, recorded.

Formatting a reference gives a marker: a token between two characters of a private plane of Unicode. When a text with
markers arrives as an argument it becomes a template again. A text that was changed on the way (``.upper()``, a slice)
no longer holds whole markers, and that is refused as far as it can be seen. A marker that leaks, say to ``print``, is
harmless and readable.
"""

from __future__ import annotations

import re
from typing import Any, NoReturn

from raywf.definition.lines import user_line
from raywf.errors import DefinitionError

BEGIN = "\U0010f7a1"
END = "\U0010f7a2"
_WORD = "raywf.ref.7f3a"
_MARKER = re.compile(f"{BEGIN}{re.escape(_WORD)}:([0-9]+[.][0-9]+):[^{BEGIN}{END}]*{END}")
_ESCAPED = re.compile(rf"\\U0010f7a1{re.escape(_WORD)}:([0-9]+[.][0-9]+):[^{BEGIN}{END}]*?\\U0010f7a2")
"""What ``ascii()`` makes of the marker that ``repr()`` gave."""

_DEBRIS = re.compile(f"{BEGIN}|{END}|{re.escape(_WORD)}", re.IGNORECASE)


class Marker(str):
    """The marker of one formatted reference. What would look into it or change it is refused: it has no value yet."""

    __slots__ = ("conversion", "expression", "label", "scope", "spec")

    scope: Any
    expression: Any
    label: str
    conversion: str
    spec: str

    def __format__(self, spec: str) -> str:
        if not spec:
            return self
        if self.spec:
            _refuse(self, "formatted twice")
        return marker(self.scope, self.expression, self.label, self.conversion or "s", spec)

    def __str__(self) -> str:
        return self

    def __repr__(self) -> str:
        return "".join([self])

    def __hash__(self) -> int:
        _refuse(self, "used as a key or in a set")

    def __eq__(self, other: object) -> bool:
        _refuse(self, "compared; compare the reference itself")

    def __ne__(self, other: object) -> bool:
        _refuse(self, "compared; compare the reference itself")


def _refuse(text: Marker, what: str) -> NoReturn:
    raise DefinitionError(
        f"{user_line(text.scope.body_file)}: the text of {text.label} was {what}, but it has no value while the graph "
        "is being built: do that inside a task"
    )


def _refusing(name: str) -> Any:
    def method(self: Marker, *args: Any, **kwargs: Any) -> NoReturn:
        _refuse(self, f"asked for .{name}()" if not name.startswith("__") else f"used with {name.strip('_')}")

    method.__name__ = name
    return method


_OPEN = {"__init__", "__new__", "__format__", "__str__", "__repr__", "__hash__", "__eq__", "__ne__", "__add__"}
_OPEN |= {"__class__", "__getattribute__", "__doc__", "__reduce__", "__reduce_ex__", "__getnewargs__", "__sizeof__"}
for _name in set(vars(str)) - _OPEN:
    setattr(Marker, _name, _refusing(_name))


def marker(scope: Any, expression: Any, label: str, conversion: str = "", spec: str = "") -> Marker:
    """A new marker for ``expression``, known to ``scope`` under its token."""
    if has_markers(spec):
        raise DefinitionError(
            f"{user_line(scope.body_file)}: the format spec of {label} holds a reference; a spec must be known when the "
            "graph is built: format the text inside a task"
        )
    token = f"{scope.serial}.{len(scope.templates)}"
    scope.templates[token] = (expression, conversion, spec)
    text = Marker(f"{BEGIN}{_WORD}:{token}:{_DEBRIS.sub('', label)}{END}")
    text.scope, text.expression, text.label = scope, expression, label
    text.conversion, text.spec = conversion, spec
    return text


def has_markers(text: str) -> bool:
    """Whether a text holds a marker, whole or damaged."""
    return _DEBRIS.search("".join([text])) is not None


def hides_markers(encoded: bytes | bytearray) -> bool:
    """Whether an encoded constant holds a marker: a reference was formatted inside of something opaque."""
    return _WORD.encode() in encoded.lower() or BEGIN.encode() in encoded or END.encode() in encoded


def _matches(text: str) -> list[re.Match[str]]:
    escaped = _ESCAPED.finditer(text) if "\\U0010f7a1" in text else ()
    return sorted([*_MARKER.finditer(text), *escaped], key=re.Match.start)


def split(text: str, scope: Any) -> list[str | tuple[Any, str, str]]:
    """The literal pieces and the (expression, conversion, spec) of a text, in turn.

    Raises ``DefinitionError`` for a damaged marker and for one of another workflow.
    """
    text = "".join([text])
    parts: list[str | tuple[Any, str, str]] = []
    position = 0
    for match in _matches(text):
        found = scope.templates.get(match[1])
        if found is not None and match[0].startswith("\\"):
            if found[1:] != ("r", ""):
                continue  # a text with a marker went through repr(): nothing we can record
            found = (found[0], "a", "")
        if found is None:
            raise DefinitionError(
                f"{user_line(scope.body_file)}: the text {text!r:.200} holds a reference from another workflow, or "
                "from another run of this body: references are good only in the body they come from"
            )
        parts += [text[position : match.start()], found]
        position = match.end()
    parts.append(text[position:])
    for part in parts:
        if isinstance(part, str) and _DEBRIS.search(part):
            raise DefinitionError(
                f"{user_line(scope.body_file)}: a text with a reference in it was changed after it was formatted "
                f"({part!r:.120}): a reference has no text yet while the graph is being built. Change the text inside a task."
            )
    return [part for part in parts if part != ""]
