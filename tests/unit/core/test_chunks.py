"""A persistent sequence against a list."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raywf.core.chunks import Chunks, Edited


@given(st.integers(0, 300), st.lists(st.tuples(st.integers(0, 299), st.integers()), max_size=30))
def test_it_is_the_list_it_stands_for_and_older_versions_do_not_change(
    size: int, changes: list[tuple[int, int]]
) -> None:
    chunks, model = Chunks.filled(0, size), [0] * size
    versions = [(chunks, list(model))]
    for index, value in changes:
        if index < size:
            chunks = chunks.replaced(index, value)
            model[index] = value
            versions.append((chunks, list(model)))
    for version, expected in versions:
        assert list(version) == expected
        assert [version[index] for index in range(size)] == expected
        assert len(version) == size


@given(st.integers(1, 200), st.integers(0, 199), st.integers())
def test_equality_is_by_contents(size: int, index: int, value: int) -> None:
    index %= size
    one, other = Chunks.filled(0, size).replaced(index, value), Chunks.filled(0, size).replaced(index, value)
    assert one == other
    assert hash(one) == hash(other)
    assert (one == Chunks.filled(0, size)) == (value == 0)
    assert one != [*one]


@pytest.mark.parametrize("index", [-1, 5, 100])
def test_a_place_outside_is_an_index_error_and_never_wraps_around(index: int) -> None:
    with pytest.raises(IndexError):
        Chunks.filled(0, 5)[index]
    with pytest.raises(IndexError):
        Chunks.filled(0, 5).replaced(index, 1)


def _nodes(node: object, seen: dict[int, object]) -> dict[int, object]:
    if isinstance(node, list) and id(node) not in seen:
        seen[id(node)] = node
        for child in node:
            _nodes(child, seen)
    return seen


def test_replacing_one_of_a_hundred_thousand_copies_a_path() -> None:
    wide = Chunks.of(range(100_000))
    changed = wide.replaced(77_777, -1)
    new = _nodes(changed._root, {}).keys() - _nodes(wide._root, {}).keys()
    assert (len(new), changed[77_777], wide[77_777]) == (4, -1, 77_777)
    assert max(len(node) for node in _nodes(wide._root, {}).values() if isinstance(node, list)) <= 32


def test_a_filled_one_takes_the_room_of_a_path() -> None:
    assert len(_nodes(Chunks.filled("x", 100_000)._root, {})) < 10


@pytest.mark.parametrize("size", [0, 1, 31, 32, 33, 1023, 1024, 1025, 1056, 32_768, 32_769, 33_793])
def test_filled_and_made_of_a_list_are_the_same_sequence(size: int) -> None:
    assert Chunks.filled(7, size) == Chunks.of([7] * size)
    assert list(Chunks.of(range(size))) == list(range(size))
    assert [Chunks.of(range(size))[index] for index in (0, size // 2, size - 1) if size] == (
        [0, size // 2, size - 1] if size else []
    )


@given(st.integers(1, 2000), st.dictionaries(st.integers(0, 1999), st.integers(), max_size=60))
def test_one_that_is_edited_shows_the_changes_and_leaves_its_base_alone(size: int, changes: dict[int, int]) -> None:
    base, model = Chunks.filled(0, size), [0] * size
    edited = Edited(base)
    for index, value in changes.items():
        if index < size:
            edited[index] = model[index] = value
    assert list(edited) == list(edited.done()) == model
    assert [edited[index] for index in range(size)] == model
    assert (len(edited), base) == (size, Chunks.filled(0, size))


def test_a_short_one_shows_what_it_holds_and_a_long_one_how_many() -> None:
    assert repr(Chunks.filled(0, 2)) == "Chunks([0, 0])"
    assert repr(Chunks.filled(0, 999)) == "Chunks(<999 slots>)"
