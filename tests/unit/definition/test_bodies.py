"""@workflow: what a body may be, that it is traced twice, ids, maps, children."""

from __future__ import annotations

import asyncio
import itertools
import pickle
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from raywf import DefinitionError, gather, task, when, workflow
from raywf.core.bindings import INPUT, Const, Ref, Sequence
from raywf.core.plan import NodeKind
from raywf.definition.functions import resolve_function
from raywf.definition.workflows import as_workflow
from tests.unit.definition.drive import drive


@task
def make(n: Any = 1) -> Any:
    return n


@task
def add(a: int, b: int = 0) -> int:
    return a + b


@workflow
def double(n: int) -> Any:
    """Adds a number to itself."""
    return add(n, n)


def refused(said: str, body: Callable[..., Any]) -> None:
    body.__name__ = "body"
    with pytest.raises(DefinitionError, match=said):
        _ = workflow(body).definition


# what a body may be


async def asynchronous(n: int) -> int:
    return n


def generator(n: int) -> Iterator[int]:
    yield n


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (asynchronous, r"test_bodies.py:\d+: the body of workflow 'asynchronous' is an async def"),
        (generator, "is a generator"),
        (lambda n: n, "is a lambda"),
        (make, "cannot be the body of a workflow"),
        (double, "cannot be the body of a workflow"),
        (5, "takes a function, not 5"),
        ("2", "takes a function"),
        (lambda *n: n, "lambda|needs a name"),
    ],
)
def test_a_body_is_a_plain_def(given: Any, said: str) -> None:
    with pytest.raises(DefinitionError, match=said):
        workflow(given)


def test_parameters_have_names_of_their_own() -> None:
    def many(*items: int) -> None: ...
    def open_ended(**options: int) -> None: ...
    def reserved(priority: int) -> None: ...

    with pytest.raises(DefinitionError, match=r"'\*items: .*' *each|\*items"):
        workflow(many)
    with pytest.raises(DefinitionError, match=r"\*\*options"):
        workflow(open_ended)
    with pytest.raises(DefinitionError, match="'priority', which is the name of an option of submit"):
        workflow(reserved)


def test_keyword_only_and_positional_only_parameters() -> None:
    @workflow
    def body(a: int, /, b: int, *, c: int = 3) -> Any:
        return [a, b, c]

    assert drive(body, 1, 2)[0] == [1, 2, 3]
    assert drive(body, 1, b=2, c=4)[0] == [1, 2, 4]


def test_id_name_version_and_description() -> None:
    assert (double.id, double.version, double.description) == ("double", "1", "Adds a number to itself.")
    definition = double.definition
    assert (definition.id, definition.name, definition.version) == ("double", "double", "1")
    assert definition.description == "Adds a number to itself."
    other = workflow(version=2, id="twice", name="Two times", description="d")(double.function)
    definition = other.definition
    assert (definition.id, definition.name, definition.version, definition.description) == (
        "twice",
        "Two times",
        "2",
        "d",
    )
    assert workflow(name="by-name")(double.function).id == "by-name"
    with pytest.raises(DefinitionError, match="id 'a b' cannot be used"):
        workflow(id="a b")(double.function)
    with pytest.raises(DefinitionError, match="version"):
        workflow(version=None)(double.function)  # type: ignore[call-overload]


def test_the_body_runs_at_first_use_and_never_at_import() -> None:
    runs = []

    @workflow
    def body(n: int) -> Any:
        runs.append(n)
        return make(n)

    assert runs == []
    _ = body.definition
    assert len(runs) == 2
    _ = body.definition, body.plan, body.functions
    assert len(runs) == 2


def test_calling_a_workflow_like_a_function_says_what_to_do() -> None:
    with pytest.raises(DefinitionError, match=r"test_bodies.py:\d+: workflow 'double' .*engine.run\(double"):
        double(3)


def test_an_error_of_the_users_own_comes_through() -> None:
    @workflow
    def body() -> Any:
        return {}["missing"]

    with pytest.raises(KeyError, match="missing"):
        _ = body.definition
    assert make(3) == 3, "tracing has ended"


def test_a_helper_may_compose_tasks_and_the_result_may_be_any_structure() -> None:
    def helper(items: list[int]) -> list[Any]:
        return [make(item) for item in items]

    @workflow
    def body(n: int) -> Any:
        one, two = helper([1, 2])
        return {"sum": add(one, two), "n": n, "fixed": (1, {2}), "text": f"{one}"}

    assert drive(body, 7)[0] == {"sum": 3, "n": 7, "fixed": (1, {2}), "text": "1"}


def test_a_body_may_return_a_parameter_a_constant_or_nothing() -> None:
    assert drive(named(lambda n: n), 5)[0] == 5
    assert drive(named(lambda n: (1, 2)), 5)[0] == (1, 2)
    assert drive(named(lambda n: None), 5)[0] is None


