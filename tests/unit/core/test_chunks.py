"""A persistent sequence against a list."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raywf.core.chunks import Chunks


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


def test_replacing_one_of_a_hundred_thousand_copies_few() -> None:
    wide = Chunks.filled("x", 100_000)
    changed = wide.replaced(77_777, "y")
    shared = sum(one is other for one, other in zip(wide._rows, changed._rows, strict=True))
    assert (shared, changed[77_777], wide[77_777]) == (len(wide._rows) - 1, "y", "x")
    assert max(len(wide._rows), len(wide._rows[0])) < 400


def test_a_short_one_shows_what_it_holds_and_a_long_one_how_many() -> None:
    assert repr(Chunks.filled(0, 2)) == "Chunks([0, 0])"
    assert repr(Chunks.filled(0, 999)) == "Chunks(<999 slots>)"
