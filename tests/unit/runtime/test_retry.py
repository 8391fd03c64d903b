"""A failed or cancelled execution is opened again and goes on from what stands."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

import raywf
from raywf.journal import memory
from raywf.ports import InboxRow
from tests.unit.runtime.engines import ID, LANE, Engine, live_through, new_store

CALLS: Counter[str] = Counter()
KEYS: list[str] = []
BROKEN: set[str] = set()


@pytest.fixture(autouse=True)
def nothing_happened() -> None:
    CALLS.clear()
    KEYS.clear()
    BROKEN.clear()


def happen(what: str) -> None:
    CALLS[what] += 1
    KEYS.append(raywf.current().idempotency_key)
    if what in BROKEN:
        raise ValueError(f"{what} is broken")


@raywf.task
async def first(x: int) -> int:
    happen("first")
    return x + 1


@raywf.task
async def second(x: int) -> int:
    happen("second")
    return x * 10


@raywf.task
async def item(x: int) -> int:
    happen(f"item {x}")
    return x


@raywf.task
async def refund(receipt: str) -> None:
    happen("refund")
    await asyncio.sleep(1)


@raywf.task(compensate=refund)
async def pay(x: int) -> str:
    happen("pay")
    return f"receipt {CALLS['pay']}"


@raywf.task
async def ship(receipt: str) -> str:
    happen("ship")
    return f"shipped for {receipt}"


@raywf.workflow
def chain(x: int):
    return second(first(x))


@raywf.workflow
def fan(xs: list[int]):
    return item.map(xs)


@raywf.workflow
def saga(x: int):
    return ship(pay(first(x)))


@raywf.workflow
def outer(x: int):
    return second(chain(first(x)))


@raywf.workflow
def around_saga(x: int):
    return saga(x)


@raywf.workflow
def waits(x: int):
    done = first(x)
    return raywf.approval("Go on?", data=done)


@raywf.task
async def grows(x: int) -> Any:
    happen("grows")
    return raywf.continuation(chain, x)


@raywf.workflow
def growing(x: int):
    return grows(x)


RETRY: tuple[str, dict[str, Any]] = ("retry", {})


async def closed(engine: Engine, id: str = ID) -> str:
    """Wait until an execution has ended on disk; returns its status."""
    await engine.until(lambda: engine.live(id) is None)
    await engine.commits.drain()
    row = await engine.journal.execution("default", id)
    assert row is not None and row.ended_at is not None
    return row.status


async def retried(engine: Engine, number: int = 1) -> None:
    await engine.send(number, *RETRY)
    await engine.until(lambda: engine.live() is not None or not engine.owner._taking)


def alone(main: Any, workflow: Any = chain) -> Any:
    async def run() -> Any:
        engine = Engine(workflow, new_store())
        await engine.claim()
        try:
            return await main(engine)
        finally:
            await engine.close()

    return live_through(run)


def test_a_retry_runs_what_failed_and_keeps_what_completed() -> None:
    async def main(engine: Engine) -> None:
        BROKEN.add("second")
        await engine.submit(1)
        assert await closed(engine) == "failed"
        BROKEN.clear()
        await retried(engine)
        row = await engine.journal.execution("default", ID)
        assert await engine.to_the_end() == ("execution_completed", 20)
        assert CALLS == {"first": 1, "second": 2}
        assert KEYS == ["x/first", "x/second", "x/second"]
        assert row is not None and "execution_retried" in await engine.kinds()

    alone(main)


def test_a_retry_of_a_cancelled_one() -> None:
    async def main(engine: Engine) -> None:
        await engine.submit(1)
        await engine.until(lambda: (live := engine.live()) is not None and live.status == "waiting")
        await engine.send(1, "cancel", {"reason": "enough"})
        assert await closed(engine) == "cancelled"
        await retried(engine, 2)
        assert await engine.to_the_end([("approve", {"task": "approval"})]) == ("execution_completed", 2)
        assert CALLS == {"first": 1}

    alone(main, waits)


def test_a_retry_given_twice_is_one() -> None:
    async def main(engine: Engine) -> None:
        BROKEN.add("second")
        await engine.submit(1)
        await closed(engine)
        new = [await engine.send(1, *RETRY), await engine.send(1, *RETRY)]
        await engine.send(2, *RETRY)
        await engine.until(lambda: not engine.owner._taking)
        await closed(engine)
        assert new == [True, False]
        assert CALLS["second"] == 2, "the second command found the execution open, and changed nothing"
        assert (await engine.kinds()).count("execution_retried") == 1

    alone(main)


def test_who_submits_it_again_after_a_retry_gets_the_new_round() -> None:
    """`raywf retry ID` with no engine, then `raywf run TARGET --id ID`: not the end from before."""

    async def main(engine: Engine) -> None:
        BROKEN.add("second")
        await engine.submit(1)
        await closed(engine)
        BROKEN.clear()
        row = InboxRow(0, "default", ID, LANE, "retry", b"{}", "retry-4", "me", 0.0)
        await engine.journal.send(row)
        assert await engine.submit(1) == "same"
        assert await engine.to_the_end() == ("execution_completed", 20)
        assert await engine.submit(1) == "closed"

    alone(main)


def test_a_retry_of_a_completed_one_changes_nothing() -> None:
    async def main(engine: Engine) -> None:
        await engine.submit(1)
        await closed(engine)
        before = await engine.kinds()
        await retried(engine)
        assert await engine.kinds() == before and CALLS == {"first": 1, "second": 1}

    alone(main)


def test_a_retry_amid_compensation_changes_nothing() -> None:
    async def main(engine: Engine) -> None:
        BROKEN.add("ship")
        await engine.submit(1)
        live = engine.live()
        assert live is not None
        await engine.until(lambda: live.status == "compensating")
        await engine.send(1, *RETRY)
        assert await closed(engine) == "failed"
        assert "execution_retried" not in await engine.kinds()

    alone(main, saga)


def test_what_was_taken_back_runs_again_under_a_new_key() -> None:
    async def main(engine: Engine) -> None:
        BROKEN.add("ship")
        await engine.submit(1)
        assert await closed(engine) == "failed"
        BROKEN.clear()
        await retried(engine)
        assert await engine.to_the_end() == ("execution_completed", "shipped for receipt 2")
        assert KEYS == ["x/first", "x/pay", "x/ship", "x/undo:pay", "x/pay#2", "x/ship"]

    alone(main, saga)


def test_items_that_completed_are_kept() -> None:
    async def main(engine: Engine) -> None:
        BROKEN.add("item 3")
        await engine.submit([1, 2, 3])
        await closed(engine)
        done = CALLS.copy()
        BROKEN.clear()
        await retried(engine)
        assert await engine.to_the_end() == ("execution_completed", [1, 2, 3])
        assert CALLS["item 3"] == 2 and CALLS["item 1"] == done["item 1"] == 1

    alone(main, fan)


def test_a_child_that_failed_is_retried_with_its_parent() -> None:
    async def main(engine: Engine) -> None:
        BROKEN.add("second")
        await engine.submit(1)
        assert await closed(engine) == "failed"
        assert await closed(engine, "x/chain") == "failed"
        BROKEN.clear()
        await retried(engine)
        assert await engine.to_the_end() == ("execution_completed", 300)
        assert CALLS == {"first": 2, "second": 3}, (
            "the outer first, the inner first once; second failed once in the child"
        )
        assert (await engine.kinds("x/chain")).count("execution_retried") == 1

    alone(main, outer)


def test_a_saga_in_a_child_is_run_again() -> None:
    async def main(engine: Engine) -> None:
        BROKEN.add("ship")
        await engine.submit(1)
        await closed(engine)
        BROKEN.clear()
        await retried(engine)
        assert await engine.to_the_end() == ("execution_completed", "shipped for receipt 2")
        assert "x/saga/pay#2" in KEYS

    alone(main, around_saga)


def test_a_continuation_that_failed_is_gone_on_with() -> None:
    async def main(engine: Engine) -> None:
        BROKEN.add("second")
        await engine.submit(1)
        await closed(engine)
        BROKEN.clear()
        await retried(engine)
        assert await engine.to_the_end() == ("execution_completed", 20)
        assert CALLS == {"grows": 1, "first": 1, "second": 2}

    alone(main, growing)


def test_a_deadline_that_has_passed_refuses_a_retry() -> None:
    async def main(engine: Engine) -> None:
        await engine.submit(1, deadline=engine.clock.now() + 5)
        assert await closed(engine) == "failed"
        await retried(engine)
        assert "execution_retried" not in await engine.kinds()

    alone(main, waits)


def first_life(store: str, workflow: Any, die_at: int, writing: bool) -> bool:
    """Fails, is retried, and dies at a commit of the retry. True: it did."""

    async def main() -> bool:
        engine = Engine(workflow, store)
        await engine.claim()
        BROKEN.update({"second", "ship"})
        await engine.submit(1)
        await closed(engine)
        BROKEN.clear()
        engine.journal.die_at, engine.journal.die_after_writing = engine.journal.commits + die_at, writing
        await engine.send(1, *RETRY)
        dead = asyncio.ensure_future(engine.journal.died.wait())
        ended = asyncio.ensure_future(engine.to_the_end())
        await asyncio.wait([dead, ended], return_when=asyncio.FIRST_COMPLETED)
        died = dead.done()
        await engine.close()
        return died

    return bool(live_through(main))


@pytest.mark.parametrize("writing", [False, True], ids=["before writing", "after writing"])
@pytest.mark.parametrize("workflow", [chain, saga, outer, around_saga, growing], ids=lambda each: each.id)
def test_an_owner_that_dies_at_any_commit_of_a_retry_loses_nothing(workflow: Any, writing: bool) -> None:
    """Between the reopening and the next commit, too: the next owner comes to the same end."""
    for die_at in range(1, 40):
        store = new_store()
        CALLS.clear()
        died = first_life(store, workflow, die_at, writing)

        async def second_life(store: str = store) -> None:
            engine = Engine(workflow, store, 2)
            await engine.claim()
            await engine.owner._take_once()
            await engine.until(lambda: not engine.owner._taking)
            kind, _ = await engine.to_the_end()
            assert kind == "execution_completed"
            for id_ in (ID, "x/chain", "x/saga", "x/grows"):
                assert (await engine.kinds(id_)).count("execution_retried") <= 1, id_
            await engine.close()

        if died:
            live_through(second_life)
        memory.forget(store)
        if not died:
            assert die_at > 1
            return
    raise AssertionError("a retry never comes to its end")
