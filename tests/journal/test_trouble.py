"""When the disk is full, read-only or broken: one sentence, nothing accepted is lost, and it goes on afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest

from raywf.errors import StoreUnavailable
from raywf.journal import GroupCommit
from raywf.journal.sqlite import SqliteJournal
from raywf.journal.sqlite.writer import Writer
from raywf.testing.journal_contract import LANE, SHARDS, a_batch, a_command, an_event, an_execution, an_owner

LONG_S = 1000.0


@pytest.fixture
def small_disk(place: Path) -> Iterator[Path]:
    """A file system of 1 MB, where this user may mount one."""
    point = place / "small"
    point.mkdir()
    if shutil.which("mount") is None or not _run("mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(point)):
        pytest.skip("no right to mount a small tmpfs here")
    yield point
    _run("umount", str(point))


def _run(*command: str) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


async def fill(journal: Any, epochs: dict[int, int]) -> tuple[int, StoreUnavailable]:
    """Commit until the disk is full. Returns the last event accepted, and what was said."""
    await journal.commit(a_batch(epochs, 5, opened=[an_execution(5)]))
    for seq in range(1, 10_000):
        try:
            await journal.commit(a_batch(epochs, 5, events=[an_event(5, seq, data=b"x" * 8000)]))
        except StoreUnavailable as error:
            return seq - 1, error
    raise AssertionError("the disk never filled up")


async def test_a_full_store_keeps_what_it_accepted_and_goes_on(place: Path, opening: Callable[..., Any]) -> None:
    journal: SqliteJournal = opening("journal", place / "x.db")
    epochs = await journal.claim(an_owner("a"), SHARDS, LONG_S)
    _limit_pages(journal, 100)
    accepted, error = await fill(journal, epochs)
    assert accepted > 5
    assert str(place / "x.db") in str(error)
    assert "disk (or its quota) is full" in str(error)
    assert "Free some space" in str(error)
    with pytest.raises(StoreUnavailable, match="full"):
        await journal.commit(a_batch(epochs, 5, events=[an_event(5, accepted + 1, data=b"x" * 8000)]))
    assert [row.seq for row in await journal.history(5)] == list(range(1, accepted + 1))
    _limit_pages(journal, 10_000)
    await journal.commit(a_batch(epochs, 5, events=[an_event(5, accepted + 1)]))
    await journal.close()
    again = opening("reader", place / "x.db")
    assert [row.seq for row in await again.history(5)] == list(range(1, accepted + 2))


def _limit_pages(journal: SqliteJournal, pages: int) -> None:
    db = journal._writer._db
    assert db is not None
    db.pragma("max_page_count", pages)


async def test_the_group_commit_waits_for_space_and_drops_nothing(place: Path, opening: Callable[..., Any]) -> None:
    journal: SqliteJournal = opening("journal", place / "x.db")
    epochs = await journal.claim(an_owner("a"), SHARDS, LONG_S)
    _limit_pages(journal, 60)
    troubles: list[StoreUnavailable | None] = []
    pauses: list[float] = []
    durable: list[int] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 4:
            _limit_pages(journal, 10_000)
        await asyncio.sleep(0)

    commits = GroupCommit(journal, "a", LANE, epochs, on_trouble=troubles.append, sleep=sleep)
    commits.add_opened(an_execution(5))
    for seq in range(1, 101):
        commits.add_events(5, [an_event(5, seq, data=b"x" * 8000)])
        commits.on_durable(lambda seq=seq: durable.append(seq))  # type: ignore[misc]
        if seq % 10 == 0:
            await asyncio.sleep(0)
    await commits.close()
    assert pauses == sorted(pauses)
    assert len(pauses) == 4
    assert len(troubles) == 5
    assert troubles[-1] is None
    assert durable == list(range(1, 101))
    assert [row.seq for row in await journal.history(5)] == list(range(1, 101))


async def test_a_real_full_disk(small_disk: Path, opening: Callable[..., Any]) -> None:
    journal = opening("journal", small_disk / "x.db")
    epochs = await journal.claim(an_owner("a"), SHARDS, LONG_S)
    accepted, error = await fill(journal, epochs)
    assert accepted > 5
    assert "full" in str(error)
    assert [row.seq for row in await journal.history(5)] == list(range(1, accepted + 1))
    with pytest.raises(StoreUnavailable, match="full"):
        await opening("journal", small_disk / "another.db").facts()
    assert not (small_disk / "another.db").exists(), "half a store is never left behind"
    assert _run("mount", "-o", "remount,size=8m", str(small_disk))
    await journal.commit(a_batch(epochs, 5, events=[an_event(5, accepted + 1)]))
    await journal.close()
    again = opening("reader", small_disk / "x.db")
    assert [row.seq for row in await again.history(5)] == list(range(1, accepted + 2))
    await again.close()


async def test_a_disk_that_turns_read_only(small_disk: Path, opening: Callable[..., Any]) -> None:
    """Linux remounts a disk with errors read-only; with our files open only new writers are refused by mount."""
    journal = opening("journal", small_disk / "x.db")
    epochs = await journal.claim(an_owner("a"), SHARDS, LONG_S)
    await journal.commit(a_batch(epochs, 5, opened=[an_execution(5)], events=[an_event(5, 1)]))
    await journal.close()
    assert _run("mount", "-o", "remount,ro", str(small_disk))
    for door in ("journal", "inbox"):
        with pytest.raises(StoreUnavailable, match="read-only"):
            opening(door, small_disk / "x.db")
    reader = opening("reader", small_disk / "x.db")
    assert len(await reader.history(5)) == 1
    await reader.close()


async def test_damage_is_reported_with_a_way_out(place: Path, opening: Callable[..., Any]) -> None:
    path = place / "x.db"
    journal = opening("journal", path)
    epochs = await journal.claim(an_owner("a"), SHARDS, LONG_S)
    opened = [an_execution(key) for key in range(256)]
    await journal.commit(a_batch(epochs, *range(256), opened=opened))
    await journal.close()
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(size - 4096))
    reader = opening("reader", path)
    with pytest.raises(StoreUnavailable, match=r"damaged.*\.recover") as refused:
        await reader.executions("default")
    assert str(path) in str(refused.value)


async def test_a_long_write_elsewhere_never_blocks_the_loop(place: Path, opening: Callable[..., Any]) -> None:
    """The lock is waited for in the thread: meanwhile the loop goes round."""
    journal = opening("journal", place / "x.db")
    epochs = await journal.claim(an_owner("a"), SHARDS, LONG_S)
    other = apsw.Connection(str(place / "x.db"))
    other.execute("BEGIN IMMEDIATE")
    commit = asyncio.create_task(journal.commit(a_batch(epochs, 5, opened=[an_execution(5)])))
    turns = 0
    while turns < 20:
        await asyncio.sleep(0.005)
        turns += 1
        assert not commit.done()
    send = asyncio.create_task(journal.send(a_command("e-5", "c-1")))
    other.execute("COMMIT")
    other.close()
    await asyncio.wait_for(asyncio.gather(commit, send), 10)
    assert await journal.count_open("default") == 1


async def test_a_lock_that_is_never_given_back_is_explained(
    place: Path, opening: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("raywf.journal.sqlite.writer._PATIENCE_S", 0.02)
    inbox_maker = opening("journal", place / "x.db")
    other = apsw.Connection(str(place / "x.db"))
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable, match="another process holds its write lock"):
        await inbox_maker.send(a_command("e-5", "c-1"))
    other.execute("ROLLBACK")
    other.close()
    assert await inbox_maker.send(a_command("e-5", "c-1"))


async def test_large_commits_go_to_the_thread(
    place: Path, opening: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = opening("journal", place / "x.db")
    epochs = await journal.claim(an_owner("a"), SHARDS, LONG_S)
    threads: list[str] = []
    transact = Writer._transact

    def noted(self: Writer, *args: Any) -> Any:
        threads.append(threading.current_thread().name)
        return transact(self, *args)

    monkeypatch.setattr(Writer, "_transact", noted)
    await journal.commit(a_batch(epochs, 5, events=[an_event(5, 1)]))
    await journal.commit(a_batch(epochs, 6, events=[an_event(6, seq) for seq in range(1, 4001)]))
    assert threads[0] == threading.current_thread().name
    assert threads[1].startswith("raywf-journal")


async def test_a_cancelled_commit_leaves_the_journal_usable(place: Path, opening: Callable[..., Any]) -> None:
    journal = opening("journal", place / "x.db")
    epochs = await journal.claim(an_owner("a"), SHARDS, LONG_S)
    commit = asyncio.create_task(
        journal.commit(a_batch(epochs, 6, events=[an_event(6, seq) for seq in range(1, 4001)]))
    )
    await asyncio.sleep(0)
    commit.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await commit
    await journal.commit(a_batch(epochs, 5, events=[an_event(5, 1)]))
    assert len(await journal.history(6)) in (0, 4000)
    assert len(await journal.history(5)) == 1
