"""A persistent sequence for what is wide: replacing one slot copies a path of short lists, not the whole sequence.

A tree whose nodes have 32 places (as Clojure's vectors have; Bagwell and Rompf, "RRB-Trees", 2011). The depth grows with
the logarithm of the length, so a replacement among 50,000 costs two short copies more than one among 1,000.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar

T = TypeVar("T")
_BITS = 5
_WIDTH = 1 << _BITS
_MASK = _WIDTH - 1


class Chunks(Sequence[T]):
    """An immutable sequence of fixed length with replacement in O(log n). Equality is by contents."""

    __slots__ = ("_root", "_shift", "_size")

    def __init__(self, root: list[Any], shift: int, size: int) -> None:
        self._root = root
        self._shift = shift
        self._size = size

    @classmethod
    def filled(cls, value: T, size: int) -> Chunks[T]:
        """``size`` times the same value. Equal parts are one part, so this takes little room however wide it is."""
        return _grown([value], size, cls)

    @classmethod
    def of(cls, values: Iterable[T]) -> Chunks[T]:
        level: list[Any] = list(values)
        size, shift = len(level), 0
        while len(level) > _WIDTH:
            level = [level[start : start + _WIDTH] for start in range(0, len(level), _WIDTH)]
            shift += _BITS
        return cls(level, shift, size)

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, index: int) -> T:  # type: ignore[override]
        if not 0 <= index < self._size:
            raise IndexError(f"index {index} is outside 0..{self._size - 1}")
        node, shift = self._root, self._shift
        while shift:
            node = node[(index >> shift) & _MASK]
            shift -= _BITS
        return node[index & _MASK]  # type: ignore[no-any-return]

    def __iter__(self) -> Iterator[T]:
        return _leaves(self._root, self._shift)

    def replaced(self, index: int, value: T) -> Chunks[T]:
        if not 0 <= index < self._size:
            raise IndexError(f"index {index} is outside 0..{self._size - 1}")
        shift = self._shift
        node = root = self._root.copy()
        while shift:
            at = (index >> shift) & _MASK
            copy = node[at].copy()
            node[at] = copy
            node = copy
            shift -= _BITS
        node[index & _MASK] = value
        return Chunks(root, self._shift, self._size)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Chunks) and self._size == other._size and self._root == other._root

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __repr__(self) -> str:
        return f"Chunks({list(self)!r})" if self._size <= 8 else f"Chunks(<{self._size} slots>)"


def _grown(level: list[Any], size: int, cls: type[Chunks[T]]) -> Chunks[T]:
    """A tree in which all full nodes of a level are one list: nothing is ever changed in place, so they may be."""
    value = level[0]
    full, last, places, shift = value, value, size, 0
    while places > _WIDTH:
        rest = places % _WIDTH
        nodes = -(-places // _WIDTH)
        tail = [full] * ((rest or _WIDTH) - 1) + [last]
        full, last, places, shift = [full] * _WIDTH, tail, nodes, shift + _BITS
    return cls([full] * (places - 1) + [last] if places else [], shift, size)


def _leaves(node: list[Any], shift: int) -> Iterator[Any]:
    if not shift:
        yield from node
        return
    for child in node:
        yield from _leaves(child, shift - _BITS)


class Edited(Sequence[T]):
    """A sequence while places of it are changed. The one it came from is not touched."""

    __slots__ = ("_base", "_changed")

    def __init__(self, base: Chunks[T]) -> None:
        self._base = base
        self._changed: dict[int, T] = {}

    def __len__(self) -> int:
        return len(self._base)

    def __getitem__(self, index: int) -> T:  # type: ignore[override]
        try:
            return self._changed[index]
        except KeyError:
            return self._base[index]

    def __setitem__(self, index: int, value: T) -> None:
        self._changed[index] = value

    def __iter__(self) -> Iterator[T]:
        for index, value in enumerate(self._base):
            yield self._changed.get(index, value)

    def done(self) -> Chunks[T]:
        """The sequence with the changes."""
        base = self._base
        if len(self._changed) * 8 > len(base):
            return Chunks.of(self)
        for index, value in self._changed.items():
            base = base.replaced(index, value)
        return base
