"""Encrypted stores on disk: the promises hold, nothing of a user's is in the files, and a rotation may die anywhere."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from raywf.client.keys import key_uses, rotate
from raywf.client.reading import blobs_of
from raywf.journal import behind, open_inbox, open_journal
from raywf.journal.sealed import sealed_journal, sealer_of
from raywf.journal.sqlite import SqliteJournal
from raywf.ports import Clock, Journal
from raywf.sealing import Codec
from raywf.sealing.keys import new_key
from raywf.testing.journal_contract import SHARDS, a_batch, an_event, an_execution, an_owner
from raywf.testing.store_contract import StoreContract
from tests.unit.journal.test_sealed import SECRET, filled, looked_at

A, B = new_key("a"), new_key("b")


def codec(folder: Path, *keys: str, compress: str | None = None) -> Codec:
    file = folder / f"keys-{'-'.join(key[:1] for key in keys)}"
    file.write_text("\n".join(keys))
    return Codec(compress, f"file:{file}")


class TestSealedSqlite(StoreContract):
    @pytest.fixture
    def opened(self, tmp_path: Path) -> Callable[[Clock], Journal]:
        sealer = codec(tmp_path, A, compress="zstd").sealer()
        return lambda clock: sealed_journal(SqliteJournal(tmp_path / "store.db", clock=clock), sealer)


async def test_nothing_of_a_users_is_in_the_files(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/store.db"
    journal = await behind(open_journal(url), codec(tmp_path, A))
    await filled(journal)
    assert str(await looked_at(journal)).count(SECRET) == 14
    files = [path for path in tmp_path.iterdir() if path.name.startswith("store.db")]
    assert len(files) == 3, "the log is among them"
    assert not [path for path in files if SECRET.encode() in path.read_bytes()]
    await journal.close()
    assert SECRET.encode() not in (tmp_path / "store.db").read_bytes()


async def test_a_store_that_was_plain_is_encrypted_in_place(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/store.db"
    journal = open_journal(url)
    await filled(journal)
    await journal.close()
    assert SECRET.encode() in (tmp_path / "store.db").read_bytes()
    store = open_inbox(url, codec(tmp_path, A))
    done = await rotate(store, blobs_of(url, sealer_of(store)))
    assert (done.values, done.left) == (10, {})
    await store.close()
    journal = await behind(open_journal(url), codec(tmp_path, A))
    assert str(await looked_at(journal)).count(SECRET) == 14
    await journal.close()  # the last to close folds the log into the file
    assert SECRET.encode() not in (tmp_path / "store.db").read_bytes(), "pages were overwritten, not only let go of"


_ROTATE = """
import asyncio, sys
from raywf.client.keys import rotate
from raywf.client.reading import blobs_of
from raywf.journal import open_inbox
from raywf.journal.sealed import sealer_of
from raywf.sealing import Codec

async def main():
    codec = Codec(keys="file:" + sys.argv[2])
    store = open_inbox(sys.argv[1], codec)
    print("began", flush=True)
    print((await rotate(store, blobs_of(sys.argv[1], sealer_of(store)))).left, flush=True)

asyncio.run(main())
"""


@pytest.mark.kill
async def test_a_rotation_that_is_killed_again_and_again_loses_nothing(tmp_path: Path) -> None:
    url, events, blobs = f"sqlite:///{tmp_path}/store.db", 6_000, 40
    one, both = codec(tmp_path, A), codec(tmp_path, B, A)
    journal = await behind(open_journal(url), one)
    epochs = await journal.claim(an_owner("a"), SHARDS, 3600.0)
    for key in range(1, 13):
        rows = [an_event(key, seq, data=f'"{key}.{seq}"'.encode()) for seq in range(1, events // 12 + 1)]
        await journal.commit(a_batch(epochs, key, opened=[an_execution(key)], events=rows))
    large = blobs_of(url, one.sealer())
    hashes = [large.put(f"{n} ".encode() * 30_000) for n in range(blobs)]
    deaths, chance = 0, random.Random(7)
    while deaths < 40:
        child = subprocess.Popen(
            [sys.executable, "-c", _ROTATE, url, both.keys[0].removeprefix("file:")], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None and child.stdout.readline() == "began\n"
        await asyncio.sleep(chance.uniform(0.01, 0.12))  # a rotation takes about ten times as long
        if child.poll() is not None:
            child.stdout.close()
            break
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        child.stdout.close()
        deaths += 1
        again = await behind(open_journal(url), both)
        assert sum([len(await again.history(key)) for key in range(1, 13)]) == events
        await again.close()
    store = open_inbox(url, both)
    done = await rotate(store, blobs_of(url, sealer_of(store)))
    assert deaths >= 2 and done.left == {} and done.broken == 0
    assert [use.key for use in await key_uses(store, blobs_of(url, sealer_of(store)))] == ["b"]
    await store.close()
    new = codec(tmp_path, B)
    last: Any = await behind(journal.inner, new)  # type: ignore[attr-defined]
    for key in range(1, 13):
        assert [row.data for row in await last.history(key)] == [
            f'"{key}.{seq}"'.encode() for seq in range(1, events // 12 + 1)
        ]
    found = blobs_of(url, new.sealer())
    assert [found.get(hash_) for hash_ in hashes] == [f"{n} ".encode() * 30_000 for n in range(blobs)]
    await journal.close()
