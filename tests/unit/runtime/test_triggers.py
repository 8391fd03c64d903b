"""Schedules of an owner: they fire once, whatever dies, and what was decided starts."""

from __future__ import annotations

import asyncio
import json
import math
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest

from raywf import current, task, workflow
from raywf.client.schedules import ABSENT, Schedules, spec_of
from raywf.core.schedules import Spec
from raywf.errors import InvalidInput, NotFound, StoreUnavailable
from raywf.ports import InboxRow, ScheduleRow
from tests.unit.runtime.engines import LANE, Engine, live_through, new_store

BEGAN = 1_700_000_000.0
EVERY = 10.0
FIRST = BEGAN + EVERY  # the epoch second 1_700_000_000 is a multiple of ten
ran: Counter[str] = Counter()
seconds_of = {"work": 0.0}


@pytest.fixture(autouse=True)
def _reset() -> None:
    ran.clear()
    seconds_of["work"] = 0.0


@task
async def work(name: str) -> str:
    ran[current().execution_id] += 1
    await asyncio.sleep(seconds_of["work"])
    at = current().scheduled_at
    return f"{name} {at:%H:%M:%S}" if at is not None else name


@workflow
def tick(name: str = "nobody") -> str:
    return work(name)


def id_of(at: float) -> str:
    return f"tick/{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M:%SZ}"


def a_spec(**when: Any) -> Spec:
    return spec_of(tick, "ann", {"every": EVERY, **when}, 0, {"team": "blue"}, None)


async def put(engine: Engine, *, next_at: float = FIRST, paused: bool = False, **when: Any) -> ScheduleRow:
    from raywf.core.ids import shard_of
    from raywf.runtime.definitions import definition_row

    row = ScheduleRow("default", "tick", LANE, shard_of("tick"), a_spec(**when).to_json(), next_at, paused, None)
    await engine.journal.put_definition(definition_row(tick.definition))
    await engine.journal.put_schedule(row)
    engine.owner.triggers.poke()
    return row


async def serving(store: str, life: int = 1, now: float = BEGAN) -> Engine:
    engine = Engine(tick, store, life, now=now)
    await engine.claim()
    engine.owner.spawn(engine.owner.take_commands())
    engine.owner.spawn(engine.owner.triggers.look_after(engine.owner.gone))
    return engine


async def executions(engine: Engine) -> dict[str, str]:
    rows = await engine.journal.executions("default")
    return {row.id: row.status for row in reversed(rows)}


async def the_row(engine: Engine) -> ScheduleRow:
    (row,) = await engine.journal.schedules("default")
    return row


def test_a_schedule_fires_at_its_instants_with_its_arguments_and_tags() -> None:
    async def main() -> None:
        engine = await serving(new_store())
        await put(engine)
        await asyncio.sleep(25)
        assert await executions(engine) == {id_of(FIRST): "completed", id_of(FIRST + 10): "completed"}
        assert await engine.ending(id_of(FIRST)) == ("execution_completed", "ann 22:13:30")
        row = await engine.journal.execution("default", id_of(FIRST))
        assert row is not None
        assert row.tags == {"team": "blue", "schedule": "tick"}
        assert row.created_at == pytest.approx(FIRST, abs=0.05), "on the instant, not at the next look"
        assert (await engine.history(id_of(FIRST)))[0].by == "schedule tick"
        assert (await the_row(engine)).last == id_of(FIRST + 10)

    live_through(main)


@pytest.mark.parametrize(("overlap", "began"), [("skip", [0, 30, 60]), ("allow", [0, 10, 20, 30, 40, 50, 60]),
                                                ("buffer_one", [0, 20, 50])])  # fmt: skip
def test_overlap_while_an_execution_takes_longer_than_the_interval(overlap: str, began: list[int]) -> None:
    async def main() -> None:
        seconds_of["work"] = 25.0
        engine = await serving(new_store())
        await put(engine, overlap=overlap)
        await asyncio.sleep(10 + 64)
        assert list(await executions(engine)) == [id_of(FIRST + at) for at in began]

    live_through(main)


def test_cancel_previous_ends_the_last_execution_before_the_next_one_starts() -> None:
    async def main() -> None:
        seconds_of["work"] = 25.0
        engine = await serving(new_store())
        await put(engine, overlap="cancel_previous")
        await asyncio.sleep(32)
        found = await executions(engine)
        assert found == {id_of(FIRST): "cancelled", id_of(FIRST + 10): "cancelled", id_of(FIRST + 20): "running"}

    live_through(main)


