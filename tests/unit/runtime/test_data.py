"""Large values: once under their hash, durable before they are named, and an error with a way out when they are gone."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from raywf.config import INLINE_LIMIT
from raywf.definition.values import decode, is_large
from raywf.errors import StoreUnavailable
from raywf.runtime.data import Blobs, FileBlobs, MemoryBlobs, blob_hash, blob_mark, blob_root, pack, spill

BIG = bytes(range(256)) * 300


@pytest.fixture(params=["memory", "file"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> Blobs:
    return MemoryBlobs() if request.param == "memory" else FileBlobs(tmp_path / "store.data")


def files(root: Path) -> list[str]:
    return sorted(path.name for path in root.rglob("*") if path.is_file())


def test_what_was_put_is_there_under_its_hash(blobs: Blobs) -> None:
    assert blobs.put(BIG) == blob_hash(BIG)
    assert blobs.put(BIG) == blob_hash(BIG)
    assert blobs.get(blob_hash(BIG)) == BIG


def test_what_is_not_there_is_an_error_of_the_store(blobs: Blobs) -> None:
    with pytest.raises(StoreUnavailable, match=blob_hash(BIG)):
        blobs.get(blob_hash(BIG))


def test_the_same_bytes_are_one_file_and_no_scraps_are_left(tmp_path: Path) -> None:
    for _ in range(3):
        FileBlobs(tmp_path).put(BIG)
    assert files(tmp_path) == [blob_hash(BIG)]
    assert FileBlobs(tmp_path).get(blob_hash(BIG)) == BIG


def test_a_blob_and_the_names_that_lead_to_it_are_synced_before_put_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    fsync = os.fsync

    def note(handle: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{handle}"))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", note)
    root = tmp_path / "store.data"
    FileBlobs(root).put(BIG)
    shard = root / blob_hash(BIG)[:2]
    assert Path(synced[0]).name.startswith(".new-") or any(Path(each).name.startswith(".new-") for each in synced)
    assert str(shard) in synced, "the file's name"
    assert str(root) in synced, "the name of the directory it is in"
    assert str(tmp_path) in synced, "the name of the directory of all"


def test_a_write_that_fails_leaves_nothing_and_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreUnavailable, match=r"No space left on device.*free space"):
        FileBlobs(tmp_path).put(BIG)
    assert files(tmp_path) == []


def test_a_directory_that_is_a_file_is_an_error_of_the_store(tmp_path: Path) -> None:
    (tmp_path / "store.data").write_text("not a directory")
    with pytest.raises(StoreUnavailable, match="make the directory writable"):
        FileBlobs(tmp_path / "store.data").put(BIG)
    with pytest.raises(StoreUnavailable, match="Make it writable"):
        blob_mark(tmp_path / "store.data")


def test_a_file_that_went_away_is_missed_with_its_path(tmp_path: Path) -> None:
    hash_ = FileBlobs(tmp_path).put(BIG)
    (tmp_path / hash_[:2] / hash_).unlink()
    with pytest.raises(StoreUnavailable, match=rf"{hash_}.*move both together"):
        FileBlobs(tmp_path).get(hash_)


def test_reading_goes_through_a_cache_of_bounded_size(tmp_path: Path) -> None:
    blobs = FileBlobs(tmp_path, cache_bytes=1000)
    hashes = [blobs.put(bytes([number]) * 400) for number in range(5)]
    assert sum(map(len, blobs._recent._kept.values())) <= 1000
    too_big = blobs.put(b"x" * 600)
    assert too_big not in blobs._recent._kept
    assert [blobs.get(hash_)[0] for hash_ in hashes] == list(range(5))


def test_the_mark_of_a_directory_is_made_once_and_tells_two_apart(tmp_path: Path) -> None:
    one, other = blob_root(str(tmp_path / "a.db")), blob_root(str(tmp_path / "b.db"))
    assert one.name == "a.db.data"
    assert blob_mark(one) == blob_mark(one)
    assert blob_mark(one) != blob_mark(other)


@pytest.mark.parametrize(
    ("value", "large"),
    [
        (b"x" * INLINE_LIMIT, False), (b"x" * (INLINE_LIMIT + 1), True), ("é" * INLINE_LIMIT, True), ([1.5] * 50_000, True),
        ({"a": b"x" * 60_000}, True), (np.zeros(100_000), True), (np.zeros(10), False), ("small", False),
        (pa.table({"a": list(range(50_000))}), True), (pa.table({"a": [1]}), False), (pa.array(range(50_000)), True),
        (pa.chunked_array([range(50_000)]), True), (pa.record_batch({"a": range(50_000)}), True),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_what_is_larger_than_the_limit_becomes_a_reference_and_reads_the_same(
    value: Any, large: bool, blobs: Blobs
) -> None:
    packed = pack(value, blobs)
    if large:
        assert is_large(packed)
        assert len(packed) < 300
    found = decode(packed, None, blobs.get)
    if hasattr(value, "equals"):
        assert found.equals(value)
    else:
        assert np.array_equal(found, value) if isinstance(value, np.ndarray) else found == value
    assert type(found) is type(value)


def test_an_encoding_up_to_the_limit_stays_inline(blobs: Blobs) -> None:
    assert spill(b"1" * INLINE_LIMIT, blobs) == b"1" * INLINE_LIMIT
    assert is_large(spill(b"1" * (INLINE_LIMIT + 1), blobs))
    assert spill(b"1" * (INLINE_LIMIT + 1), None) == b"1" * (INLINE_LIMIT + 1)
