"""A task's result is what its return annotation says, as pydantic reads it."""

# ruff: noqa: DTZ001 - datetimes without a zone are values like others
from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pyarrow as pa
import pytest
from pydantic import Field

from raywf.definition.values import coercer
from raywf.errors import ValidationFailed
from tests.unit.runtime.kinds import Box, Colour, FrozenPoint, Point, Row, Ticket


def returns(annotation: Any) -> Callable[..., Any]:
    def answer() -> Any: ...

    answer.__annotations__ = {"return": annotation}
    return answer


@pytest.mark.parametrize(
    ("annotation", "given", "value"),
    [
        (Ticket, {"title": "a", "tags": ["x"]}, Ticket(title="a", tags=("x",))),
        (list[Ticket], [{"title": "a"}], [Ticket(title="a")]),
        (dict[str, Ticket], {"k": {"title": "a"}}, {"k": Ticket(title="a")}),
        (Box[int], {"x": "5"}, Box[int](x=5)),
        (Point, {"x": "1"}, Point(1)),
        (FrozenPoint, {"x": 1, "y": 2}, FrozenPoint(1, 2)),
        (Row, ("a", 1), Row("a", 1)),
        (float, 1, 1.0),
        (int, "7", 7),
        (bool, "yes", True),
        (str, "a", "a"),
        (tuple[int, ...], [1, 2], (1, 2)),
        (set[int], [1, 1], {1}),
        (bytes, "a", b"a"),
        (dt.datetime, "2024-01-02T03:04:05", dt.datetime(2024, 1, 2, 3, 4, 5)),
        (Colour, (255, 0, 0), Colour.RED),
        (Path, "/a", Path("/a")),
        (Ticket | None, None, None),
        (int | str, "5", "5"),
        (Literal["a", "b"], "b", "b"),
        (Annotated[int, Field(ge=0)], 3, 3),
    ],
)
def test_a_result_becomes_what_the_annotation_says(annotation: Any, given: Any, value: Any) -> None:
    coerce = coercer(returns(annotation))
    assert coerce is not None
    found = coerce(given)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    "annotation",
    [Any, object, None, Iterator[int], AsyncIterator[int], "Nobody | knows"],
    ids=str,
)
def test_where_the_annotation_says_nothing_the_result_stays_as_it_is(annotation: Any) -> None:
    assert coercer(returns(annotation)) is None
    assert coercer(lambda: 1) is None


@pytest.mark.parametrize(
    ("annotation", "given", "says"),
    [
        (int, "many", ["answer returned 'many'", "int", "Return what it says, or change the annotation"]),
        (Ticket, {"title": 5}, ["'title'", "string"]),
        (list[Ticket], [{"title": "a"}, {}], ["[1]['title']", "required"]),
        (Literal["a"], "b", ["'a'"]),
        (str, None, ["None", "string"]),
        (np.ndarray, [1], ["ndarray"]),
    ],
)
def test_a_result_that_does_not_fit_says_what_and_where(annotation: Any, given: Any, says: list[str]) -> None:
    coerce = coercer(returns(annotation))
    assert coerce is not None
    with pytest.raises(ValidationFailed) as caught:
        coerce(given)
    for words in says:
        assert words in str(caught.value)


@pytest.mark.parametrize("value", [np.zeros(2), pa.table({"a": [1]})], ids=["array", "table"])
def test_classes_that_pydantic_does_not_know_are_checked_by_type(value: Any) -> None:
    coerce = coercer(returns(type(value)))
    assert coerce is not None
    assert coerce(value) is value
    with pytest.raises(ValidationFailed):
        coerce({"a": 1})


def test_an_async_function_is_asked_for_what_it_gives_in_the_end() -> None:
    async def answer() -> Ticket:
        return Ticket(title="a")

    coerce = coercer(answer)
    assert coerce is not None
    assert coerce({"title": "b"}) == Ticket(title="b")


def test_a_subclass_fits_and_is_not_cut_down() -> None:
    class Special(Ticket):
        more: int = 1

    coerce = coercer(returns(Ticket))
    assert coerce is not None
    assert type(coerce(Special(title="a"))) is Special
