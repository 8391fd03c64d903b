"""What leaves an encrypted store is encrypted where it lies, and comes in again by whoever has the key."""

from __future__ import annotations

import json
import time
import uuid
from pathlib import Path
from typing import cast

import pytest

from raywf.client.archive import Archive, archive
from raywf.client.exporting import ExportedExecution, export_execution, import_execution
from raywf.client.reading import Readings
from raywf.errors import InvalidInput, KeyMissing, SealBroken
from raywf.journal.factory import ReadingInbox
from raywf.journal.memory import MemoryJournal
from raywf.journal.sealed import SealedInbox, behind
from raywf.runtime.data import MemoryBlobs
from raywf.runtime.sealed import SealedBlobs
from raywf.sealing import Codec
from raywf.sealing.keys import new_key
from tests.unit.client.test_exporting import BIG, exported
from tests.unit.runtime.engines import LANE


@pytest.fixture
def codec(tmp_path: Path) -> Codec:
    (tmp_path / "keys").write_text(new_key("a"))
    return Codec("zstd", f"file:{tmp_path}/keys")


class Shop:
    """An encrypted store in memory that an execution was imported into."""

    def __init__(self, codec: Codec) -> None:
        self.codec, self.name = codec, uuid.uuid4().hex
        self.bare = MemoryJournal(self.name)
        self.inbox = cast(ReadingInbox, SealedInbox(self.bare, codec.sealer()))
        self.readings = Readings(f"memory://{self.name}", "default", self.inbox)
        self.large = MemoryBlobs()
        self.readings.blobs = SealedBlobs(self.large, codec.sealer())

    async def take(self, found: ExportedExecution) -> None:
        await behind(self.bare, self.codec)
        await import_execution(found, self.inbox, self.readings.blobs, "default", lane=LANE)


@pytest.fixture(scope="module")
def plain() -> ExportedExecution:
    return exported()


async def test_an_export_of_an_encrypted_store_shows_ids_and_times_only(
    codec: Codec, plain: ExportedExecution, tmp_path: Path
) -> None:
    shop = Shop(codec)
    await shop.take(plain)
    found = await export_execution(shop.readings, "x")
    assert found.executions == plain.executions and found.values == plain.values
    found.save(tmp_path / "x.json")
    text = (tmp_path / "x.json").read_text()
    assert BIG[:50] not in text and '{"x":1}' not in text
    data = json.loads(text)
    assert [e["kind"] for e in data["executions"][0]["events"]] == [e.kind for e in plain.root.events]
    assert not set(data["values"]) & set(plain.values), "hashes of values would tell what they are"
    assert ExportedExecution.load(tmp_path / "x.json", codec).executions == plain.executions
    assert ExportedExecution.load(tmp_path / "x.json", codec).values == plain.values
    with pytest.raises(KeyMissing, match="'a'"):
        ExportedExecution.load(tmp_path / "x.json", Codec())


async def test_an_export_that_was_changed_is_refused(codec: Codec, plain: ExportedExecution, tmp_path: Path) -> None:
    shop = Shop(codec)
    await shop.take(plain)
    (await export_execution(shop.readings, "x")).save(tmp_path / "x.json")
    data = json.loads((tmp_path / "x.json").read_text())
    events = [e for e in data["executions"][0]["events"] if e["data"]]
    events[0]["data"], events[1]["data"] = events[1]["data"], events[0]["data"]
    with pytest.raises(SealBroken, match="exported event x"):
        ExportedExecution.from_json(json.dumps(data), codec=codec)
    events[0]["data"] = 5
    with pytest.raises(InvalidInput, match="encrypted, and incomplete or changed"):
        ExportedExecution.from_json(json.dumps(data), codec=codec)


async def test_an_archive_of_an_encrypted_store_opens_with_the_key_only(
    codec: Codec, plain: ExportedExecution, tmp_path: Path
) -> None:
    shop = Shop(codec)
    await shop.take(plain)
    done = await archive(shop.inbox, shop.readings.blobs, "default", tmp_path / "old", time.time() + 10)
    assert (done.executions, done.missing) == (2, 0)
    for file in (tmp_path / "old").rglob("*.parquet"):
        assert BIG[:50].encode() not in file.read_bytes()
    there = Archive(tmp_path / "old", codec)
    assert there.executions().num_rows == Archive(tmp_path / "old", Codec()).executions().num_rows == 2
    rows = [event for row in plain.executions for event in row.events]
    assert sorted(map(str, there.table().column("data").to_pylist())) == sorted(str(event.data) for event in rows)
    back = there.export("x")
    assert [event.data for row in back.executions for event in row.events] == [event.data for event in rows]
    assert (back.values, back.missing, back.root.fingerprint) == (plain.values, [], plain.root.fingerprint)
    assert BIG[:50] not in back.to_json(), "what comes from an encrypted archive is written encrypted"
    for read in (Archive(tmp_path / "old", Codec()).table, lambda: Archive(tmp_path / "old", Codec()).export("x")):
        with pytest.raises(KeyMissing):
            read()
