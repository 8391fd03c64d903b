"""What is sealed opens with its key, at its place, as it was; and in no other way."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from raywf.errors import KeyMissing, SealBroken
from raywf.sealing import Codec, Sealer, is_sealed, key_of, key_of_text
from raywf.sealing.compression import ALGORITHMS, compress, decompress
from raywf.sealing.keys import new_key

KEYS = {id_: new_key(id_) for id_ in ("a", "b", "the-longest-id-1")}
NAMES = st.sampled_from([None, *ALGORITHMS])
DATA = st.one_of(
    st.binary(max_size=3000), st.builds(lambda b, n: b * n, st.binary(min_size=1, max_size=9), st.integers(0, 500))
)
ANYWHERE = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def sealer(tmp_path: Path):
    def sealer(*ids: str, compress: str | None = None) -> Sealer:
        if not ids:
            return Codec(compress).sealer()
        file = tmp_path / "-".join(ids)
        file.write_text("\n".join(KEYS[id_] for id_ in ids))
        return Codec(compress, f"file:{file}").sealer()

    return sealer


@ANYWHERE
@given(data=DATA, algorithm=NAMES, ids=st.sampled_from([(), ("a",), ("b", "a"), ("the-longest-id-1",)]))
def test_a_round_trip_changes_nothing(sealer, data: bytes, algorithm: str | None, ids: tuple[str, ...]) -> None:
    one = sealer(*ids, compress=algorithm)
    sealed = one.seal(data, "here")
    assert one.open(sealed, "here") == data
    assert key_of(sealed) == (ids[0] if ids else None)
    if ids:
        assert is_sealed(sealed) and (len(data) < 8 or data not in sealed)
        assert one.seal(data, "here") != sealed, "a nonce is used once"


@ANYWHERE
@given(
    text=st.one_of(st.text(max_size=400), st.builds("rw1:{}".format, st.text(max_size=40))),
    algorithm=NAMES,
    keyed=st.booleans(),
)
def test_a_text_stays_a_text(sealer, text: str, algorithm: str | None, keyed: bool) -> None:
    one = sealer(*(["a"] if keyed else []), compress=algorithm)
    sealed = one.seal_text(text, "here")
    assert one.open_text(sealed, "here") == text
    assert key_of_text(sealed) == ("a" if keyed else None)
    assert not keyed or sealed.isascii(), "PostgreSQL's text takes no character 0"


@ANYWHERE
@given(data=st.binary(min_size=1, max_size=300), at=st.integers(0, 10_000), bit=st.integers(0, 7), algorithm=NAMES)
def test_a_changed_bit_anywhere_is_found(sealer, data: bytes, at: int, bit: int, algorithm: str | None) -> None:
    one = sealer("a", compress=algorithm)
    sealed = bytearray(one.seal(data, "here"))
    sealed[at % len(sealed)] ^= 1 << bit
    changed = bytes(sealed)
    if not is_sealed(changed):
        return  # its first four bytes: then it is no sealed value, and no JSON either
    with pytest.raises((SealBroken, KeyMissing)):
        one.open(changed, "here")


def test_a_value_opens_at_its_own_place_only(sealer) -> None:
    sealed = sealer("a").seal(b"10 euros", "event 1 2 task_completed pay")
    with pytest.raises(
        SealBroken,
        match=r"at event 1 3 task_completed pay, encrypted with key 'a', does not open: it was changed or moved",
    ):
        sealer("a").open(sealed, "event 1 3 task_completed pay")


@pytest.mark.parametrize("length", [1, 3, 4, 5, 20, 21, 30, 50])
def test_a_value_that_was_cut_off_is_found(sealer, length: int) -> None:
    cut = sealer("a").seal(b"x" * 100, "here")[:length]
    if is_sealed(cut):
        with pytest.raises(SealBroken):
            sealer("a").open(cut, "here")


def test_old_keys_open_and_the_new_one_seals(sealer) -> None:
    old = sealer("a").seal(b"value", "here")
    both = sealer("b", "a")
    assert both.open(old, "here") == b"value"
    new = both.seal(b"value", "here")
    assert key_of(new) == "b" and both.key == "b"
    with pytest.raises(KeyMissing, match="encrypted with key 'b', and the keys given here are a") as caught:
        sealer("a").open(new, "here")
    assert caught.value.key == "b"
    with pytest.raises(KeyMissing, match="RAYWF_KEYS") as caught:
        sealer().open(new, "here")
    assert caught.value.key == "b"


def test_another_key_under_the_same_id_is_told_from_none(sealer, tmp_path: Path) -> None:
    sealed = sealer("a").seal(b"value", "here")
    (tmp_path / "other").write_text(new_key("a"))
    with pytest.raises(SealBroken, match="the key given as 'a' is another one"):
        Codec(keys=f"file:{tmp_path}/other").sealer().open(sealed, "here")


def test_what_was_written_plainly_is_read_by_everybody(sealer) -> None:
    for one in (sealer(), sealer("a"), sealer("a", compress="zstd")):
        assert one.open(b'{"n":1}', "here") == b'{"n":1}'
    plain = sealer()
    assert plain.seal(b'{"n":1}', "here") == b'{"n":1}', "without a codec nothing is changed"
    assert is_sealed(plain.seal(b"\x01rw\x01 pretends", "here")), "and nothing can pretend to be sealed"


def test_what_does_not_shrink_stays_as_it_is(sealer) -> None:
    one = sealer(compress="zstd")
    noise = bytes(range(256))
    assert one.seal(noise, "here") == noise and len(one.seal(b"a" * 5000, "here")) < 100


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_compressed_value_that_was_changed_is_found(algorithm: str) -> None:
    packed = compress(b"ab" * 500, algorithm)
    assert decompress(packed, algorithm) == b"ab" * 500
    for broken in (
        packed[:10],
        packed[:-1],
        (999).to_bytes(6, "little") + packed[6:],
        (1001).to_bytes(6, "little") + packed[6:],
    ):
        with pytest.raises(SealBroken):
            decompress(broken, algorithm)


def test_a_newer_envelope_is_told_from_a_broken_one(sealer) -> None:
    sealed = bytearray(sealer("a").seal(b"value", "here"))
    sealed[4] |= 0x40
    with pytest.raises(SealBroken, match="newer raywf"):
        sealer("a").open(bytes(sealed), "here")


def test_equal_large_values_have_one_name_per_key_and_no_stranger_knows_it(sealer) -> None:
    hash_ = "ab" * 32
    a, b = next(sealer("a").names(hash_)), next(sealer("b").names(hash_))
    assert a == next(sealer("a").names_for_new(hash_)) and len({a, b, hash_}) == 3
    assert list(sealer("b", "a").names(hash_)) == [b, a, f"{hash_}.z", hash_]
