"""SIGKILL of parts of Ray, and of all of it."""

from __future__ import annotations

import random
import signal
import time

import pytest

from tests.kill.machine import send, until
from tests.kill.programs.killwork import RESULTS
from tests.kill.scene import Refused, Scene

pytestmark = [pytest.mark.kill, pytest.mark.cluster, pytest.mark.timeout(300)]
MANY = 500


def connect_again(scene: Scene, timeout_s: float = 90) -> float:
    """A new driver with a Ray of its own, as soon as the old engine lets go; gives how long that took."""
    began = time.monotonic()
    while (refused := _refused(scene)) is not None:
        assert refused.name == "StoreUnavailable" and scene.shown in refused.message, refused
        assert time.monotonic() - began < timeout_s, refused
        time.sleep(0.5)
    return time.monotonic() - began


def _refused(scene: Scene) -> Refused | None:
    try:
        scene.driver("")
    except Refused as refused:
        return refused
    return None


@pytest.mark.parametrize("seed", [31, *(pytest.param(seed, marks=pytest.mark.long) for seed in (32, 33, 34))])
def test_all_of_ray_dies_at_once(doomed: Scene, seed: int) -> None:
    """As when the power fails. The next connect starts a Ray of its own and goes on at once."""
    assert doomed.head is not None
    driver = doomed.driver()
    driver.tell("submit", workflow="mixed", inputs=list(range(MANY)), batch=25)
    doomed.wait_begun(random.Random(seed).randrange(50, 2000))
    driver.kill()
    doomed.head.kill_all()
    assert connect_again(doomed) < 30
    doomed.all_ended()
    doomed.judged(RESULTS)


@pytest.mark.long
@pytest.mark.parametrize("seed", [41, 42])
def test_the_raylet_dies(doomed: Scene, seed: int) -> None:
    """Its workers die with it, our actors among them. The old driver is told; a new one goes on."""
    assert doomed.head is not None
    driver = doomed.driver()
    driver.ask("submit", workflow="mixed", inputs=list(range(MANY)))
    doomed.wait_begun(random.Random(seed).randrange(300, 2000))
    driver.tell("results")
    send(doomed.head.the("raylet/raylet "), signal.SIGKILL)
    until(lambda: not doomed.owner_pids(), 30, "the workflow actor has gone with its raylet")
    connect_again(doomed)
    doomed.all_ended()
    doomed.judged(RESULTS)


@pytest.mark.long
def test_the_gcs_dies(doomed: Scene) -> None:
    """Tasks inside the actor go on without it; the rest waits for the next engine, once this Ray has ended itself."""
    assert doomed.head is not None
    driver = doomed.driver()
    driver.ask("submit", workflow="mixed", inputs=list(range(MANY)))
    doomed.wait_begun(1000)
    send(doomed.head.the("gcs_server"), signal.SIGKILL)
    print("again after", connect_again(doomed, 120))
    doomed.all_ended()
    doomed.judged(RESULTS)
