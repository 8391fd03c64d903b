"""Limits are checked where they are given: the place, what is wrong, and what was probably meant."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

import raywf
from raywf import task, workflow
from raywf.core.admission import Rule
from raywf.core.plan import LimitUse
from raywf.definition.model import WorkflowDefinition


@task(limits=raywf.Limit("api", rate=raywf.Rate(100, per=timedelta(minutes=1)), key="input.tenant", units=2))
def call(x: str) -> str:
    return x


@workflow(limits=[raywf.Limit("whole", concurrency=3)])
def calls(tenant: str):  # type: ignore[no-untyped-def]
    return call(tenant)


def test_limits_are_data_and_come_back() -> None:
    plan = calls.plan
    assert plan.limits == (LimitUse("whole", Rule(concurrency=3)),)
    assert plan.nodes[0].options.limits == (LimitUse("api", Rule(count=100.0, per=60.0), "input.tenant", 2.0),)
    again = WorkflowDefinition.from_yaml(calls.definition.to_yaml())
    assert again == calls.definition
    assert again.configuration == {"limits": [{"name": "whole", "concurrency": 3}]}


def test_a_workflow_without_limits_has_the_definition_it_had() -> None:
    @workflow
    def plain(tenant: str):  # type: ignore[no-untyped-def]
        return tenant

    assert "configuration" not in plain.definition.to_data()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"name": "api", "concurency": 3}, "no field 'concurency'. Did you mean 'concurrency'"),
        ({"name": "api"}, "limits nothing"),
        ({"name": "a b", "concurrency": 1}, "named 'a b'"),
        ({"name": "api", "concurrency": 0}, "concurrency is 0: it must be a whole number from 1"),
        ({"name": "api", "concurrency": True}, "concurrency is True"),
        ({"name": "api", "concurrency": 1, "key": "inputs.tenant"}, "Did you mean 'input'"),
        ({"name": "api", "concurrency": 1, "key": "input"}, "a path like 'input.tenant'"),
        ({"name": "api", "concurrency": 1, "units": 2}, "units=2 is more than the 1 there are"),
        ({"name": "api", "concurrency": 1, "units": -1}, "units is -1: it must be a number above 0"),
        ({"name": "api", "rate": {"count": 1, "pre": 2}}, "rate has no field 'pre'. Did you mean 'per'"),
        ({"name": "api", "rate": {"per": 2}}, "rate is missing its count"),
        ({"name": "api", "rate": 7}, "rate is 7: write rate=raywf.Rate"),
        (7, "limit is 7: write raywf.Limit"),
    ],
)
def test_what_is_wrong_is_named(given: Any, message: str) -> None:
    with pytest.raises(raywf.DefinitionError) as caught:
        task(limits=given)(lambda_of := call.function)
    assert message in str(caught.value)
    assert "task 'call'" in str(caught.value)
    assert lambda_of is call.function


def test_a_path_into_the_input_must_begin_with_a_parameter() -> None:
    @workflow
    def wrong(tenat: str):  # type: ignore[no-untyped-def]
        return call(tenat)

    with pytest.raises(raywf.DefinitionError, match=r"no parameter 'tenant'\. Did you mean 'tenat'"):
        _ = wrong.definition


def test_a_place_in_yaml_is_named() -> None:
    text = calls.definition.to_yaml().replace("concurrency: 3", "concurrency: three")
    with pytest.raises(raywf.DefinitionError, match=r"configuration\.limits: .*concurrency is 'three'"):
        WorkflowDefinition.from_yaml(text)


def test_one_limit_is_named_once() -> None:
    twice = [raywf.Limit("api", concurrency=1), raywf.Limit("api", concurrency=2)]
    with pytest.raises(raywf.DefinitionError, match="'api' is named twice"):
        workflow(limits=twice)(calls.function)


@pytest.mark.parametrize("given", [0, -1, float("nan"), "x", True])
def test_a_rate_is_above_zero(given: Any) -> None:
    with pytest.raises(raywf.DefinitionError, match="above 0"):
        raywf.Rate(given)
