"""History events as journal records and back."""

from __future__ import annotations

import json
import typing
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raywf.core import events as ev
from raywf.core.codec import from_record, to_record
from raywf.core.failures import Failure

TEXT = st.text(st.characters(codec="utf-8"), max_size=30)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**80), 2**80) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
).map(lambda value: json.dumps(value, ensure_ascii=False).encode())
FIELDS: dict[Any, st.SearchStrategy[Any]] = {
    str: TEXT,
    str | None: st.none() | TEXT,
    bytes: VALUES,
    bytes | None: st.none() | VALUES,
    int: st.integers(0, 2**40),
    float: st.floats(0, 4e9),
    float | None: st.none() | st.floats(0, 4e9),
    bool: st.booleans(),
    tuple[str, ...]: st.lists(TEXT, max_size=3).map(tuple),
    tuple[bytes, ...]: st.lists(
        VALUES.map(lambda data: json.dumps(json.loads(data), separators=(",", ":"), ensure_ascii=False).encode()),
        max_size=3,
    ).map(tuple),
    Failure: st.builds(Failure, TEXT, TEXT, TEXT, st.integers(0, 99), st.booleans()),
}
KINDS: list[type] = list(typing.get_args(ev.Event))


def any_event(kind: type) -> st.SearchStrategy[Any]:
    hints = typing.get_type_hints(kind)
    return st.builds(kind, **{name: FIELDS[hint] for name, hint in hints.items()})


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_event_comes_back_from_its_record(kind: type) -> None:
    @given(any_event(kind))
    def there_and_back(event: Any) -> None:
        record = to_record(event)
        assert from_record(*record) == event
        assert to_record(from_record(*record)) == record

    there_and_back()


def test_each_kind_of_event_has_a_kind_of_record_of_its_own() -> None:
    """Named as the class is, in snake case: what is in the journal can be read without us."""
    sample = {
        str: "a",
        bytes: b"1",
        tuple[bytes, ...]: (b"1",),
        tuple[str, ...]: ("a",),
        int: 1,
        float: 1.0,
        bool: True,
        Failure: Failure("E", "m"),
    }

    def snake(name: str) -> str:
        return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)[1:]

    def some(kind: type) -> Any:
        return kind(*(sample.get(hint) for hint in typing.get_type_hints(kind).values()))

    assert [to_record(some(kind))[0] for kind in KINDS] == [snake(kind.__name__) for kind in KINDS]


@pytest.mark.parametrize("kind", ["task_snoozed", "attempt_failed@2", ""])
def test_a_kind_we_do_not_know_is_named_and_says_what_to_do(kind: str) -> None:
    with pytest.raises(ValueError, match=f"unknown kind {kind!r}.*upgrade"):
        from_record(kind, "a", 1, b"{}")


def test_a_record_without_data_that_should_have_some_reads_as_null() -> None:
    assert from_record("task_completed", "a", 1, None) == ev.TaskCompleted("a", 1, b"null")


def test_failures_of_older_histories_may_lack_later_fields() -> None:
    assert Failure.from_data({"type": "E", "message": "m"}) == Failure("E", "m")
