"""A store's schema: recognised before it is touched, made, and brought to today's format.

**Migrating.** A step is a transaction, under a lock that migrators share, so of several one does it and the others find it done.
It locks the row that says the format, on which every ``claim`` looks: who wants leases meanwhile waits, and is then
refused if it is of an older raywf. While an engine holds leases nothing is migrated; one whose leases have lapsed is fenced
off by its epochs, because it may yet wake up.

**Readers go on.** They wait only for a step that has changed the tables which they read, and a step that waits for *them* gives up after
``LOCK_S`` and tries again, because whoever comes after a waiting ``ALTER TABLE`` waits too. So a step is to be short once it has
altered a table: what takes long (an index) goes into a step of its own, whose lock stops senders but no reader.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from pathlib import Path
from typing import Any

import asyncpg

from raywf.errors import StoreUnavailable
from raywf.journal.missing import StoreMissing

STEPS = ("first.sql", "cache.sql", "versions.sql", "first_seen.sql")
"""What leads from each format to the next, in order; the first makes the schema. A step is never edited once released."""

LOCK_S = 1.0
"""How long a step waits for a table that somebody reads."""
PATIENCE_S = 60.0
_LONG_S = 24 * 3600.0
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
    """Make the store if there is none, and migrate an older one. Of several at once, one does it. Raises ``StoreUnavailable``
    while an engine works with an older one."""
    patient_until = time.monotonic() + PATIENCE_S
    while await _format(db, schema, where) < len(STEPS):
        try:
            await _step(db, schema, where)
        except asyncpg.LockNotAvailableError as error:
            if time.monotonic() > patient_until:
                raise StoreUnavailable(
                    f"store {where}: it cannot be brought to format {len(STEPS)}: another session has held its tables for "
                    f"{PATIENCE_S:g} s. End that session (`SELECT pid, query FROM pg_stat_activity` shows it), and start "
                    "the engine again. Nothing was changed."
                ) from error
            await asyncio.sleep(LOCK_S)  # whoever had come behind us reads now


async def _step(db: Any, schema: str, where: str) -> None:
    """One step to the next format, or everything at once where there is no store yet."""
    async with db.transaction():
        await db.execute("SET LOCAL statement_timeout = 0")
        await db.execute("SELECT pg_advisory_xact_lock($1)", _LOCK, timeout=_LONG_S)
        found = await _format(db, schema, where)
        if found >= len(STEPS):
            return
        upto = found + 1 if found else len(STEPS)
        if found:
            await db.execute(f"SET LOCAL lock_timeout = '{LOCK_S:g}s'")
            await _keep_engines_out(db, where)
        elif not await db.fetchval("SELECT EXISTS (SELECT 1 FROM pg_namespace WHERE nspname = $1::name)", schema):
            await db.execute(f'CREATE SCHEMA "{schema}"')
        for step in STEPS[found:upto]:
            await db.execute((Path(__file__).parent / step).read_text(), timeout=_LONG_S)
        if not found:
            await db.executemany(
                "INSERT INTO meta VALUES ($1, $2)", [("store_id", uuid.uuid4().hex), ("shards", str(_SHARDS))]
            )
        await db.execute(
            "INSERT INTO meta VALUES ('format', $1) ON CONFLICT (name) DO UPDATE SET value = excluded.value", str(upto)
        )


async def _keep_engines_out(db: Any, where: str) -> None:
    """Refuse to migrate under a live engine's feet, and let no other one begin meanwhile or wake up afterwards."""
    await db.execute("SELECT value FROM meta WHERE name = 'format' FOR UPDATE")
    live = await db.fetchrow(
        """SELECT owner, pid, host FROM owners WHERE NOT released
        AND expires_at > extract(epoch FROM clock_timestamp())::float8 ORDER BY started_at LIMIT 1"""
    )
    if live is not None:
        raise StoreUnavailable(
            f"store {where}: it has an older format and engine {live['owner']} (process {live['pid']} on {live['host']}) "
            "works with it. Stop that engine; the next one upgrades the store."
        )
    await db.execute("UPDATE leases SET epoch = epoch + 1")


async def assert_format(db: Any, where: str) -> None:
    """For a claim, within its transaction: nobody migrates until it is committed, and it is refused where somebody has."""
    found = await db.fetchval("SELECT value FROM meta WHERE name = 'format' FOR SHARE")
    if found != str(len(STEPS)):
        raise StoreUnavailable(
            f"store {where}: it was brought to format {found} while this engine, which knows format {len(STEPS)}, was "
            "connected to it. Stop this engine and start one of the newer raywf."
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
