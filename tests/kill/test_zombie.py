"""An owner that was stopped, not killed: when it wakes up, others have gone on, and it may not write a single row."""

from __future__ import annotations

import signal
import time

import pytest

from tests.kill import verdict
from tests.kill.machine import is_alive, send, until
from tests.kill.scene import Scene, on_one_node

pytestmark = [pytest.mark.kill, pytest.mark.cluster]
MANY = 300
LINGER_S = 3.0


@on_one_node
def test_a_stopped_workflow_actor_is_replaced_and_cannot_write(scene: Scene) -> None:
    driver = scene.driver()
    driver.ask("submit", workflow="lingering", inputs=[[n, LINGER_S] for n in range(MANY)])
    scene.wait_begun(MANY)
    time.sleep(0.5)
    [(old, pid)] = verdict.owners(scene.url)
    send(pid, signal.SIGSTOP)
    try:
        until(lambda: old not in dict(verdict.owners(scene.url)), 30, "another owner")
    finally:
        send(pid, signal.SIGCONT)
    heard = driver.ask("results")
    assert sorted(heard.values()) == list(range(MANY))
    until(lambda: not is_alive(pid), 30, "the old owner is gone")
    found = scene.judged({"lingering": lambda given: given[0]})
    assert found.lost == MANY and set(verdict.epochs(scene.url)) == {2}


@pytest.mark.long
@pytest.mark.timeout(300)
def test_a_whole_engine_sleeps_and_wakes_up_too_late(doomed: Scene) -> None:
    """A laptop's lid, a paused machine: another engine has taken over meanwhile. The old one wakes with results in
    hand, and not one of them reaches the journal."""
    assert doomed.head is not None
    driver = doomed.driver()
    driver.ask("submit", workflow="lingering", inputs=[[n, LINGER_S] for n in range(MANY)])
    doomed.wait_begun(MANY)
    time.sleep(0.5)
    [(old, pid)] = verdict.owners(doomed.url)
    send(driver.process.pid, signal.SIGSTOP)
    doomed.head.signal_all(signal.SIGSTOP)
    began = time.monotonic()
    second = doomed.driver("", wait=False)
    until(lambda: old not in dict(verdict.owners(doomed.url)), 90, "another owner")
    print("another engine after", round(time.monotonic() - began, 1), "s")
    doomed.head.signal_all(signal.SIGCONT)
    second.ready()
    doomed.all_ended()
    until(
        lambda: "lost the lease" in doomed.head.logs("lost the lease") or not is_alive(pid), 30, "the old owner knows"
    )
    found = doomed.judged({"lingering": lambda given: given[0]})
    assert found.lost == MANY and set(verdict.epochs(doomed.url)) == {2}
    assert found.statuses == {"completed": MANY}
