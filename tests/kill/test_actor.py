"""SIGKILL of workflow actors and of their supervisor, at any moment and again and again."""

from __future__ import annotations

import random
import signal
import time

import pytest

from tests.kill.machine import command_line, send, until
from tests.kill.programs.killwork import RESULTS
from tests.kill.scene import TWO, Scene

pytestmark = [pytest.mark.kill, pytest.mark.cluster]
MANY = 500
EXPECTED = sorted(RESULTS["mixed"](n) for n in range(MANY))


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(2, 8))])
def test_a_workflow_actor_dies_amid_500_executions(scene: Scene, nodes: str, seed: int) -> None:
    """Its successor goes on: what was on disk counts, and at most what was in flight runs again."""
    driver = scene.driver()
    driver.tell("submit", workflow="mixed", inputs=list(range(MANY)))
    scene.wait_begun(random.Random(seed).randrange(100, 2500))
    scene.kill_owner()
    assert driver.heard() == MANY
    assert sorted(driver.ask("results").values()) == EXPECTED
    found = scene.judged(RESULTS)
    assert found.rerun > 0 or nodes == TWO, "nothing ran again: the kill came too late to mean anything"


@pytest.mark.long
@pytest.mark.parametrize("seed", [11, 12, 13, 14])
def test_five_deaths_in_a_row(scene: Scene, seed: int) -> None:
    """Also while the successor is still taking over. Executions whose tasks were lost often still end, and well."""
    chance = random.Random(seed)
    driver = scene.driver()
    driver.tell("submit", workflow="mixed", inputs=list(range(MANY)))
    scene.wait_begun(100)
    for _ in range(5):
        scene.kill_owner()
        time.sleep(chance.uniform(0.0, 1.5))
    assert driver.heard() == MANY
    assert sorted(driver.ask("results").values()) == EXPECTED
    scene.judged(RESULTS)


@pytest.mark.long
def test_one_of_two_workflow_actors_dies(scene: Scene) -> None:
    """The other one does not even notice."""
    driver = scene.driver(env={"RAYWF_WORKFLOW_ACTORS": "2"})
    driver.tell("submit", workflow="mixed", inputs=list(range(MANY)))
    scene.wait_begun(600)
    before = set(scene.owner_pids())
    assert len(before) == 2
    scene.kill_owner()
    assert driver.heard() == MANY
    assert sorted(driver.ask("results").values()) == EXPECTED
    assert len(before & set(scene.owner_pids())) == 1, "exactly one was replaced"
    scene.judged(RESULTS)


@pytest.mark.long
def test_both_of_two_workflow_actors_die_at_once(scene: Scene) -> None:
    driver = scene.driver(env={"RAYWF_WORKFLOW_ACTORS": "2"})
    driver.tell("submit", workflow="mixed", inputs=list(range(MANY)))
    scene.wait_begun(600)
    for pid in scene.owner_pids():
        send(pid, signal.SIGKILL)
    assert driver.heard() == MANY
    assert sorted(driver.ask("results").values()) == EXPECTED
    scene.judged(RESULTS)


def test_the_supervisor_dies_and_then_a_workflow_actor(scene: Scene) -> None:
    """Nothing stops while there is no supervisor, and the new one replaces whoever died meanwhile, asked or not."""
    assert scene.head is not None
    driver = scene.driver()
    driver.tell("submit", workflow="mixed", inputs=list(range(MANY)))
    scene.wait_begun(300)
    driver.kill()  # nobody is there to ask the new supervisor for anything
    supervisor = scene.head.the("ray::SupervisorActor")
    send(supervisor, signal.SIGKILL)
    scene.kill_owner()
    until(lambda: scene.head and set(scene.head.pids("ray::SupervisorActor")) - {supervisor}, 30, "a new supervisor")
    scene.all_ended()
    scene.judged(RESULTS)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(4))
def test_the_supervisor_dies_while_it_replaces_a_workflow_actor(scene: Scene, seed: int) -> None:
    """The successor it had begun to start is adopted, or replaced: never left behind with the leases."""
    assert scene.head is not None
    chance = random.Random(seed)
    driver = scene.driver()
    driver.ask("submit", workflow="mixed", inputs=list(range(MANY)))
    scene.kill_owner()
    time.sleep(chance.uniform(0.0, 1.2))
    send(scene.head.the("ray::SupervisorActor"), signal.SIGKILL)
    assert sorted(driver.ask("results").values()) == EXPECTED
    scene.judged(RESULTS)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(3))
def test_ray_workers_die_at_random(scene: Scene, seed: int) -> None:
    """Each death costs the attempt that its worker was in."""
    assert scene.head is not None
    chance = random.Random(seed)
    driver = scene.driver()
    driver.tell("submit", workflow="mixed", inputs=list(range(MANY)))
    killed = 0
    for _ in range(400):
        workers = [pid for pid in scene.head.pids("ray::_run_chunk") if "raylet" not in command_line(pid)]
        if workers and chance.random() < 0.2:
            send(chance.choice(workers), signal.SIGKILL)
            killed += 1
        if killed == 8:
            break
        time.sleep(0.02)
    assert killed
    assert driver.heard() == MANY
    assert sorted(driver.ask("results").values()) == EXPECTED
    found = scene.judged(RESULTS)
    assert found.lost <= killed and found.rerun <= killed
