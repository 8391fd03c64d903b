"""Fallbacks: another function of the same arguments takes a task's place when its attempts are used up."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import raywf
import raywf.testing
from raywf import DefinitionError, WorkflowFailed, task, workflow

called: list[str] = []


@pytest.fixture(autouse=True)
def _fresh() -> None:
    called.clear()


def cached(question: str, size: int = 1) -> str:
    called.append(f"cached {raywf.current().attempt}")
    return f"cached {question}" * size


@task(retry=raywf.Retry(max_attempts=3), fallback=cached)
def ask(question: str, size: int = 1) -> str:
    called.append(f"ask {raywf.current().attempt}")
    if question in ("bad", "worse"):
        raise ValueError(question) if question == "bad" else KeyError(question)
    return question.upper()


@workflow
def asked(question: str) -> str:
    return ask(question, size=2)


@workflow
def asked_all(questions: list[str]) -> list[str]:
    return ask.map(questions)


def test_a_task_that_succeeds_needs_no_fallback() -> None:
    assert raywf.testing.run(asked, "good") == "GOOD"
    assert called == ["ask 1"]


def test_the_fallback_runs_with_the_same_arguments_when_the_attempts_are_used_up() -> None:
    assert raywf.testing.run(asked, "bad") == "cached badcached bad"
    assert called == ["ask 1", "ask 2", "ask 3", "cached 4"]


def test_each_item_of_a_fan_out_falls_back_by_itself() -> None:
    assert raywf.testing.run(asked_all, ["a", "bad", "b"]) == ["A", "cached bad", "B"]


def test_what_is_not_retried_falls_back_at_once() -> None:
    once = ask.with_options(retry=raywf.Retry(max_attempts=9, non_retryable=KeyError))

    @workflow
    def impatient() -> str:
        return once("worse")

    assert raywf.testing.run(impatient) == "cached worse"
    assert called == ["ask 1", "cached 2"]


def test_a_fallback_that_fails_fails_the_task_and_has_no_second_turn() -> None:
    @task(fallback=lambda question: 1 // 0)
    def fragile(question: str) -> Any:
        called.append("fragile")
        raise ValueError("no")

    @workflow
    def lost() -> Any:
        return fragile("x")

    with pytest.raises(WorkflowFailed) as raised:
        raywf.testing.run(lost)
    assert raised.value.failure.type == "ZeroDivisionError"
    assert called == ["fragile"]


def test_an_attempt_that_ran_too_long_falls_back_to_an_async_function() -> None:
    async def quick(seconds: float) -> str:
        return "quick"

    @task(timeout=1, fallback=quick)
    async def slow(seconds: float) -> str:
        await asyncio.sleep(seconds)
        return "slow"

    @workflow
    def timed(seconds: float) -> str:
        return slow(seconds)

    assert raywf.testing.run(timed, 5) == "quick"
    assert raywf.testing.run(timed, 0.1) == "slow"


def test_a_definition_that_is_data_has_its_fallback() -> None:
    options = asked.definition.tasks[0].options
    assert options["fallback"]["function"].endswith(":cached")
    again = raywf.WorkflowDefinition.from_json(asked.definition.to_json())
    assert again == asked.definition
    assert raywf.testing.run(again, "bad") == "cached badcached bad"


@pytest.mark.parametrize(
    ("fallback", "says"),
    [
        (3, "must be a function"),
        (asked, "must be a function"),
        ({"functoin": "a:b"}, "Did you mean 'function'"),
        ("no path", "not of the form"),
        (ask, "of its own"),
    ],
)
def test_what_cannot_stand_in_is_refused(fallback: Any, says: str) -> None:
    with pytest.raises(DefinitionError, match=says):
        task(fallback=fallback)(cached)


def test_a_fallback_that_does_not_take_the_arguments_is_refused_in_the_body() -> None:
    @workflow
    def wrong() -> Any:
        return ask.with_options(fallback=lambda: None)("x")

    with pytest.raises(DefinitionError, match="it gets the same arguments"):
        _ = wrong.definition


def test_at_most_once_has_no_second_try() -> None:
    with pytest.raises(DefinitionError, match="second try"):
        task(fallback=cached, effect="at_most_once")(cached)
