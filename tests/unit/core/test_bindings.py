"""Where arguments come from: constants, references and small expressions."""

from __future__ import annotations

import json
import operator
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raywf.core.bindings import (
    INPUT,
    Binding,
    Compare,
    Const,
    Logic,
    Mapping,
    Ref,
    Sequence,
    Template,
    evaluate,
    follow,
    references,
)


class Point(NamedTuple):
    x: int


class Word:
    def __init__(self, text: str) -> None:
        self.text = text

    def __getitem__(self, key: str) -> str:
        return {"text": "the item"}[key]


RESULTS: dict[int, Any] = {
    INPUT: {"question": "why?"}, 0: [10, 20, {"deep": [1, 2]}], 1: 0.5, 2: Point(7), 3: {"a": {"b": "c"}, 5: "five"},
    4: Word("the attribute"),
}  # fmt: skip


def value_of(binding: Binding) -> Any:
    return evaluate(binding, RESULTS.__getitem__, json.loads)


@pytest.mark.parametrize(
    ("binding", "value"),
    [
        (Const(b'{"a":[1]}'), {"a": [1]}),
        (Ref(INPUT, ("question",)), "why?"),
        (Ref(0), [10, 20, {"deep": [1, 2]}]),
        (Ref(0, (2, "deep", -1)), 2),
        (Ref(2, ("x",)), 7),
        (Ref(2, (0,)), 7),
        (Ref(3, ("a", "b")), "c"),
        (Ref(3, (5,)), "five"),
        (Ref(4, ("text",)), "the item"),
        (Sequence((Ref(1), Const(b"2"))), [0.5, 2]),
        (Sequence((Ref(1), Const(b"2")), is_tuple=True), (0.5, 2)),
        (Mapping(((b'"k"', Ref(1)), (b"5", Sequence(())))), {"k": 0.5, 5: []}),
        (Template(("Score ", (Ref(1), "", ".2f"), " of ", (Ref(INPUT, ("question",)), "r", ""))), "Score 0.50 of 'why?'"),
        (Template(((Ref(INPUT, ("question",)), "s", ">6"),)), "  why?"),
        (Template(((Const('"é"'.encode()), "a", ""),)), "'\\xe9'"),
        (Compare("<", Ref(1), Const(b"0.7")), True),
        (Compare("!=", Ref(1), Ref(1)), False),
        (Logic("and", (Const(b"true"), Const(b"false"))), False),
        (Logic("or", (Const(b"false"), Const(b"1"))), True),
        (Logic("not", (Const(b"0"),)), True),
        (Logic("and", ()), True),
    ],
)  # fmt: skip
def test_what_a_binding_comes_to(binding: Binding, value: Any) -> None:
    found = value_of(binding)
    assert found == value
    assert type(found) is type(value)


@given(st.sampled_from(["<", "<=", ">", ">=", "==", "!="]), st.integers(-3, 3), st.integers(-3, 3))
def test_comparisons_are_those_of_python(op: str, left: int, right: int) -> None:
    names = {"<": "lt", "<=": "le", ">": "gt", ">=": "ge", "==": "eq", "!=": "ne"}
    binding = Compare(op, Const(str(left).encode()), Const(str(right).encode()))
    assert value_of(binding) is getattr(operator, names[op])(left, right)


def test_conditions_stop_at_the_first_operand_that_decides() -> None:
    nobody = Ref(99)
    assert value_of(Logic("or", (Const(b"true"), nobody))) is True
    assert value_of(Logic("and", (Const(b"false"), nobody))) is False


@pytest.mark.parametrize(
    ("value", "path", "says"),
    [
        ({"a": 1}, ("b",), r"dict has neither an item nor an attribute 'b': \{'a': 1\}"),
        ([1], (3,), "list has neither an item nor an attribute 3"),
        (None, ("score",), "NoneType has neither"),
        ({"a": None}, ("a", 0), "NoneType has neither"),
    ],
)
def test_a_key_that_is_not_there_is_named_with_the_type_that_lacks_it(value: Any, path: Any, says: str) -> None:
    with pytest.raises(LookupError, match=says):
        follow(value, path)


def test_references_are_found_in_every_part_once_and_without_the_input() -> None:
    binding = Sequence(
        (
            Ref(5, ("a",)), Ref(INPUT), Const(b"1"), Mapping(((b"1", Ref(3)),)), Template(("x", (Ref(4), "", ""))),
            Logic("not", (Compare("<", Ref(1), Ref(2)),)), Ref(5),
        )
    )  # fmt: skip
    assert references(binding) == (1, 2, 3, 4, 5)
