"""What a Ray task says while it runs, on a real Ray: heartbeats, progress, and what happens to one that falls silent."""

from __future__ import annotations

import os
import time
from typing import Any

import pytest

import raywf
from raywf import task, workflow
from tests.contract.conftest import eventually

pytestmark = pytest.mark.cluster


@task(runs_on="ray", num_cpus=0.1, heartbeat_timeout=2, retry=raywf.Retry(max_attempts=2, initial=0))
def copies(rows: int) -> list[Any]:
    """Its process stands still half-way in the first attempt, whatever Python does; the second goes on from there."""
    me = raywf.current()
    began = me.last_progress
    for row in range(began or 0, rows):
        me.heartbeat(row + 1)
        me.emit(f"row {row}", number=row)
        if me.attempt == 1 and row + 1 == rows // 2:
            time.sleep(1000)
    return [began, me.emitted, os.getpid()]


@workflow
def copying(rows: int) -> Any:
    return copies(rows)


def test_a_silent_ray_task_is_ended_and_the_next_attempt_goes_on_from_its_progress(engine: Any) -> None:
    handle = engine.submit(copying, 10)
    at = eventually(lambda: handle.describe().tasks["copies"].progress)
    assert at <= 5
    began, emitted, _ = handle.result(timeout=60)
    assert (began, emitted) == (5, 5), "what was said before it stood still is on record"
    history = handle.history()
    (failed,) = [event for event in history if event.kind == "attempt_failed"]
    assert failed.data["failure"]["type"] == "raywf.errors.HeartbeatTimeout"
    items = [item for event in history if event.kind == "items_emitted" for item in event.data["items"]]
    assert items == [f"row {row}" for row in range(10)]
    assert handle.describe().tasks["copies"].emitted == 10
