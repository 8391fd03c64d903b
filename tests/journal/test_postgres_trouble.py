"""What may happen to a store on a server: it is missing, another program's, away, hanging, restarted, taken over."""

from __future__ import annotations

import asyncio
import re
import sys
import time
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from raywf.cli.main import main
from raywf.config import shown
from raywf.errors import LeaseLost, StoreUnavailable
from raywf.journal import open_inbox, open_journal, open_reader
from raywf.journal.factory import make, open_blobs, parse
from raywf.journal.group_commit import GroupCommit
from raywf.journal.missing import StoreMissing
from raywf.journal.postgres import PostgresInbox, PostgresJournal, PostgresReader, link, making
from raywf.journal.postgres.errors import explain
from raywf.ports import Batch, EventRow, StatusChange
from raywf.testing.journal_contract import LANE, a_command, an_event, an_execution, an_owner
from tests.journal.postgres_server import Server, in_schema


@pytest_asyncio.fixture
async def admin(postgres: Server) -> AsyncIterator[Any]:
    db = await asyncpg.connect(postgres.url)
    yield db
    if db.is_closed():  # a test has restarted the server
        db = await asyncpg.connect(postgres.url)
    for row in await db.fetch("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'trouble_%'"):
        await db.execute(f"DROP SCHEMA {row[0]} CASCADE")
    await db.close()


@pytest.fixture
def url(postgres: Server, admin: Any) -> str:
    return in_schema(postgres.url, f"trouble_{uuid.uuid4().hex[:8]}")


@pytest_asyncio.fixture
async def opening() -> AsyncIterator[Callable[..., Any]]:
    opened: list[Any] = []

    def opening(door: Callable[..., Any], *asked: Any, **options: Any) -> Any:
        opened.append(door(*asked, **options))
        return opened[-1]

    yield opening
    for store in opened:
        await store.close()


def schema_of(url: str) -> str:
    return url.rpartition("schema=")[2]


async def relations(admin: Any, url: str) -> int:
    sql = "SELECT count(*) FROM pg_class WHERE relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = $1)"
    return int(await admin.fetchval(sql, schema_of(url)))


async def held(opening: Callable[..., Any], url: str, owner: str = "a") -> tuple[PostgresJournal, Batch]:
    """A journal that holds shard 1, and a batch with a new execution of it."""
    journal = opening(PostgresJournal, url)
    epochs = await journal.claim(an_owner(owner), [1], 30.0)
    return journal, Batch(LANE, owner, dict(epochs), opened=[an_execution(1, shard=1)], events=[an_event(1, 1)])


async def backend_of(admin: Any, url: str, state: str) -> int:
    """The server's process that is at something, as soon as there is one."""
    sql = f"""SELECT pid FROM pg_stat_activity WHERE application_name = 'raywf' AND state = 'active' AND {state}
        AND pid <> pg_backend_pid()"""
    for _ in range(1000):
        await admin.execute("SELECT pg_stat_clear_snapshot()")  # within a transaction it would see the same for ever
        pid = await admin.fetchval(sql)
        if pid is not None:
            return int(pid)
        await asyncio.sleep(0.01)
    raise AssertionError(f"no backend came to {state}")


# -- opening -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("door", [open_reader, open_inbox])
async def test_readers_and_senders_make_nothing(door: Any, url: str, admin: Any, opening: Callable[..., Any]) -> None:
    with pytest.raises(StoreMissing, match=r"there is no store at postgresql://.*raywf run"):
        await opening(door, url).count_open("default")
    assert await admin.fetchval("SELECT to_regnamespace($1) IS NULL", schema_of(url))


async def test_a_command_to_a_missing_store_makes_nothing(url: str, admin: Any, opening: Callable[..., Any]) -> None:
    with pytest.raises(StoreMissing):
        await opening(PostgresInbox, url).send(a_command("e-1", "c-1"))
    assert await admin.fetchval("SELECT to_regnamespace($1) IS NULL", schema_of(url))


async def test_engines_that_start_at_once_make_one_store(url: str, opening: Callable[..., Any]) -> None:
    await asyncio.gather(*(make(url) for _ in range(4)))
    facts = await opening(PostgresReader, url).facts()
    assert (facts.format, facts.details["shards"]) == (len(making.STEPS), "256")
    assert facts.driver.startswith("asyncpg ")


