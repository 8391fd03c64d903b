"""A store's file: recognised before it is touched, and opened in one of three ways.

==========  =======================  ==========================================================
connection  who                      may
==========  =======================  ==========================================================
owner       the engine's process     write, checkpoint
client      command line, dashboard  write (rows of the inbox); leaves the log to the owner
reader      everybody                read; never changes a byte of the store
==========  =======================  ==========================================================

Nothing here reads a store with ``open()``: closing a file drops every POSIX lock that the process holds on it, those of
its SQLite connections included, and another process would then take the log away. SQLite's own layer knows better.
"""

from __future__ import annotations

import os
import struct
import sys
from pathlib import Path
from urllib.parse import quote

import apsw

from raywf.errors import StoreUnavailable
from raywf.journal.filesystems import refuse_network
from raywf.journal.sqlite.errors import explained
from raywf.journal.sqlite.making import APPLICATION_ID, create
from raywf.journal.sqlite.migrations import format_of, load, migrate
from raywf.journal.sqlite.queries import query
from raywf.journal.sqlite.transactions import immediate
from raywf.ports import Clock

_MAGIC = b"SQLite format 3\0"
_BUSY_MS = 5_000
_READ_WRITE = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_URI
_READ_ONLY = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI


def newest_format() -> int:
    return len(load())


def connect_reader(path: Path) -> apsw.Connection:
    """A connection that can only read a store of today's format. Raises ``StoreUnavailable`` if there is none."""
    refuse_network(path)
    _refuse_by_header(path)
    with explained(str(path)):
        db = _open_reader(path)
        try:
            _require_todays_format(path, format_of(db))
        except BaseException:
            db.close()
            raise
        return db


def connect_client(path: Path) -> apsw.Connection:
    """A connection that may write but leaves the log to the owner: it never checkpoints, not even when it closes."""
    refuse_network(path)
    _refuse_by_header(path)
    with explained(str(path)):
        db = _open_writer(path)
        try:
            db.wal_autocheckpoint(0)
            db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
            _require_todays_format(path, format_of(db))
        except BaseException:
            db.close()
            raise
        return db


def connect_owner(path: Path, clock: Clock) -> apsw.Connection:
    """A connection that may write and checkpoint. Makes the store if there is none, and migrates an older one."""
    refuse_network(path)
    found = recognise(path)
    if found is None:
        create(path, clock)
    else:
        _refuse_newer(path, found)
    with explained(str(path)):
        db = _open_writer(path)
        try:
            _upgrade(db, path, clock)
        except BaseException:
            db.close()
            raise
        return db


def recognise(path: Path) -> int | None:
    """The format of the store at ``path``, None if nothing is there. Raises ``StoreUnavailable`` for anything else.

    Reads the file's header and nothing else: no lock is taken, no sidecar is made.
    """
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreUnavailable(f"store {path}: cannot be reached: {error.strerror}. Check the path.") from error
    if not path.is_file():
        raise StoreUnavailable(f"store {path}: this is not a file. Name the file itself: sqlite:///{path}/raywf.db")
    if size == 0:
        return None
    with explained(str(path)):
        header = _header(path)
    if header[:16] != _MAGIC:
        raise StoreUnavailable(
            f"store {path}: this is not a SQLite file, so it was left as it is. Choose another path for the store."
        )
    format_, _, application = struct.unpack(">iii", header[60:72])
    if application != APPLICATION_ID:
        raise StoreUnavailable(
            f"store {path}: this is a SQLite file of another program, so it was left as it is. "
            "Choose another path for the store."
        )
    return int(format_)


def _header(path: Path) -> bytes:
    """The first 100 bytes, read through SQLite's own file layer: never with ``open()``."""
    file = apsw.VFSFile("unix", os.path.abspath(path), [apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_MAIN_DB, 0])
    try:
        return file.xRead(100, 0).ljust(100, b"\0")
    finally:
        file.xClose()


def identity(path: Path) -> tuple[int, int] | None:
    """Device and inode: which file the path names now."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def metadata(db: apsw.Connection) -> dict[str, str]:
    """What the store says about itself."""
    return {str(name): str(value) for name, value in db.execute(query("meta"))}


def _refuse_by_header(path: Path) -> None:
    """Refuse what must not even be opened: nothing there, not ours, newer, or older and at rest."""
    format_ = recognise(path)
    if format_ is None:
        raise StoreUnavailable(
            f"there is no store at {path}. An engine makes one when it first runs (`raywf run …`); "
            "if yours is elsewhere, name it with --store or RAYWF_STORE."
        )
    _refuse_newer(path, format_)
    if not _has_log(path):  # with a log the header may be out of date
        _require_todays_format(path, format_)


def _require_todays_format(path: Path, format_: int) -> None:
    _refuse_newer(path, format_)
    if format_ < newest_format():
        raise StoreUnavailable(
            f"store {path}: it has format {format_} and this raywf reads format {newest_format()}. "
            "Start an engine on it once (`raywf.connect()`): that upgrades it."
        )


def _has_log(path: Path) -> bool:
    try:
        return os.path.getsize(f"{path}-wal") > 0
    except OSError:
        return False


def _refuse_newer(path: Path, format_: int) -> None:
    if format_ > newest_format():
        raise StoreUnavailable(
            f"store {path}: it has format {format_}, made by a newer raywf; this one knows formats up to "
            f"{newest_format()}. It was left as it is. Upgrade raywf here, or choose another store."
        )


def _uri(path: Path, mode: str, *, immutable: bool = False) -> str:
    return f"file:{quote(os.path.abspath(path))}?mode={mode}" + ("&immutable=1" if immutable else "")


def _open_reader(path: Path) -> apsw.Connection:
    db = apsw.Connection(_uri(path, "ro"), flags=_READ_ONLY)
    db.set_busy_timeout(50)
    try:
        format_of(db)
    except (apsw.CantOpenError, apsw.ReadOnlyError):
        db.close()
        # Sidecars cannot be made here. Without a log nobody writes, and the file alone is the whole store.
        if _has_log(path):
            raise
        db = apsw.Connection(_uri(path, "ro", immutable=True), flags=_READ_ONLY)
    return db


def _open_writer(path: Path) -> apsw.Connection:
    db = apsw.Connection(_uri(path, "rw"), flags=_READ_WRITE)
    try:
        if db.readonly("main"):
            raise apsw.ReadOnlyError("attempt to write a readonly database")
        db.set_busy_timeout(_BUSY_MS)
        db.pragma("synchronous", "full")
        if sys.platform == "darwin":  # there, fsync alone stops at the disk's cache
            db.pragma("fullfsync", 1)
            db.pragma("checkpoint_fullfsync", 1)
        db.pragma("cache_size", -16_384)
        db.pragma("temp_store", "memory")
        db.pragma("journal_size_limit", 64 * 1024 * 1024)
        if db.pragma("journal_mode") != "wal":
            db.pragma("journal_mode", "wal")
    except BaseException:
        db.close()
        raise
    return db


def _upgrade(db: apsw.Connection, path: Path, clock: Clock) -> None:
    if format_of(db) == newest_format():
        return
    with immediate(db):
        _refuse_newer(path, format_of(db))
        for owner, _lane, host, pid, _spec, _started, expires_at, _released in db.execute(query("live_owners")):
            if float(str(expires_at)) > clock.now():
                raise StoreUnavailable(
                    f"store {path}: it has an older format and engine {owner} (process {pid} on {host}) works with it. "
                    "Stop that engine; the next one upgrades the store."
                )
        migrate(db, load())
