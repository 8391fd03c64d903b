"""Cancellation down the tree: async tasks clean up, undisturbed and for a limited time, before anything else happens."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

import raywf
import raywf.testing
from raywf.core.codec import from_record
from tests.unit.runtime.engines import Engine, live_through, new_store

DONE: list[str] = []


@pytest.fixture(autouse=True)
def _nothing_done() -> None:
    DONE.clear()


@raywf.task
async def cleans(name: str, seconds: float = 3.0) -> None:
    try:
        await asyncio.sleep(1e9)
    finally:
        DONE.append(f"{name} begins")
        await asyncio.sleep(seconds)
        DONE.append(f"{name} is clean")


async def taken_back(x: Any) -> None:
    DONE.append("undone")


@raywf.task(compensate=taken_back)
async def books() -> int:
    return 1


@raywf.workflow
def child(name: str) -> Any:
    return cleans(name)


@raywf.workflow
def tree() -> Any:
    booked = books()
    return child("in the child").after(booked), cleans("beside it").after(booked)


def lives(workflow: Any, main: Callable[[Engine], Coroutine[Any, Any, Any]], *args: Any, **options: Any) -> Any:
    async def run() -> Any:
        engine = Engine(workflow, new_store())
        await engine.claim()
        await engine.submit(*args, **options)
        try:
            return await main(engine)
        finally:
            await engine.close()

    return live_through(run)


async def running(engine: Engine, count: int) -> None:
    await engine.until(lambda: sum(len(live.inflight or {}) for live in engine.host.open.values()) == count)


def test_a_cancel_reaches_the_whole_tree_and_clean_up_ends_before_anything_is_taken_back() -> None:
    async def main(engine: Engine) -> Any:
        await engine.until(lambda: len(engine.host.open) == 2)
        await running(engine, 2)
        await engine.send(1, "cancel", {"reason": "enough"})
        await engine.send(2, "cancel", {"reason": "I said enough"})
        return await engine.to_the_end()

    assert lives(tree, main) == ("execution_cancelled", {"reason": "enough"})
    assert sorted(DONE[:2]) == ["beside it begins", "in the child begins"]
    assert sorted(DONE[2:4]) == ["beside it is clean", "in the child is clean"]
    assert DONE[4:] == ["undone"]


@raywf.workflow
def one(seconds: float) -> Any:
    return cleans.with_options(timeout=5, cleanup_timeout=20)("it", seconds)


def test_a_deadline_and_then_a_timeout_do_not_interrupt_the_clean_up() -> None:
    async def main(engine: Engine) -> Any:
        return await engine.to_the_end()

    kind, (_, type_, _) = lives(one, main, 10.0, deadline=1_700_000_000.0 + 2)
    assert (kind, type_) == ("execution_failed", "DeadlineExceeded")
    assert DONE == ["it begins", "it is clean"]


@raywf.task(timeout=1, retry=raywf.Retry(max_attempts=2, initial=0))
async def locks() -> None:
    DONE.append("locked")
    try:
        await asyncio.sleep(1e9)
    finally:
        await asyncio.sleep(3)
        DONE.append("unlocked")


@raywf.workflow
def locking() -> Any:
    return locks()


def test_the_next_attempt_begins_when_the_clean_up_of_the_one_that_timed_out_has_ended() -> None:
    with pytest.raises(raywf.WorkflowFailed, match="ran longer than its timeout of 1 s"):
        raywf.testing.run(locking)
    assert DONE == ["locked", "unlocked", "locked", "unlocked"]


@raywf.workflow
def endless() -> Any:
    return cleans.with_options(cleanup_timeout=7)("it", 1e6)


def test_clean_up_that_does_not_end_is_given_up_on_after_its_time(caplog: pytest.LogCaptureFixture) -> None:
    async def main(engine: Engine) -> Any:
        await asyncio.sleep(1)
        asked_at = engine.clock.now()
        await engine.send(1, "cancel", {"reason": ""})
        await engine.to_the_end()
        assert 7 <= engine.clock.now() - asked_at < 60
        return [from_record(*row[4:]) for row in await engine.history() if row.kind == "attempt_cancelled"]

    (ended,) = lives(endless, main)
    assert ended.abandoned and DONE == ["it begins"]
    assert "task cleans of execution x did not end within 7 s of being cancelled" in caplog.text


def test_what_an_attempt_returns_in_its_clean_up_does_not_count_after_its_timeout() -> None:
    @raywf.task(timeout=1)
    async def swallows() -> str:
        try:
            await asyncio.sleep(1e9)
        except asyncio.CancelledError:
            return "too late"
        return "never"

    @raywf.workflow
    def flow() -> Any:
        return swallows()

    with pytest.raises(raywf.WorkflowFailed) as caught:
        raywf.testing.run(flow)
    assert caught.value.failure.type == "TimeoutError"


def test_no_time_to_clean_up_is_a_time_too() -> None:
    @raywf.task(timeout=1, cleanup_timeout=0)
    async def hurried() -> None:
        try:
            await asyncio.sleep(1e9)
        finally:
            await asyncio.sleep(1e9)
            DONE.append("never")

    @raywf.workflow
    def flow() -> Any:
        return hurried()

    with pytest.raises(raywf.WorkflowFailed, match="cleanup_timeout of 0 s"):
        raywf.testing.run(flow)
    assert DONE == []
