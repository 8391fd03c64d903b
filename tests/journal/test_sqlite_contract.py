"""The store in a SQLite file keeps every promise of a store."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from raywf.journal.sqlite import SqliteJournal
from raywf.ports import Clock, Journal
from raywf.testing.store_contract import StoreContract


class TestSqlite(StoreContract):
    @pytest.fixture
    def opened(self, tmp_path: Path) -> Callable[[Clock], Journal]:
        return lambda clock: SqliteJournal(tmp_path / "store.db", clock=clock)
