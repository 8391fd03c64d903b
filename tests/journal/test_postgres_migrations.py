"""Formats of the schema: forward only, a step at a time, by one engine, under no engine's feet and in no reader's way."""

from __future__ import annotations

import asyncio
import hashlib
import time
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from raywf.errors import LeaseLost, StoreUnavailable
from raywf.journal.postgres import PostgresJournal, PostgresReader, making
from raywf.ports import Batch
from raywf.testing.journal_contract import LANE, an_event, an_execution, an_owner
from tests.journal.postgres_server import Server, in_schema

RELEASED = {"first.sql": "dc9b003d8a4ca09ef25a1662d7f9a985b94baa486ee305d8576aa0c7cfea0621"}
"""What each step said when it was released: stores were made by it."""

NEXT = "ALTER TABLE executions ADD COLUMN region text; CREATE TABLE regions (name text PRIMARY KEY);"
INDEX = "CREATE INDEX events_by_time ON events (at, kind, key);"
TODAY = making.STEPS
MANY = 50_000


class Place:
    """A schema of its own, and a connection beside the store's."""

    def __init__(self, url: str, schema: str, db: Any) -> None:
        self.url, self.schema, self.db = url, schema, db

    async def make(self, format_: int) -> None:
        """A store of an older format with an open execution, one that has ended, and a long history."""
        await self.db.execute(f"CREATE SCHEMA {self.schema}; SET search_path TO {self.schema}")
        for step in TODAY[:format_]:
            await self.db.execute((Path(making.__file__).parent / step).read_text())
        facts = {"format": str(format_), "store_id": uuid.uuid4().hex, "shards": "256"}
        await self.db.executemany("INSERT INTO meta VALUES ($1, $2)", list(facts.items()))
        sql = """INSERT INTO executions (key, id, namespace, lane, shard, workflow, version, definition, fingerprint, status,
            priority, created_at, ended_at) VALUES ($1, $2, 'default', 'lane-1', $3, 'answer', '1', 'd1', 'f', $4, 0, 1.0, $5)"""
        await self.db.execute(sql, 5, "e-5", 5, "running", None)
        await self.db.execute(sql, 6, "e-6", 6, "completed", 2.0)
        await self.db.execute(
            f"""INSERT INTO events (key, seq, at, kind, data)
            SELECT 5, n, n, 'task_completed', '1' FROM generate_series(1, {MANY}) AS n"""
        )

    async def format(self) -> int:
        return int(await self.db.fetchval(f"SELECT value FROM {self.schema}.meta WHERE name = 'format'"))

    async def shape(self) -> list[str]:
        """Columns, indexes and constraints, as text."""
        found = await self.db.fetch(
            """SELECT format('%s.%s %s %s', table_name, column_name, data_type, is_nullable) FROM information_schema.columns
            WHERE table_schema = $1 UNION ALL SELECT replace(indexdef, $1 || '.', '') FROM pg_indexes WHERE schemaname = $1""",
            self.schema,
        )
        return sorted(row[0] for row in found)


@pytest_asyncio.fixture
async def place(postgres: Server) -> AsyncIterator[Place]:
    schema = f"formats_{uuid.uuid4().hex[:8]}"
    db = await asyncpg.connect(postgres.url)
    yield Place(in_schema(postgres.url, schema), schema, db)
    await db.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")
    await db.close()


@pytest_asyncio.fixture
async def opening() -> AsyncIterator[Callable[..., Any]]:
    opened: list[Any] = []

    def opening(door: Callable[..., Any], *asked: Any) -> Any:
        opened.append(door(*asked))
        return opened[-1]

    yield opening
    for store in opened:
        await store.close()


@pytest.fixture
def knowing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., None]:
    """``knowing(n, *sql)``: from now on this raywf knows the first n formats of today, and some more."""

    def known(upto: int, *more: str) -> None:
        files = []
        for number, sql in enumerate(more):
            files.append(tmp_path / f"{number}.sql")
            files[-1].write_text(sql)
        monkeypatch.setattr(making, "STEPS", (*TODAY[:upto], *map(str, files)))

    return known


def test_a_released_step_is_never_edited() -> None:
    folder = Path(making.__file__).parent
    assert {step: hashlib.sha256((folder / step).read_bytes()).hexdigest() for step in RELEASED} == RELEASED
    assert list(RELEASED) == list(TODAY[: len(RELEASED)])


