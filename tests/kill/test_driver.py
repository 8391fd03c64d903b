"""SIGKILL of the program that submitted."""

from __future__ import annotations

import random

import pytest

from tests.kill.programs.killwork import RESULTS
from tests.kill.scene import Scene, on_both

pytestmark = [pytest.mark.kill, pytest.mark.cluster]
MANY = 500


@on_both
@pytest.mark.parametrize("seed", [21, *(pytest.param(seed, marks=pytest.mark.long) for seed in (22, 23))])
def test_the_driver_dies_while_it_submits(scene: Scene, seed: int) -> None:
    """What it was told is accepted ends without it, and the next driver sees all of it."""
    chance = random.Random(seed)
    driver = scene.driver()
    driver.tell("submit", workflow="mixed", inputs=list(range(MANY)), batch=10)
    scene.wait_begun(chance.randrange(50, 400))
    driver.kill()
    ids = [line.split('"')[1] for line in scene.accepted.read_text().splitlines()]
    assert ids
    second = scene.driver()
    heard = second.ask("results", ids=ids)
    assert len(heard) == len(ids) and all(isinstance(value, int) for value in heard.values())
    scene.all_ended()
    found = scene.judged(RESULTS)
    assert found.rerun == 0 and found.lost == 0, "the death of a driver costs no attempt"
