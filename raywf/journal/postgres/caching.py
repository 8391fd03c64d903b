"""Reused results in a PostgreSQL store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from raywf.journal.postgres.rows import count
from raywf.ports import CachedRow

COLUMNS = ", ".join(CachedRow._fields)


async def keep(db: Any, rows: Sequence[CachedRow]) -> None:
    """``core.caching.replaces``, as a condition. In order of key, so that two commits never wait for one another."""
    await db.executemany(
        f"""INSERT INTO cache AS c ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
        ON CONFLICT (namespace, key) DO UPDATE SET task = excluded.task, workflow = excluded.workflow,
        value = excluded.value, stored_at = excluded.stored_at, expires_at = excluded.expires_at,
        source = excluded.source, source_task = excluded.source_task
        WHERE c.expires_at <= excluded.stored_at
           OR c.stored_at <= excluded.stored_at - (excluded.expires_at - excluded.stored_at)""",
        sorted(rows, key=lambda row: (row.namespace, row.key)),
    )


FIND = f"SELECT {COLUMNS} FROM cache WHERE namespace = $1 AND key = ANY($2::text[])"
LIST = f"""SELECT {COLUMNS} FROM cache WHERE namespace = $1
    AND ($2::text IS NULL OR task = $2 OR split_part(task, ':', 2) = $2)
    ORDER BY stored_at DESC, key LIMIT $3"""


async def clear(
    db: Any, namespace: str, task: str | None, key: str | None, expired_at: float | None, limit: int
) -> int:
    tag = await db.execute(
        """DELETE FROM cache WHERE (namespace, key) IN (SELECT namespace, key FROM cache WHERE namespace = $1
        AND ($2::text IS NULL OR task = $2 OR split_part(task, ':', 2) = $2)
        AND ($3::text IS NULL OR key = $3) AND ($4::float8 IS NULL OR expires_at <= $4)
        ORDER BY key LIMIT $5 FOR UPDATE)""",
        *(namespace, task, key, expired_at, limit),
    )
    return count(tag)
