"""Making a store: built beside its place, and moved there in one step, so that nobody ever meets half of one."""

from __future__ import annotations

import fcntl
import os
import uuid
from pathlib import Path

import apsw

from raywf.core.ids import SHARDS
from raywf.errors import StoreUnavailable
from raywf.journal.sqlite.errors import explain
from raywf.journal.sqlite.migrations import load, migrate
from raywf.journal.sqlite.queries import query
from raywf.journal.sqlite.transactions import immediate
from raywf.ports import Clock

APPLICATION_ID = 0x72617977
"""``rayw``, in the header of each of our files."""


def create(path: Path, clock: Clock) -> None:
    """Make a store of today's format at ``path``, with its folder. Whoever is first makes it; the others find it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreUnavailable(f"store {path}: its folder cannot be made: {error.strerror}.") from error
    built = path.with_name(f"{path.name}.new-{uuid.uuid4().hex}")
    try:
        _build(built, clock)
        _put(built, path)
    except apsw.Error as error:
        raise explain(error, str(path)) from error
    except OSError as error:
        raise StoreUnavailable(f"store {path}: it cannot be made: {error.strerror}.") from error
    finally:
        for name in (built, Path(f"{built}-wal"), Path(f"{built}-shm"), Path(f"{built}-journal")):
            name.unlink(missing_ok=True)


def _build(path: Path, clock: Clock) -> None:
    db = apsw.Connection(str(path))
    try:
        with immediate(db):
            db.pragma("application_id", APPLICATION_ID)
            migrate(db, load())
            facts = {"store_id": uuid.uuid4().hex, "shards": str(SHARDS), "created_at": repr(clock.now())}
            db.executemany(query("set_meta"), facts.items())
        db.pragma("journal_mode", "wal")
    finally:
        db.close()


def _put(built: Path, path: Path) -> None:
    """Give the finished file its name, unless another process was first. Makers take turns by a lock on the folder."""
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        if not path.exists() or path.stat().st_size == 0:  # empty: as tempfile makes them
            os.replace(built, path)
        os.fsync(folder)
    finally:
        os.close(folder)
