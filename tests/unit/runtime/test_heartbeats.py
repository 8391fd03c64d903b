"""Attempts that say how far they are, those that fall silent, and what the next attempt is told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

import raywf
import raywf.testing
from raywf.core.codec import from_record
from raywf.runtime import voices
from tests.unit.runtime.engines import Engine, live_through, new_store

Main = Callable[[], Coroutine[Any, Any, Any]]
SAID: list[Any] = []


@pytest.fixture(autouse=True)
def _nothing_said() -> None:
    SAID.clear()


@raywf.task(heartbeat_timeout=2, retry=raywf.Retry(max_attempts=2, initial=0))
async def copies(rows: int) -> Any:
    """Falls silent half-way in the first attempt; the second goes on from there."""
    me = raywf.current()
    SAID.append(me.last_progress)
    for row in range(me.last_progress or 0, rows):
        await asyncio.sleep(1)
        me.heartbeat(row + 1)
        if me.attempt == 1 and row + 1 == rows // 2:
            await asyncio.sleep(1e9)
    return rows


@raywf.workflow
def copying(rows: int) -> Any:
    return copies(rows)


def test_a_silent_attempt_fails_in_time_and_the_next_goes_on_from_its_last_progress() -> None:
    assert raywf.testing.run(copying, 40) == 40
    assert SAID == [None, 20], "what was said last is on record when the attempt fails, however little before"


def test_a_heartbeat_timeout_names_itself_and_how_far_it_was() -> None:
    @raywf.task(heartbeat_timeout=2)
    async def stalls() -> None:
        raywf.current().heartbeat({"row": 7})
        await asyncio.sleep(1e9)

    @raywf.workflow
    def flow() -> Any:
        return stalls()

    with pytest.raises(raywf.WorkflowFailed) as caught:
        raywf.testing.run(flow)
    failure = caught.value.failure
    assert failure.type == "raywf.errors.HeartbeatTimeout" and failure.retryable
    assert "stalls was silent for 2.0 s, and its heartbeat_timeout is 2 s" in failure.message
    assert '{"row":7}' in failure.message


def test_a_task_may_say_that_silence_is_not_tried_again() -> None:
    policy = raywf.Retry(max_attempts=5, non_retryable=raywf.HeartbeatTimeout)

    @raywf.task(heartbeat_timeout=1, retry=policy)
    async def stalls() -> None:
        SAID.append(raywf.current().attempt)
        await asyncio.sleep(1e9)

    @raywf.workflow
    def flow() -> Any:
        return stalls()

    with pytest.raises(raywf.WorkflowFailed, match="was silent"):
        raywf.testing.run(flow)
    assert SAID == [1]


def lives(workflow: Any, main: Callable[[Engine], Coroutine[Any, Any, Any]], *args: Any) -> Any:
    async def run() -> Any:
        engine = Engine(workflow, new_store())
        await engine.claim()
        await engine.submit(*args)
        try:
            return await main(engine)
        finally:
            await engine.close()

    return live_through(run)


@raywf.task
async def chatters(seconds: int) -> None:
    for tenth in range(seconds * 100):
        raywf.current().heartbeat(tenth)
        await asyncio.sleep(0.01)


@raywf.workflow
def chattering(seconds: int) -> Any:
    return chatters(seconds)


def test_progress_is_on_disk_at_a_sane_rate_however_often_it_is_said() -> None:
    async def main(engine: Engine) -> None:
        assert (await engine.to_the_end())[0] == "execution_completed"
        said = [row for row in await engine.history() if row.kind == "progress_made"]
        assert 20 / voices.PROGRESS_EVERY_S <= len(said) <= 20 / voices.PROGRESS_EVERY_S + 2
        assert [row.at for row in said[1:]] >= [row.at + voices.PROGRESS_EVERY_S - 0.01 for row in said[:-1]]

    lives(chattering, main, 20)


@raywf.task(heartbeat_timeout=5)
def reports(x: int) -> int:
    raywf.current().heartbeat({"row": x})
    return x


@raywf.workflow
def reporting(xs: list[int]) -> Any:
    return reports.map(xs)


def test_items_of_a_fan_out_report_each_for_itself() -> None:
    async def main(engine: Engine) -> None:
        assert await engine.to_the_end() == ("execution_completed", [1, 2, 3])
        said = [from_record(*row[4:]) for row in await engine.history() if row.kind == "progress_made"]
        assert [event.task for event in said] == ["reports[0]", "reports[1]", "reports[2]"]

    lives(reporting, main, [1, 2, 3])


def test_after_a_crash_the_next_attempt_reads_what_was_on_record() -> None:
    store = new_store()

    @raywf.task
    async def copies_on() -> Any:
        me = raywf.current()
        if me.attempt > 1:
            return me.last_progress
        me.heartbeat("half")
        return await asyncio.sleep(1e9)

    @raywf.workflow
    def flow() -> Any:
        return copies_on()

    async def first() -> None:
        engine = Engine(flow, store)
        await engine.claim()
        await engine.submit()
        await engine.until(lambda: (live := engine.live()) and live.state.tasks[0].notes is not None)
        await engine.commits.drain()

    async def second() -> Any:
        engine = Engine(flow, store, 2)
        await engine.claim()
        return await engine.to_the_end()

    live_through(first)
    assert live_through(second) == ("execution_completed", "half")


def test_an_attempt_that_counts_no_more_is_told_so_when_it_speaks() -> None:
    @raywf.task(timeout=1, cleanup_timeout=1)
    async def stubborn() -> None:
        me = raywf.current()
        while True:
            try:
                await asyncio.sleep(1)
                me.heartbeat()
            except asyncio.CancelledError:
                SAID.append("asked to end")
            except raywf.AttemptEnded as error:
                SAID.append(str(error))
                return

    @raywf.task
    async def goes_on() -> None:
        await asyncio.sleep(10)

    @raywf.workflow
    def flow() -> Any:
        stubborn.with_options(retry=raywf.Retry(max_attempts=2, initial=60, max_delay=60))()
        return goes_on()

    with pytest.raises(raywf.WorkflowFailed, match="given up on"):
        raywf.testing.run(flow)
    assert SAID[0] == "asked to end" and "attempt 1 of task 'stubborn' of execution 'test' counts no more" in SAID[1]


def test_too_large_a_progress_is_refused_where_it_is_said() -> None:
    @raywf.task
    def boasts() -> None:
        raywf.current().heartbeat("x" * 70_000)

    @raywf.workflow
    def flow() -> Any:
        return boasts()

    with pytest.raises(raywf.WorkflowFailed, match="progress of 70,002 bytes is too large: the limit is 65,536"):
        raywf.testing.run(flow)


@pytest.mark.parametrize("given", [0, -1, "soon", float("nan")])
def test_a_timeout_that_makes_no_sense_is_refused(given: Any) -> None:
    with pytest.raises(raywf.DefinitionError, match="heartbeat_timeout"):
        copies.with_options(heartbeat_timeout=given)
