"""Arguments are arranged, checked against the annotations, and encoded; a misfit names the field."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from raywf import InvalidInput, WorkflowDefinition, task, wait_signal, workflow
from raywf.definition.inputs import bind_input, bind_many, call_of, input_values
from raywf.definition.signals import check_signal
from raywf.definition.workflows import as_workflow
from tests.unit.definition.drive import drive


@task
def use(*args: Any) -> Any:
    return args


class Colour(Enum):
    RED = "red"


class Ticket(BaseModel):
    title: str
    tags: list[str] = []


@dataclass
class Point:
    x: int
    y: int = 0


class Options(TypedDict, total=False):
    deep: bool


class Arbitrary:
    pass


@workflow
def one(n: int) -> Any:
    return use(n)


@workflow
def several(ticket: Ticket, points: list[Point], colour: Colour = Colour.RED, *, when: dt.date | None = None) -> Any:
    return [ticket, points, colour, when]


@workflow
def unchecked(a, b: Any, c: Missing = 3, d: Arbitrary | None = None) -> Any:  # type: ignore[no-untyped-def,name-defined]  # noqa: F821
    return [a, b, c, d]


@workflow
def nothing() -> Any:
    return use()


def bound(target: Any, *args: Any, **kwargs: Any) -> Any:
    return input_values(bind_input(target, args, kwargs))


def refused(said: str, target: Any, *args: Any, **kwargs: Any) -> None:
    with pytest.raises(InvalidInput, match=said) as caught:
        bind_input(target, args, kwargs)
    assert "\n" not in str(caught.value)
    assert caught.value.index is None


def test_arguments_become_an_encoded_object() -> None:
    assert bind_input(one, (5,), {}) == b'{"n":5}'
    assert bind_input(one, (), {"n": 5}) == b'{"n":5}'
    assert bind_input(nothing, (), {}) == b"{}"


def test_checking_is_lax_as_pydantic_is() -> None:
    assert bound(one, "5") == {"n": 5}
    assert bound(one, 5.0) == {"n": 5}
    found = bound(several, {"title": "a"}, [{"x": "1"}, Point(2, 3)], "red", when="2024-05-01")
    assert found == {
        "ticket": Ticket(title="a"),
        "points": [Point(1), Point(2, 3)],
        "colour": Colour.RED,
        "when": dt.date(2024, 5, 1),
    }
    assert drive(several, {"title": "a"}, [])[0] == [Ticket(title="a"), [], Colour.RED, None]


def test_a_misfit_names_the_field() -> None:
    refused(r"workflow 'one': parameter 'n': Input should be a valid integer.*not 'five'", one, "five")
    refused(r"parameter 'ticket.title': Field required", several, {}, [])
    refused(r"parameter 'ticket.tags\[1\]': .*not 5 \(and 1 more\)", several, {"title": "a", "tags": ["b", 5, 6]}, [])
    refused(r"parameter 'points\[0\]\.y'", several, {"title": "a"}, [{"x": 1, "y": "z"}])
    refused(r"parameter 'colour': Input should be 'red'", several, {"title": "a"}, [], "blue")


def test_names_and_numbers() -> None:
    refused("parameter 'n': is missing", one)
    refused(r"takes 1 positional arguments \(n\), and 2 were given", one, 1, 2)
    refused("no parameter 'm'.*Parameters: n", one, 1, m=2)
    refused("no parameter 'tikcet'. Did you mean 'ticket'", several, tikcet=1)
    refused("parameter 'n': was given twice", one, 1, n=2)
    refused("takes 3 positional", several, 1, 2, 3, 4)
    refused("parameter 'n': a value of type .*Arbitrary cannot be stored|parameter 'a'", unchecked, Arbitrary(), 1)


def test_without_an_annotation_that_pydantic_knows_anything_goes() -> None:
    assert bound(unchecked, {1: 2}, (1,)) == {"a": {1: 2}, "b": (1,), "c": 3, "d": None}
    refused("parameter 'd'.*instance of Arbitrary", unchecked, 1, 2, 3, 5)
    assert unchecked.definition.parameters == {"a": {}, "b": {}, "c": {"default": 3}, "d": {"default": None}}


def test_annotated_constraints_are_kept() -> None:
    @workflow
    def body(n: Annotated[int, Field(gt=0, description="How many.")], options: Options) -> Any:
        return [n, options]

    refused("parameter 'n': Input should be greater than 0", body, 0, {})
    refused("parameter 'options.deep'", body, 1, {"deep": "perhaps"})
    assert body.definition.parameters["n"]["description"] == "How many."


def test_a_loaded_definition_checks_with_the_json_schema() -> None:
    loaded = as_workflow(WorkflowDefinition.from_json(several.definition.to_json()))
    for target in (loaded, loaded.definition):
        assert bound(target, {"title": "a"}, [], when="2024-05-01")["when"] == "2024-05-01"
        assert bound(target, {"title": "a"}, [])["colour"] is Colour.RED
        refused(r"parameter 'ticket': 'title' is a required property", target, {}, [])
        refused(
            r"parameter 'ticket.tags\[1\]': 5 is not of type 'string'", target, {"title": "a", "tags": ["b", 5]}, []
        )
        refused(r"parameter 'points\[0\].y'", target, {"title": "a"}, [{"x": 1, "y": "z"}])
        refused("parameter 'points': is missing", target, {"title": "a"})
    n = as_workflow(WorkflowDefinition.from_yaml("id: w\nparameters: {n: {type: number}, m: {}}"))
    assert bound(n, float("inf"), (1,)) == {"n": float("inf"), "m": (1,)}
    refused("'5' is not of type 'number'", n, "5", 1)


def test_objects_that_are_already_checked_pass_a_json_schema() -> None:
    loaded = as_workflow(WorkflowDefinition.from_json(several.definition.to_json()))
    found = bound(loaded, Ticket(title="a"), [Point(1)], Colour.RED, when=dt.date(2024, 5, 1))
    assert found["ticket"] == Ticket(title="a")
    assert found["points"] == [Point(1)]
    assert found["when"] == dt.date(2024, 5, 1)


def test_children_are_checked_only_for_names_when_asked() -> None:
    assert bind_input(one.definition, ("five",), {}, validate=False) == b'{"n":"five"}'
    with pytest.raises(InvalidInput, match="is missing"):
        bind_input(one.definition, (), {}, validate=False)


@pytest.mark.parametrize("kind", ["workflow", "definition"])
def test_one_value_stands_for_the_arguments(kind: str) -> None:
    def target(workflow_: Any) -> Any:
        return workflow_ if kind == "workflow" else workflow_.definition

    assert call_of(target(one), [1, 2]) == (([1, 2],), {})
    assert call_of(target(one), {"n": 1}) == (({"n": 1},), {})
    assert call_of(target(several), [1, 2]) == ((1, 2), {})
    assert call_of(target(several), (1, 2)) == ((1, 2), {})
    assert call_of(target(several), {"ticket": 1}) == ((), {"ticket": 1})
    assert call_of(target(nothing), None) == ((), {})
    assert call_of(target(nothing), []) == ((), {})
    with pytest.raises(InvalidInput, match=r"takes 4 parameters \(ticket, points, colour, when\), and the input is 5"):
        call_of(target(several), 5)
    with pytest.raises(InvalidInput, match="takes no parameters, and the input is 5"):
        call_of(target(nothing), 5)


def test_a_single_keyword_only_parameter() -> None:
    @workflow
    def body(*, n: int) -> Any:
        return n

    assert bind_many(body, [1, "2"]) == [b'{"n":1}', b'{"n":2}']


def test_a_batch_is_checked_whole_and_names_the_index() -> None:
    assert bind_many(one, [1, "2", 3.0]) == [b'{"n":1}', b'{"n":2}', b'{"n":3}']
    with pytest.raises(InvalidInput, match="input 2: workflow 'one': parameter 'n'") as caught:
        bind_many(one, [1, 2, "three", "four"])
    assert caught.value.index == 2


def test_thousands_of_inputs_are_bound_with_one_binder() -> None:
    """A binder is made once, and each input costs microseconds; the bound here only catches a change of order."""
    import timeit

    bind_many(one, [0])
    best = min(timeit.repeat(lambda: bind_many(one, range(5000)), number=1, repeat=3))
    assert best / 5000 < 100e-6


def test_a_signal_is_checked_against_its_schema() -> None:
    @workflow
    def body(n: int) -> Any:
        return [wait_signal("paid", schema=Ticket), wait_signal("any"), wait_signal("either", schema={"type": "string"}),
                wait_signal("either", schema={"type": "integer"})]  # fmt: skip

    definition = body.definition
    check_signal(definition, "paid", {"title": "a"})
    check_signal(definition, "paid", Ticket(title="a"))
    check_signal(definition, "any", object)
    check_signal(definition, "unknown", 5)
    check_signal(definition, "either", 5)
    check_signal(definition, "either", "five")
    with pytest.raises(
        InvalidInput, match=r"signal 'paid' does not fit what task 'wait_signal' .*at payload.title: 5 is not of type"
    ):
        check_signal(definition, "paid", {"title": 5})
    with pytest.raises(InvalidInput, match="signal 'either'"):
        check_signal(definition, "either", [])


def test_the_schemas_are_json() -> None:
    text = json.dumps(several.definition.parameters)
    assert '"$defs"' in text
    assert several.definition.parameters["colour"]["default"] == {
        "$const": {"$t": "enum", "c": f"{__name__}:Colour", "v": "RED"}
    }
