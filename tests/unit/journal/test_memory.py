"""The twin in memory keeps every promise of a store."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import pytest

from raywf.errors import StoreUnavailable
from raywf.journal import open_inbox, open_journal, open_reader
from raywf.journal.memory import MemoryJournal, forget
from raywf.ports import Clock, Journal
from raywf.testing.journal_contract import a_command
from raywf.testing.store_contract import StoreContract


class TestMemory(StoreContract):
    @pytest.fixture
    def opened(self) -> Callable[[Clock], Journal]:
        name = uuid.uuid4().hex
        return lambda clock: MemoryJournal(name, clock=clock)


async def test_a_name_is_one_store_until_it_is_forgotten() -> None:
    name = uuid.uuid4().hex
    url = f"memory://{name}"
    for door in (open_reader, open_inbox):
        with pytest.raises(StoreUnavailable, match="no store"):
            door(url)
    await open_journal(url).send(a_command("e-1", "c-1"))
    assert not await open_inbox(url).send(a_command("e-1", "c-1"))
    assert await open_reader(url).executions("default") == []
    forget(name)
    with pytest.raises(StoreUnavailable, match="no store"):
        open_reader(url)


async def test_without_a_name_each_is_its_own() -> None:
    one, two = open_journal("memory://"), open_journal("memory://")
    assert await one.send(a_command("e-1", "c-1"))
    assert await two.send(a_command("e-1", "c-1"))
