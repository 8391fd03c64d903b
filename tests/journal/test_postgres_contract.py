"""The store in a PostgreSQL database keeps every promise of a store: on RAYWF_TEST_POSTGRES, or on a server of our own."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator

import pytest

pytest.importorskip("asyncpg")

from raywf.journal.postgres import PostgresJournal
from raywf.ports import Clock, Journal
from raywf.testing.cache_contract import CacheContract
from raywf.testing.evidence_contract import EvidenceContract
from raywf.testing.journal_contract import JournalContract
from raywf.testing.limits_contract import LimitsContract, SchedulesContract
from raywf.testing.moving_contract import MovingContract
from raywf.testing.sleeping_contract import SleepingContract
from raywf.testing.versions_contract import VersionsContract
from tests.journal.postgres_server import Admin, Server, in_schema


@pytest.fixture(scope="module")
def emptied(postgres: Server) -> Iterator[Callable[[], str]]:
    """One schema for all tests here, emptied for each: making one costs a third of a second."""
    schema = f"raywf_{uuid.uuid4().hex[:12]}"
    admin = Admin(postgres.url)

    def emptied() -> str:
        admin.empty(schema)
        return in_schema(postgres.url, schema)

    yield emptied
    admin.do(f"DROP SCHEMA IF EXISTS {schema} CASCADE")
    admin.close()


class TestPostgres(
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
    def opened(self, emptied: Callable[[], str]) -> Callable[[Clock], Journal]:
        url = emptied()
        return lambda clock: PostgresJournal(url, clock=clock)
