"""``raywf.tasks.sql``: one statement, in one transaction, that happens once.

A statement that writes runs in the same transaction as a row of ``raywf_once`` in the target database: the task's idempotency
key, what was asked, and what came back. An attempt that finds its key there does nothing and gives the first result. So for
that database it is exactly once, whatever dies, and not merely at least once (the inbox of Helland, "Life beyond Distributed
Transactions", CIDR 2007). A statement that reads runs where nothing can be written, so one that was taken for a reading and is
none fails instead of happening twice.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import sqlite3
import threading
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ParamSpec, TypeVar
from urllib.parse import urlsplit

from raywf.config import shown
from raywf.definition import values
from raywf.definition.options import Retry
from raywf.definition.secrets import Secret
from raywf.errors import InvalidInput, RaywfError
from raywf.tasks.ready import ReadyTask, idempotency_key, is_known, options_of

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
RETRY = Retry(max_attempts=4, initial=0.2, max_delay=10.0)
MAX_ROWS = 100_000
_READS = frozenset({"select", "values", "show", "explain"})
_LEADING = re.compile(r"(?:\s|--[^\n]*\n|/\*.*?\*/|\()*([A-Za-z]+)", re.DOTALL)
_SCHEMES = ("sqlite", "postgresql", "postgres")
_BUSY_S = 10.0
_LOCK = 0x72617977
_LONGEST_RESULT = 1 << 20

_TABLE = """CREATE TABLE IF NOT EXISTS raywf_once (
    key TEXT PRIMARY KEY, statement TEXT NOT NULL, result TEXT NOT NULL, at DOUBLE PRECISION NOT NULL)"""


class SqlError(RaywfError):
    """A statement that failed. ``retryable`` says whether trying again can help: the database was busy, restarting or out of
    reach, and not: the statement is wrong, or a constraint refuses it."""

    def __init__(self, message: str, retryable: bool = False) -> None:
        self.retryable = retryable
        super().__init__(message)
        self.args = (message,)


@dataclass(frozen=True, slots=True)
class SqlResult:
    """``rows`` as dicts by column (of a statement that writes, those of its RETURNING); ``count`` how many rows were read or
    changed; ``repeated``: an earlier attempt had done it, and this is what it got."""

    rows: list[dict[str, Any]]
    count: int
    repeated: bool = False


def _check_call(given: Mapping[str, Any]) -> None:
    """Raises ``InvalidInput``. What is not known yet (a reference) is looked at when it is."""
    url, statement = given.get("url"), given.get("statement")
    if is_known(url):
        if urlsplit(url).password:
            raise InvalidInput(
                f"the url {shown(url)} has a password, which would be in the history for everybody to read: put the whole url "
                "into an environment variable and write url=raywf.secret('DATABASE_URL')"
            )
        if url.partition("://")[0] not in _SCHEMES:
            raise InvalidInput(
                f"url {shown(url)!r:.100} is no database that sql knows: sqlite:////path or postgresql://host/name"
            )
    if is_known(statement) and not statement.strip():
        raise InvalidInput("the statement is empty: give one SQL statement")
    if isinstance(statement, str) and not is_known(statement):
        raise InvalidInput(
            "the statement has a reference in its text, and whatever comes there would be SQL: write a placeholder (? or $1) and "
            "give the reference in params"
        )


def _ready(function: Callable[P, R]) -> ReadyTask[P, R]:
    return ReadyTask(function, "sql", options_of("sql", RETRY, _check_call))


@_ready
def sql(
    url: str | Secret,
    statement: str,
    params: Sequence[Any] | Mapping[str, Any] = (),
    *,
    write: bool | None = None,
    max_rows: int = MAX_ROWS,
    timeout: float = 30.0,
) -> SqlResult:
    """Run one statement on ``sqlite:///path`` or ``postgresql://…`` (with a password: a ``raywf.secret``).

    ``params`` are bound, never put into the text, by the database's own placeholders: ``?`` or ``:name`` for SQLite, ``$1`` for
    PostgreSQL. ``write``: None goes by the first word; a SELECT that calls a function which writes needs True. What writes
    happens once per task however many attempts there are, by the table ``raywf_once`` in that database. Raises
    ``SqlError`` and ``InvalidInput``; of more than ``max_rows`` rows nothing is given, and nothing was written.
    """
    _check_call({"url": url, "statement": statement})
    where = url.reveal() if isinstance(url, Secret) else url
    writes = _writes(statement) if write is None else write
    ask = _Ask(statement, params, idempotency_key() if writes else None, writes, max_rows, timeout)
    if where.startswith("sqlite:"):
        return _on_sqlite(where, ask)
    if where.startswith(("postgresql:", "postgres:")):
        return _apart(_on_postgres(where, ask))
    raise InvalidInput("the url is no database that sql knows: sqlite:////path or postgresql://host/name")


@dataclass(frozen=True, slots=True)
class _Ask:
    statement: str
    params: Any
    key: str | None
    writes: bool
    max_rows: int
    timeout: float

    @property
    def digest(self) -> str:
        """What was asked under the key: the same key for another statement is a mistake, and not a repetition."""
        return hashlib.sha256(self.statement.encode() + b"\0" + values.encode(self.params)).hexdigest()


def _writes(statement: str) -> bool:
    found = _LEADING.match(statement)
    return found is None or found[1].lower() not in _READS


def _result(rows: Sequence[Mapping[str, Any]], count: int, ask: _Ask) -> SqlResult:
    if len(rows) > ask.max_rows:
        raise SqlError(
            f"the statement gives more than max_rows={ask.max_rows:,} rows: add a LIMIT, or raise max_rows. Nothing was written"
        )
    return SqlResult([dict(row) for row in rows], count)


def _packed(result: SqlResult) -> str:
    text = values.encode([result.rows, result.count]).decode()
    if len(text) > _LONGEST_RESULT:
        raise SqlError(
            f"what the statement returns encodes to {len(text):,} bytes, and what is kept beside the write may have {_LONGEST_RESULT:,}: "
            "return fewer columns. Nothing was written"
        )
    return text


def _repeated(row: Sequence[Any], ask: _Ask) -> SqlResult:
    digest, text = row[0], row[1]
    if digest != ask.digest:
        raise SqlError(
            f"under the key {ask.key!r} another statement was run on this database before: the workflow's definition has changed while "
            "this execution was open, or the key is not this task's. Nothing was written; fork the execution to run it anew"
        )
    rows, count = values.decode(text.encode())
    return SqlResult(rows, count, True)


# SQLite


def _on_sqlite(url: str, ask: _Ask) -> SqlResult:
    path = url.partition("://")[2].partition("?")[0]
    if not path.startswith("/") or path == "/":
        raise InvalidInput(f"url {url!r} is not sqlite:///relative/path or sqlite:////absolute/path")
    file = Path(path[1:])
    if not file.is_absolute():
        raise InvalidInput(
            f"url {url!r} is a relative path, and tasks run in processes that start elsewhere: write sqlite:////absolute/path"
        )
    if not isinstance(ask.params, (Mapping, list, tuple)):
        raise InvalidInput(f"params {ask.params!r:.60} are neither a list nor a dict")
    if not ask.writes and not file.exists():
        raise SqlError(f"there is no database at {file}: check the path, and that this host sees it")
    try:
        with closing(sqlite3.connect(file, timeout=min(_BUSY_S, ask.timeout), isolation_level=None)) as db:
            db.row_factory = sqlite3.Row
            return _written_to_sqlite(db, ask) if ask.writes else _read_from_sqlite(db, ask)
    except sqlite3.Error as error:
        name = str(getattr(error, "sqlite_errorname", ""))
        again = name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_IOERR", "SQLITE_FULL", "SQLITE_CANTOPEN"))
        raise SqlError(f"{file}: {type(error).__name__}: {error}", again) from None


def _read_from_sqlite(db: sqlite3.Connection, ask: _Ask) -> SqlResult:
    db.execute("PRAGMA query_only = ON")
    rows = db.execute(ask.statement, ask.params).fetchmany(ask.max_rows + 1)
    return _result(rows, len(rows), ask)


def _written_to_sqlite(db: sqlite3.Connection, ask: _Ask) -> SqlResult:
    db.execute("BEGIN IMMEDIATE")
    try:
        if ask.key is not None:
            db.execute(_TABLE)
            known = db.execute("SELECT statement, result FROM raywf_once WHERE key = ?", (ask.key,)).fetchone()
            if known is not None:
                db.execute("ROLLBACK")
                return _repeated(known, ask)
        cursor = db.execute(ask.statement, ask.params)
        rows = cursor.fetchmany(ask.max_rows + 1) if cursor.description else []
        result = _result(rows, len(rows) if rows else max(0, cursor.rowcount), ask)
        if ask.key is not None:
            kept = (ask.key, ask.digest, _packed(result), time.time())
            db.execute("INSERT INTO raywf_once VALUES (?, ?, ?, ?)", kept)
        if not db.in_transaction:
            raise SqlError(
                "the statement has ended the transaction that it runs in: leave BEGIN, COMMIT and ROLLBACK out"
            )
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise
    return result


# PostgreSQL


def _apart(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end on a loop of its own, wherever this is called from."""
    found: list[T] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            found.append(asyncio.run(work))
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run, name="raywf-sql")
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return found[0]


