"""Functions of ``__main__``: the engine has them from a live driver only, and asks for them again after a death."""

from __future__ import annotations

import signal

import pytest

from tests.kill import verdict
from tests.kill.machine import send, until
from tests.kill.scene import Scene, on_one_node

pytestmark = [pytest.mark.kill, pytest.mark.cluster]
MANY = 200
EXPECTED = sorted((n + 1) * 2 - 3 + 1 for n in range(MANY))


@pytest.mark.long
def test_a_successor_is_sent_the_functions_again(scene: Scene) -> None:
    driver = scene.driver(program="script.py")
    driver.ask("submit", workflow="scripted", inputs=list(range(MANY)))
    scene.wait_begun(MANY)
    scene.kill_owner()
    assert sorted(driver.ask("results").values()) == EXPECTED
    scene.judged({})


@pytest.mark.long
@on_one_node
def test_without_their_driver_they_wait_for_the_next(scene: Scene) -> None:
    """With driver and actor gone nobody has the code: nothing fails, everything waits and says for what."""
    driver = scene.driver(program="script.py")
    driver.ask("submit", workflow="scripted", inputs=list(range(MANY)))
    ids = list(verdict.read_accepted(scene.accepted))
    scene.wait_begun(MANY)
    driver.kill()
    [(_, pid)] = verdict.owners(scene.url)
    send(pid, signal.SIGKILL)
    until(lambda: verdict.count_waiting(scene.url, "code") > 0, 60, "some wait for their code")
    second = scene.driver(program="script.py")
    assert sorted(second.ask("results", ids=ids).values()) == EXPECTED
    scene.judged({})
