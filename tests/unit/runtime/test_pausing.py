"""Pause and resume: nothing new starts, what runs is kept, signals are kept, and no time passes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

import raywf
from raywf.core import events as ev
from tests.unit.runtime.engines import Engine, live_through, new_store

SEEN: list[Any] = []


@pytest.fixture(autouse=True)
def nothing_seen() -> None:
    SEEN.clear()


@raywf.task
async def note(x: Any = None) -> Any:
    SEEN.append(x)
    return x


@raywf.task
async def slow(x: Any) -> Any:
    SEEN.append(f"slow {x}")
    await asyncio.sleep(10)
    SEEN.append(f"slow {x} done")
    return x


@raywf.task(retry=raywf.Retry(max_attempts=2, initial=100.0))
async def fails_once(x: Any) -> Any:
    SEEN.append(f"attempt {raywf.current().attempt}")
    if raywf.current().attempt == 1:
        raise ValueError("not yet")
    return x


@raywf.workflow
def running():
    return note(slow("a"))


@raywf.workflow
def retried():
    return fails_once("x")


@raywf.workflow
def waiting():
    return note(raywf.wait_signal("go")), raywf.approval("Go on?", timeout=50, on_timeout="nobody")


@raywf.workflow
def parent():
    return note(running())


@raywf.task
def goes_on() -> Any:
    return raywf.continuation(running)


@raywf.workflow
def grown():
    return note(goes_on())


def with_engine(workflow: Any, scenario: Callable[[Engine], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        engine = Engine(workflow, new_store())
        await engine.claim()
        await engine.submit()
        await scenario(engine)
        await engine.close()

    live_through(main)


def test_what_runs_ends_and_is_kept_and_nothing_new_starts() -> None:
    async def scenario(engine: Engine) -> None:
        await engine.until(lambda: "slow a" in SEEN)
        await engine.send(1, "pause", {"reason": "look first"})
        live = engine.live()
        assert live is not None
        assert (live.status, live.waiting_for) == ("paused", "to be resumed (look first)")
        await asyncio.sleep(500)
        assert SEEN == ["slow a", "slow a done"]
        await engine.send(2, "pause", {})  # paused already: no second event
        await engine.send(3, "resume", {})
        assert await engine.to_the_end() == ("execution_completed", "a")
        assert SEEN == ["slow a", "slow a done", "a"]
        kinds = await engine.kinds()
        assert [kinds.count(kind) for kind in ("pause_requested", "resume_requested", "attempt_lost slow")] == [1, 1, 0]

    with_engine(running, scenario)


def test_a_pause_during_a_retry_holds_the_next_attempt_back() -> None:
    async def scenario(engine: Engine) -> None:
        live = engine.live()
        assert live is not None
        await engine.until(lambda: live.state.tasks[0].status == "retrying")
        await engine.send(1, "pause", {})
        await asyncio.sleep(1000)
        assert (SEEN, live.state.tasks[0].status) == (["attempt 1"], "retrying")
        await engine.send(2, "resume", {})
        assert await engine.to_the_end() == ("execution_completed", "x")
        assert SEEN == ["attempt 1", "attempt 2"]

    with_engine(retried, scenario)


def test_signals_and_answers_are_kept_and_no_timeout_passes_during_a_pause() -> None:
    async def scenario(engine: Engine) -> None:
        live = engine.live()
        assert live is not None
        await engine.until(lambda: live.status == "waiting")
        await engine.send(1, "pause", {})
        await engine.send(2, "signal", {"name": "go", "value": '"went"'})
        await asyncio.sleep(500)
        assert (SEEN, live.status) == ([], "paused")
        await engine.send(3, "approve", {})
        await engine.send(4, "resume", {})
        assert await engine.to_the_end() == ("execution_completed", ("went", None))
        assert "timer_fired approval" not in await engine.kinds()

    with_engine(waiting, scenario)


def test_a_pause_goes_down_the_tree_and_so_does_the_resume() -> None:
    async def scenario(engine: Engine) -> None:
        await engine.until(lambda: "slow a" in SEEN)
        await engine.send(1, "pause", {})
        child = engine.live("x/running")
        assert child is not None
        assert child.state.pause == ev.PauseRequested("", inherited=True)
        await asyncio.sleep(100)
        assert SEEN == ["slow a", "slow a done"]
        await engine.send(2, "resume", {})
        assert await engine.to_the_end() == ("execution_completed", "a")

    with_engine(parent, scenario)


def test_a_pause_goes_down_to_what_a_continuation_goes_on_in() -> None:
    async def scenario(engine: Engine) -> None:
        await engine.until(lambda: "slow a" in SEEN)
        await engine.send(1, "pause", {})
        child = engine.live("x/goes_on")
        assert child is not None
        assert child.state.pause == ev.PauseRequested("", inherited=True)
        await asyncio.sleep(100)
        assert SEEN == ["slow a", "slow a done"]
        await engine.send(2, "resume", {})
        assert await engine.to_the_end() == ("execution_completed", "a")

    with_engine(grown, scenario)


def test_a_pause_survives_a_crash() -> None:
    store = new_store()

    async def first() -> None:
        engine = Engine(parent, store)
        await engine.claim()
        await engine.submit()
        await engine.until(lambda: "slow a" in SEEN)
        await engine.send(1, "pause", {})
        await engine.commits.drain()
        await engine.close()

    async def second() -> Any:
        engine = Engine(parent, store, 2)
        await engine.claim()
        await asyncio.sleep(100)
        assert SEEN == ["slow a"]
        assert [(await engine.journal.execution("default", id_)).status for id_ in ("x", "x/running")] == ["paused"] * 2  # type: ignore[union-attr]
        await engine.send(2, "resume", {})
        return await engine.to_the_end()

    live_through(first)
    assert live_through(second) == ("execution_completed", "a")


def test_a_cancel_ends_a_pause() -> None:
    async def scenario(engine: Engine) -> None:
        await engine.until(lambda: engine.live().status == "waiting")  # type: ignore[union-attr]
        await engine.send(1, "pause", {})
        await engine.send(2, "cancel", {"reason": "enough"})
        assert await engine.to_the_end() == ("execution_cancelled", {"reason": "enough"})

    with_engine(waiting, scenario)


@raywf.task
async def fails_slowly(x: Any) -> None:
    SEEN.append("began")
    await asyncio.sleep(10)
    raise ValueError("no")


@raywf.workflow
def undoing():
    done = note.with_options(compensate=lambda x: SEEN.append(f"undo {x}"))("charge")
    return fails_slowly.with_options(after=done)("x")


def test_compensations_do_not_start_during_a_pause() -> None:
    async def scenario(engine: Engine) -> None:
        await engine.until(lambda: "began" in SEEN)
        await engine.send(1, "pause", {})
        await asyncio.sleep(100)
        live = engine.live()
        assert live is not None
        assert live.state.closing is not None
        assert (SEEN, live.status) == (["charge", "began"], "paused")
        await engine.send(2, "resume", {})
        assert (await engine.to_the_end())[0] == "execution_failed"
        assert SEEN[-1] == "undo charge"

    with_engine(undoing, scenario)
