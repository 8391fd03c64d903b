"""Reused results in a SQLite store. What writes is called inside a transaction."""

from __future__ import annotations

from collections.abc import Sequence

import apsw

from raywf.journal.sqlite.queries import query
from raywf.ports import CachedRow


def keep(db: apsw.Connection, rows: Sequence[CachedRow]) -> None:
    db.executemany(query("keep_cached"), rows)


def clear(
    db: apsw.Connection, namespace: str, task: str | None, key: str | None, expired_at: float | None, limit: int
) -> int:
    asked = {"namespace": namespace, "task": task, "key": key, "expired_at": expired_at, "limit": limit}
    db.execute(query("clear_cached"), asked)
    return db.changes()
