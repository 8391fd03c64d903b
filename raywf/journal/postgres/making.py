"""A store's schema: recognised before it is touched, made, and brought to today's format."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import asyncpg

from raywf.errors import StoreUnavailable
from raywf.journal.missing import StoreMissing

STEPS = ("first.sql",)
"""What leads from each format to the next, in order; the first makes the schema. A step is never edited once released."""

_SHARDS = 256
_LOCK = 0x7261797766


async def require(db: Any, schema: str, where: str, store_id: str | None = None) -> None:
    """Refuse what is not a store of today's format, or another store than ``store_id``. Changes nothing."""
    found = await _format(db, schema, where)
    if found == 0:
        raise StoreMissing(
            f"there is no store at {where}. An engine makes one when it first runs (`raywf run …`); "
            "if yours is elsewhere, name it with --store or RAYWF_STORE."
        )
    if found < len(STEPS):
        raise StoreUnavailable(
            f"store {where}: it has format {found} and this raywf reads format {len(STEPS)}. "
            "Start an engine on it once (`raywf.connect()`): that upgrades it."
        )
    if store_id is not None:
        known = await db.fetchval("SELECT value FROM meta WHERE name = 'store_id'")
        if known != store_id:
            raise StoreUnavailable(
                f"store {where}: from this host that is another store ({str(known)[:8]}…) than the engine's "
                f"({store_id[:8]}…). Check where the URL leads from here."
            )


async def make(db: Any, schema: str, where: str) -> None:
    """Make the store if there is none, and migrate an older one. Of several at once, one does it."""
    if await _format(db, schema, where) == len(STEPS):
        return
    async with db.transaction():
        await db.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
        found = await _format(db, schema, where)
        if not await db.fetchval("SELECT EXISTS (SELECT 1 FROM pg_namespace WHERE nspname = $1::name)", schema):
            await db.execute(f'CREATE SCHEMA "{schema}"')
        for step in STEPS[found:]:
            await db.execute(Path(__file__).with_name(step).read_text())
        if found == 0:
            await db.executemany(
                "INSERT INTO meta VALUES ($1, $2)", [("store_id", uuid.uuid4().hex), ("shards", str(_SHARDS))]
            )
        await db.execute(
            "INSERT INTO meta VALUES ('format', $1) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            str(len(STEPS)),
        )


async def _format(db: Any, schema: str, where: str) -> int:
    """The format of the store in ``schema``, 0 if nothing is there. Raises ``StoreUnavailable`` for anything else."""
    meta, anything = await db.fetchrow(  # in one statement: of a store made meanwhile it sees all or nothing
        """SELECT to_regclass($1) IS NOT NULL, EXISTS (SELECT 1 FROM pg_class AS c
        JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE n.nspname = $2::name)""",
        *(f"{schema}.meta", schema),
    )
    if not meta and not anything:
        return 0
    known = {}
    try:
        if meta:
            async with db.transaction():
                asked = f"SELECT name, value FROM \"{schema}\".meta WHERE name IN ('format', 'store_id')"
                known = dict(await db.fetch(asked))
    except (asyncpg.UndefinedColumnError, asyncpg.UndefinedFunctionError, asyncpg.DatatypeMismatchError):
        pass  # a table of that name, and not ours
    format_ = str(known.get("format"))
    if "store_id" not in known or not format_.isdigit():
        raise StoreUnavailable(
            f"store {where}: schema {schema!r} holds tables of another program, so it was left as it is. "
            "Choose another database, or another schema with ?schema=… in the URL."
        )
    if int(format_) > len(STEPS):
        raise StoreUnavailable(
            f"store {where}: it has format {format_}, made by a newer raywf; this one knows formats up to "
            f"{len(STEPS)}. It was left as it is. Upgrade raywf here, or choose another store."
        )
    return int(format_)