def named(body: Callable[..., Any]) -> Any:
    body.__name__ = "body"
    return workflow(body)


# twice


def test_a_clock_in_the_body_is_refused() -> None:
    refused(
        r"body of workflow 'body' gave two different graphs.*task 'make'\.args\[0\] was \d.*clock",
        lambda: make(time.perf_counter_ns()),
    )


def test_a_counter_that_changes_the_number_of_tasks_is_refused() -> None:
    counter = itertools.count(1)
    refused("tasks had 1 and then 2 items", lambda: [make(1) for _ in range(next(counter))])


def test_a_set_whose_order_changed_would_be_seen() -> None:
    flip = itertools.cycle([["a", "b"], ["b", "a"]])
    refused("task 'a'.id was 'a' and then 'b'", lambda: [make.with_options(id=id)() for id in next(flip)])


# ids


def test_ids_are_names_then_name_2_name_3() -> None:
    @workflow
    def body() -> Any:
        make(), make.with_options(id="own")(), make(), make.map([1])
        return gather(make(), id="make-6"), make()

    assert [each.id for each in body.definition.tasks] == [
        "make",
        "own",
        "make-2",
        "make-3",
        "make-4",
        "make-6",
        "make-5",
    ]


def test_an_id_that_is_taken_is_passed_over() -> None:
    @workflow
    def body() -> Any:
        return make.with_options(id="make")(), make()

    assert [each.id for each in body.definition.tasks] == ["make", "make-2"]


def test_a_duplicate_id_is_refused() -> None:
    refused(
        r"test_bodies.py:\d+: duplicate id 'own': the task of .*test_bodies.py:\d+ has it",
        lambda: [make.with_options(id="own")(), make.with_options(id="own")()],
    )
    refused("duplicate id 'make'", lambda: [make(), make.with_options(id="make")()])


@pytest.mark.parametrize("id", ["", "1a", "a b", "a.b", "a/b", "a[0]", "é", 5])
def test_ids_have_letters_digits_and_two_signs(id: Any) -> None:
    with pytest.raises(DefinitionError, match="cannot be used"):
        make.with_options(id=id)


def test_input_is_reserved() -> None:
    refused("'input' is reserved", lambda: make.with_options(id="input")())

    @task
    def input() -> None: ...

    refused("cannot have the id 'input'", lambda: input())


# arity


@pytest.mark.parametrize(
    ("act", "said"),
    [
        (lambda: add(), r"task 'add': missing a required argument: 'a'. It is defined as add\(a: .*int"),
        (lambda: add(1, 2, 3), "too many positional arguments"),
        (lambda: add(1, bb=3), "unexpected keyword argument 'bb'. Did you mean 'b'"),
        (lambda: add.map([1], [2], [3]), "too many positional"),
        (lambda: add.map(b=[2]), "at least one list"),
        (lambda: double(), "workflow 'double': missing a required argument: 'n'"),
        (lambda: double.map([1], [2]), "too many positional"),
    ],
)
def test_wrong_arity_is_refused(act: Callable[[], Any], said: str) -> None:
    refused(said, act)


# maps


def test_map_goes_in_step_and_keywords_go_whole() -> None:
    @workflow
    def body(xs: list[int]) -> Any:
        return [add.map(xs, b=10), add.map(xs, [100, 200]), make.map(add.map(xs)), add.map(range(2))]

    assert drive(body, [1, 2])[0] == [[11, 12], [101, 202], [1, 2], [0, 1]]
    assert body.plan.nodes[0].mapped
    assert body.plan.nodes[0].args == (Ref(INPUT, ("xs",)),)
    assert body.plan.nodes[0].kwargs == (("b", Const(b"10")),)
    assert drive(named(lambda xs: make.map(xs)), [])[0] == []


def test_a_parameter_may_have_any_name() -> None:
    @task
    def named_like_ours(items: Any, self: Any = 0, trace: Any = 0) -> Any:
        return [items, self, trace]

    @workflow
    def body(self: list[int]) -> Any:
        return named_like_ours.map(self, self=5, trace=6)

    assert drive(body, [1])[0] == [[1, 5, 6]]


def test_map_over_a_list_of_references() -> None:
    @workflow
    def body() -> Any:
        return make.map(
            [make(1), make(2)],
        )

    assert body.plan.nodes[-1].args == (Sequence((Ref(0), Ref(1))),)
    assert drive(body)[0] == [1, 2]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("abc", "'abc'"),
        (5, "not over 5"),
        ({"a": 1}, "goes over lists"),
        ({1, 2}, "has no order"),
        (range(100_001), "100,000"),
    ],
)
def test_map_refuses_what_is_no_list(given: Any, said: str) -> None:
    refused(said, lambda: make.map(given))


# children


