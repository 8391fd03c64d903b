"""``@raywf.template``: parameters that are fixed before the graph is built make workflows of one body."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

import raywf
import raywf.testing
from raywf import DefinitionError, Task, task, template, workflow


@task
def add(number: int, by: int = 1) -> int:
    return number + by


@task
def double(number: int) -> int:
    return 2 * number


@template
def climb(number: int, *, steps: int, by: int = 1, with_: Task[..., Any] = add) -> Any:
    """Climbs."""
    for _ in range(steps):
        number = with_(number, by=by) if with_ is add else with_(number)
    return number


def test_parameters_are_plain_values_in_the_body() -> None:
    two, three = climb(steps=2), climb(steps=3, by=10)
    assert [each.id for each in two.definition.tasks] == ["add", "add-2"]
    assert raywf.testing.run(two, 5) == 7
    assert raywf.testing.run(three, number=5) == 35
    assert raywf.testing.run(climb(steps=2, with_=double), 3) == 12


def test_inputs_are_those_before_the_star() -> None:
    assert list(climb(steps=1).definition.parameters) == ["number"]
    with pytest.raises(raywf.InvalidInput, match="number"):
        raywf.testing.run(climb(steps=1), "five")


def test_ids_tell_one_set_of_parameters_from_another() -> None:
    assert climb(steps=2).id == climb(steps=2).id
    assert len({climb(steps=2).id, climb(steps=3).id, climb(steps=2, by=2).id, climb(steps=2, with_=double).id}) == 4
    named = climb(steps=2, id="climb-two", version="7")
    assert (named.id, named.definition.version, named.definition.description) == ("climb-two", "7", "Climbs.")


def test_what_a_template_made_is_a_child_like_any_other() -> None:
    @workflow
    def twice(number: int) -> Any:
        step = climb(steps=1)
        return step(step(number))

    assert raywf.testing.run(twice, 1) == 3


def test_values_are_fitted_to_their_annotations() -> None:
    assert raywf.testing.run(climb(steps="2"), 1) == 3


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: climb(step=2), "Did you mean 'steps'"),
        (lambda: climb(), "parameter 'steps' is missing"),
        (lambda: climb(steps="many"), "parameter 'steps': Input should be a valid integer"),
        (lambda: climb(steps=1, number=3), "is an input of the workflow"),
        (lambda: template(3), "takes a plain def"),  # type: ignore[arg-type]
        (lambda: template(lambda number: number), "has no parameters of its own"),
    ],
)
def test_wrong_parameters_are_refused_with_the_line(make: Callable[[], Any], says: str) -> None:
    with pytest.raises(DefinitionError, match=rf"test_templates_of_workflows.py:\d+.*{re.escape(says)}"):
        make()


def test_a_parameter_that_is_known_only_at_run_time_is_refused() -> None:
    @workflow
    def wrong(number: int) -> Any:
        return climb(steps=number)(1)

    with pytest.raises(DefinitionError, match="there only when the workflow runs"):
        _ = wrong.definition


def test_a_flaw_in_the_body_is_told_with_the_line_of_the_body() -> None:
    @template
    def broken(number: int, *, steps: int) -> Any:
        return steps if number else 0

    with pytest.raises(DefinitionError, match=r"test_templates_of_workflows.py:\d+"):
        _ = broken(steps=1).definition


def test_names_of_the_workflow_are_no_parameters() -> None:
    def named(number: int, *, version: str) -> Any:
        return add(number)

    with pytest.raises(DefinitionError, match="rename it"):
        template(named)
