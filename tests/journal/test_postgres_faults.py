"""A server that dies, is away, is replaced by its standby, is full or refuses: what was accepted is there, and once."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import asyncpg
import pytest

from raywf.errors import StoreUnavailable
from raywf.journal.group_commit import GroupCommit
from raywf.journal.postgres import PostgresInbox, PostgresJournal, PostgresReader
from raywf.ports import Batch
from raywf.testing.journal_contract import LANE, a_command, an_event, an_execution, an_owner
from tests.journal.postgres_machine import Machine, machines, url_of
from tests.journal.postgres_server import Server, in_schema

EVENTS = 200


@pytest.fixture
def machine() -> Iterator[Machine]:
    """A server with fsync and all, that this test may end."""
    with machines() as [machine]:
        yield machine.make().start()


class Writer:
    """An owner that writes history event by event through the commit buffer, and remembers what was promised."""

    def __init__(self, url: str) -> None:
        self.journal = PostgresJournal(url)
        self.told: list[StoreUnavailable | None] = []
        self.promised: list[int] = []

    async def write(self, *faults: Any, pause_s: float = 0.005) -> None:
        """Write while ``faults`` happen; returns when everything is on disk."""
        epochs = await self.journal.claim(an_owner("a"), [1], 300.0)
        await self.journal.commit(Batch(LANE, "a", dict(epochs), opened=[an_execution(1, shard=1)]))
        buffer = GroupCommit(self.journal, "a", LANE, epochs, rows_per_commit=5, on_trouble=self.told.append)

        async def write() -> None:
            for seq in range(1, EVENTS + 1):
                buffer.add_turn(1, [an_event(1, seq)], lambda seq=seq: self.promised.append(seq))  # type: ignore[misc]
                await asyncio.sleep(pause_s)

        await asyncio.gather(write(), *faults)
        await buffer.drain()
        await buffer.close()

    async def judge(self) -> None:
        assert self.promised == list(range(1, EVENTS + 1)), "told in order, and all"
        assert [each.seq for each in await self.journal.history(1)] == self.promised
        assert await self.journal.renew("a", 30.0)
        await self.journal.close()

    @property
    def troubles(self) -> str:
        return " ".join(str(each) for each in self.told if each is not None)


async def later(after_s: float, *what: Callable[[], Any], away_s: float = 0.0) -> None:
    """One after the other, in a thread: it waits for processes."""
    await asyncio.sleep(after_s)
    for number, each in enumerate(what):
        if number:
            await asyncio.sleep(away_s)
        await asyncio.to_thread(each)


@pytest.mark.parametrize("away_s", [1.0, pytest.param(60.0, marks=pytest.mark.long)])
async def test_a_server_that_is_killed_and_away_loses_nothing(machine: Machine, away_s: float) -> None:
    writer = Writer(machine.url)
    await writer.write(later(0.4, machine.kill, machine.start, away_s=away_s))
    assert "cannot be reached" in writer.troubles and writer.told[-1] is None
    await writer.judge()


@pytest.mark.long
async def test_a_fail_over_to_a_standby_loses_nothing() -> None:
    """The standby is synchronous, so what was promised is on it; the URL names both, and asks for one that can be written."""
    with machines(2) as [first, second]:
        first.make().start("-c wal_level=replica")
        follower = first.standby(second.folder).start("-c hot_standby=on")
        first.stop()
        first.start("-c synchronous_standby_names='*'")
        url = f"{url_of(first, follower)}&target_session_attrs=read-write"
        writer = Writer(url)
        await writer.write(later(0.5, first.kill, follower.promote, away_s=1.0))
        assert writer.told[-1] is None
        assert "standby" in writer.troubles, "what was wrong was said"
        await writer.judge()
        reader = PostgresReader(f"{url_of(follower)}&target_session_attrs=read-write")
        assert len(await reader.history(1)) == EVENTS
        await reader.close()


@pytest.mark.long
async def test_while_no_host_can_be_written_it_says_so() -> None:
    with machines(2) as [first, second]:
        first.make().start()
        follower = first.standby(second.folder).start()
        first.kill()
        journal = PostgresJournal(f"{url_of(first, follower)}&target_session_attrs=read-write")
        with pytest.raises(StoreUnavailable, match=r"of its hosts none that answers.*promote its standby"):
            await journal.count_open("default")
        await journal.close()


@pytest.mark.long
async def test_a_server_without_a_free_connection(machine: Machine) -> None:
    machine.stop()
    machine.start("-c max_connections=12 -c superuser_reserved_connections=0")
    writer = Writer(machine.url)
    crowd: list[Any] = []

    async def crowded() -> None:
        admin = await asyncpg.connect(machine.url)
        await asyncio.sleep(0.2)
        sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'raywf'"
        with suppress(asyncpg.PostgresError):
            for _ in range(30):
                await admin.execute(sql)
                crowd.append(await asyncpg.connect(machine.url))
        await asyncio.sleep(1.0)
        for db in crowd:
            await db.close()
        await admin.close()

    await writer.write(crowded())
    assert "no connection free: raise its max_connections" in writer.troubles and writer.told[-1] is None
    await writer.judge()


async def test_a_roles_statement_timeout_stops_no_commit(postgres: Server) -> None:
    if postgres.folder is None:
        pytest.skip("the server in RAYWF_TEST_POSTGRES is not ours to change")
    admin = await asyncpg.connect(postgres.url)
    await admin.execute("CREATE ROLE hasty SUPERUSER LOGIN; ALTER ROLE hasty SET statement_timeout = '40ms'")
    url = in_schema(postgres.url.replace("postgres:@", "hasty:@"), "hasty")
    journal = PostgresJournal(url)
    epochs = await journal.claim(an_owner("a"), [1], 30.0)
    await admin.execute(
        """SET search_path TO hasty;
        CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.3); RETURN NULL; END';
        CREATE TRIGGER wait AFTER INSERT ON events FOR EACH STATEMENT EXECUTE FUNCTION wait()"""
    )
    await journal.commit(Batch(LANE, "a", dict(epochs), opened=[an_execution(1, shard=1)], events=[an_event(1, 1)]))
    assert len(await journal.history(1)) == 1
    await journal.close()
    await admin.execute("DROP OWNED BY hasty CASCADE; DROP SCHEMA IF EXISTS hasty CASCADE; DROP ROLE hasty")
    await admin.close()


def mount(*options: str) -> bool:
    return shutil.which("mount") is not None and not subprocess.run(["mount", *options], capture_output=True).returncode


class Disk:
    """A small file system under a server. ``fill`` leaves no room on it."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.ballast = machine.data / "ballast"

    def fill(self) -> None:
        with suppress(OSError), open(self.ballast, "ab", buffering=0) as ballast:
            while True:
                ballast.write(b"x" * 4096)

    def free(self) -> None:
        """There is room again; and a server that went down over it is started, as its keeper would."""
        self.ballast.unlink()
        if not self.machine.is_up():
            self.machine.start()