def test_a_workflow_called_in_a_body_is_a_child() -> None:
    @workflow
    def body(n: int) -> Any:
        return [double(n), double.with_options(id="again")(double(n)), double.map([1, 2])]

    node = body.plan.nodes[0]
    assert (node.id, node.kind, node.child) == ("double", NodeKind.CHILD, double.definition.content_hash)
    assert [each.id for each in body.definition.tasks] == ["double", "double-2", "again", "double-3"]
    assert drive(body, 5)[0] == [10, 20, [2, 4]]
    assert set(body.functions.values()) == {add.function}
    assert list(body.definition.children()) == [double.definition.content_hash]


def test_a_child_has_no_options_of_a_task() -> None:
    with pytest.raises(DefinitionError, match="no option 'timeout' for a child"):
        double.with_options(timeout=3)


def test_a_workflow_that_calls_itself_is_refused_with_the_path() -> None:
    @workflow
    def ping(n: int) -> Any:
        return pong(n)

    @workflow
    def pong(n: int) -> Any:
        return ping(n)

    with pytest.raises(DefinitionError, match="workflow 'ping' calls itself: ping → pong → ping"):
        _ = ping.definition
    with pytest.raises(DefinitionError, match="pong → ping → pong"):
        _ = pong.definition


def test_a_hundred_levels_are_enough() -> None:
    def nested(level: int) -> Any:
        def body() -> Any:
            return nested(level - 1)() if level else make()

        body.__name__ = f"level{level}"
        return workflow(body)

    kept: dict[int, Any] = {}

    def once(level: int) -> Any:
        if level not in kept:

            def body() -> Any:
                return once(level - 1)() if level else make()

            body.__name__ = f"level{level}"
            kept[level] = workflow(body)
        return kept[level]

    with pytest.raises(DefinitionError, match="deeper than 100 levels"):
        _ = once(101).definition


# functions


def test_functions_of_modules_go_by_name() -> None:
    node = double.plan.nodes[0]
    assert node.function is not None
    assert (node.function.path, node.function.by_value) == (f"{__name__}:add", False)
    assert len(node.function.source_hash) == 64
    assert resolve_function(node.function) is add.function
    assert double.functions == {f"{__name__}:add": add.function}


def test_nested_functions_go_by_value() -> None:
    @task
    def inner(n: int) -> int:
        return n

    body = named(lambda: inner(1))
    node = body.plan.nodes[0]
    assert node.function.by_value
    assert body.functions[node.function.path] is inner.function


def test_functions_of_one_factory_are_told_apart() -> None:
    def factory(k: int) -> Any:
        @task
        def times(n: int) -> int:
            return k * n

        return times

    @workflow
    def body(n: int) -> Any:
        return [factory(2)(n), factory(3)(n)]

    first, second = (node.function for node in body.plan.nodes)
    assert first is not None
    assert second is not None
    assert first.path != second.path
    assert first.source_hash != second.source_hash
    assert drive(body, 5)[0] == [10, 15]
    assert as_workflow(body.definition).definition is body.definition


def test_a_child_may_know_another_function_of_the_same_name() -> None:
    def factory(k: int) -> Any:
        @task
        def times(n: int) -> int:
            return k * n

        return times

    two, three = factory(2), factory(3)

    @workflow
    def child(n: int) -> Any:
        return two(n)

    @workflow
    def body(n: int) -> Any:
        return [child(n), three(n)]

    assert {function(1) for function in body.functions_by_ref.values()} == {2, 3}


def test_a_nested_task_must_not_use_a_reference_of_the_body_around_it() -> None:
    @workflow
    def body(question: str) -> Any:
        @task
        def inner() -> str:
            return question

        return inner()

    with pytest.raises(DefinitionError, match=r"task 'inner' uses the variable 'question'.*pass it as an argument"):
        _ = body.definition


def test_workflows_pickle() -> None:
    assert pickle.loads(pickle.dumps(double)) is double
    loaded = as_workflow(double.definition)
    again = pickle.loads(pickle.dumps(loaded))
    assert again.definition.content_hash == double.definition.content_hash


def test_only_workflows_are_workflows() -> None:
    assert as_workflow(double) is double
    with pytest.raises(DefinitionError, match="the task 'make' is not a workflow"):
        as_workflow(make)
    with pytest.raises(DefinitionError, match="the function 'named' is not a workflow"):
        as_workflow(named)
    with pytest.raises(DefinitionError, match="5 is not a workflow"):
        as_workflow(5)


def test_a_body_may_be_traced_while_a_loop_runs() -> None:
    async def main() -> Any:
        return named(lambda: make(1)).definition.tasks[0].id

    assert asyncio.run(main()) == "make"


def test_when_in_a_child_is_the_childs_own() -> None:
    @workflow
    def child(n: int) -> Any:
        return when(n > 1, then=lambda: make(n), otherwise=lambda: 0)

    @workflow
    def body(n: int) -> Any:
        return when(n > 0, then=lambda: child(n), otherwise=lambda: -1)

    assert [drive(body, n)[0] for n in (5, 1, 0)] == [5, 0, -1]
