"""``raywf.continuation``: a task that hands over to another, chosen at run time."""

from __future__ import annotations

from typing import Any

import pytest

import raywf
import raywf.testing
from raywf import task, workflow
from raywf.core import events as ev
from raywf.core.execution import fold, outstanding
from raywf.definition.compile import compile_plan
from raywf.errors import WorkflowFailed

SEEN: list[str] = []


@pytest.fixture(autouse=True)
def _nothing_seen() -> None:
    SEEN.clear()


@task
def multiply(a: int, b: int) -> int:
    SEEN.append(raywf.current().execution_id)
    return a * b


@task
def less(number: int) -> int:
    return number - 1


@workflow
def factorial_step(number: int) -> int:
    return multiply(factorial(less(number)), number)


@task
def factorial(number: int) -> int:
    if number <= 1:
        return 1
    return raywf.continuation(factorial_step, number)  # type: ignore[no-any-return]


@task
async def think(question: str, turn: int = 1) -> str:
    SEEN.append(f"{raywf.current().execution_id} {raywf.current().idempotency_key}")
    if turn == 3:
        return f"{question} after {turn} turns"
    return raywf.continuation(think, question, turn=turn + 1)  # type: ignore[no-any-return]


@workflow
def agent(question: str) -> str:
    return think(question)


@workflow
def compute(number: int) -> int:
    return factorial(number)


def test_a_task_goes_on_as_another_task_and_its_result_is_that_one_s() -> None:
    assert raywf.testing.run(agent, "why") == "why after 3 turns"
    assert SEEN == ["test test/think", "test/think test/think/think", "test/think/think test/think/think/think"]


def test_a_task_goes_on_as_a_workflow_and_recursion_ends() -> None:
    assert raywf.testing.run(compute, 5) == 120


def test_the_items_of_a_fan_out_continue_each_for_itself() -> None:
    @workflow
    def several() -> list[int]:
        return factorial.map([1, 3, 4])

    assert raywf.testing.run(several) == [1, 6, 24]


def test_a_continuation_in_a_loop_belongs_to_its_pass() -> None:
    @workflow
    def looped() -> int:
        return raywf.loop(lambda state: factorial(state), 3, until=lambda state: state > 6)

    assert raywf.testing.run(looped) == 720


def test_who_uses_the_result_waits_for_the_continuation() -> None:
    @workflow
    def used() -> int:
        return multiply(factorial(3), 2)

    assert raywf.testing.run(used) == 12


def test_a_continuation_that_fails_fails_the_task() -> None:
    @task
    def broken() -> int:
        raise ValueError("no")

    @task
    def first() -> int:
        return raywf.continuation(broken)  # type: ignore[no-any-return]

    @workflow
    def fails() -> int:
        return first()

    with pytest.raises(WorkflowFailed, match="'first' of execution 'test' failed: ValueError: no"):
        raywf.testing.run(fails)


def test_recursion_without_an_end_is_bounded() -> None:
    @task
    def again(number: int) -> int:
        return raywf.continuation(again, number + 1)  # type: ignore[no-any-return]

    @workflow
    def endless() -> int:
        return again(0)

    with pytest.raises(WorkflowFailed, match="the depth limit is 100"):
        raywf.testing.run(endless)


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda: raywf.continuation(len, "x"), "takes a task or a workflow, uncalled, .* not the function 'len'"),
        (lambda: raywf.continuation(factorial, 1, 2), "too many positional arguments"),
        (lambda: raywf.continuation(factorial, nmber=1), "Did you mean 'number'"),
        (lambda: raywf.continuation(factorial_step, "many"), "number"),
        (lambda: [raywf.continuation(factorial, 1)], "Continuation"),
    ],
)
def test_a_wrong_continuation_fails_the_task_with_what_is_wrong(made: Any, message: str) -> None:
    @task
    def wrong() -> Any:
        return made()

    @workflow
    def fails() -> Any:
        return wrong()

    with pytest.raises(WorkflowFailed, match=message):
        raywf.testing.run(fails)


def test_recovery_finds_the_continuation_in_the_history() -> None:
    plan = compile_plan(compute.definition)
    grown = ev.TaskContinued("factorial", 1, "d" * 64, b'{"number":3}')
    state = fold(plan, [ev.ExecutionStarted(b'{"number":3}'), grown])
    assert state.tasks[0].grown == grown
    assert [type(each).__name__ for each in outstanding(state)] == ["StartChild"]
    ended = fold(plan, [ev.ExecutionStarted(b'{"number":3}'), grown, ev.TaskCompleted("factorial", 1, b"6")])
    assert ended.tasks[0].grown is None
