"""compile_plan: a stable topological order, and links that the brain can walk."""

from __future__ import annotations

from typing import Any

from raywf import WorkflowDefinition, gather, task, when, workflow
from raywf.core.plan import NodeKind
from raywf.definition.compile import compile_plan
from raywf.definition.model import TaskDefinition
from raywf.definition.workflows import as_workflow
from tests.unit.definition.drive import drive


@task
def make(*args: Any) -> Any:
    return args[0] if args else 1


def defined(**needs: list[str]) -> WorkflowDefinition:
    tasks = [
        TaskDefinition(id=id, function="builtins:max", args=[{"$ref": need} for need in each])
        for id, each in needs.items()
    ]
    return WorkflowDefinition(id="w", tasks=tasks)


def test_what_is_in_order_stays_as_written() -> None:
    plan = compile_plan(defined(a=[], b=[], c=["a"], d=[], e=["b", "d"]))
    assert [node.id for node in plan.nodes] == ["a", "b", "c", "d", "e"]


def test_what_is_out_of_order_moves_no_further_than_it_must() -> None:
    plan = compile_plan(defined(z=["b"], a=[], c=["z"], b=["a"], d=[]))
    assert [node.id for node in plan.nodes] == ["a", "b", "z", "c", "d"]
    assert plan.index == {"a": 0, "b": 1, "z": 2, "c": 3, "d": 4}
    assert [node.needs for node in plan.nodes] == [(), (0,), (1,), (2,), ()]
    assert [node.dependents for node in plan.nodes] == [(1,), (2,), (3,), (), ()]


def test_a_task_that_refers_twice_needs_once() -> None:
    plan = compile_plan(defined(a=[], b=["a", "a"]))
    assert (plan.nodes[1].needs, plan.nodes[0].dependents) == ((0,), (1,))


def test_what_uses_a_when_comes_after_both_its_sides() -> None:
    text = """\
id: w
parameters: {n: {}}
tasks:
  - {id: user, function: "m:f", args: [{$ref: gate}]}
  - {id: gate, when: {$ref: input.n}, then: [inner], result: {then: {$ref: inner}, otherwise: {$ref: late}}}
  - {id: inner, function: "m:f", args: [{$ref: before}]}
  - {id: before, function: "m:f"}
  - {id: late, function: "m:f"}
"""
    plan = compile_plan(WorkflowDefinition.from_yaml(text))
    place = plan.index
    assert place["gate"] < place["inner"] < place["user"]
    assert place["before"] < place["inner"]
    gate, inner = plan.nodes[place["gate"]], plan.nodes[place["inner"]]
    assert gate.needs == ()
    assert gate.dependents == (place["user"],)
    assert inner.needs == tuple(sorted((place["gate"], place["before"])))
    assert gate.needs_otherwise == (place["late"],)
    assert plan.dependents_of_sides[place["late"]] == (place["gate"],)


def test_a_when_waits_for_what_its_side_gives_from_outside() -> None:
    @workflow
    def body(n: int) -> Any:
        outside = make(n)
        return when(n > 1, then=lambda: outside, otherwise=lambda: gather(outside, make.with_options(id="in")(2)))

    assert drive(body, 5)[0] == 5
    assert drive(body, 0)[0] == [0, 2]


def test_a_member_may_wait_for_something_after_the_value() -> None:
    """A task of a side may need what needs the value, as long as the value does not need it."""

    @workflow
    def body(n: int) -> Any:
        kept: list[Any] = []

        def side() -> Any:
            kept.append(make.with_options(id="later")(n))
            return make.with_options(id="value")(n)

        gate = when(n > 1, then=side)
        user = make.with_options(id="user")(gate)
        kept[0].after(user)
        return user

    result, running = drive(body, 5)
    assert (result, running.called) == (5, ["value", "user", "later"])
    assert drive(body, 0)[1].called == ["user"]


def test_the_plan_names_its_definition() -> None:
    @workflow(version="9")
    def body() -> Any:
        return make()

    plan = body.plan
    assert (plan.workflow, plan.version, plan.definition) == ("body", "9", body.definition.content_hash)


def test_a_child_and_a_fan_out_in_the_plan() -> None:
    @workflow
    def inner(n: int) -> Any:
        return make(n)

    @workflow
    def body(xs: list[int]) -> Any:
        return [inner.map(xs), make.map(xs)]

    first, second = body.plan.nodes
    assert (first.kind, first.mapped, first.child) == (NodeKind.CHILD, True, inner.definition.content_hash)
    assert (second.kind, second.mapped, second.child) == (NodeKind.CALL, True, None)
    assert as_workflow(body.definition).plan == body.plan