@pytest.mark.parametrize("table", ["meta (name text, value text)", "meta (a int)", "orders (a int)"])
async def test_another_programs_schema_is_left_alone(
    table: str, url: str, admin: Any, opening: Callable[..., Any]
) -> None:
    await admin.execute(f"CREATE SCHEMA {schema_of(url)}; CREATE TABLE {schema_of(url)}.{table}")
    before = await relations(admin, url)
    for door in (open_journal, open_inbox, open_reader):
        with pytest.raises(StoreUnavailable, match="another program, so it was left as it is"):
            await opening(door, url).count_open("default")
    assert await relations(admin, url) == before


async def test_a_newer_format_is_left_alone(url: str, admin: Any, opening: Callable[..., Any]) -> None:
    await make(url)
    await admin.execute(f"UPDATE {schema_of(url)}.meta SET value = '99' WHERE name = 'format'")
    for door in (open_journal, open_inbox, open_reader):
        with pytest.raises(StoreUnavailable, match="format 99, made by a newer raywf"):
            await opening(door, url).count_open("default")
    assert await admin.fetchval(f"SELECT value FROM {schema_of(url)}.meta WHERE name = 'format'") == "99"


async def test_only_the_store_that_is_meant_is_opened(url: str, admin: Any, opening: Callable[..., Any]) -> None:
    with pytest.raises(StoreMissing):
        await opening(open_journal, url, store_id="0" * 32).facts()
    await make(url)
    known = (await opening(open_reader, url).facts()).details["store_id"]
    assert await opening(open_journal, url, store_id=known).count_open("default") == 0
    with pytest.raises(StoreUnavailable, match="is another store"):
        await opening(open_journal, url, store_id="0" * 32).facts()


@pytest.mark.parametrize(
    "bad",
    [
        "postgresql://me:s3cr/et@host/db",
        "postgresql://me:s3cr@et@host/db",
        "postgresql://me:s3cret@host:port/db",
        "postgresql://me:s3cret@host:99999/db",
        "postgresql://me:s3cret@host/db?nonsense",
        "postgresql://me:s3cret@host/db?schema=Robert;",
        "postgresql://me:s3?cret@host/db",
    ],
)
def test_a_url_that_cannot_be_read_is_refused_without_its_password(bad: str) -> None:
    with pytest.raises(StoreUnavailable) as caught:
        parse(bad)
    assert "s3" not in str(caught.value)
    assert "et@" not in str(caught.value)


def test_a_url_is_shown_without_its_secret() -> None:
    assert (
        shown("postgresql://me:s3cret@a:1,b:2/db?password=x&schema=s&host=c")
        == "postgresql://a:1,b:2/db?schema=s&host=c"
    )
    assert shown("sqlite:////some/me@place") == "sqlite:////some/me@place"


def test_without_the_driver_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("raywf.journal.postgres")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    with pytest.raises(StoreUnavailable, match=r"pip install 'raywf\[postgres\]'"):
        open_reader("postgresql://host/db")


def test_the_command_line_looks_at_a_server_and_keeps_its_password(
    url: str, postgres: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    if postgres.folder is None:
        pytest.skip("the server in RAYWF_TEST_POSTGRES may ask for its password")
    url = url.replace("postgres:@", "postgres:s3cret@")
    assert main(["ls", "--store", url]) == 4  # no store there yet
    assert "there is no store at postgresql:///" in capsys.readouterr().err
    main(["doctor", "--store", url])
    assert "none yet at postgresql:///" in " ".join(capsys.readouterr().out.split())
    asyncio.run(make(url))
    assert main(["ls", "--store", url]) == 0
    main(["doctor", "--store", url])
    said = capsys.readouterr()
    assert "asyncpg" in said.out
    assert "s3cret" not in said.out + said.err


# -- values ------------------------------------------------------------------------------------------------------------


async def test_text_of_any_characters_comes_back(url: str, opening: Callable[..., Any]) -> None:
    odd = "a\0b\ufdd0\ufdd00\ufdd01ä😀"
    journal, batch = await held(opening, url)
    batch.opened = [an_execution(1, shard=1, id=odd, tags={odd: odd}, parent=odd)]
    batch.events = [an_event(1, 1, by=odd, task=odd)]
    batch.changed = [StatusChange(1, "waiting", None, odd)]
    await journal.commit(batch)
    row = (await journal.existing("default", [odd]))[odd]
    assert (row.id, row.tags, row.parent, row.waiting_for) == (odd, {odd: odd}, odd, odd)
    assert await journal.executions("default", tags={odd: odd}, parent=odd) == [row]
    event = (await journal.history(1))[0]
    assert (event.by, event.task) == (odd, odd)
    assert await journal.send(a_command(odd, odd, by=odd))
    assert not await journal.send(a_command(odd, odd, by=odd))
    assert [each.by for each in await journal.inbox(LANE, 0)] == [odd]


async def test_a_value_that_no_column_takes_is_a_defect_and_never_tried_again(
    url: str, opening: Callable[..., Any]
) -> None:
    journal, batch = await held(opening, url)
    batch.events = [an_event(1, 2**63)]
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OverflowError)):
        await journal.commit(batch)
    assert await journal.count_open("default") == 0


