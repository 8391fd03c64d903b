"""Large values in a table of the store: every host that reaches the store reads them.

Whoever needs one stands within a turn and cannot await, so the connection has a loop and a thread of its own.
"""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from raywf.errors import StoreUnavailable
from raywf.journal.addresses import take_apart
from raywf.journal.postgres import making
from raywf.journal.postgres.link import Link

T = TypeVar("T")
_LARGEST = 1_000_000_000
_PATIENCE_S = 60.0


class PostgresBlobs:
    """Content-addressed bytes. Safe from any thread; the thread starts with the first value."""

    def __init__(self, url: str) -> None:
        schema = take_apart(url)[1]
        self._link = Link(url, lambda db: making.require(db, schema, self._link.shown), _PATIENCE_S)
        self._starting = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    def put(self, data: bytes) -> str:
        """Store the bytes durably; returns their content hash. The same bytes are kept once."""
        hash_ = hashlib.sha256(data).hexdigest()
        self.write(hash_, data)
        return hash_

    def get(self, hash_: str) -> bytes:
        """The bytes of a hash. Raises ``StoreUnavailable``."""
        data = self.read(hash_)
        if data is None:
            raise StoreUnavailable(
                f"store {self._link.shown}: the large value {hash_} is not there: restore the table."
            )
        return data

    def write(self, name: str, data: bytes) -> None:
        """Store the bytes durably under a name, unless there are some."""
        _refuse_too_large(data)
        self._wait(lambda db: db.execute("INSERT INTO blobs VALUES ($1, $2) ON CONFLICT DO NOTHING", name, data))

    def read(self, name: str) -> bytes | None:
        """The bytes of a name; None where there are none."""
        data = self._wait(lambda db: db.fetchval("SELECT data FROM blobs WHERE hash = $1", name))
        return None if data is None else bytes(data)

    def has(self, name: str) -> bool:
        return bool(self._wait(lambda db: db.fetchval("SELECT EXISTS (SELECT 1 FROM blobs WHERE hash = $1)", name)))

    def names(self) -> list[str]:
        """All names, sorted."""
        return [row[0] for row in self._wait(lambda db: db.fetch("SELECT hash FROM blobs ORDER BY hash"))]

    def remove(self, name: str) -> None:
        self._wait(lambda db: db.execute("DELETE FROM blobs WHERE hash = $1", name))

    def close(self) -> None:
        with self._starting:
            loop, self._loop = self._loop, None
        if loop is not None:
            asyncio.run_coroutine_threadsafe(self._link.close(), loop).result()
            loop.call_soon_threadsafe(loop.stop)

    def _wait(self, work: Callable[[Any], Awaitable[T]]) -> T:
        with self._starting:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=_serve, args=(self._loop,), name="raywf-blobs", daemon=True).start()
        return asyncio.run_coroutine_threadsafe(self._link.run(work), self._loop).result()


def _refuse_too_large(data: bytes) -> None:
    if len(data) > _LARGEST:
        raise StoreUnavailable(
            f"a value of {len(data)} bytes is too large for PostgreSQL, which keeps at most {_LARGEST} in one: "
            "write it to a file or an object store and pass its address on."
        )


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    loop.run_forever()
    loop.close()
