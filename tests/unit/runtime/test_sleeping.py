"""Executions that sleep leave memory, and come back when they are wanted."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

import raywf
from raywf.core import snapshot
from raywf.journal import memory
from raywf.runtime.sleeping import HORIZON_S
from tests.unit.runtime.engines import Engine, live_through, new_store


@raywf.task
async def note(x: Any) -> Any:
    return x


@raywf.workflow
def waits(x: int):
    return note(raywf.wait_signal("go"))


@raywf.workflow
def naps(seconds: float):
    return note(raywf.sleep(seconds, "slept"))


@raywf.workflow
def patient(x: int):
    return note(raywf.wait_signal("go", timeout=500, default="late"))


@raywf.workflow
def root(x: int):
    return note(waits(x))


@raywf.workflow
def long(xs: list[int]):
    return note(note.map(xs)), raywf.wait_signal("go")


def within(
    workflow: Any, main: Callable[[Engine], Coroutine[Any, Any, Any]], store: str = "", life: int = 1, **settings: Any
) -> Any:
    async def whole() -> Any:
        engine = Engine(workflow, store or new_store(), life, **{"resident": 0, **settings})
        await engine.claim()
        try:
            return await main(engine)
        finally:
            await engine.close()

    return live_through(whole)


async def asleep(engine: Engine, *ids: str) -> None:
    await engine.commits.drain()
    await engine.until(lambda: not any(id in engine.host.open for id in ids))
    rows = await engine.journal.existing("default", ids)
    assert [(row.status, row.wake_at is not None) for row in rows.values()] == [("waiting", True)] * len(ids)


async def end_of(engine: Engine, id: str) -> Any:
    store = memory._STORES[engine.journal._url[9:]]
    while store.executions[store.keys["default", id]].ended_at is None:
        await asyncio.sleep(0.5)
        assert engine.clock.now() < 1_700_100_000
    return (await engine.ending(id))[1]


def test_what_waits_leaves_memory_and_a_signal_brings_it_back() -> None:
    async def main(engine: Engine) -> None:
        await engine.submit(1)
        await asleep(engine, "x")
        row = await engine.journal.execution("default", "x")
        assert row is not None
        assert (row.wake_at, row.waiting_for) == (math.inf, "a signal 'go'")
        await engine.send(1, "signal", {"name": "go", "value": "7"})
        assert await end_of(engine, "x") == 7

    within(waits, main)


def test_what_is_woken_for_nothing_sleeps_again() -> None:
    async def main(engine: Engine) -> None:
        await engine.submit(1)
        await asleep(engine, "x")
        await engine.send(1, "signal", {"name": "another", "value": "7"})
        await engine.send(2, "approve", {})
        await asleep(engine, "x")
        await engine.send(3, "signal", {"name": "go", "value": "8"})
        assert await end_of(engine, "x") == 8

    within(waits, main)


def test_as_many_as_are_resident_stay_and_those_that_rested_last_are_they() -> None:
    async def main(engine: Engine) -> None:
        for number in range(7):
            await engine.submit(1, id=f"e{number}")
        await engine.commits.drain()
        assert sorted(engine.host.open) == ["e4", "e5", "e6"]
        await engine.send(1, "signal", {"name": "other", "value": "1"}, id="e0")
        await engine.commits.drain()
        assert sorted(engine.host.open) == ["e0", "e5", "e6"]

    within(waits, main, resident=3)


def test_who_watches_hears_of_the_end_of_what_slept_meanwhile() -> None:
    async def main(engine: Engine) -> None:
        await engine.submit(1)  # this client watches
        await asleep(engine, "x")
        assert await engine.owner.watch("another", ["x", "nobody"]) == ["nobody"]
        assert await engine.submit(1) == "same"
        heard = [asyncio.ensure_future(engine.owner.outbox.poll(who, 0, 1e6)) for who in ("client", "another")]
        await engine.send(1, "signal", {"name": "go", "value": "1"})
        assert [(await each)[0][1:3] for each in heard] == [("x", "execution_completed")] * 2
        assert await engine.owner.watch("another", ["x"]) == ["x"]
        assert await engine.submit(1) == "closed"

    within(waits, main)


def test_sleepers_wake_on_time_and_none_early() -> None:
    async def main(engine: Engine) -> None:
        began = engine.clock.now()
        naps_s = [5.0 + 7.3 * number for number in range(40)] + [50_000.0]
        for number, seconds in enumerate(naps_s):
            await engine.submit(seconds, id=f"e{number}")
        await asleep(engine, *[f"e{number}" for number in range(40)])
        for number, seconds in enumerate(naps_s):
            await end_of(engine, f"e{number}")
            fired = [row.at for row in await engine.history(f"e{number}") if row.kind == "timer_fired"]
            assert began + seconds <= fired[0] <= began + seconds + 1.0
            if number < 39:
                assert engine.clock.now() < began + seconds + 2 * HORIZON_S

    within(naps, main)


def test_a_new_owner_holds_none_of_the_sleepers_and_wakes_them_all() -> None:
    store = new_store()

    async def first(engine: Engine) -> float:
        now = engine.clock.now()
        for number in range(30):
            await engine.submit(100.0 + number, id=f"e{number}")
        await engine.commits.drain()
        return now

    now = within(naps, first, store)

    async def second(engine: Engine) -> None:
        assert (len(engine.host.open), await engine.owner.sleepers.count()) == (0, 30)
        assert await engine.owner.sleepers.are_there()
        for number in range(30):
            await end_of(engine, f"e{number}")
            fired = [row.at for row in await engine.history(f"e{number}") if row.kind == "timer_fired"]
            assert 0 <= fired[0] - (now + 100.0 + number) <= 5.0
        assert not await engine.owner.sleepers.are_there()

    within(naps, second, store, life=2)


def test_those_whose_time_came_while_nobody_was_there_go_on_at_once() -> None:
    store = new_store()

    async def first(engine: Engine) -> None:
        for number in range(5000):
            await engine.submit(10.0, id=f"e{number}")

    within(naps, first, store)

    async def second(engine: Engine) -> None:
        engine.clock._offset += 1000.0
        for number in range(5000):
            await end_of(engine, f"e{number}")

    within(naps, second, store, life=2)


def test_a_deadline_and_a_timeout_reach_what_sleeps() -> None:
    async def main(engine: Engine) -> None:
        await engine.submit(1, id="late")
        await engine.submit(1, id="dead", deadline=engine.clock.now() + 100)
        await asleep(engine, "late", "dead")
        rows = await engine.journal.existing("default", ["late", "dead"])
        assert rows["late"].wake_at == pytest.approx(rows["dead"].wake_at + 400, abs=1)  # type: ignore[operator]
        assert await end_of(engine, "late") == "late"
        assert (await end_of(engine, "dead"))[1] == "DeadlineExceeded"

    within(patient, main)


def test_a_cancel_reaches_what_sleeps() -> None:
    async def main(engine: Engine) -> None:
        await engine.submit(1)
        await asleep(engine, "x")
        await engine.send(1, "cancel", {"reason": "enough"})
        assert await end_of(engine, "x") == {"reason": "enough"}

    within(waits, main)


def test_a_child_that_waits_stays_with_its_parent() -> None:
    """Its parent hears of its end in memory; and after a restart, too."""
    store = new_store()

    async def first(engine: Engine) -> None:
        await engine.submit(1)
        await engine.until(lambda: (live := engine.live("x/waits")) is not None and live.status == "waiting")
        await engine.commits.drain()
        assert sorted(engine.host.open) == ["x", "x/waits"]

    within(root, first, store)

    async def second(engine: Engine) -> None:
        assert sorted(engine.host.open) == ["x", "x/waits"]
        await engine.send(1, "signal", {"name": "go", "value": "3"}, id="x/waits")
        assert await end_of(engine, "x") == 3

    within(root, second, store, life=2)


def test_parking_counts_what_sleeps() -> None:
    async def main(engine: Engine) -> None:
        for number in range(5):
            await engine.submit(1, id=f"e{number}")
        await engine.commits.drain()
        assert await engine.owner.park() == 5

    within(waits, main, resident=2)


def test_one_that_cannot_be_woken_keeps_nobody_from_waking(caplog: pytest.LogCaptureFixture) -> None:
    async def main(engine: Engine) -> None:
        for id in ("a", "b"):
            await engine.submit(100.0, id=id)
        await asleep(engine, "a", "b")
        rows = memory._STORES[engine.journal._url[9:]]
        key = rows.keys["default", "a"]
        rows.executions[key] = rows.executions[key]._replace(definition="gone")
        assert await end_of(engine, "b") == "slept"
        await asyncio.sleep(60)

    within(naps, main)
    assert [record.getMessage() for record in caplog.records if "cannot be resumed" in record.getMessage()] == [
        "execution a cannot be resumed; its history stays as it is"
    ]


def test_a_history_is_folded_from_its_snapshot_and_from_the_beginning_where_that_is_damaged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(snapshot, "EVERY", 10)
    folded: list[int] = []
    decode = snapshot.decode
    monkeypatch.setattr(snapshot, "decode", lambda data, plan: (folded.append(len(data)), decode(data, plan))[1])

    async def main(engine: Engine) -> None:
        await engine.submit(list(range(30)))
        await asleep(engine, "x")
        store = memory._STORES[engine.journal._url[9:]]
        (kept,) = store.snapshots.values()
        await engine.send(1, "signal", {"name": "other", "value": "1"})
        assert len(folded) == 1
        await asleep(engine, "x")
        store.snapshots[kept.key] = kept._replace(data=b"damaged")
        await engine.send(2, "signal", {"name": "go", "value": '"went"'})
        assert await end_of(engine, "x") == (list(range(30)), "went")
        await engine.commits.drain()
        assert store.snapshots == {}

    within(long, main)
    assert "is folded from its beginning" in caplog.text


@raywf.workflow
def just_waits(x: int):
    return raywf.wait_signal("go")


def test_what_has_just_ended_here_is_not_taken_up_again_from_a_store_that_does_not_know_yet() -> None:
    async def main(engine: Engine) -> Any:
        await engine.submit(1)
        await engine.commits.drain()
        live = engine.live()
        assert live is not None and live.wake_at is not None
        engine.journal.gate.clear()
        engine.host.signal(live, "go", b"1", "first", None)
        assert engine.live() is None  # it has ended, and nothing of that is on disk
        waking = asyncio.ensure_future(engine.owner.sleepers.wake("default", ["x"]))
        await asyncio.sleep(0.1)
        engine.journal.gate.set()
        await waking
        assert engine.live() is None
        return await engine.ending()

    assert within(just_waits, main, resident=10)[0] == "execution_completed"