@pytest.mark.parametrize("after_writing", [False, True])
@pytest.mark.parametrize("commit", [1, 2, 3])
def test_an_owner_that_dies_while_it_fires_loses_nothing_and_fires_nothing_twice(
    commit: int, after_writing: bool
) -> None:
    store = new_store()

    async def first() -> None:
        engine = await serving(store)
        engine.journal.die_at, engine.journal.die_after_writing = commit, after_writing
        await put(engine, overlap="allow")
        await engine.journal.died.wait()

    async def second() -> None:
        engine = await serving(store, 2, now=FIRST + 15)
        await asyncio.sleep(20)
        found = await executions(engine)
        assert list(found) == [id_of(FIRST + at) for at in (0, 10, 20, 30)]
        assert set(found.values()) == {"completed"}

    live_through(first)
    live_through(second)


def test_a_death_between_the_decision_and_the_start_leaves_a_start_that_the_next_owner_makes() -> None:
    store = new_store()

    async def first() -> None:
        engine = await serving(store)
        engine.journal.gate.clear()  # the decision is on disk, the execution never is
        await put(engine)
        await asyncio.sleep(12)
        assert (await the_row(engine)).last == id_of(FIRST) + "?"
        assert await executions(engine) == {}

    async def second() -> None:
        engine = await serving(store, 2, now=FIRST + 3)
        await asyncio.sleep(2)
        assert await executions(engine) == {id_of(FIRST): "completed"}
        assert (await the_row(engine)).last == id_of(FIRST)
        assert ran == {id_of(FIRST): 1}

    live_through(first)
    live_through(second)


def test_a_death_after_the_start_and_before_it_was_noted_starts_nothing_again() -> None:
    store = new_store()

    async def first() -> None:
        engine = await serving(store)
        row = await put(engine)
        await asyncio.sleep(12)
        # as it was before the last note
        await engine.journal.put_schedule(row._replace(next_at=FIRST + 10, last=id_of(FIRST) + "?"))

    async def second() -> None:
        engine = await serving(store, 2, now=FIRST + 3)
        await asyncio.sleep(2)
        assert await executions(engine) == {id_of(FIRST): "completed"}
        assert ran == {id_of(FIRST): 1}
        assert (await the_row(engine)).last == id_of(FIRST)

    live_through(first)
    live_through(second)


def test_a_store_that_cannot_be_written_delays_a_firing_and_loses_none() -> None:
    async def main() -> None:
        engine = await serving(new_store())
        await put(engine)
        engine.journal.fail = [StoreUnavailable("disk full")] * 3
        await asyncio.sleep(19)
        assert await executions(engine) == {id_of(FIRST): "completed"}

    live_through(main)


def test_what_was_missed_while_no_engine_ran_starts_once_when_one_does() -> None:
    store = new_store()

    async def first() -> None:
        await put(Engine(tick, store), catch_up=600)

    async def second() -> None:
        engine = await serving(store, 2, now=FIRST + 304)
        await asyncio.sleep(2)
        assert list(await executions(engine)) == [id_of(FIRST + 300)]

    live_through(first)
    live_through(second)


def test_a_schedule_that_cannot_be_read_does_not_keep_others_from_firing() -> None:
    async def main() -> None:
        engine = await serving(new_store())
        row = await put(engine)
        broken = json.loads(row.spec) | {"timezone": "Mars/Olympus", "cron": "* * * * *", "every_s": None}
        await engine.journal.put_schedule(
            row._replace(id="broken", spec=json.dumps(broken).encode(), next_at=FIRST - 1)
        )
        await asyncio.sleep(12)
        assert list(await executions(engine)) == [id_of(FIRST)]

    live_through(main)


def test_without_schedules_nobody_looks() -> None:
    async def main() -> None:
        engine = await serving(new_store())
        looked = 0

        async def due(*_: Any) -> list[ScheduleRow]:
            nonlocal looked
            looked += 1
            return []

        engine.journal.due_schedules = due  # type: ignore[method-assign]
        await asyncio.sleep(1000)
        assert looked == 0
        assert not engine.owner.triggers.are_there

    live_through(main)


