"""Debounce, singleton and batch on an owner: nothing accepted is lost and none counts twice, whatever dies."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter
from typing import Any

import pytest

import raywf
from raywf import DefinitionError, current, task, workflow
from raywf.client.collecting import bind_submit, mark, rule_of, submit_row
from raywf.client.events import emit, triggers
from raywf.client.registering import register
from raywf.client.schedules import Schedules
from raywf.errors import InvalidInput
from tests.unit.runtime.engines import LANE, Engine, live_through, new_store

ran: Counter[str] = Counter()
seconds_of = {"work": 0.0}


@pytest.fixture(autouse=True)
def _reset() -> None:
    ran.clear()
    seconds_of["work"] = 0.0


@task
async def work(value: Any) -> Any:
    ran[current().execution_id] += 1
    await asyncio.sleep(seconds_of["work"])
    return value


@workflow(start=raywf.Debounce(key="input.user", quiet_s=5, max_wait_s=20))
def reindex(user: str, revision: int) -> list[Any]:
    return work([user, revision])


@workflow(start=raywf.Batch(max_size=3, timeout=10, key="input.item.team"))
def ingest(rows: list[dict[str, Any]]) -> Any:
    return work(rows)


@workflow(start=raywf.Singleton(key="input.user", on_conflict="skip"))
def sync_skip(user: str, n: int) -> Any:
    return work([user, n])


@workflow(start=raywf.Singleton(key="input.user", on_conflict="join"))
def sync_join(user: str, n: int) -> Any:
    return work([user, n])


@workflow(start=raywf.Singleton(key="input.user", on_conflict="cancel_previous"))
def sync_cancel(user: str, n: int) -> Any:
    return work([user, n])


async def serving(wf: Any, store: str, life: int = 1, now: float = 1_700_000_000.0) -> Engine:
    engine = Engine(wf, store, life, now=now)
    await engine.claim()
    engine.owner.spawn(engine.owner.take_commands())
    engine.owner.spawn(engine.owner.triggers.look_after(engine.owner.gone))
    engine.owner.spawn(engine.owner.collectors.look_after(engine.owner.gone))
    return engine


async def send(engine: Engine, submit: str, *args: Any) -> str:
    """One submit, as a client sends it; the collector it is for."""
    definition = engine.workflow.definition
    rule = rule_of(definition)
    assert rule is not None
    input_ = bind_submit(engine.workflow, rule, args, {})
    await mark(engine.journal, "default", LANE, definition)
    row = submit_row(definition, rule, input_, LANE, "default", submit, {"tags": {"team": "x"}})
    await engine.journal.send(row._replace(at=engine.clock.now()))
    engine.owner.triggers.poke()
    return row.execution


async def submit(engine: Engine, submit_: str, *args: Any) -> tuple[str, str]:
    return await engine.owner.collectors.submitted(await send(engine, submit_, *args), submit_)


async def found(engine: Engine) -> dict[str, Any]:
    await engine.commits.drain()
    out = {}
    for row in reversed(await engine.journal.executions("default")):
        out[row.id] = (await engine.ending(row.id))[1] if row.ended_at is not None else row.status
    return out


def test_a_debounce_starts_once_when_it_is_quiet_with_the_last_arguments() -> None:
    async def main() -> None:
        engine = await serving(reindex, new_store())
        ids = set()
        for revision in range(3):
            ids.add((await submit(engine, f"s{revision}", "ann", revision))[1])
            await asyncio.sleep(3)
        await submit(engine, "b0", "bob", 7)
        assert await found(engine) == {}
        await asyncio.sleep(2.2)
        (id_,) = ids
        assert await found(engine) == {id_: ["ann", 2]}, "five seconds after the last one"
        await asyncio.sleep(5)
        assert sorted((await found(engine)).values()) == [["ann", 2], ["bob", 7]]
        assert max(ran.values()) == 1
        assert await engine.journal.inbox(LANE + "#start", 0) == []

    live_through(main)


def test_a_client_that_is_faster_than_the_look_at_the_schedules_is_not_forgotten() -> None:
    """The owner has not read yet that anything is collected here, and nobody else tells it to look."""

    async def main() -> None:
        engine = Engine(reindex, new_store())
        await engine.claim()
        engine.owner.spawn(engine.owner.collectors.look_after(engine.owner.gone))
        await asyncio.sleep(1)
        _, id_ = await submit(engine, "s0", "ann", 1)
        await asyncio.sleep(6)
        assert await found(engine) == {id_: ["ann", 1]}

    live_through(main)


def test_a_debounce_that_never_gets_quiet_starts_after_its_longest_wait() -> None:
    async def main() -> None:
        engine = await serving(reindex, new_store())
        for revision in range(15):
            await submit(engine, f"s{revision}", "ann", revision)
            await asyncio.sleep(2)
        await asyncio.sleep(6)
        values = list((await found(engine)).values())
        assert values[-1] == ["ann", 14]
        assert len(values) == 2

    live_through(main)


def test_a_batch_collects_items_of_a_key_into_one_list() -> None:
    async def main() -> None:
        engine = await serving(ingest, new_store())
        for number in range(4):
            await submit(engine, f"a{number}", {"team": "a", "n": number})
        await submit(engine, "b", {"team": "b", "n": 9})
        await asyncio.sleep(1)
        assert [[row["n"] for row in rows] for rows in (await found(engine)).values()] == [[0, 1, 2]]
        await asyncio.sleep(10)
        values = sorted([row["n"] for row in rows] for rows in (await found(engine)).values())
        assert values == [[0, 1, 2], [3], [9]]

    live_through(main)


def test_a_singleton_skips_while_one_of_the_key_runs() -> None:
    async def main() -> None:
        seconds_of["work"] = 10.0
        engine = await serving(sync_skip, new_store())
        verdict, first = await submit(engine, "s0", "ann", 0)
        assert verdict == "execution"
        assert await submit(engine, "s1", "ann", 1) == ("skipped", first)
        assert (await submit(engine, "s2", "bob", 2))[0] == "execution"
        await asyncio.sleep(11)
        assert (await submit(engine, "s3", "ann", 3))[0] == "execution"
        await asyncio.sleep(11)
        assert sorted((await found(engine)).values()) == [["ann", 0], ["ann", 3], ["bob", 2]]

    live_through(main)


def test_a_singleton_joins_the_one_that_runs() -> None:
    async def main() -> None:
        seconds_of["work"] = 10.0
        engine = await serving(sync_join, new_store())
        first = await submit(engine, "s0", "ann", 0)
        assert await submit(engine, "s1", "ann", 1) == first
        assert await submit(engine, "s0", "ann", 0) == first, "asked again"
        await asyncio.sleep(11)
        assert await found(engine) == {first[1]: ["ann", 0]}

    live_through(main)


def test_a_singleton_takes_the_place_of_the_one_that_runs() -> None:
    async def main() -> None:
        seconds_of["work"] = 10.0
        engine = await serving(sync_cancel, new_store())
        _, first = await submit(engine, "s0", "ann", 0)
        await asyncio.sleep(1)
        _, second = await submit(engine, "s1", "ann", 1)
        assert await submit(engine, "s2", "ann", 2) == ("execution", second)
        await asyncio.sleep(15)
        rows = {row.id: row.status for row in await engine.journal.executions("default")}
        assert rows == {first: "cancelled", second: "completed"}
        assert (await found(engine))[second] == ["ann", 2]

    live_through(main)


@pytest.mark.parametrize("after_writing", [False, True])
@pytest.mark.parametrize("commit", [1, 2, 3])
@pytest.mark.parametrize(("wf", "takes"), [(reindex, "last"), (ingest, "all"), (sync_join, "first")])
def test_an_owner_that_dies_while_it_starts_what_was_collected(
    wf: Any, takes: str, commit: int, after_writing: bool
) -> None:
    store = new_store()
    inputs: list[tuple[Any, ...]] = [("ann", n) if wf is not ingest else ({"team": "a", "n": n},) for n in range(3)]

    async def first() -> None:
        engine = await serving(wf, store)
        engine.journal.die_at, engine.journal.die_after_writing = commit, after_writing
        for number, args in enumerate(inputs):
            await send(engine, f"s{number}", *args)
        with contextlib.suppress(TimeoutError):  # some end in two commits
            await asyncio.wait_for(engine.journal.died.wait(), 30)

    async def second() -> None:
        engine = await serving(wf, store, 2, now=1_700_000_030.0)
        await asyncio.sleep(20)
        values = list((await found(engine)).values())
        assert len(values) == 1
        if takes == "all":
            assert [row["n"] for row in values[0]] == [0, 1, 2]
        else:
            assert values[0] == ["ann", 2 if takes == "last" else 0]
        assert await engine.journal.inbox(LANE + "#start", 0) == []

    live_through(first)
    live_through(second)


def test_a_death_between_the_decision_and_the_start_starts_what_was_decided() -> None:
    """Submits that come later belong to the next execution, although the first one was never opened."""
    store = new_store()

    async def first() -> None:
        engine = await serving(ingest, store)
        engine.journal.gate.clear()
        for number in range(3):
            await send(engine, f"s{number}", {"team": "a", "n": number})
        await asyncio.sleep(2)

    async def second() -> None:
        engine = await serving(ingest, store, 2)
        for number in (3, 4):
            await send(engine, f"s{number}", {"team": "a", "n": number})
        await asyncio.sleep(12)
        assert [[row["n"] for row in rows] for rows in (await found(engine)).values()] == [[0, 1, 2], [3, 4]]

    live_through(first)
    live_through(second)


def test_a_key_that_nobody_asks_about_any_more_leaves_nothing() -> None:
    async def main() -> None:
        engine = await serving(reindex, new_store())
        await submit(engine, "s0", "ann", 0)
        await asyncio.sleep(400)
        assert [row.id for row in await engine.journal.schedules("default")] == [f"@start:{LANE}"]

    live_through(main)


def test_without_such_workflows_nobody_looks() -> None:
    async def main() -> None:
        engine = await serving(reindex, new_store())
        await asyncio.sleep(1)
        read = engine.journal.inbox
        lanes = set()

        async def inbox(lane: str, after: int, limit: int = 1000) -> Any:
            lanes.add(lane)
            return await read(lane, after, limit)

        engine.journal.inbox = inbox  # type: ignore[method-assign]
        await asyncio.sleep(100)
        assert lanes == {LANE}

    live_through(main)


def test_events_are_collected_too() -> None:
    async def main() -> None:
        engine = await serving(ingest, new_store())
        them = Schedules(engine.journal, "default", "memory://x")
        await register(them, ingest, LANE, [raywf.on_event("row")])
        for number in range(3):
            await emit(engine.journal, "default", "row", {"team": "a", "n": number}, f"e{number}")
            await emit(engine.journal, "default", "row", {"team": "a", "n": number}, f"e{number}")
        await asyncio.sleep(2)
        assert [[row["n"] for row in rows] for rows in (await found(engine)).values()] == [[0, 1, 2]]

    live_through(main)


def test_a_trigger_that_is_called_like_a_collector_is_not_overwritten() -> None:
    async def main() -> None:
        engine = await serving(sync_all, new_store())
        them = Schedules(engine.journal, "default", "memory://x")
        assert await register(them, sync_all, LANE, [raywf.on_event("all")]) == ["sync_all@all"]
        assert await send(engine, "s0", 1) == "sync_all@all"
        await asyncio.sleep(2)
        assert list((await found(engine)).values()) == [1]
        assert [each.id for each in await triggers(engine.journal, "default")] == ["sync_all@all"]

    live_through(main)


@workflow(start=raywf.Singleton())
def sync_all(n: int) -> Any:
    return work(n)


def test_an_item_that_does_not_fit_is_refused() -> None:
    rule = rule_of(ingest.definition)
    assert rule is not None
    with pytest.raises(InvalidInput, match="parameter 'rows"):
        bind_submit(ingest, rule, (7,), {})
    with pytest.raises(InvalidInput, match="gives one item"):
        bind_submit(ingest, rule, (), {})


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: raywf.Debounce(quiet_s=0), "quiet_s is 0"),
        (lambda: raywf.Debounce(quiet_s=5, max_wait_s=1), "quiet would never count"),
        (lambda: raywf.Debounce(quiet_s=5, key="inputt.x"), "Did you mean 'input'?"),
        (lambda: raywf.Singleton(on_conflict="joni"), "Did you mean 'join'?"),
        (lambda: raywf.Batch(max_size=0, timeout=1), "from 1 to 1,000"),
        (lambda: raywf.Batch(max_size=5, timeout=-1), "timeout is -1"),
        (lambda: workflow(start=5)(two), "raywf.Debounce(…)"),
        (lambda: workflow(start=raywf.Batch(max_size=5, timeout=1))(two).definition, "has 2 parameters"),
        (lambda: workflow(start=raywf.Singleton(key="input.usr"))(two).definition, "Did you mean 'user'?"),
        (lambda: workflow(start={"kind": "batsch"})(two), "Did you mean 'batch'?"),  # type: ignore[call-overload]
    ],
)
def test_a_rule_that_cannot_be_meant_is_refused(make: Any, said: str) -> None:
    with pytest.raises(DefinitionError) as refused:
        make()
    assert said in str(refused.value)


def two(user: str, n: int) -> Any:
    return work([user, n])


def test_a_rule_is_data_and_comes_back_from_yaml() -> None:
    assert json.loads(ingest.definition.body)["configuration"]["start"] == {
        "kind": "batch",
        "max_size": 3,
        "timeout_s": 10,
        "key": "input.item.team",
    }
    assert raywf.WorkflowDefinition.from_yaml(ingest.definition.to_yaml()) == ingest.definition
