"""A store is made whole, recognised before it is touched, and refused with a sentence when it is not ours."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import pytest

from raywf.errors import StoreUnavailable
from raywf.journal import open_inbox, open_journal, open_reader
from raywf.journal.factory import parse
from raywf.journal.sqlite import SqliteJournal
from raywf.journal.sqlite.files import newest_format
from raywf.journal.sqlite.making import APPLICATION_ID
from raywf.testing.journal_contract import LANE, LEASE_S, ManualClock, a_command, an_owner

from .conftest import as_nobody, snapshot

DOORS = [open_journal, open_inbox, open_reader]


def test_urls() -> None:
    assert parse("sqlite:///some/where.db") == ("sqlite", f"{os.getcwd()}/some/where.db")
    assert parse("sqlite:////some/where.db") == ("sqlite", "/some/where.db")
    assert parse("sqlite:///~/x.db") == ("sqlite", os.path.expanduser("~/x.db"))
    assert parse("sqlite:////a%20b.db") == ("sqlite", "/a b.db")
    assert parse("memory://name") == ("memory", "name")


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("postgresql://user:secret@host:port/db", "look at its port"),
        ("postgresql:user:secret@host/db", "not a store's URL"),
        ("sqlite://x.db", "three"),
        ("sqlite:///", "three"),
        ("mysql://x", "not a store's URL"),
        ("/some/path.db", "not a store's URL"),
        ("", "not a store's URL"),
    ],
)
def test_a_wrong_url_says_what_a_right_one_is(url: str, says: str) -> None:
    with pytest.raises(StoreUnavailable, match=says) as refused:
        open_journal(url)
    assert "secret" not in str(refused.value)


async def test_an_engine_makes_the_store_and_its_folder(place: Path, opening: Callable[..., Any]) -> None:
    path = place / "new folder" / "it's 100% ?.db"
    journal = open_journal("sqlite:///" + str(path).replace("%", "%25"))
    facts = await journal.facts()
    await journal.close()
    assert facts.format == newest_format()
    assert facts.details["journal_mode"] == "wal"
    assert facts.details["path"] == str(path)
    assert [each.name for each in path.parent.iterdir()] == [path.name], "nothing is left behind"


def test_readers_and_senders_make_nothing(place: Path) -> None:
    for door in (open_reader, open_inbox):
        with pytest.raises(StoreUnavailable, match=re.escape(f"no store at {place}/a/b.db")):
            door(f"sqlite:///{place}/a/b.db")
    assert list(place.iterdir()) == []


async def test_a_store_is_made_once_by_many_at_once(place: Path) -> None:
    barrier = threading.Barrier(8)
    ids: list[str] = []

    def make() -> None:
        import asyncio

        async def once() -> str:
            journal = open_journal(f"sqlite:///{place}/one.db")
            found = (await journal.facts()).details["store_id"]
            await journal.close()
            return found

        barrier.wait()
        ids.append(asyncio.run(once()))

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ids) == 8
    assert len(set(ids)) == 1
    assert [each.name for each in place.iterdir()] == ["one.db"]


async def test_an_empty_file_becomes_a_store(place: Path, opening: Callable[..., Any]) -> None:
    path = place / "empty.db"
    path.touch()
    with pytest.raises(StoreUnavailable, match="no store at"):
        open_reader(f"sqlite:///{path}")
    assert await opening("journal", path).count_open("default") == 0


def _not_sqlite(path: Path) -> str:
    path.write_text("dear diary\n" * 100)
    return "not a SQLite file"


def _short(path: Path) -> str:
    path.write_bytes(b"SQLite")
    return "not a SQLite file"


def _of_another_program(path: Path) -> str:
    db = apsw.Connection(str(path))
    db.execute("CREATE TABLE t (x)")
    db.close()
    return "another program"


def _of_another_program_in_wal(path: Path) -> str:
    db = apsw.Connection(str(path))
    db.pragma("journal_mode", "wal")
    db.execute("CREATE TABLE t (x); PRAGMA application_id = 77")
    db.close()
    return "another program"


def _newer(path: Path) -> str:
    db = apsw.Connection(str(path))
    db.execute(f"CREATE TABLE t (x); PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = 99")
    db.close()
    return "format 99, made by a newer raywf"


def _folder(path: Path) -> str:
    path.mkdir()
    return "not a file"


STRANGERS = [_not_sqlite, _short, _of_another_program, _of_another_program_in_wal, _newer, _folder]


@pytest.mark.parametrize("stranger", STRANGERS)
@pytest.mark.parametrize("door", DOORS)
def test_what_is_not_our_store_is_left_as_it_is(
    place: Path, door: Callable[[str], Any], stranger: Callable[[Path], str]
) -> None:
    path = place / "x.db"
    says = stranger(path)
    before = snapshot(place)
    with pytest.raises(StoreUnavailable, match=says) as refused:
        door(f"sqlite:///{path}")
    assert str(path) in str(refused.value)
    assert snapshot(place) == before


async def test_looking_at_a_file_keeps_the_locks_of_this_process(place: Path, opening: Callable[..., Any]) -> None:
    """POSIX drops all locks of a process when it closes any descriptor of the file: opening must not do that."""
    path = place / "x.db"
    journal = opening("journal", path)
    await journal.claim(an_owner("a"), [1], LEASE_S)
    before = _locks(path)
    assert before
    opening("reader", path)
    opening("inbox", path)
    assert _locks(path) >= before


def _locks(path: Path) -> int:
    if not Path("/proc/locks").exists():
        pytest.skip("no /proc/locks here")
    inode = path.stat().st_ino
    return sum(f":{inode} " in line for line in Path("/proc/locks").read_text().splitlines())


async def test_a_folder_without_rights_is_explained(place: Path) -> None:
    place.chmod(0o555)
    with as_nobody(), pytest.raises(StoreUnavailable, match="this user may read and write it"):
        open_journal(f"sqlite:///{place}/x.db")
    with as_nobody(), pytest.raises(StoreUnavailable, match="folder cannot be made"):
        open_journal(f"sqlite:///{place}/sub/x.db")


async def test_a_read_only_store_can_be_read_but_not_opened_for_writing(place: Path) -> None:
    path = place / "x.db"
    journal = open_journal(f"sqlite:///{path}")
    await journal.send(a_command("e-1", "c-1"))
    await journal.close()
    path.chmod(0o444)
    place.chmod(0o555)
    with as_nobody():
        before = snapshot(place)
        for door in (open_journal, open_inbox):
            with pytest.raises(StoreUnavailable, match="read-only") as refused:
                door(f"sqlite:///{path}")
            assert str(path) in str(refused.value)
        reader = open_reader(f"sqlite:///{path}")
        assert await reader.executions("default") == []
        assert (await reader.facts()).format == newest_format()
        await reader.close()
        assert snapshot(place) == before


async def test_a_reader_changes_nothing(place: Path, opening: Callable[..., Any]) -> None:
    path = place / "x.db"
    await opening("journal", path).close()
    before = snapshot(place)
    reader = opening("reader", path)
    assert await reader.executions("default") == []
    with pytest.raises(apsw.ReadOnlyError):
        reader._reading.execute("DELETE FROM meta")
    await reader.close()
    after = snapshot(place)
    assert after["x.db"] == before["x.db"]
    assert {name for name in after if after[name][2]} <= {"x.db", "x.db-shm"}, "at most SQLite's empty log is left"


async def test_the_last_owner_folds_the_log_into_the_file(place: Path, opening: Callable[..., Any]) -> None:
    path = place / "x.db"
    journal = opening("journal", path)
    inbox = opening("inbox", path)
    await inbox.send(a_command("e-1", "c-1"))
    await inbox.close()
    assert (place / "x.db-wal").stat().st_size > 0, "a client leaves the log to the owner"
    await journal.close()
    assert [each.name for each in place.iterdir()] == ["x.db"]


async def test_a_client_alone_leaves_its_command_in_the_log(place: Path, opening: Callable[..., Any]) -> None:
    path = place / "x.db"
    await opening("journal", path).close()
    inbox = opening("inbox", path)
    assert await inbox.send(a_command("e-1", "c-1"))
    await inbox.close()
    assert (place / "x.db-wal").stat().st_size > 0
    assert [row.command_id for row in await opening("journal", path).inbox(LANE, 0)] == ["c-1"]


async def test_a_file_taken_away_is_noticed(place: Path, opening: Callable[..., Any]) -> None:
    path = place / "x.db"
    journal = opening("journal", path)
    assert await journal.send(a_command("e-1", "c-1"))
    path.rename(place / "elsewhere.db")
    with pytest.raises(StoreUnavailable, match="removed or replaced"):
        await journal.send(a_command("e-1", "c-2"))
    (place / "elsewhere.db").rename(path)
    assert await journal.send(a_command("e-1", "c-2")), "put back, it goes on"


async def test_another_store_at_the_same_path_is_refused(place: Path, opening: Callable[..., Any]) -> None:
    ours = opening("journal", place / "ours.db")
    store_id = (await ours.facts()).details["store_id"]
    opening("journal", place / "ours.db", store_id=store_id)
    opening("journal", place / "theirs.db")
    with pytest.raises(StoreUnavailable, match="another store"):
        opening("journal", place / "theirs.db", store_id=store_id)
    with pytest.raises(StoreUnavailable, match="does not see"):
        opening("journal", place / "none.db", store_id=store_id)
    assert not (place / "none.db").exists()


async def test_a_store_held_on_another_machine_is_refused(place: Path) -> None:
    clock = ManualClock()
    here = SqliteJournal(place / "x.db", clock=clock, machine="boot:1")
    there = SqliteJournal(place / "x.db", clock=clock, machine="boot:2")
    await here.claim(an_owner("a"), [1], LEASE_S)
    with pytest.raises(StoreUnavailable, match=r"engine a \(process 4711 on host host-1\) holds this store"):
        await there.claim(an_owner("b"), [2], LEASE_S)
    assert [row.owner for row in await there.owners()] == ["a"]
    clock.advance(LEASE_S)
    assert await there.claim(an_owner("b"), [1], LEASE_S) == {1: 2}, "a store may move when nobody holds it"
    await here.close()
    await there.close()


def test_only_the_doors_are_imported() -> None:
    """A client that works in memory does not load a database driver."""
    code = "import sys, raywf.journal; raywf.journal.open_journal('memory://'); print('apsw' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
