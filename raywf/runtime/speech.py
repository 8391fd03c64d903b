"""What one attempt says and nobody has taken down yet: its progress, and the items of its stream. From any thread."""

from __future__ import annotations

import threading
from typing import Any

from raywf.config import INLINE_LIMIT
from raywf.definition import values
from raywf.errors import InvalidInput

MAX_ITEMS = 100_000
"""Items in the stream of one task."""
MAX_STREAM_BYTES = 64 * 2**20
"""Bytes that one attempt may emit in all."""


class Speech:
    """``known`` is how many items of the stream earlier attempts left on record."""

    __slots__ = ("_items", "_lock", "_next", "_progress", "_said_bytes", "known")

    def __init__(self, known: int) -> None:
        self.known = known
        self._next = 0
        self._said_bytes = 0
        self._progress: bytes | None = None
        self._items: list[bytes] = []
        self._lock = threading.Lock()

    def report(self, progress: Any) -> None:
        """Note how far the attempt is; the last word counts. Raises ``InvalidInput`` for one that is too large."""
        self._progress = _encoded(progress, "progress", "say how far it is, and keep what was computed elsewhere")

    def emit(self, item: Any, number: int | None) -> None:
        """Queue an item, unless its number is on record. Raises ``InvalidInput``."""
        data = _encoded(item, "an item of a stream", "emit where it is instead, or smaller pieces")
        with self._lock:
            at = self._next if number is None else self._numbered(number)
            if at >= MAX_ITEMS or self._said_bytes + len(data) > MAX_STREAM_BYTES:
                raise InvalidInput(
                    f"item {at:,} of this stream, of {len(data):,} bytes, is one too many: a task emits at most "
                    f"{MAX_ITEMS:,} items and {MAX_STREAM_BYTES // 2**20} MB, and {self._said_bytes:,} bytes were said. "
                    "Emit fewer and larger items, or write to a store of your own and emit where it is"
                )
            self._next = at + 1
            self._said_bytes += len(data)
            if at >= self.known:
                self._items.append(data)

    def _numbered(self, number: int) -> int:
        if type(number) is not int or number < self._next:
            raise InvalidInput(
                f"emit(number={number!r}): the next number of this attempt is {self._next}. Leave number= out"
            )
        if number > max(self._next, self.known):
            raise InvalidInput(
                f"emit(number={number}) would leave a gap: the stream has {max(self._next, self.known)} items. Numbers "
                "count from 0 without gaps; go on with number=raywf.current().emitted"
            )
        return number

    @property
    def is_pending(self) -> bool:
        return self._progress is not None or bool(self._items)

    def take(self) -> tuple[bytes | None, int, list[bytes]]:
        """What was said since the last time: progress, the number of the first item, items."""
        with self._lock:
            progress, self._progress = self._progress, None
            items, self._items = self._items, []
            return progress, max(self._next, self.known) - len(items), items

    def give_back(self, progress: bytes | None, items: list[bytes]) -> None:
        """What was taken did not arrive: it is said again, before what was said meanwhile."""
        with self._lock:
            if self._progress is None:
                self._progress = progress
            self._items[:0] = items


def _encoded(value: Any, what: str, advice: str) -> bytes:
    small = values.encode_small(value)
    data = values.encode(value) if small is None else small
    if len(data) > INLINE_LIMIT:
        raise InvalidInput(f"{what} of {len(data):,} bytes is too large: the limit is {INLINE_LIMIT:,} bytes; {advice}")
    return data
