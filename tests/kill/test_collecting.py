"""Submits that are collected, through the deaths of whoever collects them: none is lost, none counts twice."""

from __future__ import annotations

import asyncio
import json
import time

import pytest

from raywf.client.collecting import bind_submit, mark, rule_of, submit_row
from raywf.definition.model import WorkflowDefinition
from raywf.journal.factory import open_inbox
from raywf.ports import ExecutionRow
from tests.kill.machine import until
from tests.kill.programs.killwork import RESULTS
from tests.kill.scene import Scene

pytestmark = [pytest.mark.kill, pytest.mark.cluster]
KEYS = 60


@pytest.mark.long
def test_workflow_actors_die_while_they_debounce(scene: Scene) -> None:
    driver = scene.driver()
    driver.ask("submit", workflow="mixed", inputs=[1], ids=["first"])

    async def collected() -> list[ExecutionRow]:
        inbox = open_inbox(scene.url)
        try:
            return [row for row in await inbox.executions("default", limit=1000) if row.id.startswith("mixed@")
                    and row.id.count("/") == 1]  # fmt: skip
        finally:
            await inbox.close()

    async def submit(revision: int) -> None:
        inbox = open_inbox(scene.url)
        try:
            first = await inbox.execution("default", "first")
            assert first is not None
            stored = await inbox.definition(first.definition)
            assert stored is not None
            start = {"start": {"kind": "debounce", "quiet_s": 4.0, "key": "input.n"}}
            definition = WorkflowDefinition.model_validate(json.loads(stored.body) | {"configuration": start})
            rule = rule_of(definition)
            assert rule is not None
            await mark(inbox, "default", first.lane, definition)
            for n in range(KEYS):
                input_ = bind_submit(definition, rule, (n,), {})
                await inbox.send(submit_row(definition, rule, input_, first.lane, "default", f"s{n}-{revision}", {}))
        finally:
            await inbox.close()

    for revision in range(3):
        asyncio.run(submit(revision))
        time.sleep(0.3)
        scene.kill_owner()
    until(lambda: len(asyncio.run(collected())) >= KEYS, 60, "all keys have started")
    scene.kill_owner()
    time.sleep(6)
    scene.all_ended()
    rows = asyncio.run(collected())
    assert {row.status for row in rows} == {"completed"}
    assert len(rows) == KEYS, "one execution for the three submits of a key"
    scene.judged(RESULTS)