async def _on_postgres(url: str, ask: _Ask) -> SqlResult:
    try:
        import asyncpg
    except ImportError:
        raise InvalidInput("sql on PostgreSQL needs asyncpg: pip install 'raywf[postgres]'") from None
    if not isinstance(ask.params, (list, tuple)):
        raise InvalidInput("params for PostgreSQL are a list, for $1, $2, …")
    try:
        db = await asyncpg.connect(url, timeout=min(10.0, ask.timeout), command_timeout=ask.timeout)
        try:
            return await (_written_to_postgres(db, ask) if ask.writes else _read_from_postgres(db, ask))
        finally:
            await db.close(timeout=5)
    except asyncpg.PostgresError as error:
        state = str(getattr(error, "sqlstate", None) or "")
        again = state[:2] in ("08", "40", "53", "57") or state == "55P03"
        raise SqlError(f"{shown(url)}: {type(error).__name__}: {error}", again) from None
    except (asyncpg.InterfaceError, asyncpg.InternalClientError, ValueError) as error:
        raise SqlError(f"{shown(url)}: {type(error).__name__}: {error}", False) from None
    except (OSError, TimeoutError) as error:
        raise SqlError(f"{shown(url)}: {type(error).__name__}: {str(error) or 'no answer in time'}", True) from None


