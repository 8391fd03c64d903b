"""Owners that die at every commit, and those who go on: the same ends, and nothing committed is computed twice."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

import raywf
from raywf.core import snapshot
from raywf.journal import memory
from tests.unit.runtime.engines import ID, Engine, Ledger, check_against, live_through, new_store

LEDGER = Ledger()


@raywf.task
async def add(a: int, b: int = 1) -> int:
    LEDGER.note()
    return a + b


@raywf.task
async def slow(a: int) -> int:
    LEDGER.note()
    await asyncio.sleep(30)
    return a


@raywf.task
def plain(a: int) -> list[int]:
    LEDGER.note()
    return [a] * a


@raywf.task(retry=raywf.Retry(max_attempts=3, initial=1.0, max_delay=5.0))
async def flaky(a: int) -> int:
    LEDGER.note()
    if LEDGER.fails(2):
        raise ValueError("not yet")
    return a


@raywf.task
async def broken(a: int) -> int:
    LEDGER.note()
    raise ValueError(f"never {a}")


@raywf.task(timeout=5, retry=raywf.Retry(max_attempts=2, initial=0.1))
async def hangs_once(a: int) -> int:
    LEDGER.note()
    if LEDGER.fails(1):
        await asyncio.sleep(1e6)
    return a


@raywf.workflow
def single(x: int):
    return add(x)


@raywf.workflow
def chain(x: int):
    for _ in range(4):
        x = add(x)
    return x


@raywf.workflow
def diamond(x: int):
    a = add(x)
    return add(add(a, 10), slow(a))


@raywf.workflow
def fan_out(x: int):
    return {"all": add.map(add.map(plain(x)), b=x), "x": x}


@raywf.workflow
def fan_out_over_nothing(x: int):
    return add.map([]), add(x)


@raywf.workflow
def branches(x: int):
    a = add(x)
    return raywf.when(
        a > 0,
        then=lambda: add(raywf.when(a > 100, then=lambda: add(0), otherwise=lambda: add(add(a), a))),
        otherwise=lambda: add(-1),
    )


@raywf.workflow
def aggregated(x: int):
    asked = add.map([x, 1, x])
    return raywf.aggregate([asked[0], add(x), plain(x)]), raywf.aggregate(asked, strategy="median").value


@raywf.workflow
def some_answers(x: int):
    """Which of the equal answers count depends on who is quicker, what they come to does not."""
    asked = [add(x), add(x), slow(x), raywf.wait_signal("never"), broken(x)]
    return raywf.aggregate(asked, quorum=2, timeout=600, strategy="majority").value, add(x)


@raywf.workflow
def stopped_early(x: int):
    return raywf.aggregate(add.map([x, x, x, x, x]), early_stop=True, strategy="majority").value


@raywf.workflow
def gathered(x: int):
    a = slow(x)
    return raywf.gather(add(x), add(2).after(a), plain(2))


@raywf.workflow
def retried(x: int):
    return add(flaky(x), flaky(2))


@raywf.workflow
def sleeping(x: int):
    return add(raywf.sleep(timedelta(days=3), add(x)))


@raywf.workflow
def signalled(x: int):
    add(x)
    return [raywf.wait_signal("go"), raywf.wait_signal("go"), raywf.wait_signal("never", timeout=60, default="none")]


@raywf.workflow
def approved(x: int):
    return add(raywf.approval("Publish?", data=add(x)))


@raywf.workflow
def rejected(x: int):
    return raywf.approval("Publish?", data=add(x))


@raywf.workflow
def parent(x: int):
    return chain(add(x)), single.map([1, 2])


@raywf.workflow
def grandparent(x: int):
    return parent(x)[0]


@raywf.workflow
def failing(x: int):
    slow(x)
    return broken(add(x))


@raywf.workflow
def child_fails(x: int):
    slow(x)
    return failing(x)


@raywf.workflow
def sibling_of_a_child_fails(x: int):
    return diamond(x), broken(add(x))


@raywf.workflow
def timing_out(x: int):
    return hangs_once(x)


@raywf.workflow
def endless(x: int):
    return add(slow(raywf.wait_signal("never")), diamond(x))


@raywf.task(retry=raywf.Retry(max_attempts=3, initial=1.0))
async def give_back(a: int) -> None:
    LEDGER.note()
    if LEDGER.fails(1):
        raise ValueError("not yet")


def drop(a: Any) -> None:
    LEDGER.note()


@raywf.workflow
def saga(x: int):
    a = add.with_options(compensate=give_back)(x)
    b = add.with_options(compensate=drop, id="b").map(plain(x))
    slow.with_options(compensate=drop)(a)
    return broken(b[0])


@raywf.workflow
def saga_over_children(x: int):
    return saga(add.with_options(compensate=give_back)(x))


@raywf.workflow
def saga_to_cancel(x: int):
    return add(slow(raywf.wait_signal("never", timeout=1e7)), add.with_options(compensate=give_back)(x))


@raywf.workflow
def looping(x: int):
    step = add(0, 0)

    def body(state: Any) -> Any:
        return raywf.when(state > 5, then=lambda: slow(add(state, step)), otherwise=lambda: flaky(add(state, 1)))

    return add(raywf.loop(body, x, until=lambda state: add(state, 0) > 6, max_iterations=6, on_limit="last"))


@raywf.workflow
def loop_in_a_loop(x: int):
    def body(outer: Any) -> Any:
        return raywf.loop(lambda inner: add(inner, 1), outer, until=lambda inner: inner > 3)

    return raywf.loop(lambda state: add(body(state), 1), x, until=lambda state: state > 6)


@raywf.task
async def goes_on(a: int, rounds: int = 2) -> int:
    LEDGER.note()
    return a if rounds == 0 else raywf.continuation(goes_on, a, rounds=rounds - 1)  # type: ignore[no-any-return]


@raywf.task
def hands_over(a: int) -> int:
    LEDGER.note()
    return raywf.continuation(diamond, a)  # type: ignore[no-any-return]


@raywf.workflow
def continued(x: int):
    return add(goes_on(x), hands_over.map([x, 2])[1])


@dataclass
class Case:
    workflow: Any
    commands: tuple[tuple[str, dict[str, Any]], ...] = ()
    deadline_s: float | None = None


GO = ("signal", {"name": "go", "value": '"went"'})
CASES = {
    each.workflow.id + suffix: each
    for suffix, each in [
        *[("", Case(workflow)) for workflow in (
            single, chain, diamond, fan_out, fan_out_over_nothing, branches, gathered, aggregated, some_answers, stopped_early,
            retried, sleeping,
            parent, grandparent, failing, child_fails, sibling_of_a_child_fails, timing_out, saga,
            saga_over_children, looping, loop_in_a_loop, continued,
        )],
        ("", Case(signalled, (GO, ("signal", {"name": "go", "value": "2"})))),
        ("", Case(approved, (("approve", {}),))),
        ("", Case(rejected, (("reject", {"comment": "no"}),))),
        ("-cancelled", Case(endless, (("cancel", {"reason": "enough"}),))),
        ("", Case(saga_to_cancel, (("cancel", {"reason": "enough"}),))),
        ("-deadline", Case(saga_to_cancel, deadline_s=10.0)),
        ("-deadline", Case(endless, deadline_s=10.0)),
    ]
}  # fmt: skip


SETTINGS: dict[str, Any] = {}


def live_once(
    case: Case, store: str, life: int, die_at: int = 0, *, written: bool = False, clean: bool = False
) -> tuple[Any, int]:
    """One life; gives how the execution ended (None: this life ended first) and how many commits there were."""

    async def main() -> tuple[Any, int]:
        engine = Engine(case.workflow, store, life, now=1_700_000_000.0 + life * 4.0, **SETTINGS)
        engine.journal.die_at, engine.journal.die_after_writing = die_at, written

        async def work() -> Any:
            await engine.claim(clean=clean)
            if await engine.journal.execution("default", ID) is None:
                deadline = None if case.deadline_s is None else engine.clock.now() + case.deadline_s
                assert await engine.submit(3, deadline=deadline) == "new"
            return await engine.to_the_end(case.commands)

        ends = asyncio.ensure_future(work())
        dies = asyncio.ensure_future(engine.journal.died.wait())
        await asyncio.wait({ends, dies}, return_when=asyncio.FIRST_COMPLETED)
        ended = await ends if ends.done() else None
        await engine.close()
        return ended, engine.journal.commits

    return live_through(main)


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> Callable[[Case], str]:
    def make(case: Case) -> str:
        store = new_store()
        monkeypatch.setitem(globals(), "LEDGER", Ledger(check=check_against(store, case.workflow)))
        return store

    return make


def completed(store: str) -> set[tuple[str, str]]:
    rows = memory._STORES[store]
    return {
        (execution.id, event.task)
        for key, execution in rows.executions.items()
        for event in rows.events[key].values()
        if event.kind == "task_completed" and event.task is not None
    }


def check_store(store: str) -> None:
    """Every execution has ended, with the last event of its history, and histories have no gaps."""
    rows = memory._STORES[store]
    assert rows.inbox == []
    for key, execution in rows.executions.items():
        history = [rows.events[key][seq] for seq in sorted(rows.events[key])]
        assert [event.seq for event in history] == list(range(1, len(history) + 1))
        assert execution.ended_at is not None, execution.id
        assert history[-1].kind == f"execution_{execution.status}"
        assert [event.kind.startswith("execution_") for event in history[1:-1]] == [False] * (len(history) - 2)


@pytest.mark.parametrize("name", CASES)
def test_a_crash_at_any_commit_changes_neither_the_end_nor_what_is_computed(
    name: str, fresh: Callable[[Case], str]
) -> None:
    """The owner dies in each commit in turn, with the commit written and not; another one goes on from the journal."""
    case = CASES[name]
    store = fresh(case)
    expected, commits = live_once(case, store, 1)
    assert expected is not None
    check_store(store)
    calm = LEDGER.tasks
    assert set(calm.values()) <= {1, 2, 3}
    for die_at in range(1, commits + 1):
        for written in (False, True):
            store = fresh(case)
            ended, _ = live_once(case, store, 1, die_at, written=written)
            before, known = LEDGER.tasks, completed(store)
            if ended is None:
                ended, _ = live_once(case, store, 2)
            assert ended == expected, f"died at commit {die_at}, written: {written}"
            check_store(store)
            again = LEDGER.tasks - before
            assert not known & set(again), f"computed again: {known & set(again)}"
            assert all(again[task] <= calm[task] + 1 for task in again)


@pytest.mark.parametrize("name", CASES)
def test_the_same_with_snapshots_and_nothing_kept_in_memory_that_sleeps(
    name: str, fresh: Callable[[Case], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every second event leaves a snapshot, and whatever waits goes out of memory at once."""
    case = CASES[name]
    expected, _ = live_once(case, fresh(case), 1)
    monkeypatch.setattr(snapshot, "EVERY", 2)
    monkeypatch.setitem(SETTINGS, "resident", 0)
    store = fresh(case)
    ended, commits = live_once(case, store, 1)
    assert ended == expected
    for die_at in range(2, commits + 1, 2):
        store = fresh(case)
        ended, _ = live_once(case, store, 1, die_at, written=die_at % 4 == 0)
        assert expected == (ended or live_once(case, store, 2)[0]), f"died at commit {die_at}"
        check_store(store)


