"""A schedule through the death of whoever fires it: no instant is lost, none fires twice."""

from __future__ import annotations

import asyncio
import time

import pytest

from raywf.client.schedules import Schedules, spec_of
from raywf.core.schedules import firing_id, scheduled_at
from raywf.definition.model import WorkflowDefinition
from raywf.journal.factory import open_inbox
from raywf.ports import ExecutionRow
from tests.kill.machine import until
from tests.kill.programs.killwork import RESULTS
from tests.kill.scene import Scene

pytestmark = [pytest.mark.kill, pytest.mark.cluster]


@pytest.mark.long
def test_workflow_actors_die_while_a_schedule_fires_every_second(scene: Scene) -> None:
    driver = scene.driver()
    driver.ask("submit", workflow="mixed", inputs=[1], ids=["first"])

    async def of_store(end: bool) -> list[ExecutionRow]:
        inbox = open_inbox(scene.url)
        try:
            them = Schedules(inbox, "default", scene.url)
            rows = await inbox.executions("default", limit=1000)
            if not rows or rows[-1].id != "first":
                raise AssertionError("the first execution is not there")
            if len(rows) == 1 and not end:
                stored = await inbox.definition(rows[0].definition)
                assert stored is not None
                definition = WorkflowDefinition.from_json(stored.body)
                spec = spec_of(definition, 3, {"every": 1.0, "overlap": "allow"}, 0, None, None)
                await them.put(definition, spec, rows[0].lane, "often", False)
            if end:
                await them.pause("often")
            return [row for row in rows if row.id.startswith("often/") and "/" not in row.id[len("often/") :]]
        finally:
            await inbox.close()

    def fired() -> int:
        return len(asyncio.run(of_store(False)))

    for count in (2, 5):
        until(lambda count=count: fired() >= count, 60, f"{count} instants have fired")
        scene.kill_owner()
    until(lambda: fired() >= 9, 60, "the successor goes on")
    asyncio.run(of_store(True))
    time.sleep(1.5)
    scene.all_ended()
    rows = asyncio.run(of_store(True))
    instants = sorted(at.timestamp() for row in rows if (at := scheduled_at(row.id)) is not None)
    first, last = instants[0], instants[-1]
    assert instants == [first + second for second in range(round(last - first) + 1)], "every second once"
    assert {row.id for row in rows} == {firing_id("often", at) for at in instants}
    assert {row.status for row in rows} == {"completed"}
    scene.judged(RESULTS)
