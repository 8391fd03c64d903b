"""Large values behind a codec: kept once, under a name that tells nothing, and found by whoever has the key."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from raywf.errors import SealBroken, StoreUnavailable
from raywf.runtime.data import FileBlobs, MemoryBlobs, NamedBlobs, blob_hash
from raywf.runtime.sealed import SealedBlobs
from raywf.runtime.spool import SpoolWriter, read_spool, shown
from raywf.sealing import Codec, is_sealed
from raywf.sealing.keys import new_key
from raywf.sealing.passing import passing_key

DATA = b"the patient has measles " * 5000
HASH = hashlib.sha256(DATA).hexdigest()
A, B = new_key("a"), new_key("b")


@pytest.fixture(params=[MemoryBlobs, FileBlobs])
def inner(request: pytest.FixtureRequest, tmp_path: Path) -> NamedBlobs:
    made: NamedBlobs = MemoryBlobs() if request.param is MemoryBlobs else FileBlobs(tmp_path / "data")
    return made


@pytest.fixture
def behind(inner: NamedBlobs, tmp_path: Path):
    def behind(*keys: str, compress: str | None = None) -> SealedBlobs:
        file = tmp_path / f"keys-{len(list(tmp_path.iterdir()))}"
        file.write_text("\n".join(keys))
        return SealedBlobs(inner, Codec(compress, f"file:{file}" if keys else ()).sealer())

    return behind


def test_a_value_comes_back_and_nothing_of_it_is_there(behind, inner: NamedBlobs) -> None:
    assert behind(A).put(DATA) == HASH == behind(A).put(DATA)
    (name,) = inner.names()
    stored = inner.read(name) or b""
    assert name != HASH and is_sealed(stored) and b"measles" not in stored and HASH.encode() not in stored
    assert behind(A).get(HASH) == behind(B, A).get(HASH) == DATA


@pytest.mark.parametrize("compress", ["zstd", "zlib", "lzma"])
def test_a_compressed_value_is_small_and_found_without_a_codec(behind, inner: NamedBlobs, compress: str) -> None:
    behind(compress=compress).put(DATA)
    (name,) = inner.names()
    assert name == f"{HASH}.z" and len(inner.read(name) or b"") < len(DATA) / 10
    assert behind().get(HASH) == behind(A).get(HASH) == DATA


def test_what_was_written_plainly_is_found_and_what_looks_sealed_is_not_taken_for_it(behind, inner: NamedBlobs) -> None:
    for plain in (DATA, b"\x01rw\x01" + DATA):
        hash_ = inner.put(plain)
        assert behind().get(hash_) == behind(A).get(hash_) == behind(compress="zlib").get(hash_) == plain


def test_one_value_does_not_pass_for_another(behind, inner: NamedBlobs) -> None:
    blobs = behind(A)
    other = blobs.put(b"another")
    blobs.put(DATA)
    sealer = blobs.sealer
    mine, theirs = next(sealer.names(HASH)), next(sealer.names(other))
    stored = inner.read(theirs) or b""
    inner.remove(mine)
    inner.write(mine, stored)
    with pytest.raises(SealBroken, match="another large value lies in the place"):
        behind(A).get(HASH)


def test_without_the_key_a_value_is_as_good_as_away(behind) -> None:
    behind(A).put(DATA)
    for stranger in (behind(), behind(B)):
        with pytest.raises(StoreUnavailable, match=HASH):
            stranger.get(HASH)


@pytest.mark.parametrize("before", [{}, {"compress": "zstd"}, {"keys": (A,)}])
def test_a_value_is_renewed_once_and_read_all_the_while(behind, inner: NamedBlobs, before: dict) -> None:
    keys, how = before.get("keys", ()), {k: v for k, v in before.items() if k != "keys"}
    behind(*keys, **how).put(DATA)
    blobs = behind(B, A)
    (old,) = inner.names()
    assert blobs.renew(old)
    (new,) = inner.names()
    assert new != old and not blobs.renew(new) and not blobs.renew(old)
    assert behind(B).get(HASH) == DATA


def test_dying_between_the_new_value_and_the_old_ones_removal_leaves_two_and_the_next_run_one(
    behind, inner: NamedBlobs
) -> None:
    behind(A).put(DATA)
    (old,) = inner.names()
    behind(B).put(DATA)
    assert len(inner.names()) == 2
    assert behind(B, A).renew(old) and len(inner.names()) == 1 and behind(B).get(HASH) == DATA


def test_results_in_a_workers_notes_are_hidden_and_the_owner_reads_them(tmp_path: Path) -> None:
    key = passing_key()
    notes = SpoolWriter(tmp_path / "notes", key)
    notes.started(0)
    notes.ended(0, ["ok", '"the patient has measles"'])
    notes.started(1)
    notes.close()
    assert b"measles" not in (tmp_path / "notes").read_bytes()
    found = read_spool(tmp_path / "notes")
    assert found is not None and found.running == 1
    assert shown(found.outcomes[0], key) == ["ok", '"the patient has measles"']
    with pytest.raises(ValueError, match="were changed"):
        shown(found.outcomes[0], passing_key())
    assert shown(["ok", "1"], None) == ["ok", "1"]
    assert blob_hash(DATA) == HASH
