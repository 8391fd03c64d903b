"""Compensation: what was done is taken back, newest first, when the execution fails or is cancelled."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import raywf
import raywf.testing
from raywf.errors import WorkflowFailed
from tests.unit.runtime.engines import Engine, live_through, new_store

SEEN: list[Any] = []


@pytest.fixture(autouse=True)
def nothing_seen() -> None:
    SEEN.clear()


@raywf.task(retry=raywf.Retry(max_attempts=3, initial=1.0))
async def refund(receipt: str) -> None:
    here = raywf.current()
    SEEN.append((f"refund {receipt}", here.task_id, here.attempt, here.idempotency_key))
    if here.attempt < 3 and receipt == "receipt b":
        raise ConnectionError("the bank is closed")


@raywf.task(compensate=refund)
async def charge(who: str) -> str:
    SEEN.append(f"charge {who}")
    return f"receipt {who}"


@raywf.task(compensate=lambda result: 1 / 0)
def sell(thing: str) -> str:
    return thing


@raywf.task
async def ship(*what: Any) -> None:
    raise RuntimeError("no ship today")


@raywf.workflow
def two_charges():
    first = charge("a")
    second = charge.with_options(id="charge-b", after=first)("b")
    return ship(second)


def test_compensations_run_newest_first_with_their_retries_and_a_key_of_their_own() -> None:
    with pytest.raises(WorkflowFailed) as caught:
        raywf.testing.run(two_charges)
    assert (caught.value.task_id, caught.value.failure.message) == ("ship", "no ship today")
    assert SEEN == [
        "charge a",
        "charge b",
        ("refund receipt b", "undo:charge-b", 1, "test/undo:charge-b"),
        ("refund receipt b", "undo:charge-b", 2, "test/undo:charge-b"),
        ("refund receipt b", "undo:charge-b", 3, "test/undo:charge-b"),
        ("refund receipt a", "undo:charge", 1, "test/undo:charge"),
    ]


@raywf.task
def third(place: int) -> int:
    if place == 2:
        raise ValueError("place 2 is broken")
    SEEN.append(f"third {place}")
    return place


@raywf.workflow
def fan_out():
    return third.with_options(compensate=lambda place: SEEN.append(f"release {place}")).map([0, 1, 2])


def test_of_a_fan_out_the_items_that_completed_are_undone() -> None:
    with pytest.raises(WorkflowFailed, match="place 2"):
        raywf.testing.run(fan_out)
    assert SEEN == ["third 0", "third 1", "release 0", "release 1"]


@raywf.workflow
def partly():
    return ship(sell(charge("a")))


def test_a_compensation_that_fails_keeps_no_other_from_running_and_is_named() -> None:
    with pytest.raises(WorkflowFailed) as caught:
        raywf.testing.run(partly)
    assert [each[0] for each in SEEN if isinstance(each, tuple)] == ["refund receipt a"]
    assert caught.value.failure.type == "RuntimeError"
    assert caught.value.failure.message == (
        "no ship today; on the way to the end 1 compensation did not succeed: undo:sell (ZeroDivisionError: division by zero)"
    )


def test_what_completes_is_not_undone() -> None:
    @raywf.workflow
    def fine():
        return charge("a")

    assert raywf.testing.run(fine) == "receipt a"
    assert SEEN == ["charge a"]


def test_a_result_that_cannot_be_evaluated_is_a_failure_like_any() -> None:
    @raywf.workflow
    def no_result():
        return charge("a")["no such key"]

    with pytest.raises(WorkflowFailed, match="no such key"):
        raywf.testing.run(no_result)
    assert [each[0] for each in SEEN[1:]] == ["refund receipt a"]


@raywf.workflow
def child(who: str):
    return charge(who), ship.with_options(id="never")(raywf.wait_signal("go"))


@raywf.workflow
def parent():
    return child("kid"), ship(charge("a"))


def test_an_open_child_compensates_when_its_parent_fails() -> None:
    with pytest.raises(WorkflowFailed, match="no ship today"):
        raywf.testing.run(parent)
    assert sorted(each[0] for each in SEEN if isinstance(each, tuple)) == ["refund receipt a", "refund receipt kid"]


@raywf.task
async def slow_refund(receipt: str) -> None:
    await asyncio.sleep(100)
    SEEN.append(f"refund {receipt}")


@raywf.workflow
def waits():
    return charge.with_options(compensate=slow_refund)("a"), raywf.wait_signal("never")


def test_a_cancel_during_compensation_is_a_no_op() -> None:
    """The status says what goes on; a second cancel, a late signal and the deadline change nothing."""

    async def main() -> None:
        engine = Engine(waits, new_store())
        await engine.claim()
        await engine.submit(deadline=engine.clock.now() + 50)
        await engine.until(lambda: engine.live() and engine.live().state.status == "waiting")  # type: ignore[union-attr]
        await engine.send(1, "cancel", {"reason": "changed my mind"})
        live = engine.live()
        assert live is not None
        await engine.until(lambda: live.status == "compensating")
        before = len(await engine.history())
        await engine.send(2, "cancel", {"reason": "again"})
        await engine.send(3, "signal", {"name": "never", "value": "1"})
        await asyncio.sleep(60)
        assert live.state.status == "compensating"
        assert await engine.to_the_end() == ("execution_cancelled", {"reason": "changed my mind"})
        assert SEEN == ["charge a", "refund receipt a"]
        kinds = await engine.kinds()
        assert kinds.count("cancel_requested") == 1
        assert kinds[before - 1 :].count("task_completed undo:charge") == 1
        await engine.close()

    live_through(main)


@raywf.workflow
def cancelled_with_a_broken_undo():
    return sell("x"), raywf.wait_signal("never")


def test_a_cancel_whose_compensation_fails_ends_failed_and_says_so() -> None:
    async def main() -> None:
        engine = Engine(cancelled_with_a_broken_undo, new_store())
        await engine.claim()
        await engine.submit()
        kind, (task, _, message) = await engine.to_the_end([("cancel", {"reason": "enough"})])
        assert (kind, task) == ("execution_failed", "undo:sell")
        assert message == (
            "the execution was cancelled (enough), and 1 compensation did not succeed: "
            "undo:sell (ZeroDivisionError: division by zero)"
        )
        await engine.close()

    live_through(main)


def test_a_definition_with_compensations_is_data() -> None:
    data = two_charges.definition.to_data()
    stored = data["tasks"][0]["options"]["compensate"]
    assert stored["function"] == f"{__name__}:refund"
    assert stored["options"]["retry"]["max_attempts"] == 3
    again = type(two_charges.definition).from_json(two_charges.definition.to_json())
    assert again == two_charges.definition
    plan = two_charges.plan
    assert [plan.nodes[undo].id for undo in plan.undo] == ["undo:charge", "undo:charge-b"]
