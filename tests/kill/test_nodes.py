"""A whole node of two dies at once, raylet, workflow actor and workers, with either kind of store; and then others join."""

from __future__ import annotations

import random
import time

import pytest

from tests.kill.machine import Head, until
from tests.kill.programs.killwork import RESULTS
from tests.kill.scene import Driver, Scene, on_both

pytestmark = [pytest.mark.kill, pytest.mark.cluster, pytest.mark.long, pytest.mark.timeout(400)]
MANY = 500
EXPECTED = sorted(RESULTS["mixed"](n) for n in range(MANY))
HALF = 128


def shards(driver: Driver) -> list[int]:
    """How many shards each node holds, the head first."""
    return [node["shards"] for node in driver.ask("nodes")]


@pytest.fixture
def pair(head: Head, doomed: Scene) -> tuple[Scene, Driver, int]:
    """A store on two nodes with a workflow actor on each, a driver, and the session of the second node."""
    session = head.add_node()
    doomed.env = {"RAYWF_WORKFLOW_ACTORS": "per-node"}
    driver = doomed.driver()
    until(lambda: shards(driver) == [HALF, HALF], 60, "both nodes hold half of the shards", 0.2)
    return doomed, driver, session


@on_both
@pytest.mark.parametrize("seed", [51, 52])
def test_a_node_of_two_dies_amid_500_executions(pair: tuple[Scene, Driver, int], seed: int) -> None:
    """Nothing that was on disk runs again, and what ran there runs elsewhere; Ray tasks when Ray knows of the death."""
    scene, driver, session = pair
    assert scene.head is not None
    assert scene.head.is_on_the_head(scene.head.the("ray::SupervisorActor")), "it does not die with those it replaces"
    driver.tell("submit", workflow="mixed", inputs=list(range(MANY)))
    scene.wait_begun(random.Random(seed).randrange(100, 2000))
    scene.head.kill_node(session)
    killed_at = time.time()
    assert driver.heard() == MANY
    assert sorted(driver.ask("results").values()) == EXPECTED
    print(f"\nall ended {time.time() - killed_at:.1f} s after the node's death")
    found = scene.judged(RESULTS)
    assert found.statuses == {"completed": MANY}
    until(lambda: shards(driver) == [2 * HALF], 60, "the head holds everything", 0.2)


@on_both
def test_nodes_die_and_join_one_after_another(pair: tuple[Scene, Driver, int]) -> None:
    """Each time the one that came last dies, amid executions."""
    scene, driver, session = pair
    assert scene.head is not None
    for number in range(3):
        driver.tell("submit", workflow="mixed", inputs=[1000 * number + n for n in range(MANY)])
        scene.wait_begun(6 * MANY * number + 300)
        scene.head.kill_node(session)
        session = scene.head.add_node()
        assert driver.heard() == MANY
        until(lambda: shards(driver) == [HALF, HALF], 120, "the new node holds half of the shards", 0.2)
    driver.ask("results")
    found = scene.judged(RESULTS)
    assert found.statuses == {"completed": 3 * MANY}