@pytest.mark.parametrize("older", range(1, len(TODAY) + 1))
async def test_two_engines_migrate_each_older_format_once_while_readers_read(
    older: int, place: Place, opening: Callable[..., Any], knowing: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    await place.make(older)
    knowing(older)
    reader = opening(PostgresReader, place.url)
    assert await reader.count_open("default") == 1  # it has connected, as a reader of that format
    done, slowest, reads = False, 0.0, 0

    async def read() -> None:
        nonlocal slowest, reads
        while not done:
            began = time.monotonic()
            assert await reader.count_open("default") == 1
            assert [row.seq for row in await reader.history(5, 7, 2)] == [8, 9]
            slowest, reads = max(slowest, time.monotonic() - began), reads + 1

    reading = asyncio.create_task(read())
    knowing(len(TODAY), NEXT, INDEX)
    engines = [opening(PostgresJournal, place.url) for _ in range(2)]
    facts = await asyncio.gather(*(engine.facts() for engine in engines))
    done = True
    await reading
    assert {each.format for each in facts} == {len(TODAY) + 2} == {await place.format()}
    assert reads > 0
    assert slowest < 2 * making.LOCK_S, "no reader waited for as long as a step may wait for it"
    assert (await engines[0].executions("default"))[0].id == "e-6"
    assert [len(each.events) async for each in engines[1].load_open("lane-1", range(256))] == [MANY]


async def test_what_was_migrated_is_like_what_is_made_anew(
    place: Place, postgres: Server, opening: Callable[..., Any], knowing: Callable[..., None]
) -> None:
    await place.make(1)
    knowing(len(TODAY), NEXT)
    await opening(PostgresJournal, place.url).facts()
    migrated = await place.shape()
    await place.db.execute(f"DROP SCHEMA {place.schema} CASCADE")
    await opening(PostgresJournal, place.url).facts()
    assert await place.shape() == migrated


async def test_a_step_that_waits_for_a_reader_lets_the_others_by(
    place: Place,
    opening: Callable[..., Any],
    knowing: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    postgres: Server,
) -> None:
    """One session reads for long; those that come behind the step that waits for it are held up for a moment only."""
    monkeypatch.setattr(making, "LOCK_S", 0.3)
    await place.make(len(TODAY))
    reader = opening(PostgresReader, place.url)
    await reader.count_open("default")
    knowing(len(TODAY), NEXT)
    engine = opening(PostgresJournal, place.url)
    async with place.db.transaction():
        await place.db.fetchval("SELECT count(*) FROM executions")
        migrating = asyncio.create_task(engine.facts())
        until, slowest = time.monotonic() + 1.5, 0.0
        while time.monotonic() < until:
            began = time.monotonic()
            await reader.count_open("default")
            slowest = max(slowest, time.monotonic() - began)
            await asyncio.sleep(0.01)
        assert not migrating.done()
        assert 0.1 < slowest < 1.0, "it did wait behind the step, and not for the long reader's end"
    assert (await migrating).format == len(TODAY) + 1


async def test_a_session_that_holds_the_tables_for_good_is_spoken_of(
    place: Place, opening: Callable[..., Any], knowing: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(making, "LOCK_S", 0.1)
    monkeypatch.setattr(making, "PATIENCE_S", 0.3)
    await place.make(len(TODAY))
    knowing(len(TODAY), NEXT)
    async with place.db.transaction():
        await place.db.fetchval("SELECT count(*) FROM executions")
        with pytest.raises(StoreUnavailable, match=r"another session has held its tables for 0\.3 s.*pg_stat_activity"):
            await opening(PostgresJournal, place.url).facts()
    assert await place.format() == len(TODAY)


async def test_a_live_engine_is_not_migrated_under_its_feet(
    place: Place, opening: Callable[..., Any], knowing: Callable[..., None]
) -> None:
    await place.make(len(TODAY))
    old = opening(PostgresJournal, place.url)
    assert await old.claim(an_owner("a"), [1], 30.0)
    knowing(len(TODAY), NEXT)
    with pytest.raises(StoreUnavailable, match=r"engine a \(process 4711 on host-1\) works with it"):
        await opening(PostgresJournal, place.url).facts()
    assert await place.format() == len(TODAY)
    await old.release("a")
    assert (await opening(PostgresJournal, place.url).facts()).format == len(TODAY) + 1


async def test_an_engine_whose_leases_lapsed_wakes_up_too_late(
    place: Place, opening: Callable[..., Any], knowing: Callable[..., None]
) -> None:
    """It may not write a row into tables that it does not know."""
    await place.make(len(TODAY))
    old = opening(PostgresJournal, place.url)
    epochs = await old.claim(an_owner("a"), [1], 0.1)
    await asyncio.sleep(0.2)
    knowing(len(TODAY), NEXT)
    await opening(PostgresJournal, place.url).facts()
    with pytest.raises(LeaseLost):
        await old.commit(Batch(LANE, "a", dict(epochs), opened=[an_execution(1, shard=1)], events=[an_event(1, 1)]))


async def test_an_older_engine_that_was_connected_cannot_claim(
    place: Place, opening: Callable[..., Any], knowing: Callable[..., None]
) -> None:
    await place.make(len(TODAY))
    old = opening(PostgresJournal, place.url)
    await old.renew("nobody", 1.0)
    knowing(len(TODAY), NEXT)
    await opening(PostgresJournal, place.url).facts()
    knowing(len(TODAY))
    with pytest.raises(StoreUnavailable, match=r"while this engine, which knows format .*, was connected"):
        await old.claim(an_owner("a"), [1], 30.0)


async def test_a_step_that_fails_changes_nothing(
    place: Place, opening: Callable[..., Any], knowing: Callable[..., None]
) -> None:
    await place.make(len(TODAY))
    before = await place.shape()
    knowing(len(TODAY), NEXT + "CREATE TABLE executions (x int);")
    with pytest.raises(asyncpg.DuplicateTableError):
        await opening(PostgresJournal, place.url).facts()
    assert (await place.shape(), await place.format()) == (before, len(TODAY))
    knowing(len(TODAY), INDEX, NEXT + "CREATE TABLE executions (x int);")
    with pytest.raises(asyncpg.DuplicateTableError):
        await opening(PostgresJournal, place.url).facts()
    assert await place.format() == len(TODAY) + 1, "the step before it stays"


async def test_a_newer_reader_waits_for_an_engine(
    place: Place, opening: Callable[..., Any], knowing: Callable[..., None]
) -> None:
    await place.make(1)
    before = await place.shape()
    knowing(len(TODAY), NEXT)
    reader = opening(PostgresReader, place.url)
    with pytest.raises(StoreUnavailable, match="Start an engine on it once"):
        await reader.count_open("default")
    assert await place.shape() == before
    await opening(PostgresJournal, place.url).facts()
    assert await reader.count_open("default") == 1
