"""What SQLite reports, in words that help: which file, what it means, what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import apsw

from raywf.errors import StoreUnavailable

_KEPT = "Nothing of this commit was written and nothing accepted before is lost."

_BUSY = "another process holds its write lock for too long: see who with `raywf doctor`, and try again."

_FULL = (apsw.SQLITE_IOERR_SHMSIZE, apsw.SQLITE_IOERR_SHMMAP)
"""Input/output errors that mean a full disk: the shared memory beside the file could not grow."""

_MEANING: dict[type[apsw.Error], str] = {
    apsw.FullError: f"the disk (or its quota) is full. {_KEPT} Free some space and it goes on by itself.",
    apsw.ReadOnlyError: f"it can only be read: the file, its folder or the disk is read-only. {_KEPT} "
    "Give this user the right to write there, or choose another place with RAYWF_STORE.",
    apsw.CantOpenError: "it cannot be opened: check that its folder exists and that this user may read and write it.",
    apsw.PermissionsError: "this user may not use it: check the rights of the file and its folder.",
    apsw.BusyError: _BUSY,
    apsw.LockedError: _BUSY,
    apsw.NotADBError: "it is not a SQLite file, so it was left as it is. Choose another path for the store.",
    apsw.CorruptError: "its content is damaged. Stop all engines, keep a copy of the file with its -wal and -shm "
    "files, and recover with `sqlite3 FILE .recover` or from a backup.",
    apsw.IOError: f"the disk reports an error. {_KEPT} Look at the system log and at the disk's health.",
    apsw.ProtocolError: "its locks behave unlike a local disk's: put the store on a local disk.",
}


def explain(error: apsw.Error, path: str) -> StoreUnavailable:
    """The error a user reads in place of SQLite's."""
    kind = type(error)
    if getattr(error, "extendedresult", 0) in _FULL:
        kind = apsw.FullError
    meaning = _MEANING.get(kind, "SQLite cannot go on.")
    return StoreUnavailable(f"store {path}: {meaning} ({type(error).__name__}: {error})")


@contextmanager
def explained(path: str) -> Iterator[None]:
    """Turn SQLite's errors into ``StoreUnavailable``. Mistakes in our own SQL stay what they are."""
    try:
        yield
    except (apsw.SQLError, apsw.ConstraintError, apsw.MisuseError, apsw.BindingsError):
        raise
    except apsw.Error as error:
        raise explain(error, path) from error
