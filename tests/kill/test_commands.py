"""Moments in between: accepted and nothing begun, or nobody there to listen."""

from __future__ import annotations

import asyncio
import signal

import pytest

from raywf.client.commands import Commands
from raywf.client.reading import Readings
from tests.kill import verdict
from tests.kill.machine import send, until
from tests.kill.programs.killwork import RESULTS
from tests.kill.scene import Scene, on_one_node

pytestmark = [pytest.mark.kill, pytest.mark.cluster]
MANY = 40


@pytest.mark.long
def test_what_is_sent_while_no_engine_runs_is_taken_by_the_next(doomed: Scene) -> None:
    """Approvals and signals are rows: all of Ray may be gone when they come, and they are applied in order, once."""
    assert doomed.head is not None
    driver = doomed.driver()
    ids = [f"ask-{n}" for n in range(MANY)]
    driver.ask("submit", workflow="asking", inputs=list(range(MANY)), ids=ids)
    until(lambda: waiting(doomed) == MANY, 60, "all wait for a person")
    driver.kill()
    doomed.head.kill_all()
    asyncio.run(answer_all(doomed, ids))
    heard = doomed.driver("").ask("results", ids=ids)
    assert sorted(heard.values()) == sorted((n + 1) * 2 + n for n in range(MANY))
    found = doomed.judged({})
    assert found.rerun == 0 and found.lost == 0, "a wait costs no attempt"


def waiting(scene: Scene) -> int:
    async def count() -> int:
        readings = Readings(scene.url, "default")
        try:
            rows = await readings.reader.executions("default", status="waiting", limit=1000)
            return len(rows)
        finally:
            await readings.close()

    return asyncio.run(count())


async def answer_all(scene: Scene, ids: list[str]) -> None:
    readings = Readings(scene.url, "default")
    commands = Commands(scene.url, "default", readings)
    try:
        for n, id_ in enumerate(ids):
            await commands.signal(id_, "word", n, id="first")
            await commands.signal(id_, "word", 10_000, id="second")
            await commands.signal(id_, "word", n, id="first")  # the same again: a no-op
            await commands.decide(id_, True, "somebody", "", None)
    finally:
        await commands.close()
        await readings.close()


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.long) for seed in (1, 2, 3))])
@on_one_node
def test_death_between_acceptance_and_the_first_task(scene: Scene, seed: int) -> None:
    """The actor is killed as soon as the first ids are back: whatever was accepted is done, and nothing twice."""
    driver = scene.driver()
    driver.tell("submit", workflow="inside", inputs=list(range(500)), batch=1 + 7 * seed)
    until(scene.accepted.exists, 60, "something is accepted", 0.001)
    [(_, pid)] = verdict.owners(scene.url)
    send(pid, signal.SIGKILL)
    assert driver.heard() == 500
    assert len(driver.ask("results")) == 500
    scene.judged(RESULTS)