async def test_large_values_are_in_the_store(url: str, opening: Callable[..., Any]) -> None:
    await make(url)
    data = bytes(range(256)) * 4000
    blobs = open_blobs(url)
    try:
        hash_ = blobs.put(data)
        assert blobs.put(data) == hash_
        other = open_blobs(url)
        assert other.get(hash_) == data
        other.close()
        with pytest.raises(StoreUnavailable, match="the large value"):
            blobs.get("0" * 64)
    finally:
        blobs.close()


# -- trouble -----------------------------------------------------------------------------------------------------------


async def test_nobody_listens(opening: Callable[..., Any]) -> None:
    with pytest.raises(StoreUnavailable, match="cannot be reached") as caught:
        await opening(open_reader, "postgresql://me:s3cret@127.0.0.1:9/db").count_open("default")
    assert "s3cret" not in str(caught.value)


async def test_a_server_that_accepts_and_says_nothing(
    opening: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "CONNECT_S", 0.2)

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        gone.set()

    gone = asyncio.Event()
    async with await asyncio.start_server(say_nothing, "127.0.0.1", 0) as silent:
        port = silent.sockets[0].getsockname()[1]
        with pytest.raises(StoreUnavailable, match="does not answer"):
            await opening(open_reader, f"postgresql://me@127.0.0.1:{port}/db?sslmode=disable").count_open("default")
        await gone.wait()


async def _hang_up(db: Any) -> None:
    db.terminate()


async def test_a_server_that_hangs_within_a_commit(
    url: str, admin: Any, opening: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    await make(url)
    journal, batch = await held(opening, url)
    monkeypatch.setattr(journal._writing, "_patience_s", 0.5)
    await journal._writing.run(_hang_up)
    async with admin.transaction():
        await admin.execute(f"LOCK TABLE {schema_of(url)}.events IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(StoreUnavailable, match="does not answer"):
            await journal.commit(batch)
    for _ in range(20):  # what is left of the first try may go on for a moment, with the rows that it has locked
        try:
            await journal.commit(batch)
            break
        except StoreUnavailable:
            continue
    assert len(await journal.history(1)) == 1


async def test_a_server_that_can_only_be_read(url: str, opening: Callable[..., Any]) -> None:
    await make(url)
    with pytest.raises(StoreUnavailable, match="can only be read"):
        await held(opening, f"{url}&default_transaction_read_only=on")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (asyncpg.DiskFullError, "disk is full.*goes on by itself"),
        (asyncpg.AdminShutdownError, "told to stop"),
        (asyncpg.CannotConnectNowError, "starts or stops"),
        (asyncpg.ConnectionDoesNotExistError, "connection was lost"),
        (asyncpg.DeadlockDetectedError, "gave way"),
        (asyncpg.InvalidPasswordError, "refuses this user"),
        (asyncpg.TooManyConnectionsError, "no connection free"),
    ],
)
def test_what_passes_is_tried_again(error: type[Exception], words: str) -> None:
    told = explain(error("it said so"), "postgresql://host/db")
    assert told is not None
    assert re.search(words, str(told))


@pytest.mark.parametrize("error", [asyncpg.PostgresSyntaxError, asyncpg.NotNullViolationError, asyncpg.DataError])
def test_a_mistake_of_ours_is_not_tried_again(error: type[Exception]) -> None:
    assert explain(error("it said so"), "postgresql://host/db") is None