@pytest.fixture
def disk() -> Iterator[Disk]:
    with machines() as [machine]:
        if not mount("-t", "tmpfs", "-o", "size=96m", "tmpfs", str(machine.folder)):
            pytest.skip("no right to mount a small tmpfs here")
        try:
            yield Disk(machine.make("--wal-segsize=1").start("-c max_wal_size=8MB -c wal_keep_size=0"))
        finally:
            machine.kill()
            subprocess.run(["umount", "--lazy", str(machine.folder)], check=True)


async def test_a_servers_disk_runs_full_and_gets_room_again(disk: Disk) -> None:
    """Also where the server itself ends over it: nothing is dropped, and it goes on by itself."""
    writer = Writer(disk.machine.url)
    writer_of_large = PostgresInbox(disk.machine.url)

    async def fill() -> None:
        await asyncio.sleep(0.3)
        told = ""
        for number in range(200):
            disk.fill()
            try:
                await writer_of_large.send(a_command(f"e-{number}", "c")._replace(body=b"x" * 200_000))
            except StoreUnavailable as error:
                told = str(error)
                break
        assert told, "200 commands of 200 KB went onto a full disk"
        await asyncio.sleep(1.0)
        await asyncio.to_thread(disk.free)

    await writer.write(fill(), pause_s=0.01)
    assert writer.told[-1] is None, "it was in trouble, and is no more"
    assert await writer_of_large.send(a_command("e-last", "c"))
    await writer_of_large.close()
    await writer.judge()
