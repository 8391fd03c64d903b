"""Fallbacks on Ray: another function takes a task's place, in the actor and in a Ray task, also after three lost workers."""

from __future__ import annotations

import os

import pytest

import raywf
from raywf import task, workflow

pytestmark = pytest.mark.cluster


def instead(number: int) -> str:
    return f"instead of {number}, attempt {raywf.current().attempt}"


@task(fallback=instead, retry=raywf.Retry(max_attempts=2, initial=0.0))
async def here(number: int) -> str:
    raise ValueError("no")


@task(fallback=instead, num_cpus=0.5)
def there(number: int) -> str:
    raise ValueError("no")


@task(fallback=instead, num_cpus=0.5)
def deadly(number: int) -> str:
    os._exit(1)


@workflow
def both(number: int) -> list[str]:
    return [here(number), there(number)]


@workflow
def dies(number: int) -> str:
    return deadly(number)


def test_a_fallback_in_the_actor_and_in_a_ray_task(engine: raywf.WorkflowEngine) -> None:
    assert engine.run(both, 7) == ["instead of 7, attempt 3", "instead of 7, attempt 2"]


@pytest.mark.long
@pytest.mark.kill
def test_a_task_whose_worker_died_three_times_falls_back(engine: raywf.WorkflowEngine) -> None:
    handle = engine.submit(dies, 7)
    assert handle.result(timeout=60).startswith("instead of 7")
    kinds = [event.kind for event in handle.history() if event.kind.startswith("attempt_")]
    assert kinds.count("attempt_failed") == 1