@pytest.mark.parametrize("name", CASES)
def test_crash_after_crash_after_crash(name: str, fresh: Callable[[Case], str]) -> None:
    """Each life may write one commit more than the last. Whatever is durable stays; in the end there is an end."""
    case = CASES[name]
    store = fresh(case)
    expected, _ = live_once(case, store, 1)
    store = fresh(case)
    ended, life = None, 0
    while ended is None and life < 60:
        life += 1
        known, before = completed(store) if life > 1 else set(), LEDGER.tasks
        ended, _ = live_once(case, store, life, die_at=2 + life % 3, written=life % 2 == 0)
        assert not known & set(LEDGER.tasks - before)
    assert ended == expected
    check_store(store)


def test_a_life_that_ends_in_good_order_costs_no_attempt_of_what_had_not_begun(fresh: Callable[[Case], str]) -> None:
    """Parking records what runs as lost by nobody's fault; the next life re-runs it and counts no loss."""
    case = Case(gathered)
    store = fresh(case)

    async def first() -> None:
        engine = Engine(gathered, store)
        await engine.claim()
        await engine.submit(3)
        await engine.until(lambda: ("x", "slow") in LEDGER.tasks)
        assert await asyncio.wait_for(engine.owner.park(), 60) == 1
        lost = [row for row in await engine.history() if row.kind == "attempt_lost"]
        assert [(row.task, b'"counted":false' in (row.data or b"")) for row in lost] == [("slow", True)]

    live_through(first)
    ended, _ = live_once(case, store, 2, clean=True)
    assert ended == ("execution_completed", [4, 3, [2, 2]])
    assert LEDGER.tasks[("x", "slow")] == 2
    assert LEDGER.tasks[("x", "add")] == 1


