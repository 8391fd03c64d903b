"""Open executions go on under another version of their workflow: an owner does it at one point, and dying there changes nothing."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import raywf
from raywf.client.commands import Commands
from raywf.client.migrating import MigrationResult, deployment_plan, migrate, wishes
from raywf.client.reading import Readings
from raywf.core import events as ev
from raywf.core.codec import from_record
from raywf.definition.workflows import Workflow
from raywf.runtime.definitions import definition_row
from tests.unit.runtime.engines import ID, LANE, Engine, Ledger, live_through, new_store

LEDGER = Ledger()


@raywf.task
async def fetch(number: int) -> int:
    LEDGER.note()
    return number + 1


@raywf.task
async def slow(number: int) -> int:
    LEDGER.note()
    await asyncio.sleep(100)
    return number * 10


@raywf.task
async def check(number: int) -> int:
    LEDGER.note()
    return number


@raywf.task
async def finish(number: int, note: str = "") -> str:
    if note == "broken" and LEDGER.fails(1):
        raise ValueError("not yet")
    LEDGER.note()
    return f"{number}{note}"


@raywf.workflow(id="order")
def one(number: int):
    return finish(raywf.approval("Go on?", data=fetch(number)))


@raywf.workflow(id="order", version="2")
def two(number: int):
    approved = raywf.approval("Go on?", data=fetch(number))
    return finish(check(approved), "!")


@raywf.workflow(id="order", version="3")
def broken(number: int):
    approved = raywf.approval("Go on?", data=fetch(number))
    return finish(check(approved), "broken")


@raywf.workflow(id="busy")
def busy(number: int):
    return finish(slow(number))


@raywf.workflow(id="busy", version="2")
def busier(number: int):
    return finish(check(slow(number)))


@raywf.workflow(id="parent")
def parent(number: int):
    return finish(one(number))


@raywf.workflow(id="parent", version="2")
def parent_two(number: int):
    return finish(check(one(number)))


@raywf.workflow(id="everything")
def everything(number: int):
    return raywf.gather(one(number), two(number), broken(number), busy(number), busier(number), parent(number),
                        parent_two(number))  # fmt: skip


@pytest.fixture(autouse=True)
def fresh_ledger() -> None:
    LEDGER.__init__()  # type: ignore[misc]


def engine_for(workflow: Workflow[..., Any], store: str, life: int = 1, **settings: Any) -> Engine:
    engine = Engine(everything, store, life, **settings)
    engine.workflow = workflow
    return engine


def ran(task: str) -> int:
    return LEDGER.tasks[ID, task]


async def move(engine: Engine, to: Workflow[..., Any], *, take: bool = True, **asked: Any) -> MigrationResult:
    """What ``engine.migrate`` does, without waiting for the outcome."""
    readings = Readings("memory://x", "default", engine.journal)
    commands = Commands("memory://x", "default", readings, engine.journal)
    await engine.journal.put_definition(definition_row(to.definition))
    wished = wishes(asked.pop("rerun", ()), asked.pop("keep", ()), asked.pop("drop", ()))
    result = await migrate(commands, to, wished, None, "ann", 0.0)
    if take:
        await engine.owner._take_once()
    return result


async def migrated(engine: Engine, id: str = ID) -> list[ev.Event]:
    rows = [row for row in await engine.history(id) if row.kind in ("execution_migrated", "migration_refused")]
    return [from_record(*row[4:]) for row in rows]


def test_an_execution_that_waits_goes_on_under_the_new_version_with_what_it_has() -> None:
    async def main() -> None:
        engine = engine_for(one, new_store())
        await engine.claim()
        await engine.submit(1)
        await engine.until(lambda: (live := engine.live()) and live.status == "waiting")
        await move(engine, two)
        await engine.until(lambda: (live := engine.live()) and live.row.version == "2")
        assert await engine.to_the_end([("approve", {"comment": ""})]) == ("execution_completed", "2!")
        assert [ran(task) for task in ("fetch", "check", "finish")] == [1, 1, 1]
        row = await engine.journal.execution("default", ID)
        assert row is not None
        assert (row.definition, row.version, row.status) == (two.definition.content_hash, "2", "completed")
        (event,) = await migrated(engine)
        assert isinstance(event, ev.ExecutionMigrated)
        assert (event.source, event.definition) == (one.definition.content_hash, two.definition.content_hash)
        described = await Readings("memory://x", "default", engine.journal).describe(ID)
        assert list(described.tasks) == ["fetch", "approval", "check", "finish"]

    live_through(main)


def test_what_runs_ends_first_and_nothing_new_starts_meanwhile() -> None:
    async def main() -> None:
        engine = engine_for(busy, new_store())
        await engine.claim()
        await engine.submit(1)
        await engine.until(lambda: ran("slow"))
        await move(engine, busier)
        await asyncio.sleep(50)
        live = engine.live()
        assert live is not None and live.row.version == "1"
        assert await engine.to_the_end() == ("execution_completed", "10")
        assert (ran("slow"), ran("check"), ran("finish")) == (1, 1, 1)
        assert [type(event).__name__ for event in await migrated(engine)] == ["ExecutionMigrated"]

    live_through(main)


@pytest.mark.parametrize("writes", [False, True])
@pytest.mark.parametrize("at", range(1, 7))
def test_dying_at_any_commit_of_a_migration_leaves_it_undone_or_done(at: int, writes: bool) -> None:
    store = new_store()

    async def first() -> None:
        engine = engine_for(one, store)
        await engine.claim()
        await engine.submit(1)
        await engine.until(lambda: (live := engine.live()) and live.status == "waiting")
        await engine.commits.drain()
        engine.journal.die_at, engine.journal.die_after_writing = engine.journal.commits + at, writes
        await move(engine, two)
        going_on = asyncio.ensure_future(engine.to_the_end([("approve", {"comment": ""})]))
        dying = asyncio.ensure_future(engine.journal.died.wait())
        await asyncio.wait([going_on, dying], return_when=asyncio.FIRST_COMPLETED)

    async def second() -> None:
        engine = engine_for(one, store, 2)
        await engine.claim()
        await engine.owner._take_once()
        approvals = [("approve", {"comment": ""})] * 2
        assert await engine.to_the_end(approvals) == ("execution_completed", "2!")
        assert [type(event).__name__ for event in await migrated(engine)] == ["ExecutionMigrated"]
        assert ran("fetch") == 1
        row = await engine.journal.execution("default", ID)
        assert row is not None and row.definition == two.definition.content_hash
        assert await engine.journal.inbox(LANE, 0) == []

    live_through(first)
    live_through(second)


def test_twice_is_once() -> None:
    async def main() -> None:
        engine = engine_for(one, new_store())
        await engine.claim()
        await engine.submit(1)
        await engine.until(lambda: (live := engine.live()) and live.status == "waiting")
        assert (await move(engine, two, take=False)).waiting == [ID]
        assert (await move(engine, two, take=False)).waiting == [ID]
        assert len(await engine.journal.inbox(LANE, 0)) == 1
        await engine.owner._take_once()
        await engine.until(lambda: (live := engine.live()) and live.row.version == "2")
        await engine.commits.drain()
        assert (await move(engine, two)).migrated == [ID]
        assert len(await migrated(engine)) == 1
        await engine.close()

    live_through(main)


def test_what_is_blocked_at_the_moment_of_the_owner_is_refused_and_the_history_says_why() -> None:
    async def main() -> None:
        engine = engine_for(one, new_store())
        await engine.claim()
        await engine.submit(1)
        await engine.until(lambda: (live := engine.live()) and live.status == "waiting")
        await move(engine, two, take=False)
        live = engine.live()
        assert live is not None
        engine.host.cancel(live, "enough", "ann")  # in the same moment as the command is taken
        await engine.owner._take_once()
        assert (await engine.to_the_end())[0] == "execution_cancelled"
        assert not [event for event in await migrated(engine) if isinstance(event, ev.ExecutionMigrated)]

    live_through(main)


def test_a_rollback_uses_what_the_older_version_had() -> None:
    async def main() -> None:
        engine = engine_for(one, new_store())
        await engine.claim()
        await engine.submit(1)
        await engine.until(lambda: (live := engine.live()) and live.status == "waiting")
        for target in (two, one, two, one):
            await move(engine, target)
            hash_ = target.definition.content_hash
            await engine.until(lambda hash_=hash_: (live := engine.live()) and live.row.definition == hash_)  # type: ignore[misc]
            await engine.commits.drain()
        assert await engine.to_the_end([("approve", {"comment": ""})]) == ("execution_completed", "2")
        assert ran("fetch") == 1
        assert len(await migrated(engine)) == 4

    live_through(main)


def test_a_migrated_execution_is_retried_and_forked_as_any_other() -> None:
    async def main() -> None:
        engine = engine_for(one, new_store())
        await engine.claim()
        await engine.submit(1)
        await engine.until(lambda: (live := engine.live()) and live.status == "waiting")
        await move(engine, broken)
        assert (await engine.to_the_end([("approve", {"comment": ""})]))[0] == "execution_failed"
        await engine.send(7, "retry", {})
        await engine.until(lambda: ran("finish") == 1)
        assert await engine.to_the_end() == ("execution_completed", "2broken")
        assert (ran("fetch"), ran("check"), ran("finish")) == (1, 1, 1)
        body = {"source": ID, "from_task": "check", "input": None, "fingerprint": "f"}
        await engine.send(8, "fork", body, id="again")
        await engine.until(lambda: LEDGER.failures["again finish"])
        assert (await engine.to_the_end(id="again"))[0] == "execution_failed"
        assert LEDGER.tasks["again", "fetch"] == 0
        assert LEDGER.tasks["again", "check"] == 1
        body = {"source": "again", "from_task": "finish", "input": None, "fingerprint": "f"}
        await engine.send(9, "fork", body, id="once-more")
        await engine.until(lambda: LEDGER.failures["once-more finish"])
        assert (await engine.to_the_end(id="once-more"))[0] == "execution_failed"
        assert LEDGER.tasks["once-more", "check"] == 0

    live_through(main)


def test_a_fork_that_is_open_is_migrated_too() -> None:
    async def main() -> None:
        engine = engine_for(one, new_store())
        await engine.claim()
        await engine.submit(1)
        assert await engine.to_the_end([("approve", {"comment": ""})]) == ("execution_completed", "2")
        body = {"source": ID, "from_task": "approval", "input": None, "fingerprint": "f"}
        await engine.send(8, "fork", body, id="again")
        await engine.until(lambda: (live := engine.live("again")) and live.status == "waiting")
        await engine.commits.drain()
        await move(engine, two)
        assert await engine.to_the_end([("approve", {"comment": ""})], id="again") == ("execution_completed", "2!")
        assert LEDGER.tasks["again", "fetch"] == 0

    live_through(main)


def test_a_child_goes_on_and_its_parent_hears_of_its_end() -> None:
    async def main() -> None:
        engine = engine_for(parent, new_store())
        await engine.claim()
        await engine.submit(1)
        child = f"{ID}/order"
        await engine.until(lambda: (live := engine.live(child)) and live.status == "waiting")
        await engine.commits.drain()
        await move(engine, parent_two)
        await engine.until(lambda: (live := engine.live()) and live.row.version == "2")
        await engine.send(5, "approve", {"comment": ""}, id=child)
        assert await engine.to_the_end() == ("execution_completed", "2")
        assert ran("check") == 1
        assert LEDGER.tasks[child, "fetch"] == 1

    live_through(main)


def test_one_that_sleeps_in_the_store_is_woken_and_sleeps_again_under_the_new_version() -> None:
    store = new_store()

    async def first() -> None:
        engine = engine_for(one, store, resident=0)
        await engine.claim()
        await engine.submit(1)
        await engine.until(lambda: engine.live() is None)
        await move(engine, two)
        await engine.until(lambda: len(engine.journal.batches) and engine.live() is None)
        await engine.commits.drain()

    async def second() -> None:
        engine = engine_for(one, store, 2)
        await engine.claim()
        await engine.send(3, "approve", {"comment": ""})
        assert await engine.to_the_end() == ("execution_completed", "2!")
        assert ran("fetch") == 1

    live_through(first)
    live_through(second)


def test_one_that_is_paused_stays_paused() -> None:
    async def main() -> None:
        engine = engine_for(one, new_store())
        await engine.claim()
        await engine.submit(1)
        await engine.until(lambda: (live := engine.live()) and live.status == "waiting")
        await engine.send(1, "pause", {"reason": "lunch"})
        await engine.commits.drain()
        await move(engine, two)
        await engine.until(lambda: (live := engine.live()) and live.row.version == "2")
        live = engine.live()
        assert live is not None and live.status == "paused"
        await engine.send(2, "resume", {})
        assert await engine.to_the_end([("approve", {"comment": ""})]) == ("execution_completed", "2!")

    live_through(main)


def test_a_plan_says_what_would_become_of_each_and_changes_nothing() -> None:
    async def main() -> None:
        engine = engine_for(one, new_store())
        await engine.claim()
        await engine.submit(1)
        await engine.until(lambda: (live := engine.live()) and live.status == "waiting")
        await engine.commits.drain()
        before = await engine.history()
        readings = Readings("memory://x", "default", engine.journal)
        await engine.journal.put_definition(definition_row(one.definition))
        plan = await deployment_plan(readings, two, one.definition.content_hash, wishes((), (), ()), None, 10)
        (found,) = plan.executions
        assert {task.task: task.verdict for task in found.tasks} == {
            "fetch": "kept",
            "approval": "kept",
            "check": "new",
            "finish": "not run yet",
        }
        assert plan.changes == [
            "rewired finish: needs check; needs approval no more",
            "added check, after approval",
        ] or (
            sorted(plan.changes)
            == ["added check, after approval", "rewired finish: needs check; needs approval no more"]
        )
        assert "+check = tests.unit.runtime.test_migrating:check(approval)" in plan.graph
        assert await engine.history() == before
        assert await engine.journal.inbox(LANE, 0) == []
        await engine.close()

    live_through(main)
