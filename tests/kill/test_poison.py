"""Tasks in the workflow actor that end its process, or block its loop: they fail, and nobody else does."""

from __future__ import annotations

import pytest

from tests.kill.programs.killwork import RESULTS
from tests.kill.scene import Scene

pytestmark = [pytest.mark.kill, pytest.mark.cluster]
NEIGHBOURS = 200


@pytest.mark.parametrize(
    ("workflow", "how"),
    [
        ("poisoned", "exit"),
        pytest.param("poisoned", "segfault", marks=pytest.mark.long),
        pytest.param("poisoned_thread", "exit", marks=pytest.mark.long),
        pytest.param("poisoned_thread", "segfault", marks=pytest.mark.long),
        pytest.param("poisoned", "block", marks=pytest.mark.long),
    ],
)
def test_poison_fails_alone(scene: Scene, workflow: str, how: str) -> None:
    """After three losses it is ``WorkerLost``; its neighbours complete."""
    driver = scene.driver()
    inputs = list(range(NEIGHBOURS))
    driver.ask("submit", workflow="inside", inputs=inputs[: NEIGHBOURS // 2])
    driver.ask("submit", workflow=workflow, inputs=[how])
    driver.ask("submit", workflow="inside", inputs=inputs[NEIGHBOURS // 2 :])
    heard = driver.ask("results")
    failed = [value for value in heard.values() if not isinstance(value, int)]
    assert len(failed) == 1 and "WorkerLost" in failed[0], failed
    found = scene.judged(RESULTS, workflow)
    poison = [entry for entry in found.starts if entry.task.startswith("poison")]
    assert len(poison) == 3, "it began three times and not once more"
