"""What starts by itself, on Ray and by the sync engine: schedules, events, webhooks, collected submits."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import raywf
from raywf import task, workflow
from tests.contract.conftest import eventually

pytestmark = pytest.mark.cluster


@task
def told(value: Any) -> Any:
    at = raywf.current().scheduled_at
    return value if at is None else [value, at.isoformat()]


@workflow
def tick(name: str = "nobody") -> Any:
    return told(name)


@workflow(triggers=[raywf.on_event("order.created", where=lambda event: event["amount"] > 100)])
def bill(order: dict[str, Any]) -> Any:
    return told(order)


@workflow(start=raywf.Batch(max_size=3, timeout=0.5))
def ingest(rows: list[int]) -> Any:
    return told(rows)


@workflow(start=raywf.Singleton(key="input.user"))
def sync(user: str) -> Any:
    return told(raywf.wait_signal("go"))


def test_a_schedule_fires_pauses_backfills_and_is_deleted(engine: raywf.WorkflowEngine) -> None:
    made = engine.schedule(tick, "ann", every=1, id="often")
    eventually(lambda: len(engine.list(tags={"schedule": "often"})) >= 2)
    assert made.pause()
    assert not made.pause()
    newest = engine.list(tags={"schedule": "often"})[0]
    instant = newest.id.partition("/")[2]
    assert engine.get(newest.id).result(20) == ["ann", instant.replace("Z", "+00:00")]
    before = datetime.now(UTC) - timedelta(days=1)
    ids = made.backfill(before, before + timedelta(seconds=2))
    eventually(lambda: all(each in {row.id for row in engine.list()} for each in ids))
    assert engine.get(ids[0]).result(20)[0] == "ann"
    assert [each.id for each in engine.schedules()] == ["often"]
    assert len(engine.get_schedule("often").next(3)) == 3
    made.delete()
    with pytest.raises(raywf.NotFound):
        engine.get_schedule("often")


def test_an_event_and_a_signed_request_start_what_waits_for_them_once(engine: raywf.WorkflowEngine) -> None:
    assert engine.register(bill) == ["bill@order.created"]
    found = engine.emit("order.created", {"amount": 150}, id="e1")
    id_ = found.started["bill@order.created"]
    eventually(lambda: id_ in {row.id for row in engine.list()})
    assert engine.get(id_).result(20) == {"amount": 150}
    assert engine.emit("order.created", {"amount": 150}, id="e1").repeated == [id_]
    assert engine.emit("order.created", {"amount": 50}).started == {}
    hook = raywf.Webhook("secret", event="order.created")
    body, now = b'{"amount": 200}', f"{time.time():.0f}"
    digest = hmac.new(b"secret", b"m1." + now.encode() + b"." + body, hashlib.sha256).digest()
    headers = {
        "webhook-id": "m1",
        "webhook-timestamp": now,
        "webhook-signature": "v1," + base64.b64encode(digest).decode(),
    }
    id_ = engine.receive(hook, headers, body).started["bill@order.created"]
    eventually(lambda: id_ in {row.id for row in engine.list()})
    with pytest.raises(raywf.PermissionDenied):
        engine.receive(hook, headers, body + b" ")
    engine.drop_trigger("bill@order.created")
    assert engine.triggers() == []


def test_submits_are_collected_and_a_singleton_is_one(engine: raywf.WorkflowEngine) -> None:
    handles = engine.submit_many(ingest, [1, 2, 3, 4])
    assert [handle.result(20) for handle in handles] == [[1, 2, 3]] * 3 + [[4]]
    assert len({handle.id for handle in handles}) == 2
    first = engine.submit(sync, "ann")
    with pytest.raises(raywf.AlreadyExists, match="one of this key at a time"):
        engine.submit(sync, "ann")
    first.signal("go", 1)
    assert first.result(20) == 1
    again = engine.submit(sync, "ann")
    assert again.id != first.id
    again.cancel()
