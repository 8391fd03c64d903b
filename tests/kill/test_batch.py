"""A Ray task that takes its worker along, amid others that travelled in the same call."""

from __future__ import annotations

import pytest

from tests.kill.scene import Scene

pytestmark = [pytest.mark.kill, pytest.mark.cluster]
MANY = 300


@pytest.mark.parametrize(
    "fatal", ["exit", *(pytest.param(how, marks=pytest.mark.long) for how in ("segfault", "kill"))]
)
def test_a_task_that_ends_its_worker_costs_its_own_attempt(scene: Scene, fatal: str) -> None:
    """Neighbours that had ended count, and those that had not begun run as if nothing had happened."""
    driver = scene.driver()
    driver.ask("submit", workflow="batch", inputs=[[n, "none"] for n in range(0, 120, 4)])  # now it knows the pace
    driver.ask("results")
    inputs = [[n, fatal] for n in range(MANY)]
    driver.ask("submit", workflow="batch", inputs=inputs, batch=MANY)
    heard = driver.ask("results")
    assert set(heard.values()) >= set(range(MANY))
    found = scene.judged({"batch": lambda given: given[0]})
    guilty = sum(1 for n in range(MANY) if n % 50 == 25)
    assert found.rerun == found.lost == guilty, f"exactly the {guilty} guilty ran again: {found}"


def test_a_task_of_a_batch_that_raises_costs_its_own_attempt(scene: Scene) -> None:
    driver = scene.driver()
    driver.ask("submit", workflow="batch", inputs=[[n, "raise"] for n in range(MANY)], batch=MANY)
    heard = driver.ask("results")
    failed = [value for value in heard.values() if isinstance(value, str)]
    assert len(failed) == sum(1 for n in range(MANY) if n % 50 == 25)
    assert all("this one raises" in value for value in failed)
    found = scene.judged({"batch": lambda given: given[0]}, "batch")
    assert found.rerun == 0
