"""What a store holds, asked for by hand: this witness must not lean on what it judges."""

from __future__ import annotations

import asyncio
import sqlite3
from typing import Any

SQLITE = "sqlite:///"


def ask(url: str, sql: str, **values: Any) -> list[tuple[Any, ...]]:
    """The rows of a SELECT that both kinds of store understand; ``:name`` stands for a value."""
    if url.startswith(SQLITE):
        with sqlite3.connect(f"file:{url.removeprefix(SQLITE)}?mode=ro", uri=True, timeout=10) as db:
            return list(db.execute(sql, values))
    for number, name in enumerate(values, 1):
        sql = sql.replace(f":{name}", f"${number}")
    return asyncio.run(_ask(url, sql, *values.values()))


async def _ask(url: str, sql: str, *values: Any) -> list[tuple[Any, ...]]:
    import asyncpg

    place, _, schema = url.partition("schema=")
    db = await asyncpg.connect(place.rstrip("?&"), server_settings={"search_path": schema})
    try:
        return [tuple(row) for row in await db.fetch(sql, *values)]
    finally:
        await db.close()