def test_executions_whose_definition_is_gone_do_not_keep_others_from_going_on(fresh: Callable[[Case], str]) -> None:
    store = fresh(Case(sleeping))

    async def first() -> None:
        engine = Engine(sleeping, store)
        await engine.claim()
        for id_ in ("a", "b"):
            await engine.submit(3, id=id_)
        rows = memory._STORES[store]
        key = rows.keys["default", "a"]
        rows.executions[key] = rows.executions[key]._replace(definition="gone")
        await engine.close()

    async def second() -> Any:
        engine = Engine(sleeping, store, 2)
        await engine.claim()
        return await engine.to_the_end(id="b")

    live_through(first)
    assert live_through(second) == ("execution_completed", 5)


def test_a_damaged_history_does_not_keep_others_from_going_on(fresh: Callable[[Case], str]) -> None:
    """A fact that cannot follow, of a store that was tampered with or written by a defect, stops that execution alone."""
    store = fresh(Case(sleeping))

    async def first() -> None:
        engine = Engine(sleeping, store)
        await engine.claim()
        for id_ in ("a", "b"):
            await engine.submit(3, id=id_)
        rows = memory._STORES[store]
        events = rows.events[rows.keys["default", "a"]]
        events[len(events) + 1] = events[1]._replace(seq=len(events) + 1)
        await engine.close()

    async def second() -> Any:
        engine = Engine(sleeping, store, 2)
        await engine.claim()
        return await engine.to_the_end(id="b")

    live_through(first)
    assert live_through(second) == ("execution_completed", 5)
