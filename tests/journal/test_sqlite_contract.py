"""The store in a SQLite file keeps every promise of a store."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from raywf.journal.sqlite import SqliteJournal
from raywf.ports import Clock, Journal
from raywf.testing.cache_contract import CacheContract
from raywf.testing.evidence_contract import EvidenceContract
from raywf.testing.journal_contract import JournalContract
from raywf.testing.limits_contract import LimitsContract, SchedulesContract
from raywf.testing.moving_contract import MovingContract
from raywf.testing.sleeping_contract import SleepingContract
from raywf.testing.versions_contract import VersionsContract


class TestSqlite(
    JournalContract,
    SleepingContract,
    EvidenceContract,
    LimitsContract,
    SchedulesContract,
    MovingContract,
    CacheContract,
    VersionsContract,
):
    @pytest.fixture
    def opened(self, tmp_path: Path) -> Callable[[Clock], Journal]:
        return lambda clock: SqliteJournal(tmp_path / "store.db", clock=clock)
