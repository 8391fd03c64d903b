"""``effect="at_most_once"``: in doubt somebody decides, and nothing is silently run again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

import raywf
from raywf.journal import memory
from tests.unit.runtime.engines import ID, Engine, live_through, new_store

SEEN: list[Any] = []


@pytest.fixture(autouse=True)
def nothing_seen() -> None:
    SEEN.clear()


@raywf.task(effect="at_most_once", timeout=60)
async def pay(amount: int) -> str:
    SEEN.append((raywf.current().task_id, raywf.current().attempt))
    await asyncio.sleep(10)
    return f"paid {amount}"


@raywf.task(effect="at_most_once")
async def unsure(amount: int) -> str:
    raise raywf.InDoubt("the bank did not answer")


@raywf.task(effect="at_most_once", timeout=5)
async def hangs(amount: int) -> str:
    SEEN.append("hangs")
    await asyncio.sleep(1e6)
    return ""


@raywf.task
async def note(x: Any) -> Any:
    return x


@raywf.workflow
def order(amount: int):
    return note(pay(note(amount)))


@raywf.workflow
def many(amount: int):
    return pay.map([1, 2])


@raywf.workflow
def asks(amount: int):
    return unsure(amount)


@raywf.workflow
def times_out(amount: int):
    return hangs(amount)


@raywf.workflow
def fails(amount: int):
    return hangs.with_options(in_doubt="fail")(amount)


@raywf.workflow
def retries(amount: int):
    return pay.with_options(in_doubt="retry")(amount)


def crash_while_it_runs(workflow: Any, store: str) -> None:
    async def main() -> None:
        engine = Engine(workflow, store)
        await engine.claim()
        await engine.submit(5)
        await engine.until(lambda: SEEN)
        await asyncio.sleep(1)
        await engine.close()

    live_through(main)


def next_life(workflow: Any, store: str, scenario: Callable[[Engine], Coroutine[Any, Any, Any]]) -> Any:
    async def main() -> Any:
        engine = Engine(workflow, store, 2)
        await engine.claim()
        result = await scenario(engine)
        await engine.close()
        return result

    return live_through(main)


def resolution(task: str, outcome: str, value: str | None = None) -> tuple[str, dict[str, Any]]:
    return "resolve", {"task": task, "outcome": outcome, "value": value, "comment": "I asked the bank"}


def test_its_start_is_on_disk_before_it_begins() -> None:
    store = new_store()

    @raywf.task(effect="at_most_once")
    async def looks() -> list[str]:
        rows = memory._STORES[store]
        return [row.kind for row in rows.events[rows.keys["default", ID]].values()]

    @raywf.workflow
    def flow(amount: int):
        return looks()

    async def main() -> Any:
        engine = Engine(flow, store)
        await engine.claim()
        await engine.submit(1)
        return await engine.to_the_end()

    assert live_through(main) == ("execution_completed", ["execution_started", "attempt_started"])


@pytest.mark.parametrize(
    ("outcome", "value", "expected"),
    [
        ("completed", '"paid by hand"', ("execution_completed", "paid by hand")),
        ("retry", None, ("execution_completed", "paid 5")),
    ],
)
def test_after_a_crash_it_waits_for_a_decision_and_the_first_counts(outcome: str, value: Any, expected: Any) -> None:
    store = new_store()
    crash_while_it_runs(order, store)

    async def scenario(engine: Engine) -> Any:
        live = engine.live()
        assert live is not None
        await engine.until(lambda: live.status == "waiting")
        assert live.waiting_for == (
            "a decision about pay, of which nobody knows whether it happened: the workflow actor died"
        )
        await asyncio.sleep(1e5)
        assert SEEN == [("pay", 1)]
        await engine.send(1, *resolution("pay", outcome, value))
        await engine.send(2, *resolution("pay", "failed"))  # too late
        return await engine.to_the_end()

    assert next_life(order, store, scenario) == expected
    assert [("pay", 1)] + ([("pay", 2)] if outcome == "retry" else []) == SEEN


def test_resolved_as_failed_it_fails_with_the_comment() -> None:
    store = new_store()
    crash_while_it_runs(order, store)

    async def scenario(engine: Engine) -> Any:
        return await engine.to_the_end([resolution("pay", "failed")])

    kind, (task, type_, message) = next_life(order, store, scenario)
    assert (kind, task, type_) == ("execution_failed", "pay", "raywf.errors.InDoubt")
    assert message == (
        "nobody knows whether attempt 1 of pay happened: the workflow actor died; it was resolved as failed "
        "(I asked the bank)"
    )


def test_each_item_of_a_fan_out_is_decided_by_itself() -> None:
    store = new_store()
    crash_while_it_runs(many, store)

    async def scenario(engine: Engine) -> Any:
        return await engine.to_the_end([resolution("pay[0]", "retry"), resolution("pay[1]", "completed", '"by hand"')])

    assert next_life(many, store, scenario) == ("execution_completed", ["paid 1", "by hand"])
    assert SEEN == [("pay[0]", 1), ("pay[1]", 1), ("pay[0]", 2)]


@pytest.mark.parametrize("workflow", [asks, times_out])
def test_a_timeout_and_a_task_that_says_so_leave_it_in_doubt(workflow: Any) -> None:
    async def main() -> Any:
        engine = Engine(workflow, new_store())
        await engine.claim()
        await engine.submit(5)
        task = workflow.plan.nodes[0].id
        ended = await engine.to_the_end([resolution(task, "completed", '"known"')])
        await engine.close()
        return ended

    assert live_through(main) == ("execution_completed", "known")


def test_a_policy_may_decide_instead_of_a_person() -> None:
    async def main() -> Any:
        engine = Engine(fails, new_store())
        await engine.claim()
        await engine.submit(5)
        ended = await engine.to_the_end()
        await engine.close()
        return ended

    kind, (task, type_, _) = live_through(main)
    assert (kind, task, type_) == ("execution_failed", "hangs", "raywf.errors.InDoubt")
    store = new_store()
    SEEN.clear()
    crash_while_it_runs(retries, store)

    async def scenario(engine: Engine) -> Any:
        return await engine.to_the_end()

    assert next_life(retries, store, scenario) == ("execution_completed", "paid 5")


def test_a_crash_at_any_commit_never_begins_it_twice() -> None:
    """The owner dies in each commit in turn, written and not: it begins at most once, or somebody is asked."""

    def life(store: str, number: int, die_at: int, written: bool) -> Any:
        async def main() -> Any:
            engine = Engine(order, store, number)
            engine.journal.die_at, engine.journal.die_after_writing = die_at, written

            async def work() -> Any:
                await engine.claim()
                if await engine.journal.execution("default", ID) is None:
                    await engine.submit(5)
                return await engine.to_the_end([resolution("pay", "completed", '"paid 5"')])

            ends, dies = asyncio.ensure_future(work()), asyncio.ensure_future(engine.journal.died.wait())
            await asyncio.wait({ends, dies}, return_when=asyncio.FIRST_COMPLETED)
            await engine.close()
            return await ends if ends.done() else None

        return live_through(main)

    for die_at in range(1, 8):
        for written in (False, True):
            SEEN.clear()
            store = new_store()
            ended = life(store, 1, die_at, written) or life(store, 2, 0, False)
            assert ended == ("execution_completed", "paid 5")
            assert len(SEEN) <= 1, f"died at commit {die_at}, written: {written}"


def test_an_engine_that_leaves_in_good_order_runs_again_only_what_had_not_begun() -> None:
    store = new_store()

    async def first() -> None:
        engine = Engine(order, store)
        await engine.claim()
        await engine.submit(5)
        await engine.until(lambda: SEEN)
        await asyncio.wait_for(engine.owner.park(), 60)

    live_through(first)

    async def scenario(engine: Engine) -> Any:
        row = await engine.journal.execution("default", ID)
        assert row is not None
        return row.status, row.waiting_for

    expected = "a decision about pay, of which nobody knows whether it happened: the engine was closed"
    assert next_life(order, store, scenario) == ("waiting", expected)
    assert len(SEEN) == 1
