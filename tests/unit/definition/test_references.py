"""What a reference can do, and that everything else says which task and which line."""

from __future__ import annotations

import copy
import inspect
import math
import pickle
import re
from collections.abc import Callable
from typing import Any

import pytest

from raywf import DefinitionError, gather, task, when, workflow
from raywf.core.bindings import COMPARISONS, INPUT, Compare, Const, Logic, Mapping, Ref, Sequence
from raywf.core.plan import Node


@task
def make(n: Any = 1) -> Any:
    return n


@task
def use(*args: Any, **kwargs: Any) -> Any:
    return args


def node_of(body: Callable[..., Any]) -> Node:
    """The last task of a body of one parameter."""
    body.__name__ = "body"
    return workflow(body).plan.nodes[-1]


def traced(act: Callable[[Any], Any]) -> None:
    """Do something with the result of ``make`` in a body."""

    @workflow
    def body() -> Any:
        act(make())

    _ = body.definition


def test_items_and_attributes_are_followed() -> None:
    def body(ticket: Any) -> Any:
        made = make()
        return use(made["a"].b[0][-1], ticket.title, ticket["title"], made["after"], made.append)

    assert node_of(body).args == (
        Ref(0, ("a", "b", 0, -1)),
        Ref(INPUT, ("ticket", "title")),
        Ref(INPUT, ("ticket", "title")),
        Ref(0, ("after",)),
        Ref(0, ("append",)),
    )


def test_references_are_found_in_lists_tuples_and_dicts_at_any_depth() -> None:
    def body(n: Any) -> Any:
        made = make()
        return use([1, (made, {"k": [n]})], {"plain": (1, 2)}, {1: made}, {"$ref": made})

    first, second, third, fourth = node_of(body).args
    assert first == Sequence(
        (
            Const(b"1"),
            Sequence((Ref(0), Mapping(((b'"k"', Sequence((Ref(INPUT, ("n",)),))),))), is_tuple=True),
        )
    )
    assert second == Const(b'{"plain":{"$t":"tuple","v":[1,2]}}')
    assert third == Mapping(((b"1", Ref(0)),))
    assert fourth == Mapping(((b'"$ref"', Ref(0)),))


@pytest.mark.parametrize("op", ["<", "<=", ">", ">=", "==", "!="])
def test_comparisons_are_recorded(op: str) -> None:
    def body(n: Any) -> Any:
        compare = COMPARISONS[op]
        made = make()
        return use(compare(made["score"], 0.5), compare(made, n))

    assert node_of(body).args == (
        Compare(op, Ref(0, ("score",)), Const(b"0.5")),
        Compare(op, Ref(0), Ref(INPUT, ("n",))),
    )


def test_a_constant_may_stand_on_the_left() -> None:
    node = node_of(lambda n: use(3 < n))  # noqa: SIM300
    assert node.args == (Compare(">", Ref(INPUT, ("n",)), Const(b"3")),)


def test_conditions_are_combined() -> None:
    def body(n: Any) -> Any:
        return use((n > 1) & (n < 3) | ~n)

    n = Ref(INPUT, ("n",))
    both = Logic("and", (Compare(">", n, Const(b"1")), Compare("<", n, Const(b"3"))))
    assert node_of(body).args == (Logic("or", (both, Logic("not", (n,)))),)


class Opaque:
    pass


