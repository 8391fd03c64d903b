"""Executions that ended long ago leave the store for Parquet files: whatever dies, each is in one of the two."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import pytest_asyncio

from raywf.client import archive as of
from raywf.client.archive import Archive, archive, count_archivable
from raywf.client.tabular import event_schema, history_table, older_than
from raywf.definition import values
from raywf.errors import InvalidInput, NotFound
from raywf.journal import memory, open_journal
from raywf.ports import DefinitionRow, Journal, StatusChange
from raywf.runtime.data import MemoryBlobs
from raywf.testing.journal_contract import a_batch, an_event, an_execution, an_owner

OLD, NEW = 1_000_100.0, 2_000_000.0


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    if request.param == "memory":
        name = f"archive-{uuid.uuid4().hex}"
        yield f"memory://{name}"
        memory.forget(name)
    elif request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/store.db"
    else:
        from tests.journal.postgres_server import Admin, in_schema

        schema = f"raywf_{uuid.uuid4().hex[:12]}"
        server = request.getfixturevalue("postgres")
        yield in_schema(server.url, schema)
        admin = Admin(server.url)
        admin.do(f"DROP SCHEMA IF EXISTS {schema} CASCADE")
        admin.close()


@pytest_asyncio.fixture
async def journal(url: str) -> AsyncIterator[Journal]:
    found = open_journal(url)
    await fill(found)
    yield found
    await found.close()


async def fill(journal: Journal) -> None:
    """e-1 and its child ended long ago, e-3 lately; e-4 is open, and its child ended long ago."""
    epochs = await journal.claim(an_owner("a"), range(256), 60.0)
    rows = [
        an_execution(1, tags={"team": "blue"}),
        an_execution(2, id="e-1/a", parent="e-1"),
        an_execution(3, workflow="other"),
        an_execution(4),
        an_execution(5, id="e-4/a", parent="e-4"),
    ]
    large = values.dataref("ab" * 32, 70_000, "bytes")
    events = [an_event(key, seq) for key in range(1, 6) for seq in (1, 2)]
    events[0] = events[0]._replace(data=large, by="ann")
    changed = [
        StatusChange(1, "completed", OLD, None),
        StatusChange(2, "completed", OLD - 1, None),
        StatusChange(3, "failed", NEW, None),
        StatusChange(5, "completed", OLD, None),
    ]
    definitions = [DefinitionRow("d1", "answer", "1", b"{}")]
    await journal.commit(
        a_batch(epochs, 1, 2, 3, 4, 5, opened=rows, events=events, changed=changed, definitions=definitions)
    )


def blobs() -> MemoryBlobs:
    found = MemoryBlobs()
    found._blobs["ab" * 32] = b"large"
    return found


async def ids(journal: Journal) -> list[str]:
    return sorted(row.id for row in await journal.executions("default"))


async def test_a_history_table_has_a_row_per_event_with_its_execution(journal: Journal) -> None:
    table = await history_table(journal, "default")
    assert table.schema == event_schema()
    assert table.column("execution").to_pylist() == [
        id_ for id_ in ("e-1", "e-1/a", "e-3", "e-4", "e-4/a") for _ in "12"
    ]
    first = table.slice(0, 1).to_pylist()[0]
    assert (first["seq"], first["kind"], first["by"], first["tags"]) == (1, "task_completed", "ann", [("team", "blue")])
    assert first["at"] == datetime.fromtimestamp(1_000_001.25, UTC)
    assert set((await history_table(journal, "default", workflow="other"))["execution"].to_pylist()) == {"e-3"}
    assert set((await history_table(journal, "default", limit=1))["execution"].to_pylist()) == {"e-4/a"}
    assert (await history_table(journal, "default", tags={"team": "red"})).num_rows == 0
    later = datetime.fromtimestamp(2_000_000, UTC)
    assert (await history_table(journal, "default", since=later)).num_rows == 0
    with pytest.raises(InvalidInput, match="time zone"):
        await history_table(journal, "default", since=datetime(2026, 1, 1))  # noqa: DTZ001


async def test_what_ended_long_ago_leaves_the_store_with_its_children_and_can_be_read(
    journal: Journal, tmp_path: Path
) -> None:
    before = await history_table(journal, "default")
    assert await count_archivable(journal, "default", OLD) == 2
    done = await archive(journal, blobs(), "default", tmp_path / "archive", OLD)
    assert (done.executions, done.events, done.parts, done.removed, done.missing) == (2, 4, 1, 2, 0)
    assert await ids(journal) == ["e-3", "e-4", "e-4/a"]  # an open parent may still ask for the end of its child
    kept = Archive(tmp_path / "archive")
    assert pa.concat_tables([kept.table(), await history_table(journal, "default")]).equals(before)
    assert kept.executions().column("id").to_pylist() == ["e-1", "e-1/a"]
    found = kept.export("e-1")
    assert [row.id for row in found.executions] == ["e-1", "e-1/a"]
    assert (found.root.ended_at, found.root.tags, found.root.events[0].by) == (OLD, {"team": "blue"}, "ann")
    assert list(found.values) == ["ab" * 32]
    with pytest.raises(NotFound):
        kept.export("e-3")
    with pytest.raises(InvalidInput, match="export its root"):
        kept.export("e-1/a")
    again = await archive(journal, blobs(), "default", tmp_path / "archive", OLD)
    assert (again.executions, again.parts) == (0, 0)


@pytest.mark.parametrize("dies_at", ["_write", "rename", "forget", "marker"])
async def test_wherever_it_dies_the_next_run_leaves_each_execution_in_one_place(
    journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dies_at: str
) -> None:
    class Died(BaseException):
        pass

    def die(*args: Any, **kwargs: Any) -> Any:
        raise Died

    async def die_soon(*args: Any, **kwargs: Any) -> Any:
        raise Died

    with monkeypatch.context() as patch:
        if dies_at == "_write":
            patch.setattr(pq, "write_table", die)
        elif dies_at == "rename":
            patch.setattr(of.os, "rename", die)
        elif dies_at == "forget":
            patch.setattr(type(journal), "forget", die_soon)
        else:
            patch.setattr(Path, "write_text", _all_but_marker(Path.write_text, Died))
        with pytest.raises(Died):
            await archive(journal, blobs(), "default", tmp_path, OLD)
    kept = Archive(tmp_path).executions().column("id").to_pylist()
    assert set(kept) | set(await ids(journal)) == {"e-1", "e-1/a", "e-3", "e-4", "e-4/a"}
    await archive(journal, blobs(), "default", tmp_path, OLD)
    kept = Archive(tmp_path).executions().column("id").to_pylist()
    assert sorted(kept) == ["e-1", "e-1/a"]
    assert await ids(journal) == ["e-3", "e-4", "e-4/a"]
    assert not list(tmp_path.glob(".new-*"))


def _all_but_marker(write: Callable[..., int], error: type[BaseException]) -> Callable[..., int]:
    def written(path: Path, *args: Any, **kwargs: Any) -> int:
        if path.name == "removed":
            raise error
        return write(path, *args, **kwargs)

    return written


async def test_keeping_writes_each_execution_once_and_deletes_nothing(journal: Journal, tmp_path: Path) -> None:
    for expected in (2, 0):
        done = await archive(journal, blobs(), "default", tmp_path, OLD, delete=False)
        assert (done.executions, done.removed) == (expected, 0)
    assert len(await ids(journal)) == 5
    done = await archive(journal, MemoryBlobs(), "default", tmp_path, NEW, workflow="other")
    assert (done.executions, done.removed) == (1, 1)
    done = await archive(journal, MemoryBlobs(), "default", tmp_path, OLD)
    assert (done.executions, done.removed) == (0, 2)  # they are in the archive already
    assert sorted(Archive(tmp_path).executions().column("id").to_pylist()) == ["e-1", "e-1/a", "e-3"]


async def test_a_folder_that_cannot_be_used_is_refused(journal: Journal, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x", encoding="utf-8")
    with pytest.raises(InvalidInput, match="cannot be written there"):
        await archive(journal, blobs(), "default", tmp_path / "file" / "below", OLD)
    with of._held(tmp_path), pytest.raises(InvalidInput, match="another `raywf archive`"):
        await archive(journal, blobs(), "default", tmp_path, OLD)
    with pytest.raises(NotFound, match="there is no archive"):
        Archive(tmp_path / "nowhere").table()
    assert len(await ids(journal)) == 5


def test_an_age_has_a_unit() -> None:
    assert older_than("30d", 3_000_000.0) == 3_000_000.0 - 30 * 86400
    assert older_than("1.5h", 6000.0) == 600.0
    assert abs(older_than("0s") - time.time()) < 5
    for wrong in ("30", "d", "-1d", "30 days", "", "infd"):
        with pytest.raises(InvalidInput, match="age"):
            older_than(wrong, 0.0)
