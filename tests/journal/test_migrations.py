"""Formats of the file: forward only, all or nothing, by an engine and not by a reader."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import pytest

from raywf.errors import StoreUnavailable
from raywf.journal.sqlite import SqliteJournal, files, making
from raywf.journal.sqlite.migrations import format_of, load, migrate
from raywf.ports import SnapshotRow, StatusChange
from raywf.testing.journal_contract import LEASE_S, SHARDS, ManualClock, a_batch, a_command, an_execution, an_owner

from .conftest import snapshot

GOLDEN = Path(__file__).parents[1] / "golden"
NEXT = "ALTER TABLE executions ADD COLUMN region TEXT; CREATE TABLE regions (name TEXT PRIMARY KEY) STRICT;"


def schema_of(db: apsw.Connection) -> str:
    """The tables and indexes of a store, as text."""
    found = db.execute("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY type DESC, name")
    return ";\n\n".join(str(sql) for (sql,) in found) + ";\n"


@pytest.fixture
def upgraded(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """``upgraded(sql)``: from now on this raywf knows one more format."""

    def upgrade(sql: str = NEXT) -> None:
        migrations = [*load(), sql]
        monkeypatch.setattr(files, "load", lambda: migrations)

    return upgrade


async def a_store(path: Path) -> None:
    """A store of today's format with an execution and a command in it."""
    journal = SqliteJournal(path, clock=ManualClock())
    epochs = await journal.claim(an_owner("a"), SHARDS, LEASE_S)
    await journal.commit(a_batch(epochs, 5, opened=[an_execution(5)]))
    await journal.send(a_command("e-5", "c-1"))
    await journal.close()


@pytest.mark.parametrize("number", range(1, len(load()) + 1))
def test_a_released_migration_is_never_edited(number: int) -> None:
    db = apsw.Connection(":memory:")
    migrate(db, load()[:number])
    assert format_of(db) == number
    golden = GOLDEN / f"schema-{number}.sql"
    assert golden.exists(), f"a new format: record its schema in {golden.name}"
    assert schema_of(db) == golden.read_text(encoding="utf-8")


def test_a_fresh_store_has_the_schema_of_all_migrations(place: Path) -> None:
    fresh = files.connect_owner(place / "x.db", ManualClock())
    migrated = apsw.Connection(":memory:")
    for number in range(1, len(load()) + 1):
        migrate(migrated, load()[:number])
    assert schema_of(fresh) == schema_of(migrated)
    assert format_of(fresh) == format_of(migrated) == files.newest_format()
    fresh.close()


async def test_an_engine_brings_an_older_store_up_to_date(place: Path, upgraded: Callable[..., None]) -> None:
    path = place / "x.db"
    await a_store(path)
    upgraded()
    clock = ManualClock()
    clock.advance(LEASE_S)
    journal = SqliteJournal(path, clock=clock)
    assert (await journal.facts()).format == len(load()) + 1
    assert await journal.execution("default", "e-5") == an_execution(5)
    assert not await journal.send(a_command("e-5", "c-1"))
    await journal.close()


