"""Names of executions, their shards and their parts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raywf.core.ids import (
    RANDOM_BITS,
    SHARDS,
    check_execution_id,
    child_id,
    item_address,
    new_execution_id,
    new_execution_ids,
    shard_of,
    split_address,
)
from raywf.errors import InvalidInput

MILLISECONDS = st.integers(0, 2**48 - 1)
BITS = st.integers(0, 2**RANDOM_BITS - 1)
GOOD = st.text(st.characters(codec="utf-8", exclude_categories=("Z", "C"), exclude_characters="/"), min_size=1)


@given(MILLISECONDS, BITS, MILLISECONDS, BITS)
def test_ids_are_in_order_of_time(one: int, bits: int, other: int, more: int) -> None:
    first, second = new_execution_id(one, bits), new_execution_id(other, more)
    assert len(first) == 26
    if one != other:
        assert (first < second) == (one < other)
    assert check_execution_id(first) == first
    assert set(first) <= set("0123456789abcdefghjkmnpqrstvwxyz")


def test_an_id_has_the_layout_of_a_ulid() -> None:
    """The instant of the example in ULID's specification, and all of the chance there can be."""
    assert new_execution_id(1469922850259, 0) == "01arz3ndek" + "0" * 16
    assert new_execution_id(2**48 - 1, 2**RANDOM_BITS - 1) == "7" + "z" * 25


@given(MILLISECONDS, st.lists(BITS, min_size=1, max_size=5))
def test_many_ids_at_once_are_the_ids_one_by_one(now: int, bits: list[int]) -> None:
    together = int.from_bytes(b"".join(each.to_bytes(16, "big") for each in bits), "big")
    assert new_execution_ids(now, together, len(bits)) == [new_execution_id(now, each) for each in bits]


@given(GOOD, st.lists(GOOD, max_size=4))
def test_a_tree_of_executions_lives_in_the_shard_of_its_root(root: str, path: list[str]) -> None:
    id_ = root
    for step in path:
        id_ = child_id(id_, step)
        assert shard_of(id_) == shard_of(root)
    assert 0 <= shard_of(id_) < SHARDS


def test_shards_are_used_evenly() -> None:
    counts = [0] * SHARDS
    for number in range(SHARDS * 100):
        counts[shard_of(new_execution_id(1_700_000_000_000, number * 7919 * (2**97 + 1) % 2**RANDOM_BITS))] += 1
    assert min(counts) > 50
    assert max(counts) < 160


def test_the_shard_of_an_id_never_changes() -> None:
    """It is in every store: another hash would orphan what is there."""
    assert [shard_of(id_) for id_ in ("a", "invoice-2024-17", "æøå")] == [67, 136, 37]


@given(st.from_regex(r"[A-Za-z_][A-Za-z0-9_-]*(@[0-9]+)?", fullmatch=True), st.none() | st.integers(0, 10**6))
def test_an_address_comes_apart_as_it_was_put_together(task: str, item: int | None) -> None:
    address = task if item is None else item_address(task, item)
    assert split_address(address) == (task, item)


@given(GOOD.filter(lambda text: len(text) <= 200))
def test_an_id_of_the_user_may_be_any_word(text: str) -> None:
    assert check_execution_id(text) == text


@pytest.mark.parametrize("bad", ["", " ", "a b", "a/b", "a\n", "a\x00b", "a\x7f", "x" * 201, "\u2003", 5, None, b"a"])
def test_an_id_that_cannot_be_used_is_shown_and_explained(bad: object) -> None:
    with pytest.raises(InvalidInput) as caught:
        check_execution_id(bad)
    assert repr(bad) in str(caught.value)