async def _read_from_postgres(db: Any, ask: _Ask) -> SqlResult:
    async with db.transaction(readonly=True):
        rows = await db.fetch(ask.statement, *ask.params)
    return _result(rows, len(rows), ask)


async def _written_to_postgres(db: Any, ask: _Ask) -> SqlResult:
    if ask.key is not None and await db.fetchval("SELECT to_regclass('raywf_once')") is None:
        async with db.transaction():
            await db.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
            await db.execute(_TABLE)
    async with db.transaction():
        if ask.key is not None:
            # Whoever has the key first goes on; a second attempt waits here until it is known what became of the first.
            fresh = await db.fetchval(
                "INSERT INTO raywf_once VALUES ($1, $2, '', $3) ON CONFLICT (key) DO NOTHING RETURNING 1",
                *(ask.key, ask.digest, time.time()),
            )
            if fresh is None:
                known = await db.fetchrow("SELECT statement, result FROM raywf_once WHERE key = $1", ask.key)
                return _repeated(known, ask)
        prepared = await db.prepare(ask.statement)
        rows = await prepared.fetch(*ask.params)
        changed = re.search(r"(\d+)$", prepared.get_statusmsg() or "")
        result = _result(rows, int(changed[1]) if changed else len(rows), ask)
        if ask.key is not None:
            await db.execute("UPDATE raywf_once SET result = $2 WHERE key = $1", ask.key, _packed(result))
    return result
