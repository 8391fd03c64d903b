"""A persistent sequence for wide fan-outs: replacing one slot copies two short tuples, not the whole sequence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")
_MIN = 32


class Chunks(Generic[T]):
    """An immutable sequence of fixed length with O(sqrt n) replacement. Equality is by contents."""

    __slots__ = ("_rows", "_size", "_width")

    def __init__(self, rows: tuple[tuple[T, ...], ...], width: int, size: int) -> None:
        self._rows = rows
        self._width = width
        self._size = size

    @classmethod
    def filled(cls, value: T, size: int) -> Chunks[T]:
        width = max(_MIN, int(size**0.5))
        full = (value,) * width
        rows = [full] * (size // width)
        if size % width:
            rows.append((value,) * (size % width))
        return cls(tuple(rows), width, size)

    @classmethod
    def of(cls, values: Sequence[T]) -> Chunks[T]:
        width = max(_MIN, int(len(values) ** 0.5))
        rows = tuple(tuple(values[start : start + width]) for start in range(0, len(values), width))
        return cls(rows, width, len(values))

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, index: int) -> T:
        if not 0 <= index < self._size:
            raise IndexError(f"index {index} is outside 0..{self._size - 1}")
        return self._rows[index // self._width][index % self._width]

    def __iter__(self) -> Iterator[T]:
        for row in self._rows:
            yield from row

    def replaced(self, index: int, value: T) -> Chunks[T]:
        if not 0 <= index < self._size:
            raise IndexError(f"index {index} is outside 0..{self._size - 1}")
        at, within = divmod(index, self._width)
        row = self._rows[at]
        row = (*row[:within], value, *row[within + 1 :])
        return Chunks((*self._rows[:at], row, *self._rows[at + 1 :]), self._width, self._size)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Chunks) and self._size == other._size and self._rows == other._rows

    def __hash__(self) -> int:
        return hash(self._rows)

    def __repr__(self) -> str:
        return f"Chunks({list(self)!r})" if self._size <= 8 else f"Chunks(<{self._size} slots>)"
