"""The store in a PostgreSQL database keeps every promise of a store: on RAYWF_TEST_POSTGRES, or on a server of our own."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("asyncpg")

from raywf.client.keys import rotate
from raywf.client.reading import blobs_of
from raywf.journal import behind, open_inbox
from raywf.journal.factory import open_blobs
from raywf.journal.places import PLACES
from raywf.journal.postgres import PostgresJournal
from raywf.journal.sealed import sealed_journal, sealer_of
from raywf.ports import Clock, Journal
from raywf.sealing import Codec
from raywf.sealing.keys import new_key
from raywf.testing.store_contract import StoreContract
from tests.journal.postgres_server import Admin, Server, in_schema
from tests.unit.journal.test_sealed import filled, looked_at


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


class TestPostgres(StoreContract):
    @pytest.fixture
    def opened(self, emptied: Callable[[], str]) -> Callable[[Clock], Journal]:
        url = emptied()
        return lambda clock: PostgresJournal(url, clock=clock)


class TestSealedPostgres(StoreContract):
    """Behind a codec, too."""

    @pytest.fixture
    def opened(self, emptied: Callable[[], str], tmp_path: Path) -> Callable[[Clock], Journal]:
        url = emptied()
        (tmp_path / "keys").write_text(new_key("a"))
        sealer = Codec("zlib", f"file:{tmp_path}/keys").sealer()
        return lambda clock: sealed_journal(PostgresJournal(url, clock=clock), sealer)


@pytest.fixture
def url(emptied: Callable[[], str]) -> str:
    return emptied()


async def test_a_store_is_encrypted_in_place_and_rotated(url: str, tmp_path: Path) -> None:
    keys = [new_key("a"), new_key("b")]
    (tmp_path / "a").write_text(keys[0])
    (tmp_path / "b").write_text("\n".join(reversed(keys)))
    journal: Journal = PostgresJournal(url)
    await filled(journal)
    was = str(await looked_at(journal))
    large = open_blobs(url)
    hash_ = large.put(b"large " * 20_000)
    large.close()
    await journal.close()
    for name in ("a", "b"):
        codec = Codec(keys=f"file:{tmp_path}/{name}")
        store = open_inbox(url, codec)
        blobs = blobs_of(url, sealer_of(store))
        done = await rotate(store, blobs)
        assert (done.key, done.values, done.large, done.left) == (name, 10, 1, {})
        assert blobs.get(hash_) == b"large " * 20_000
        blobs.close()
        await store.close()
        journal = await behind(PostgresJournal(url), codec)
        assert str(await looked_at(journal)) == was
        await journal.close()
    bare = PostgresJournal(url)
    assert "measles" not in str([await bare.stored_values(place, None, 100) for place in PLACES])
    assert "measles" not in str(await bare.executions("default"))
    await bare.close()
