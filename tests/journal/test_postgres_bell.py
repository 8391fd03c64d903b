"""Who writes to an inbox rings: heard by the owners of that lane, once per command, and never relied upon."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from raywf.core.ids import shard_of
from raywf.journal.factory import make, open_bell
from raywf.journal.postgres import PostgresInbox, PostgresJournal
from raywf.journal.postgres.bell import PostgresBell, channel
from raywf.ports import Batch
from raywf.testing.journal_contract import LANE, a_command, an_event, an_execution, an_owner
from tests.journal.postgres_server import Server, in_schema


@pytest_asyncio.fixture
async def url(postgres: Server) -> AsyncIterator[str]:
    schema = f"bell_{uuid.uuid4().hex[:8]}"
    yield in_schema(postgres.url, schema)
    db = await asyncpg.connect(postgres.url)
    await db.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")
    await db.close()


@pytest_asyncio.fixture
async def inbox(url: str) -> AsyncIterator[PostgresInbox]:
    await make(url)
    opened = PostgresInbox(url)
    yield opened
    await opened.close()


class Listener:
    """A bell, and what was heard of it."""

    def __init__(self, url: str, *lanes: str) -> None:
        self.bell = PostgresBell(url, lanes)
        self.heard: asyncio.Queue[int | None] = asyncio.Queue()
        self.task = asyncio.create_task(self.bell.listen(self.heard.put_nowait))

    async def next(self) -> int | None:
        return await asyncio.wait_for(self.heard.get(), 10)

    async def silence(self) -> bool:
        await asyncio.sleep(0.2)
        return self.heard.empty()

    async def __aenter__(self) -> Listener:
        assert await self.next() is None  # what was sent before it listened is looked for
        assert self.bell.is_heard
        return self

    async def __aexit__(self, *_: Any) -> None:
        self.task.cancel()
        await asyncio.wait([self.task])
        assert not self.bell.is_heard


async def test_a_command_rings_with_its_shard_and_a_repeat_does_not(url: str, inbox: PostgresInbox) -> None:
    async with Listener(url, LANE) as listener:
        assert await inbox.send(a_command("e-1", "c-1"))
        assert await listener.next() == shard_of("e-1")
        assert not await inbox.send(a_command("e-1", "c-1"))
        assert await listener.silence()


async def test_only_the_owners_of_a_lane_and_a_store_are_rung_for(url: str, inbox: PostgresInbox) -> None:
    async with Listener(url, "another-lane", f"{LANE}#start") as listener:
        await inbox.send(a_command("e-1", "c-1"))
        assert await listener.silence()
        await inbox.send(a_command("e-1", "c-2")._replace(lane=f"{LANE}#start"))
        assert await listener.next() == shard_of("e-1")
    assert channel("a", LANE) != channel("b", LANE)


async def test_an_owner_does_not_ring_for_itself(url: str, inbox: PostgresInbox) -> None:
    """History is committed without a ring, so the hot path never takes the server's one lock for rings."""
    journal = PostgresJournal(url)
    epochs = await journal.claim(an_owner("a"), [1], 30.0)
    await inbox.send(a_command("e-1", "c-1"))
    async with Listener(url, LANE) as listener:
        [row] = await journal.inbox(LANE, 0)
        await journal.commit(
            Batch(LANE, "a", dict(epochs), opened=[an_execution(1, shard=1)], events=[an_event(1, 1)], taken=[row.id])
        )
        assert await listener.silence()
    await journal.close()


async def test_a_connection_that_is_cut_is_made_again_and_one_looks(
    url: str, inbox: PostgresInbox, postgres: Server
) -> None:
    admin = await asyncpg.connect(postgres.url)
    async with Listener(url, LANE) as listener:
        for _ in range(2):
            cut = await admin.fetch(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'raywf' "
                "AND (query LIKE 'LISTEN %' OR query = 'SELECT 1')"
            )
            assert cut
            assert await listener.next() is None, "whatever was sent meanwhile is looked for"
            assert listener.bell.is_heard
        await inbox.send(a_command("e-1", "c-1"))
        assert await listener.next() == shard_of("e-1")
    await admin.close()


async def test_while_the_server_is_away_nobody_believes_to_hear(
    url: str, inbox: PostgresInbox, postgres: Server
) -> None:
    async with Listener(url, LANE) as listener:
        restart = asyncio.create_task(asyncio.to_thread(postgres.restart))
        assert await listener.next() is None
        await restart
        assert listener.bell.is_heard
        await inbox.send(a_command("e-1", "c-1"))
        assert await listener.next() == shard_of("e-1")


async def test_a_command_counts_though_its_ring_fails(url: str, inbox: PostgresInbox, postgres: Server) -> None:
    """The server may refuse a ring, as when too many were not heard; a command is a row all the same."""
    if postgres.folder is None:
        pytest.skip("the server in RAYWF_TEST_POSTGRES is not ours to change")
    admin = await asyncpg.connect(postgres.url)
    await admin.execute("ALTER FUNCTION pg_catalog.pg_notify(text, text) RENAME TO pg_notify_away")
    try:
        async with Listener(url, LANE) as listener:
            assert await inbox.send(a_command("e-1", "c-1"))
            assert await listener.silence(), "this one was to fail"
            assert not await inbox.send(a_command("e-1", "c-1"))
    finally:
        await admin.execute("ALTER FUNCTION pg_catalog.pg_notify_away(text, text) RENAME TO pg_notify")
        await admin.close()


def test_where_a_look_costs_next_to_nothing_no_bell_hangs() -> None:
    assert open_bell("sqlite:///x.db", [LANE]) is None
    assert open_bell("memory://x", [LANE]) is None