async def test_a_connection_cut_before_the_commit_is_written(url: str, admin: Any, opening: Callable[..., Any]) -> None:
    journal, batch = await held(opening, url)
    schema = schema_of(url)
    await admin.execute(
        f"""CREATE FUNCTION {schema}.wait() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(20); RETURN NULL; END';
        CREATE CONSTRAINT TRIGGER wait AFTER INSERT ON {schema}.events DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION {schema}.wait()"""
    )
    cut = asyncio.create_task(journal.commit(batch))
    await admin.execute("SELECT pg_terminate_backend($1)", await backend_of(admin, url, "query = 'COMMIT'"))
    with pytest.raises(StoreUnavailable):
        await cut
    assert await journal.history(1) == []
    await admin.execute(f"DROP TRIGGER wait ON {schema}.events")
    await journal.commit(batch)
    assert len(await journal.history(1)) == 1


async def test_a_connection_cut_after_the_commit_is_written(
    url: str, postgres: Server, admin: Any, opening: Callable[..., Any]
) -> None:
    """The commit is on disk and waits for a standby; the answer is lost; the retry finds it written, once."""
    if postgres.folder is None:
        pytest.skip("the server in RAYWF_TEST_POSTGRES is not ours to change")
    journal, batch = await held(opening, url)
    await admin.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
    await admin.execute("SELECT pg_reload_conf()")
    try:
        await asyncio.sleep(0.2)
        cut = asyncio.create_task(journal.commit(batch))
        await admin.execute("SELECT pg_terminate_backend($1)", await backend_of(admin, url, "wait_event = 'SyncRep'"))
        with pytest.raises(StoreUnavailable):
            await cut
    finally:
        await admin.execute("ALTER SYSTEM RESET synchronous_standby_names")
        await admin.execute("SELECT pg_reload_conf()")
    assert len(await journal.history(1)) == 1
    await journal.commit(batch)
    assert len(await journal.history(1)) == 1
    batch.events = [an_event(1, 2)]
    batch.opened = []
    await journal.commit(Batch(LANE, "a", batch.epochs, events=[an_event(1, 2)]))
    assert [each.seq for each in await journal.history(1)] == [1, 2]


async def test_a_takeover_waits_for_the_commit_that_is_under_way(
    url: str, admin: Any, opening: Callable[..., Any]
) -> None:
    journal, batch = await held(opening, url)
    successor = opening(PostgresJournal, url)
    await successor.owners()
    async with admin.transaction():
        await admin.execute(f"LOCK TABLE {schema_of(url)}.events IN SHARE MODE")
        commit = asyncio.create_task(journal.commit(batch))
        await backend_of(admin, url, "wait_event_type = 'Lock' AND query LIKE 'COPY%'")
        claim = asyncio.create_task(successor.claim(an_owner("b"), [1], 30.0, dead=["a"]))
        await backend_of(admin, url, "wait_event_type = 'Lock' AND query LIKE 'INSERT INTO leases%'")
        assert not commit.done()
        assert not claim.done()
    await commit
    assert await claim == {1: 2}
    assert [len(each.events) for each in await successor.load([1])] == [1]  # what was promised is what it reads
    with pytest.raises(LeaseLost):
        await journal.commit(Batch(LANE, "a", {1: 1}, events=[an_event(1, 2)]))


async def test_leases_follow_the_servers_clock(
    url: str, opening: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host whose clock is an hour ahead takes nothing from the others."""
    await held(opening, url)
    real = time.time
    monkeypatch.setattr("time.time", lambda: real() + 3600)
    assert await opening(open_journal, url).claim(an_owner("b"), [1], 30.0) == {}
    (row,) = await opening(open_reader, url).owners()
    assert 0 < row.expires_at - time.time() <= 31


async def test_a_restart_of_the_server_loses_nothing(url: str, postgres: Server, opening: Callable[..., Any]) -> None:
    journal, batch = await held(opening, url)
    await journal.commit(batch)
    told: list[StoreUnavailable | None] = []
    buffer = GroupCommit(journal, "a", LANE, batch.epochs, rows_per_commit=5, on_trouble=told.append)

    async def write() -> None:
        for seq in range(2, 202):
            row: EventRow = an_event(1, seq)
            buffer.add_turn(1, [row], lambda: None)
            await asyncio.sleep(0.005)

    async def restart() -> None:
        await asyncio.sleep(0.2)
        await asyncio.to_thread(postgres.restart)

    work: list[Coroutine[Any, Any, None]] = [write(), restart()]
    await asyncio.gather(*work)
    await buffer.drain()
    await buffer.close()
    assert [each.seq for each in await journal.history(1)] == list(range(1, 202))
    assert await journal.renew("a", 30.0)