def client(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Schedules:
    monkeypatch.setattr("raywf.client.schedules.time.time", engine.clock.now)
    return Schedules(engine.journal, "default", "memory://x")  # type: ignore[arg-type]


def test_pause_resume_and_delete(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        engine = await serving(new_store())
        them = client(engine, monkeypatch)
        made = await them.put(tick, a_spec(), LANE, None, False)
        assert (made.id, made.when, made.input) == ("tick", "every 10 s", {"name": "ann"})
        await asyncio.sleep(11)
        assert await them.pause("tick")
        assert not await them.pause("tick")
        await asyncio.sleep(34)
        assert list(await executions(engine)) == [id_of(FIRST)]
        assert (await them.get("tick")).next_at is None
        assert await them.resume("tick")
        await asyncio.sleep(6)
        assert list(await executions(engine)) == [id_of(FIRST), id_of(FIRST + 40)], "the pause is not made up for"
        await them.delete("tick")
        await asyncio.sleep(60)
        assert len(await executions(engine)) == 2
        with pytest.raises(NotFound, match="no schedule 'tick'"):
            await them.get("tick")

    live_through(main)


def test_putting_the_same_again_changes_nothing_and_another_timetable_counts_from_now(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main() -> None:
        engine = await serving(new_store())
        them = client(engine, monkeypatch)
        first = await them.put(tick, a_spec(), LANE, None, False)
        assert await them.put(tick, a_spec(), LANE, None, False) == first
        assert len(await engine.journal.inbox(LANE, 0)) == 1
        await asyncio.sleep(11)
        changed = await them.put(tick, a_spec(every=60.0), LANE, None, False)
        assert changed.last == id_of(FIRST)
        assert changed.next_at == datetime.fromtimestamp(math.floor(FIRST / 60 + 1) * 60, UTC)

    live_through(main)


def test_a_backfill_starts_what_is_not_there_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        engine = await serving(new_store())
        them = client(engine, monkeypatch)
        await them.put(tick, a_spec(), LANE, None, False)
        await asyncio.sleep(11)
        start, end = (datetime.fromtimestamp(at, UTC) for at in (FIRST - 20, FIRST))
        ids = await them.backfill("tick", start, end)
        assert ids == [id_of(FIRST - 20), id_of(FIRST - 10), id_of(FIRST)]
        await them.backfill("tick", start, end)
        await asyncio.sleep(1)
        assert ran == dict.fromkeys(ids, 1)
        assert await engine.ending(ids[0]) == ("execution_completed", "ann 22:13:10")
        assert await engine.journal.inbox(LANE, 0) == []
        with pytest.raises(InvalidInput, match="more than 10,000 instants of every 10 s"):
            await them.backfill("tick", start, "2024-01-01T00:00:00Z")
        with pytest.raises(InvalidInput, match="without a time zone nobody knows"):
            await them.backfill("tick", "2024-01-01", end)

    live_through(main)


def test_a_backfill_survives_an_owner_that_dies_while_it_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    store = new_store()
    start, end = (datetime.fromtimestamp(at, UTC) for at in (FIRST - 50, FIRST - 10))

    async def first() -> None:
        engine = await serving(store)
        them = client(engine, monkeypatch)
        await them.put(tick, a_spec(), LANE, None, True)
        engine.journal.die_at = 2
        await them.backfill("tick", start, end)
        await engine.journal.died.wait()

    async def second() -> None:
        engine = await serving(store, 2, now=BEGAN + 5)
        await asyncio.sleep(10)
        assert sorted(await executions(engine)) == [id_of(FIRST - at) for at in (50, 40, 30, 20, 10)]

    live_through(first)
    live_through(second)


@pytest.mark.parametrize(
    ("when", "said"),
    [
        ({"cron": "0 7 * * *", "every": 5}, "both cron and every"),
        ({}, "neither cron nor every"),
        ({"cron": "0 7 * *"}, "has 4 fields"),
        ({"cron": "0 7 * * *", "timezone": "Berlin"}, "Did you mean 'Europe/Berlin'?"),
        ({"cron": "0 7 * * *", "timezone": "Europe/Berlinn"}, "Did you mean 'Europe/Berlin'?"),
        ({"cron": "0 7 * * *", "overlap": "skipp"}, "Did you mean 'skip'?"),
        ({"every": 0.5}, "every=0.5: it is a number of seconds from 1"),
        ({"every": 1.5}, "a whole number of seconds"),
        ({"every": 5, "jitter": -1}, "jitter=-1"),
        ({"every": 5, "start": "2026-01-01"}, "without a time zone"),
        ({"every": 5, "start": "2026-01-02T00:00:00Z", "end": "2026-01-01T00:00:00Z"}, "it would never fire"),
    ],
)
def test_what_is_wrong_in_a_timetable_is_refused(when: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        spec_of(tick, ABSENT, when, 0, None, None)
    assert said in str(refused.value)


def test_arguments_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InvalidInput, match="parameter 'name'"):
        spec_of(tick, ["a", "b"], {"every": 5}, 0, None, None)


def test_a_command_of_an_unknown_schedule_row_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        engine = await serving(new_store())
        await engine.journal.send(InboxRow(0, "default", "tick", LANE, "backfill", b"{}", "c", None, 0.0))
        await asyncio.sleep(2)
        assert len(await engine.journal.inbox(LANE, 0)) == 1, "it waits, and is tried again"

    live_through(main)
