"""Limits of tasks and workflows: what runs at a time, how fast it starts, who goes first, and what a crash leaves."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any, ClassVar

import pytest

import raywf
import raywf.testing
from raywf import task, workflow
from raywf.core.admission import Rule
from raywf.ports import LimitRow
from tests.unit.runtime.engines import Engine, live_through, new_store


class Meter:
    """How many ran at a time, in which order they began, and when."""

    running: ClassVar[int] = 0
    most: ClassVar[int] = 0
    began: ClassVar[list[tuple[str, float]]] = []


@pytest.fixture(autouse=True)
def _reset() -> None:
    Meter.running = Meter.most = 0
    Meter.began = []


async def measured(name: str, seconds: float = 1.0) -> str:
    Meter.running += 1
    Meter.most = max(Meter.most, Meter.running)
    Meter.began.append((name, asyncio.get_running_loop().time()))
    try:
        await asyncio.sleep(seconds)
    finally:
        Meter.running -= 1
    return name


@task(limits=[raywf.Limit("two", concurrency=2)])
async def two_at_a_time(name: str) -> str:
    return await measured(name)


@task(limits=raywf.Limit("slow", rate=raywf.Rate(1, per=10)))
async def one_in_ten_seconds(name: str) -> str:
    return await measured(name)


@task(limits=[raywf.Limit("per-tenant", concurrency=1, key="input.tenant", fair="tags.user", units="input.weight")])
async def of_tenant(name: str) -> str:
    return await measured(name)


@task(limits=[raywf.Limit("two", concurrency=2)], timeout=5.0)
async def stuck(name: str) -> str:
    return await measured(name, 1e6)


@workflow
def fan_out(names: list[str]):  # type: ignore[no-untyped-def]
    return two_at_a_time.map(names)


@workflow
def paced(names: list[str]):  # type: ignore[no-untyped-def]
    return one_in_ten_seconds.map(names)


@workflow
def tenants(tenant: str, weight: float, name: str):  # type: ignore[no-untyped-def]
    return of_tenant(name)


@workflow
def hanging(names: list[str]):  # type: ignore[no-untyped-def]
    return stuck.map(names)


@task
async def step(name: str) -> str:
    return await measured(name)


@workflow(limits=[raywf.Limit("whole", concurrency=1)])
def one_at_a_time(name: str):  # type: ignore[no-untyped-def]
    first = step(name)
    return step.with_options(id="second")(first)


@workflow(limits=[raywf.Limit("whole", concurrency=1)])
def one_that_waits(name: str):  # type: ignore[no-untyped-def]
    return raywf.wait_signal("go", default="-", timeout=100.0)


def test_a_fan_out_runs_so_many_at_a_time() -> None:
    names = [str(number) for number in range(9)]
    assert raywf.testing.run(fan_out, names) == names
    assert Meter.most == 2


def test_a_rate_spaces_starts() -> None:
    raywf.testing.run(paced, ["a", "b", "c", "d"])
    times = [at for _, at in Meter.began]
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert all(gap >= 9.9 for gap in gaps), gaps
    assert all(gap < 11 for gap in gaps), gaps


def in_one_engine(wf: Any, *submits: tuple[tuple[Any, ...], dict[str, Any]], **more: Any) -> list[str]:
    """Submit these at once to one engine, and wait for all; gives the order in which their tasks began."""

    async def life() -> None:
        engine = Engine(wf, new_store())
        await engine.claim()
        for set_by_hand in more.get("limits", ()):
            await engine.journal.set_limit(set_by_hand)
        for number, (args, options) in enumerate(submits):
            assert await engine.submit(*args, id=f"x{number}", **options) == "new"
        await engine.until(lambda: not engine.host.open)
        await engine.until(lambda: not engine.owner.gate._done)
        await engine.close()
        assert await engine.journal.slots("default") == [], "who has ended holds nothing"

    live_through(life)
    return [name for name, _ in Meter.began]


def test_each_key_has_the_limit_to_itself() -> None:
    submits = [((tenant, 1, f"{tenant}{number}"), {}) for tenant in "ab" for number in range(3)]
    in_one_engine(tenants, *submits)
    assert Meter.most == 2


def test_larger_priority_first_and_users_take_turns() -> None:
    crowd = [(("a", 1, f"ann{number}"), {"tags": {"user": "ann"}}) for number in range(4)]
    bob = (("a", 1, "bob"), {"tags": {"user": "bob"}})
    boss = (("a", 1, "boss"), {"tags": {"user": "boss"}, "priority": 9})
    order = in_one_engine(tenants, *crowd, bob, boss)
    assert order.index("boss") <= 1
    assert order.index("bob") <= 3
    assert Meter.most == 1


def test_units_that_are_no_number_fail_the_task_and_say_so() -> None:
    with pytest.raises(raywf.WorkflowFailed, match=r"weighs a start by input.weight, and that is -1.0"):
        raywf.testing.run(tenants, "a", -1.0, "x")


def test_a_workflow_is_admitted_as_a_whole() -> None:
    order = in_one_engine(one_at_a_time, *(((f"{number}",), {}) for number in range(3)))
    assert order == ["0", "0", "1", "1", "2", "2"]
    assert Meter.most == 1


def test_an_attempt_that_times_out_gives_its_slot_up() -> None:
    with pytest.raises(raywf.WorkflowFailed, match="timeout of 5 s"):
        raywf.testing.run(hanging, ["a", "b", "c"])


def test_what_waits_for_a_limit_says_so_and_can_be_cancelled() -> None:
    async def life() -> None:
        engine = Engine(one_at_a_time, new_store())
        await engine.claim()
        await engine.submit("a", id="first")
        await engine.until(lambda: Meter.running == 1)
        await engine.submit("b", id="second")
        live = engine.live("second")
        assert live is not None
        await engine.until(lambda: live.missing)
        assert (live.status, live.waiting_for) == ("waiting", "limit: room in the limit 'whole'")
        await engine.send(1, "cancel", {"reason": "no"}, id="second")
        assert (await engine.to_the_end(id="second"))[0] == "execution_cancelled"
        assert (await engine.to_the_end(id="first")) == ("execution_completed", "a")
        await engine.close()
        assert [name for name, _ in Meter.began] == ["a", "a"]

    live_through(life)


def test_a_limit_is_changed_while_it_is_used() -> None:
    async def life() -> None:
        engine = Engine(fan_out, new_store())
        await engine.claim()
        await engine.submit([str(number) for number in range(12)])
        await engine.until(lambda: Meter.running == 2)
        await engine.journal.set_limit(LimitRow("default", "two", Rule(concurrency=5), "ann"))
        await engine.until(lambda: Meter.running == 5)
        await engine.journal.set_limit(LimitRow("default", "two", Rule(concurrency=0), "ann"))
        await engine.until(lambda: Meter.running == 0)
        began = len(Meter.began)
        await asyncio.sleep(100.0)
        assert len(Meter.began) == began, "zero closes it"
        await engine.journal.set_limit(LimitRow("default", "two", Rule(concurrency=1), "ann"))
        assert (await engine.to_the_end())[0] == "execution_completed"
        await engine.close()

    live_through(life)


def test_after_a_crash_slots_lapse_and_its_successor_asks_anew() -> None:
    store = new_store()

    async def first() -> None:
        engine = Engine(fan_out, store)
        await engine.claim()
        await engine.submit([str(number) for number in range(6)])
        await engine.until(lambda: Meter.running == 2)

    async def second() -> None:
        engine = Engine(fan_out, store, 2)
        engine.me = engine.me  # the same lane, another owner: the first is dead
        assert await engine.claim() == 1
        kind, value = await engine.to_the_end()
        assert (kind, value) == ("execution_completed", [str(number) for number in range(6)])
        slots = await engine.journal.slots("default")
        assert [slot.owner for slot in slots if slot.owner == "owner-1"] == []
        await engine.close()

    live_through(first)
    Meter.running = Meter.most = 0
    live_through(second)
    assert Meter.most == 2


def test_an_execution_without_limits_never_comes_to_the_gate() -> None:
    @workflow
    def free(name: str):  # type: ignore[no-untyped-def]
        return step(name)

    async def life() -> None:
        engine = Engine(free, new_store())
        await engine.claim()
        await engine.submit("a")
        assert (await engine.to_the_end())[1] == "a"
        assert engine.owner.gate._task is None
        await engine.close()

    live_through(life)
