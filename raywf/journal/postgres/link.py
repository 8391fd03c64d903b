"""One connection, opened when it is first needed and again after it broke. Used by one piece of work at a time.

**Patience.** Every exchange has a bound: a server that hangs looks like one that is away. After a timeout nothing is known
of the connection, so it is thrown away; nothing is sent on it any more.

**A standing owner.** Work that takes row locks runs in a session that the server ends when its transaction stands still
(``idle_in_transaction_session_timeout``): a frozen host cannot keep another one from taking over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import asyncpg

from raywf.config import shown
from raywf.errors import StoreUnavailable
from raywf.journal.addresses import take_apart
from raywf.journal.postgres.errors import NO_HOST, explain, is_broken

T = TypeVar("T")
CONNECT_S = 10.0
PATIENCE_S = 15.0
_STANDING_MS = 10_000


class Link:
    """``prepare(db)`` looks at each new connection: it refuses what is no store of ours, and may make one."""

    def __init__(self, url: str, prepare: Callable[[Any], Awaitable[None]], patience_s: float | None = None) -> None:
        self._dsn, self._schema = take_apart(url)
        self.shown = shown(url)
        self._prepare = prepare
        self._patience_s = PATIENCE_S if patience_s is None else patience_s
        self._db: Any = None
        self._lock = asyncio.Lock()
        self._closed = False

    async def run(self, work: Callable[[Any], Awaitable[T]], transaction: str | None = None) -> T:
        """Do ``work``, within a transaction if its BEGIN is given. Raises ``StoreUnavailable``."""
        async with self._lock:
            if self._closed:
                raise StoreUnavailable(f"store {self.shown}: this connection is closed. Open the store again.")
            try:
                if self._db is None or self._db.is_closed():
                    self._db = await self._connect()
                return await (work(self._db) if transaction is None else self._transact(work, transaction))
            except BaseException as error:
                if is_broken(error) and self._db is not None:
                    self._db.terminate()
                    self._db = None
                told = explain(error, self.shown)
                if told is None:
                    raise
                raise told from error

    async def _transact(self, work: Callable[[Any], Awaitable[T]], begin: str) -> T:
        db = self._db
        await db.execute(begin)
        try:
            result = await work(db)
            await db.execute("COMMIT")
            return result
        except BaseException as error:
            if is_broken(error) or db.is_closed():
                db.terminate()
            else:
                await db.execute("ROLLBACK")
            raise

    async def _connect(self) -> Any:
        try:
            db = await asyncpg.connect(
                self._dsn,
                timeout=CONNECT_S,
                command_timeout=self._patience_s,
                server_settings={
                    "search_path": self._schema,
                    "application_name": "raywf",
                    "idle_in_transaction_session_timeout": str(_STANDING_MS),
                    # What nobody waits for any more ends there, too; and no role's shorter one stops a commit for ever.
                    "statement_timeout": str(int(self._patience_s * 1000)),
                },
            )
        except ValueError:  # the driver's words may repeat the password
            raise StoreUnavailable(f"store {self.shown}: the URL cannot be used. Check each of its parts.") from None
        except OSError as error:
            if "target_session_attrs=" not in self._dsn:
                raise
            raise StoreUnavailable(f"store {self.shown}: {NO_HOST} ({type(error).__name__}: {error})") from error
        try:
            await db.set_type_codec("text", encoder=to_bytes, decoder=to_text, schema="pg_catalog", format="binary")
            # What is answered must be on disk, whatever the role's default is.
            await db.execute(
                "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
            )
            await self._prepare(db)
        except BaseException:
            db.terminate()
            raise
        return db

    async def close(self) -> None:
        async with self._lock:
            self._closed = True
            db, self._db = self._db, None
            if db is not None and not db.is_closed():
                try:
                    await db.close(timeout=2)
                except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
                    db.terminate()


# PostgreSQL's text cannot hold the character 0, and ours may: it travels as an escape, made of a character that Unicode
# keeps free for such uses inside programs, which is itself escaped.
_ESCAPE = "\ufdd0"


def escaped(text: str) -> str:
    """A text as the server's columns can hold it; for values that pass by the connection's codec (arrays, JSON)."""
    if "\0" in text or _ESCAPE in text:
        return text.replace(_ESCAPE, _ESCAPE + "1").replace("\0", _ESCAPE + "0")
    return text


def plain(text: str) -> str:
    return text.replace(_ESCAPE + "0", "\0").replace(_ESCAPE + "1", _ESCAPE) if _ESCAPE in text else text


def to_bytes(text: str) -> bytes:
    return escaped(text).encode()


def to_text(data: bytes) -> str:
    return plain(bytes(data).decode())
