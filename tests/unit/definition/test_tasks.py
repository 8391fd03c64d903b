"""@task: a function that can be a task, and stays the plain function everywhere else."""

from __future__ import annotations

import asyncio
import functools
import pickle
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

import raywf
from raywf import DefinitionError, Retry, task, workflow
from raywf.core.plan import TaskOptions
from raywf.core.retry import RetryPolicy


@task
def double(n: int) -> int:
    """Twice as much."""
    return 2 * n


@task
async def later(n: int) -> int:
    return n + 1


class Box:
    def __init__(self, size: int) -> None:
        self.size = size

    @task
    def times(self, n: int) -> int:
        return self.size * n

    @staticmethod
    @task
    def half(n: int) -> float:
        return n / 2


def options_of(made: Any) -> TaskOptions:
    """The options that a task has in a plan."""

    @workflow
    def body(n: int) -> Any:
        return made(n)

    return body.plan.nodes[0].options


def test_outside_of_a_body_a_task_is_the_plain_function() -> None:
    assert double(4) == 8
    assert asyncio.run(later(4)) == 5
    assert double.__name__ == "double"
    assert double.__doc__ == "Twice as much."
    assert double.with_options(timeout=3)(4) == 8


def test_a_method_and_a_static_method_can_be_tasks() -> None:
    assert Box(3).times(2) == 6
    assert Box.half(3) == 1.5


def test_a_task_pickles_by_name() -> None:
    assert pickle.loads(pickle.dumps(double)) is double


def test_without_options_there_is_one_attempt_in_the_actor() -> None:
    assert options_of(double) == TaskOptions()
    assert options_of(double).retry.max_attempts == 1


def test_options_reach_the_plan() -> None:
    retry = Retry(max_attempts=4, initial=0.5, backoff=3, max_delay=20, non_retryable=(ValueError, Box.Refused))
    made = task(retry=retry, timeout=timedelta(minutes=1), runs_on="ray", num_cpus=1, num_gpus=0.5,
                memory=10**9, resources={"disk": 2}, effect="at_least_once")(double.function)  # fmt: skip
    assert options_of(made) == TaskOptions(
        retry=RetryPolicy(4, 0.5, 3.0, 20.0, ("ValueError", f"{__name__}.Box.Refused")),
        timeout=60.0,
        runs_on="ray",
        num_cpus=1.0,
        num_gpus=0.5,
        memory=10**9,
        resources=(("disk", 2.0),),
    )


class Refused(Exception):
    pass


Box.Refused = Refused  # type: ignore[attr-defined]
Refused.__qualname__ = "Box.Refused"


@pytest.mark.parametrize("resource", [{"num_cpus": 1}, {"num_gpus": 0}, {"memory": 1}, {"resources": {"a": 1}}])
def test_any_resource_option_implies_ray(resource: dict[str, Any]) -> None:
    assert options_of(task(**resource)(double.function)).runs_on == "ray"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"timeout": -1}, r"timeout \(seconds\) is -1.* above 0"),
        ({"timeout": 0}, "above 0"),
        ({"timeout": True}, "True"),
        ({"timeout": float("nan")}, "nan"),
        ({"timeout": "5"}, "'5'"),
        ({"runs_on": "acto"}, "Did you mean 'actor'"),
        ({"runs_on": "actor", "num_cpus": 1}, "num_cpus is a resource of a Ray task"),
        ({"num_cpus": -1}, "num_cpus is -1"),
        ({"memory": 0}, r"memory \(bytes\)"),
        ({"resources": ["gpu"]}, "must be a dict"),
        ({"resources": {"gpu": 0}}, r"resources\['gpu'\] is 0"),
        ({"effect": "at_most_onc"}, "Did you mean 'at_most_once'"),
        ({"in_doubt": "retry"}, "only concerns effect='at_most_once'"),
        ({"effect": "at_most_once", "in_doubt": "retri"}, "Did you mean 'retry'"),
        ({"compensate": 3}, "it must be a function or a @task that takes the task's result"),
        ({"compensate": lambda: None}, "compensate: it is called with the result of the task, so"),
        ({"compensate": task(compensate=print)(double.function)}, "a compensation is not itself taken back"),
        ({"compensate": {"functio": "a:b"}}, "Did you mean 'function'"),
        ({"compensate": "no function"}, "not of the form 'package.module:function'"),
        ({"retry": 3}, r"write retry=raywf.Retry\(max_attempts=3\)"),
        ({"timeot": 3}, "no option 'timeot'. Did you mean 'timeout'"),
        ({"name": "no spaces"}, "cannot be called 'no spaces'"),
        ({"name": "a", "id": "b"}, "give one of them"),
    ],
)
def test_options_are_checked_when_they_are_given(options: dict[str, Any], said: str) -> None:
    with pytest.raises(DefinitionError, match=said):
        task(**options)(double.function)
    if "name" not in options:
        with pytest.raises(DefinitionError, match=said):
            double.with_options(**options)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"max_attempts": 0}, "max_attempts=0"),
        ({"max_attempts": True}, "max_attempts=True"),
        ({"max_attempts": 2.5}, "max_attempts=2.5"),
        ({"initial": -1}, "initial"),
        ({"backoff": 0.5}, "from 1"),
        ({"max_delay": float("inf")}, "max_delay"),
        ({"non_retryable": (3,)}, "3 is not an exception class"),
        ({"non_retryable": ("not a name",)}, "not the qualified name"),
    ],
)
def test_retry_refuses_what_makes_no_sense(given: dict[str, Any], said: str) -> None:
    with pytest.raises(DefinitionError, match=said):
        Retry(**given)


def test_retry_takes_one_exception_and_names() -> None:
    assert Retry(non_retryable=ValueError).policy().non_retryable == ("ValueError",)
    assert Retry(non_retryable=("app.errors.Bad", KeyError)).policy().non_retryable == ("app.errors.Bad", "KeyError")
    assert Retry(non_retryable=(raywf.NotFound,)).policy().non_retryable == ("raywf.errors.NotFound",)


def test_with_options_adds_to_the_options_and_leaves_the_task_alone() -> None:
    slow = task(timeout=9.0, retry=Retry(max_attempts=2))(double.function)
    quick = slow.with_options(timeout=1.0)
    assert (options_of(slow).timeout, options_of(quick).timeout) == (9.0, 1.0)
    assert options_of(quick).retry.max_attempts == 2


def test_a_task_can_be_called_differently_from_its_function() -> None:
    @workflow
    def body(n: int) -> Any:
        return [task(name="twice")(double.function)(n), task(id="thrice")(double.function)(n)]

    assert [each.id for each in body.definition.tasks] == ["twice", "thrice"]


def generate(n: int) -> Iterator[int]:
    yield n


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (lambda n: n, "cannot be called '<lambda>'"),
        (generate, "'generate' is a generator"),
        (Box, "takes a function"),
        (functools.partial(max, 1), "takes a function"),
        (double, "marked @task already"),
        (5, "Options are given by keyword"),
    ],
)
def test_only_functions_can_be_tasks(given: Any, said: str) -> None:
    with pytest.raises(DefinitionError, match=said):
        task(given)