MISUSES: list[tuple[str, Callable[[Any], Any]]] = [
    ("truth value", lambda r: 1 if r else 2),
    ("truth value", lambda r: r and 1),
    ("truth value", lambda r: r or 1),
    ("truth value", lambda r: not r),
    ("truth value", lambda r: 0 < r < 1),
    ("truth value", lambda r: r in [1, 2]),
    ("truth value", lambda r: bool(r == 1)),
    ("truth value", lambda r: [x for x in [1] if r > x]),
    ("searched with 'in'", lambda r: 1 in r),
    ("iterated or unpacked", lambda r: list(r)),
    ("iterated or unpacked", lambda r: [x + 1 for x in r]),
    ("iterated or unpacked", lambda r: use(*r)),
    ("called", lambda r: use(**r)),
    ("called", lambda r: r()),
    ("called", lambda r: r.upper()),
    ("length", lambda r: len(r)),
    ("reversed", lambda r: reversed(r)),
    ("arithmetic", lambda r: r + 1),
    ("arithmetic", lambda r: 1 + r),
    ("arithmetic", lambda r: "a" + r),
    ("arithmetic", lambda r: [1] + r),  # noqa: RUF005
    ("arithmetic", lambda r: r * 2),
    ("arithmetic", lambda r: 2**r),
    ("arithmetic", lambda r: r // 2),
    ("arithmetic", lambda r: r % 2),
    ("arithmetic", lambda r: sum([r])),
    ("neg", lambda r: -r),
    ("abs", lambda r: abs(r)),
    ("int", lambda r: int(r)),
    ("float", lambda r: float(r)),
    ("index", lambda r: [1, 2][r]),
    ("round", lambda r: round(r)),
    ("floor", lambda r: math.floor(r)),
    ("key of a dict or in a set", lambda r: {r: 1}),
    ("key of a dict or in a set", lambda r: {r}),
    ("indexed with slice", lambda r: r[1:2]),
    ("indexed with task 'make'", lambda r: r[r]),
    ("indexed with True", lambda r: r[True]),
    ("item assignment", lambda r: r.__setitem__("a", 1)),
    ("attribute assignment", lambda r: setattr(r, "a", 1)),
    ("'del'", lambda r: delattr(r, "a")),
    ("begin with '_'", lambda r: r._private),
    ("'with'", lambda r: r.__enter__()),
    ("awaited", lambda r: r.__await__()),
    ("pickled", lambda r: pickle.dumps(r)),
    ("true or false", lambda r: (r > 1)["a"]),
    ("no attribute 'a'", lambda r: (r > 1).a),
    ("not a condition", lambda r: (r > 1) & True),
    ("not a condition", lambda r: False | (r > 1)),
    ("not a condition", lambda r: r & 1),
    (r"given by keyword|goes over lists", lambda r: use.map(5)),
]


@pytest.mark.parametrize(("said", "act"), MISUSES, ids=[str(at) for at in range(len(MISUSES))])
def test_everything_else_is_refused_with_task_and_line(said: str, act: Callable[[Any], Any]) -> None:
    with pytest.raises(DefinitionError) as caught:
        traced(act)
    assert re.search(said, str(caught.value)), caught.value
    line = inspect.getsourcelines(act)[1]
    assert re.search(rf"test_references\.py:{line}\b", str(caught.value)), caught.value
    assert "make" in str(caught.value) or "use" in str(caught.value)
    assert not isinstance(caught.value, ValueError)


def test_the_error_can_be_pickled() -> None:
    with pytest.raises(DefinitionError) as caught:
        traced(lambda r: r._private)
    again = pickle.loads(pickle.dumps(caught.value))
    assert (type(again), str(again)) == (type(caught.value), str(caught.value))
    assert isinstance(again, AttributeError)


def test_a_parameter_is_called_a_parameter() -> None:
    @workflow
    def body(question: str) -> Any:
        return make() if question else None

    with pytest.raises(DefinitionError, match=r"parameter 'question' was used as a truth value"):
        _ = body.definition


def test_python_may_ask_for_what_it_likes() -> None:
    """What the interpreter and tools look for must not blow up: hasattr, copies, isinstance."""
    seen = []

    @workflow
    def body() -> Any:
        made = make()
        seen.append((hasattr(made, "__fspath__x"), isinstance(made, int), callable(made)))
        return use(copy.copy(made), copy.deepcopy([made]))

    assert body.plan.nodes[-1].args == (Ref(0), Sequence((Ref(0),)))
    assert seen[0][:2] == (False, False)


def test_a_foreign_reference_names_both_workflows() -> None:
    kept: list[Any] = []

    @workflow
    def other(n: Any) -> Any:
        kept.append(make(n))
        return kept[0]

    @workflow
    def body() -> Any:
        return use(kept[-1])

    with pytest.raises(DefinitionError, match="foreign reference: it belongs to another run of the body of 'other'"):
        _ = other.definition
    with pytest.raises(DefinitionError, match=r"argument 'args' of task 'use' in workflow 'body'.*foreign.*'other'"):
        _ = body.definition

    @workflow
    def within() -> Any:
        return use(f"{kept[-1]}")

    with pytest.raises(DefinitionError, match="holds a reference from another workflow"):
        _ = within.definition


def test_a_condition_of_another_workflow_is_foreign_too() -> None:
    kept: list[Any] = []

    @workflow
    def other(n: int) -> Any:
        kept.append(n > 1)
        return make(n)

    @workflow
    def body() -> Any:
        return when(kept[0], then=lambda: make())

    _ = other.definition
    with pytest.raises(DefinitionError, match="foreign reference"):
        _ = body.definition


def test_a_reference_inside_an_object_is_refused() -> None:
    def act(reference: Any) -> Any:
        opaque = Opaque()
        opaque.inside = reference  # type: ignore[attr-defined]
        return use(opaque)

    with pytest.raises(DefinitionError, match="inside a Opaque: references are found in lists, tuples and dicts only"):
        traced(act)


def test_what_cannot_be_stored_is_refused_with_the_name_of_the_argument() -> None:
    with pytest.raises(DefinitionError, match=r"argument 'n' of task 'make'.*object.*cannot be stored"):
        traced(lambda r: make(object()))
    with pytest.raises(DefinitionError, match=r"argument 'k' of task 'use'.*Opaque"):
        traced(lambda r: use(k=Opaque()))


def test_a_plain_function_as_an_argument_is_named() -> None:
    def plain_one() -> None: ...

    with pytest.raises(DefinitionError, match=r"plain_one is a function.*make it a @task"):
        traced(lambda r: use(plain_one))


def test_a_list_that_contains_itself_is_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(DefinitionError, match="contains itself"):
        traced(lambda r: use(endless))
    with pytest.raises(DefinitionError, match="contains itself"):
        traced(lambda r: use([r, endless]))


def test_after_gives_order_without_data() -> None:
    @workflow
    def body() -> Any:
        first = make(1)
        second = make(2).after(first)
        third = use(1).after(first, second)
        return gather(second, third)

    assert [node.needs for node in body.plan.nodes] == [(), (0,), (0, 1), (1, 2)]
    assert body.definition.tasks[2].after == ["make", "make-2"]


def test_after_can_be_said_in_the_options() -> None:
    @workflow
    def body() -> Any:
        first = make(1)
        return make.with_options(after=first, id="second").map([1, 2])

    assert body.definition.tasks[1].after == ["make"]


def plain() -> None: ...


@pytest.mark.parametrize(
    ("said", "act"),
    [
        (r"\.after\(\) a function 'plain'", lambda r: r.after(plain)),
        ("takes what calling a task gives", lambda r: r.after(5)),
        (r"\.after\(\) a function 'make'", lambda r: r.after(make)),
    ],
)
def test_after_takes_tasks_that_were_called(said: str, act: Callable[[Any], Any]) -> None:
    with pytest.raises(DefinitionError, match=said):
        traced(act)


def test_a_parameter_has_no_after() -> None:
    @workflow
    def body(n: int) -> Any:
        return make(n).after(n)

    with pytest.raises(DefinitionError, match=r"make.*\.after\(\) parameter 'n'"):
        _ = body.definition


def test_a_cycle_of_afters_prints_the_path() -> None:
    @workflow
    def body() -> Any:
        a = make.with_options(id="a")()
        b = make.with_options(id="b")(a)
        c = make.with_options(id="c")(b)
        a.after(c)
        return c

    with pytest.raises(DefinitionError, match=r"test_references.py:\d+: .*cycle: a → b → c → a"):
        _ = body.definition
