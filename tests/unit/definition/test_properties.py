"""Random definitions: they survive JSON and YAML, and their plans are in order."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from raywf import WorkflowDefinition
from raywf.definition.compile import compile_plan
from raywf.definition.recording import constant, ref
from raywf.definition.values import decode

IDS = [f"t{at}" for at in range(8)]
TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Co")), max_size=8)
"""Without private characters: two of them mark a formatted reference, and a constant that holds one is refused."""
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    TEXT,
    st.binary(max_size=4),
    st.dates(),
    st.decimals(),
)
CONSTANTS = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.tuples(inner, inner),
        st.dictionaries(st.one_of(TEXT, st.sampled_from(["$ref", "$t", "a", "=", "<<", "on", "1"])), inner, max_size=3),
        st.dictionaries(st.integers(), inner, max_size=2),
    ),
    max_leaves=5,
)
SOME_IDS = st.lists(st.sampled_from(IDS), unique=True, max_size=5)
PICKS = st.lists(st.integers(0, 7), max_size=2)
KIND = st.integers(0, 4)
KEYS = st.one_of(st.sampled_from(["title", "score", "a b", "$x", "1", ""]), st.integers(-3, 3), TEXT)


class Aim:
    """A reference to some earlier task, which one is settled when the task is placed."""

    def __init__(self, at: int, path: tuple[str | int, ...]) -> None:
        self.at = at
        self.path = path


REFS = st.builds(Aim, st.integers(0, 20), st.lists(KEYS, max_size=2).map(tuple))
LEAVES = st.one_of(REFS, CONSTANTS.map(lambda value: constant(value, None, "a constant")))
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.fixed_dictionaries({"$tuple": st.lists(inner, max_size=2)}),
        st.dictionaries(st.sampled_from(["k", "l", "with space"]), inner, max_size=2),
        st.fixed_dictionaries({"$template": st.lists(st.one_of(TEXT, REFS), max_size=3)}),
        st.builds(lambda value: {"$dict": [[1, value], ["$x", 2]]}, inner),
        st.builds(lambda one, other: {"$cond": {"op": "<", "left": one, "right": other}}, inner, inner),
    ),
    max_leaves=4,
)


def aimed(value: Any, before: list[str]) -> Any:
    """The value with each reference settled on one of the tasks before it, or on the input."""
    if isinstance(value, Aim):
        at = value.at % (len(before) + 1)
        return ref(before[at], value.path) if at < len(before) else ref("input", ("n", *value.path))
    if isinstance(value, list):
        return [aimed(item, before) for item in value]
    if isinstance(value, dict):
        return {key: aimed(item, before) for key, item in value.items()}
    return value


@st.composite
def definitions(draw: st.DrawFn) -> dict[str, Any]:
    """A random graph: tasks refer to earlier ones, and then the tasks are written down in any order."""
    tasks: list[dict[str, Any]] = []
    ids = draw(SOME_IDS)
    for at, id in enumerate(ids):
        before = ids[:at]
        one, other = aimed(draw(VALUES), before), aimed(draw(VALUES), before)
        kinds: list[dict[str, Any]] = [
            {"function": "app.tasks:f", "args": [one], "kwargs": {"k": other}, "options": {"timeout": 2.5}},
            {"function": "app.tasks:g", "map": [one]},
            {"gather": [one, other]},
            {"approval": {"prompt": one, "on_reject": other}},
            {"signal": {"name": "paid", "default": None, "schema": {"type": "object"}}},
        ]
        after = [before[each % at] for each in draw(PICKS)] if before else []
        tasks.append({"id": id, **kinds[draw(KIND)], **({"after": after} if after else {})})
    result = aimed(draw(VALUES), ids)
    return {
        "id": "w",
        "description": draw(TEXT),
        "version": draw(TEXT),
        "parameters": {"n": {"type": "integer"}, "m": {"default": constant(draw(CONSTANTS), None, "a default")}},
        "tasks": draw(st.permutations(tasks)),
        "configuration": {"note": draw(TEXT)},
        "result": result,
    }


@settings(max_examples=40, deadline=None)
@given(definitions())
def test_json_and_yaml_give_the_same_definition_back(data: dict[str, Any]) -> None:
    definition = WorkflowDefinition.model_validate(data)
    for again in (
        WorkflowDefinition.from_json(definition.to_json()),
        WorkflowDefinition.from_yaml(definition.to_yaml()),
        WorkflowDefinition.model_validate_json(definition.model_dump_json()),
    ):
        assert again.content_hash == definition.content_hash
        assert compile_plan(again) == compile_plan(definition)
    assert json.loads(definition.body) == definition.to_data()


@settings(max_examples=40, deadline=None)
@given(definitions())
def test_every_task_comes_after_all_it_needs(data: dict[str, Any]) -> None:
    plan = compile_plan(WorkflowDefinition.model_validate(data))
    assert sorted(plan.index) == sorted(task["id"] for task in data["tasks"])
    for node in plan.nodes:
        assert plan.nodes[plan.index[node.id]] is node
        assert all(need < node.index for need in node.needs)
        assert all(node.index in plan.nodes[need].dependents for need in node.needs)
        assert all(node.index in plan.nodes[other].needs for other in node.dependents)


@settings(max_examples=25, deadline=None)
@given(definitions())
def test_the_order_is_the_smallest_change_to_the_one_written(data: dict[str, Any]) -> None:
    """Taken again from its own order, a plan stays as it is."""
    plan = compile_plan(WorkflowDefinition.model_validate(data))
    by_id = {task["id"]: task for task in data["tasks"]}
    ordered = WorkflowDefinition.model_validate({**data, "tasks": [by_id[node.id] for node in plan.nodes]})
    assert [node.id for node in compile_plan(ordered).nodes] == [node.id for node in plan.nodes]


@settings(max_examples=60, deadline=None)
@given(CONSTANTS)
def test_constants_come_back_exactly(value: Any) -> None:
    definition = WorkflowDefinition(id="w", result=constant(value, None, "a constant"))
    again = compile_plan(WorkflowDefinition.from_yaml(definition.to_yaml())).result
    found = decode(again.value)  # type: ignore[union-attr]
    assert repr(found) == repr(value)


@settings(max_examples=20, deadline=None)
@given(definitions())
def test_every_definition_can_be_drawn(data: dict[str, Any]) -> None:
    text = WorkflowDefinition.model_validate(data).to_mermaid()
    assert text.startswith("flowchart TD\n")
    assert all(line.count('"') % 2 == 0 for line in text.splitlines())
