"""when, gather, sleep, wait_signal, approval: what they leave in the graph and what they refuse."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from pydantic import BaseModel

from raywf import DefinitionError, approval, gather, sleep, task, wait_signal, when, workflow
from raywf.core.bindings import Const, Ref, Sequence
from raywf.core.plan import Node, NodeKind
from tests.unit.definition.drive import drive


@task
def make(n: Any = 1) -> Any:
    return n


@task
def use(*args: Any, **kwargs: Any) -> Any:
    return args


def last(body: Callable[[Any], Any]) -> Node:
    """The last task of a body."""
    body.__name__ = "body"
    return workflow(body).plan.nodes[-1]


def refused(said: str, act: Callable[[Any], Any]) -> None:
    @workflow
    def body(n: Any) -> Any:
        return act(n)

    with pytest.raises(DefinitionError, match=said):
        _ = body.definition


# when


@workflow
def chooses(n: int) -> Any:
    low = make.with_options(id="low")
    high = make.with_options(id="high")
    chosen = when(n < 10, then=lambda: low("low"), otherwise=lambda: [high("high"), n])
    return use(chosen)


def test_only_one_side_runs() -> None:
    result, running = drive(chooses, 3)
    assert (result, running.called) == (("low",), ["low", "use"])
    result, running = drive(chooses, 30)
    assert (result, running.called) == ((["high", 30],), ["high", "use"])


def test_the_plan_of_a_when() -> None:
    decides, low, high, user = chooses.plan.nodes
    assert (decides.kind, decides.then, decides.otherwise) == (NodeKind.WHEN, (1,), (2,))
    assert (decides.needs_then, decides.needs_otherwise) == ((1,), (2,))
    assert decides.dependents == (3,)
    assert (low.guard, low.needs, high.guard, high.needs) == ((0, True), (0,), (0, False), (0,))
    assert (user.needs, user.guard) == ((0,), None)
    assert decides.result_otherwise == Sequence((Ref(2), Ref(-1, ("n",))))
    assert chooses.plan.dependents_of_sides == ((), (0,), (0,), ())


def test_without_otherwise_the_value_is_none() -> None:
    @workflow
    def body(n: int) -> Any:
        return when(n > 1, then=lambda: make("big"))

    assert drive(body, 5)[0] == "big"
    result, running = drive(body, 0)
    assert (result, running.called) == (None, [])


def test_a_reference_is_a_condition() -> None:
    @workflow
    def body(n: Any) -> Any:
        return when(make(n)["ok"], then=lambda: "yes", otherwise=lambda: "no")

    assert drive(body, {"ok": True})[0] == "yes"
    assert drive(body, {"ok": 0})[0] == "no"


def test_whens_nest_and_each_task_belongs_to_its_own_side() -> None:
    @workflow
    def body(n: int) -> Any:
        before = make.with_options(id="before")(n)

        def inner() -> Any:
            outer_task = make.with_options(id="outer")(before)
            deep = when(outer_task < 5, then=lambda: make.with_options(id="deep")([outer_task, before]))
            return use.with_options(id="joined")(deep)

        return when(n < 10, then=inner, otherwise=lambda: before)

    plan = body.plan
    guard = {node.id: node.guard and (plan.nodes[node.guard[0]].id, node.guard[1]) for node in plan.nodes}
    assert guard == {
        "before": None,
        "when": None,
        "outer": ("when", True),
        "when-2": ("when", True),
        "deep": ("when-2", True),
        "joined": ("when", True),
    }
    assert body.definition.tasks[1].then == ["outer", "when-2", "joined"]
    assert drive(body, 3)[0] == ([3, 3],) or drive(body, 3)[0] == ([[3, 3]],)
    assert drive(body, 7)[1].called == ["before", "outer", "joined"]
    assert drive(body, 20)[0] == 20


def test_a_side_may_be_a_task_and_the_value_may_be_a_constant() -> None:
    @workflow
    def body(n: int) -> Any:
        return when(n > 1, then=make, otherwise=lambda: {"none": (1, 2)})

    assert drive(body, 2)[0] == 1
    assert drive(body, 0)[0] == {"none": (1, 2)}


def test_a_when_can_wait_and_be_named() -> None:
    @workflow
    def body(n: int) -> Any:
        first = make(1)
        return when(n > 1, then=lambda: 1, id="gate").after(first)  # type: ignore[union-attr]

    assert body.plan.nodes[1].id == "gate"
    assert body.plan.nodes[1].needs == (0,)


def test_what_a_when_refuses() -> None:
    refused("raywf.when got True as its condition", lambda n: when(True, then=lambda: make()))
    refused("then= takes a callable without parameters", lambda n: when(n > 1, then=make()))
    refused("otherwise= takes a callable without parameters", lambda n: when(n > 1, then=lambda: 1, otherwise=n))
    refused("then= takes a callable", lambda n: when(n > 1, then=5))  # type: ignore[call-overload]
    refused("then=.*missing a required argument: 'x'", lambda n: when(n > 1, then=lambda x: x))  # type: ignore[call-overload,misc]

    async def waits() -> int:
        return 1

    refused("async function", lambda n: when(n > 1, then=waits))


def test_a_task_outside_must_not_use_a_task_of_a_side() -> None:
    def act(n: Any) -> Any:
        kept = []
        when(n > 1, then=lambda: kept.append(make()))
        return use(kept[0])

    refused("task 'make' is used as argument 'args' of task 'use' outside of the then side of 'when'", act)

    def result(n: Any) -> Any:
        kept = []
        when(n > 1, then=lambda: 1, otherwise=lambda: kept.append(make()))
        return kept[0]

    refused("result of workflow 'body' outside of the otherwise side", result)

    def other_side(n: Any) -> Any:
        kept: list[Any] = []
        return when(n > 1, then=lambda: kept.append(make()), otherwise=lambda: use(kept[0]))

    refused("outside of the then side", other_side)

    def after(n: Any) -> Any:
        kept: list[Any] = []
        when(n > 1, then=lambda: kept.append(make()))
        return make(2).after(kept[0])

    refused("prerequisite of task 'make-2' outside of the then side", after)


# gather


def test_gather_gives_a_list() -> None:
    @workflow
    def body(n: int) -> Any:
        return gather(make(1), [make(2), n], f"{make(3)}")

    assert drive(body, 9)[0] == [1, [2, 9], "3"]
    assert body.plan.nodes[-1].needs == (0, 1, 2)


def test_gather_of_nothing_is_empty() -> None:
    assert drive(workflow(named(lambda: gather(*[]))))[0] == []


def named(body: Callable[..., Any]) -> Callable[..., Any]:
    body.__name__ = "body"
    return body


def plain() -> None: ...


def test_gather_takes_what_tasks_give() -> None:
    refused("not the function 'plain'", lambda n: gather(make(), plain))
    refused("not the function 'make'", lambda n: gather(make))
    refused("not 5", lambda n: gather(5))


# sleep


def test_a_sleep_gives_its_value_later() -> None:
    node = last(lambda n: sleep(timedelta(minutes=2), make(n)))
    assert node.kind is NodeKind.SLEEP
    assert dict(node.kwargs) == {"seconds": Const(b"120.0"), "value": Ref(0)}
    assert last(lambda n: make().after(sleep(0))).needs == (0,)  # type: ignore[func-returns-value]
    assert drive(workflow(named(lambda n: sleep(n, "late"))), 5)[0] == "late"


def test_a_sleep_that_nothing_uses_is_refused() -> None:
    def act(n: Any) -> Any:
        sleep(5)
        return make()

    refused(r"test_flow.py:\d+: nothing uses the sleep 'sleep'", act)


def test_a_sleep_needs_a_duration() -> None:
    refused("seconds.*-1", lambda n: sleep(-1, n))
    refused("seconds.*'5'", lambda n: sleep("5", n))


# signals


def test_a_signal_with_and_without_a_default() -> None:
    node = last(lambda n: wait_signal("paid"))
    assert dict(node.kwargs) == {"name": Const(b'"paid"'), "timeout": Const(b"null"), "schema": Const(b"null")}
    node = last(lambda n: wait_signal(f"paid-{n}", timeout=5, default=None))
    assert dict(node.kwargs)["default"] == Const(b"null")
    assert dict(node.kwargs)["timeout"] == Const(b"5.0")
    assert drive(workflow(named(lambda n: wait_signal(f"paid-{n}", timeout=5, default=(1, 2)))), 5)[0] == (1, 2)


class Payment(BaseModel):
    amount: int


def test_a_schema_is_kept_as_json_schema() -> None:
    node = last(lambda n: wait_signal("paid", schema=Payment))
    schema = dict(node.kwargs)["schema"]
    assert isinstance(schema, Const)
    assert b'"amount":{"title":"Amount","type":"integer"}' in schema.value
    assert last(lambda n: wait_signal("paid", schema={"type": "object"})).kwargs[-1][1] == Const(b'{"type":"object"}')


def test_what_a_signal_refuses() -> None:
    refused("name of a signal is text", lambda n: wait_signal(5))
    refused("name of a signal is text", lambda n: wait_signal(""))
    refused("timeout.*0", lambda n: wait_signal("a", timeout=0))
    refused("has no JSON schema", lambda n: wait_signal("a", schema=object()))


# approvals


def test_an_approval_says_what_was_given() -> None:
    node = last(lambda n: approval("Publish?"))
    assert dict(node.kwargs) == {"prompt": Const(b'"Publish?"'), "data": Const(b"null"), "timeout": Const(b"null")}
    node = last(lambda n: approval("Publish?", data=n, timeout=3600, on_reject=None, on_timeout="late"))
    assert [name for name, _ in node.kwargs] == ["prompt", "data", "timeout", "on_reject", "on_timeout"]
    assert (node.kwargs[3][1], node.kwargs[4][1]) == (Const(b"null"), Const(b'"late"'))
    assert drive(workflow(named(lambda n: approval("Publish?", data=n))), 5)[0] == 5


def test_what_an_approval_refuses() -> None:
    refused("timeout.*-5", lambda n: approval("x", data=n, timeout=-5))
    refused("on_reject of raywf.approval", lambda n: approval("x", data=n, on_reject=object()))


# all of them


@pytest.mark.parametrize(
    "act",
    [
        lambda: when(1, then=plain),
        lambda: gather(),
        lambda: sleep(1),
        lambda: wait_signal("a"),
        lambda: approval("a"),
        lambda: make.map([1]),
    ],
)
def test_outside_of_a_body_they_mean_nothing(act: Callable[[], Any]) -> None:
    with pytest.raises(DefinitionError, match=r"outside of a workflow"):
        act()


def test_all_of_them_take_an_id() -> None:
    @workflow
    def body(n: int) -> Any:
        return [
            when(n > 1, then=plain, id="a"),
            gather(id="b"),
            sleep(1, id="c"),  # type: ignore[func-returns-value]
            wait_signal("x", id="d"),
            approval("y", id="e"),
        ]

    assert [each.id for each in body.definition.tasks] == ["a", "b", "c", "d", "e"]
    refused("id '1a' cannot be used", lambda n: gather(id="1a"))