async def test_a_store_of_the_first_format_goes_on(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it holds is awake and has no snapshot, whatever it waits for: it is loaded once more."""
    path = place / "x.db"
    monkeypatch.setattr(making, "load", lambda: load()[:1])
    making.create(path, ManualClock())
    old = apsw.Connection(str(path))
    for key, status in ((5, "waiting"), (6, "completed")):
        ended_at = None if status == "waiting" else 1.0
        old.execute("INSERT INTO executions VALUES (?, ?, 'default', 'lane-1', ?, 'answer', '1', 'd1', 'f', ?, 0, NULL,"
                    " NULL, 1.0, NULL, NULL, ?, NULL)", (key, f"e-{key}", key, status, ended_at))  # fmt: skip
        old.execute("INSERT INTO events VALUES (?, 1, 1.0, NULL, 'execution_started', NULL, NULL, x'7b7d')", (key,))
    old.close()
    journal = SqliteJournal(path, clock=ManualClock())
    (found,) = [each async for each in journal.load_open("lane-1", SHARDS)]
    assert (found.row.id, found.row.wake_at, len(found.events), found.snapshot) == ("e-5", None, 1, None)
    epochs = await journal.claim(an_owner("a"), SHARDS, LEASE_S)
    changed = [StatusChange(5, "waiting", None, "time", 9.0)]
    await journal.commit(a_batch(epochs, 5, changed=changed, snapshots=[SnapshotRow(5, 1, b"x")]))
    assert await journal.due("lane-1", SHARDS, 10.0, 1) == [(5, 9.0)]
    await journal.close()


async def test_versions_of_a_store_of_format_five_are_listed_by_when_they_were_first_used(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = place / "x.db"
    monkeypatch.setattr(making, "load", lambda: load()[:5])
    making.create(path, ManualClock())
    old = apsw.Connection(str(path))
    for hash_ in ("d1", "d2", "d3"):
        old.execute("INSERT INTO definitions VALUES (?, 'answer', '1', x'7b7d')", (hash_,))
    for key, hash_ in ((5, "d2"), (6, "d1"), (7, "d1")):
        old.execute("INSERT INTO executions VALUES (?, ?, 'default', 'lane-1', ?, 'answer', '1', ?, 'f', 'running', 0,"
                    " NULL, NULL, ?, NULL, NULL, NULL, NULL, NULL)", (key, f"e-{key}", key, hash_, float(key)))  # fmt: skip
    old.close()
    journal = SqliteJournal(path, clock=ManualClock())
    found = [(row.hash, row.seen_at, row.open) for row in await journal.versions("default", "answer")]
    assert found == [("d3", None, 0), ("d2", 5.0, 1), ("d1", 6.0, 2)]
    assert await journal.deployments("default") == []
    await journal.close()


async def test_readers_and_senders_leave_an_older_store_alone(place: Path, upgraded: Callable[..., None]) -> None:
    path = place / "x.db"
    await a_store(path)
    before = snapshot(place)
    upgraded()
    for connect in (files.connect_reader, files.connect_client):
        with pytest.raises(StoreUnavailable, match="Start an engine on it once"):
            connect(path)
    assert snapshot(place) == before


async def test_a_live_engine_is_not_upgraded_under_its_feet(place: Path, upgraded: Callable[..., None]) -> None:
    path = place / "x.db"
    await a_store(path)
    upgraded()
    with pytest.raises(StoreUnavailable, match=r"engine a \(process 4711 on host-1\) works with it"):
        SqliteJournal(path, clock=ManualClock())
    db = apsw.Connection(str(path))
    assert format_of(db) == len(load())
    db.close()


async def test_a_migration_that_fails_changes_nothing(place: Path, upgraded: Callable[..., None]) -> None:
    path = place / "x.db"
    await a_store(path)
    db = apsw.Connection(str(path))
    before = schema_of(db)
    clock = ManualClock()
    clock.advance(LEASE_S)
    upgraded(NEXT + "CREATE TABLE executions (x);")
    with pytest.raises(apsw.SQLError):
        SqliteJournal(path, clock=clock)
    assert schema_of(db) == before
    assert format_of(db) == len(load())
    db.close()


async def test_an_older_raywf_refuses_what_a_newer_one_upgraded(
    place: Path, upgraded: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also while the new format is only in the log and the file's header still tells of the old one."""
    path = place / "x.db"
    await a_store(path)
    clock = ManualClock()
    clock.advance(LEASE_S)
    upgraded()
    newer: Any = SqliteJournal(path, clock=clock)
    monkeypatch.undo()
    assert files.recognise(path) == len(load())
    for connect in (files.connect_reader, files.connect_client, lambda path: files.connect_owner(path, clock)):
        with pytest.raises(StoreUnavailable, match="made by a newer raywf"):
            connect(path)
    await newer.close()
    assert files.recognise(path) == len(load()) + 1
    with pytest.raises(StoreUnavailable, match="made by a newer raywf"):
        files.connect_reader(path)


def test_migrations_are_numbered_without_gaps(tmp_path: Path) -> None:
    (tmp_path / "0001_first.sql").write_text("SELECT 1")
    (tmp_path / "0003_third.sql").write_text("SELECT 1")
    with pytest.raises(RuntimeError, match="not numbered"):
        load(tmp_path)
    (tmp_path / "0002_second.sql").write_text("SELECT 2")
    (tmp_path / "notes.txt").write_text("not a migration")
    assert load(tmp_path) == ["SELECT 1", "SELECT 2", "SELECT 1"]
