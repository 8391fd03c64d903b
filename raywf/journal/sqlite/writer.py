"""One writing connection, used by one piece of work at a time: on the loop when that is short, else in its thread.

A commit of a few rows takes a fraction of a millisecond, less than the way to a thread and back; one of thousands would
hold the loop up. So work says how long it is likely to take. Work that finds the write lock taken (another process sends
a command, say) also moves to the thread and waits there, so the loop never waits for a lock.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import apsw

from raywf.errors import StoreUnavailable
from raywf.journal.sqlite.errors import explained
from raywf.journal.sqlite.files import identity
from raywf.journal.sqlite.transactions import immediate

T = TypeVar("T")
INLINE_S = 0.002
"""Work expected to take longer than this goes to the thread."""

_PATIENCE_S = 10.0


class _Patience:
    """Asks for the write lock every few milliseconds. SQLite's own handler soon waits 100 ms between two looks, which
    beside a busy engine is long enough to miss every gap between its commits."""

    def __init__(self, seconds: float) -> None:
        self._until = time.monotonic() + seconds

    def __call__(self, tries: int) -> bool:
        if time.monotonic() >= self._until:
            return False
        time.sleep(0.001 * (1 + tries % 4))
        return True


class Writer:
    """The transactions of one process on one file. Belongs to one event loop."""

    def __init__(self, db: apsw.Connection, path: Path) -> None:
        self._db: apsw.Connection | None = db
        self._path = path
        self._file = identity(path)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="raywf-journal")
        self._last: Future[Any] | None = None
        self.took_s = 0.0
        """How long the last transaction took, without the way to the thread."""

    async def run(self, work: Callable[[apsw.Connection], T], expected_s: float = 0.0) -> T:
        """Do ``work`` in one transaction. Raises ``StoreUnavailable``; then nothing of it was written."""
        if expected_s <= INLINE_S and (self._last is None or self._last.done()):
            try:
                return self._transact(work, None)
            except apsw.BusyError:
                pass
        future = self._thread.submit(self._patiently, work)
        self._last = future
        return await asyncio.wrap_future(future)

    def _patiently(self, work: Callable[[apsw.Connection], T]) -> T:
        with explained(str(self._path)):
            return self._transact(work, _Patience(_PATIENCE_S))

    def _transact(self, work: Callable[[apsw.Connection], T], patience: _Patience | None) -> T:
        db = self._db
        if db is None:
            raise StoreUnavailable(f"store {self._path}: this connection is closed. Open the store again.")
        if identity(self._path) != self._file:
            raise StoreUnavailable(
                f"store {self._path}: the file was removed or replaced while it was open, so nothing more is written. "
                "Put it back, or stop this engine and start it anew."
            )
        db.set_busy_handler(patience)
        began = time.perf_counter()
        try:
            with immediate(db):
                result = work(db)
            self.took_s = time.perf_counter() - began
            return result
        except apsw.BusyError:
            raise
        except apsw.Error:
            with explained(str(self._path)):
                raise
        raise AssertionError("unreachable")

    async def close(self) -> None:
        """Wait for what is under way, and close. The last connection of an owner folds the log into the file."""
        if self._db is None:
            return
        db, self._db = self._db, None
        if self._last is not None and not self._last.done():
            await asyncio.wait([asyncio.wrap_future(self._last)])
        self._thread.shutdown(wait=False)
        with explained(str(self._path)):
            db.close()
