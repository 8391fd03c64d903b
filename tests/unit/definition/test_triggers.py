"""Triggers are part of a definition, and refused where they are written."""

from __future__ import annotations

from typing import Any

import pytest

import raywf
from raywf import DefinitionError, WorkflowDefinition, task, workflow


@task
def step(name: str) -> str:
    return name


def test_triggers_are_data_and_come_back_from_yaml() -> None:
    @workflow(triggers=[raywf.on_cron("0 7 * * *", timezone="Europe/Berlin", args={"name": "ann"})])
    def morning(name: str) -> str:
        return step(name)

    assert morning.definition.triggers == [
        {"type": "cron", "cron": "0 7 * * *", "timezone": "Europe/Berlin", "args": {"name": "ann"}}
    ]
    again = WorkflowDefinition.from_yaml(morning.definition.to_yaml())
    assert again == morning.definition


def test_without_triggers_a_definition_is_what_it_was() -> None:
    @workflow
    def plain(name: str) -> str:
        return step(name)

    assert "triggers" not in plain.definition.to_data()


@pytest.mark.parametrize(
    ("triggers", "said"),
    [
        ("0 7 * * *", "it is a list, as in"),
        ([{"type": "cronn", "cron": "0 7 * * *"}], "Did you mean 'cron'?"),
        ([{"type": "cron", "cron": "0 7 * * *", "timezoen": "UTC"}], "Did you mean 'timezone'?"),
        ([{"type": "cron", "cron": "0 7 * * 8"}], "day of week '8' (column 9)"),
        ([{"type": "cron"}], "neither cron nor every"),
    ],
)
def test_a_wrong_trigger_is_refused(triggers: Any, said: str) -> None:
    with pytest.raises(DefinitionError) as refused:
        workflow(triggers=triggers)(lambda_body)
    assert said in str(refused.value)
    if isinstance(triggers, list):
        with pytest.raises(DefinitionError):
            WorkflowDefinition.model_validate({"id": "x", "triggers": triggers})


def lambda_body() -> str:
    return step("x")


def test_on_cron_names_the_place_in_the_line() -> None:
    with pytest.raises(DefinitionError, match=r"raywf\.on_cron: cron '0 25 \* \* \*': hour '25' \(column 3\)"):
        raywf.on_cron("0 25 * * *")
