"""``cache=`` is checked where it is given, and stored as data."""

from __future__ import annotations

from datetime import timedelta
from math import inf
from typing import Any

import pytest

import raywf
from raywf import task, workflow
from raywf.core.caching import CachePolicy
from raywf.definition.compile import compile_plan
from raywf.definition.model import WorkflowDefinition


@task(cache=raywf.Cache(ttl=timedelta(minutes=1), version="2", ignore=("session",), scope="workflow"))
def search(question: str, session: str) -> str:
    return question


@workflow
def searches(question: str):  # type: ignore[no-untyped-def]
    return (
        search(question, "s"),
        search.with_options(cache=True)(question, "s"),
        search.with_options(cache=False)("q", "s"),
    )


def test_a_cache_is_data_and_comes_back() -> None:
    options = [node.options for node in searches.plan.nodes]
    assert options[0].cache == CachePolicy(60.0, "2", ("session",), "workflow")
    assert options[1].cache == CachePolicy(inf, None, (), "namespace")
    assert options[2].cache is None
    assert [each.asks for each in options] == [True, True, False]
    again = WorkflowDefinition.from_yaml(searches.definition.to_yaml())
    assert again == searches.definition
    assert again.tasks[0].options["cache"] == {"ttl": 60.0, "version": "2", "ignore": ["session"], "scope": "workflow"}
    assert "options" not in again.tasks[2].model_fields_set or "cache" not in again.tasks[2].options


def test_yaml_may_say_true() -> None:
    text = '{id: w, tasks: [{id: a, function: "app:f", options: {cache: true}}], result: {$ref: a}}'
    for said, policy in (("true", CachePolicy()), ("false", None), ("{ttl: 60}", CachePolicy(60.0))):
        plan = compile_plan(WorkflowDefinition.from_yaml(text.replace("true", said)))
        assert plan.nodes[0].options.cache == policy


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cache": 60}, r"cache is 60: write cache=True, or cache=raywf.Cache\(ttl=3600\)"),
        ({"cache": {"tll": 60}}, "cache has no field 'tll'. Did you mean 'ttl'"),
        ({"cache": {"ttl": 0}}, "ttl is 0: it must be a number of seconds above 0"),
        ({"cache": {"ttl": inf}}, "ttl is inf"),
        ({"cache": {"ttl": True}}, "ttl is True"),
        ({"cache": {"version": 2}}, "version is 2: it is a text"),
        ({"cache": {"ignore": [1]}}, "it names parameters"),
        ({"cache": {"scope": "workfow"}}, "Did you mean 'workflow'"),
        ({"cache": True, "effect": "at_most_once"}, "running it does something in the world: leave one of them out"),
        ({"cache": True, "compensate": print}, "would take back what another execution has done"),
    ],
)
def test_what_makes_no_sense_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(raywf.DefinitionError, match=message):
        task(**options)(search.function)


def test_a_cache_that_is_made_wrong_says_so_where_it_is_made() -> None:
    with pytest.raises(raywf.DefinitionError, match="Cache: ttl is -1"):
        raywf.Cache(ttl=-1)


def test_an_ignored_name_that_is_no_parameter_is_refused_where_the_task_is_called() -> None:
    @workflow
    def wrong(question: str):  # type: ignore[no-untyped-def]
        return search.with_options(cache=raywf.Cache(ignore="sesion"))(question, "s")

    with pytest.raises(
        raywf.DefinitionError, match=r"ignore names 'sesion', and there is no such parameter. Did you mean 'session'"
    ):
        _ = wrong.definition
