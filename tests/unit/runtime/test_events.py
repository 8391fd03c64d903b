"""Events start what waits for them: once per event, whatever dies, and only where the filter holds."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

import raywf
from raywf import DefinitionError, current, task, workflow
from raywf.client.events import Emitted, drop_trigger, emit, triggers
from raywf.client.registering import register
from raywf.client.schedules import Schedules
from raywf.errors import AlreadyExists, InvalidInput, NotFound
from tests.unit.runtime.engines import LANE, Engine, live_through, new_store

ran: Counter[str] = Counter()


@pytest.fixture(autouse=True)
def _reset() -> None:
    ran.clear()


@task
async def bill(order: str, amount: float) -> str:
    ran[current().execution_id] += 1
    return f"{order}: {amount:g}"


@workflow(
    triggers=[
        raywf.on_event(
            "order.created",
            where=lambda event: (event["amount"] > 100) & ~(event["customer"]["kind"] == "test"),
            args=lambda event: {"order": event["id"], "amount": event["amount"]},
        )
    ]
)
def billing(order: str, amount: float) -> str:
    return bill(order, amount)


def order(amount: Any = 150, kind: str = "normal") -> dict[str, Any]:
    return {"id": "o1", "amount": amount, "customer": {"kind": kind}}


async def serving(store: str, life: int = 1) -> Engine:
    engine = Engine(billing, store, life)
    await engine.claim()
    engine.owner.spawn(engine.owner.take_commands())
    engine.owner.spawn(engine.owner.triggers.look_after(engine.owner.gone))
    return engine


def them(engine: Engine) -> Schedules:
    return Schedules(engine.journal, "default", "memory://x")


async def emitted(engine: Engine, name: str, payload: Any, id: str | None = None) -> Emitted:
    return await emit(engine.journal, "default", name, payload, id)


def test_an_event_starts_the_workflow_that_waits_for_it_with_parts_of_it() -> None:
    async def main() -> None:
        engine = await serving(new_store())
        assert await register(them(engine), billing, LANE) == ["billing@order.created"]
        found = await emitted(engine, "order.created", order(), "e1")
        assert found.started == {"billing@order.created": "billing@order.created:e1"}
        await asyncio.sleep(1)
        id = "billing@order.created:e1"
        assert await engine.ending(id) == ("execution_completed", "o1: 150")
        row = await engine.journal.execution("default", id)
        assert row is not None
        assert row.tags == {"trigger": "billing@order.created", "event": "order.created"}
        assert (await engine.history(id))[0].by == "event order.created"
        await asyncio.sleep(1)
        assert engine.owner.triggers.are_there, "the owner stays for events to come"

    live_through(main)


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        (order(50), "does not hold"),
        (order(kind="test"), "does not hold"),
        ({"id": "o1"}, "has neither an item nor an attribute 'amount'"),
        (order("many"), "does not fit the event: '>' not supported"),
        (None, "does not fit the event"),
    ],
)
def test_an_event_that_the_filter_does_not_want_starts_nothing_and_says_why(payload: Any, why: str) -> None:
    async def main() -> None:
        engine = await serving(new_store())
        await register(them(engine), billing, LANE)
        found = await emitted(engine, "order.created", payload)
        assert found.started == {}
        assert why in found.passed["billing@order.created"]
        await asyncio.sleep(1)
        assert not ran

    live_through(main)


def test_the_same_event_starts_once_however_often_it_is_emitted() -> None:
    async def main() -> None:
        engine = await serving(new_store())
        await register(them(engine), billing, LANE)
        assert (await emitted(engine, "order.created", order(), "e1")).repeated == []
        for _ in range(3):
            assert (await emitted(engine, "order.created", order(), "e1")).repeated == ["billing@order.created:e1"]
            await asyncio.sleep(1)
        assert ran == {"billing@order.created:e1": 1}

    live_through(main)


@pytest.mark.parametrize("after_writing", [False, True])
@pytest.mark.parametrize("commit", [1, 2])
def test_an_owner_that_dies_over_an_event_loses_and_doubles_nothing(commit: int, after_writing: bool) -> None:
    store = new_store()

    async def first() -> None:
        engine = await serving(store)
        await register(them(engine), billing, LANE)
        engine.journal.die_at, engine.journal.die_after_writing = commit, after_writing
        for number in range(3):
            await emitted(engine, "order.created", order(200 + number), f"e{number}")
        await engine.journal.died.wait()

    async def second() -> None:
        engine = await serving(store, 2)
        await asyncio.sleep(10)
        rows = await engine.journal.executions("default")
        assert sorted((row.id, row.status) for row in rows) == [
            (f"billing@order.created:e{number}", "completed") for number in range(3)
        ]
        assert await engine.journal.inbox(LANE, 0) == []

    live_through(first)
    live_through(second)


def test_what_is_emitted_while_no_engine_runs_is_taken_by_the_next() -> None:
    store = new_store()

    async def first() -> None:
        engine = Engine(billing, store)
        await register(them(engine), billing, LANE)
        await emitted(engine, "order.created", order(), "e1")

    async def second() -> None:
        engine = await serving(store, 2)
        await asyncio.sleep(1)
        assert await engine.ending("billing@order.created:e1") == ("execution_completed", "o1: 150")

    live_through(first)
    live_through(second)


def test_a_payload_that_does_not_fit_is_refused_before_anything_is_stored() -> None:
    async def main() -> None:
        engine = await serving(new_store())
        await register(them(engine), billing, LANE)
        await register(them(engine), billing, LANE, [raywf.on_event("order.created", id="whole")])
        with pytest.raises(InvalidInput, match=r"does not fit trigger 'whole'.*Nothing was started"):
            await emitted(engine, "order.created", order())
        inbox = await engine.journal.inbox(LANE, 0)
        assert [row.kind for row in inbox if row.kind == "start"] == []

    live_through(main)


def test_triggers_are_listed_dropped_and_ended_by_the_next_declaration() -> None:
    async def main() -> None:
        engine = await serving(new_store())
        await register(them(engine), billing, LANE)
        await register(them(engine), billing, LANE, [raywf.on_event("other", id="by-hand")])
        assert [(each.id, each.event) for each in await triggers(engine.journal, "default")] == [
            ("billing@order.created", "order.created"),
            ("by-hand", "other"),
        ]
        again = workflow(id="billing", triggers=[raywf.on_cron("@daily", args=["x", 1])])(billing.function)
        assert await register(them(engine), again, LANE) == ["billing"]
        assert [each.id for each in await triggers(engine.journal, "default")] == ["by-hand"]
        await drop_trigger(engine.journal, "default", "by-hand")
        with pytest.raises(NotFound, match="There are: none yet"):
            await drop_trigger(engine.journal, "default", "by-hand")
        assert (await emitted(engine, "other", None)).started == {}
        with pytest.raises(AlreadyExists, match="belongs to workflow 'billing'"):
            await register(them(engine), other, LANE, [raywf.on_event("x", id="billing")])

    live_through(main)


@workflow
def other(order: str, amount: float) -> str:
    return bill(order, amount)


def test_an_event_of_a_name_that_nobody_waits_for_says_which_is_near() -> None:
    async def main() -> None:
        engine = await serving(new_store())
        await register(them(engine), billing, LANE)
        assert (await emitted(engine, "ordr.created", order())).hint == "Did you mean 'order.created'?"
        for name in ("", "7up", "a b", 7):
            with pytest.raises(InvalidInput, match="a name has 1 to 100"):
                await emitted(engine, name, None)  # type: ignore[arg-type]
        with pytest.raises(InvalidInput, match="event id 'a/b' cannot be used"):
            await emitted(engine, "order.created", order(), "a/b")

    live_through(main)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"where": lambda event: True}, "known before any event comes"),
        ({"where": {"op": "=>", "left": {"$ref": "event.a"}, "right": 1}}, "'=>' is not a comparison"),
        ({"where": {"op": ">", "left": {"$ref": "evnt.a"}, "right": 1}}, "Did you mean 'event'?"),
        ({"where": {"opp": ">"}}, "Did you mean 'op'?"),
        ({"where": lambda event: event["a"] and event["b"]}, "truth value"),
        ({"args": {"$ref": "payload.a"}}, "there is only the event here"),
    ],
)
def test_a_filter_that_cannot_be_meant_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(DefinitionError) as refused:
        raywf.on_event("order.created", **given)
    assert said in str(refused.value)


def test_a_trigger_by_event_is_data_and_comes_back_from_yaml() -> None:
    (trigger,) = billing.definition.triggers
    assert trigger["where"]["and"][0] == {"op": ">", "left": {"$ref": "event.amount"}, "right": 100}
    assert raywf.WorkflowDefinition.from_yaml(billing.definition.to_yaml()) == billing.definition
