"""An execution as it unfolds: which changes are told, and when only a person can move it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

import pytest

from raywf.cli.following import Follower
from raywf.cli.persons import left_to_persons
from raywf.cli.waiting import Held
from raywf.client.reading import Readings
from raywf.core import events as ev
from raywf.core.failures import Failure
from tests.unit.cli import flows
from tests.unit.cli.stores import BEGAN, COMPLETED, STARTED, WAITS, FilledStore

T = TypeVar("T")


def read(store: FilledStore, work: Callable[[Readings], Coroutine[Any, Any, T]]) -> T:
    async def run() -> T:
        readings = Readings(store.url, "default")
        try:
            return await work(readings)
        finally:
            await readings.close()

    return asyncio.run(run())


def told(store: FilledStore, id: str) -> list[tuple[str | None, str, str]]:
    async def work(readings: Readings) -> list[tuple[str | None, str, str]]:
        follower = await Follower.open(readings, id)
        changes = await follower.look()
        assert await follower.look() == [], "a second look finds nothing new"
        return [(change.task, change.status, change.detail) for change in changes]

    return read(store, work)


def test_a_whole_life(store: FilledStore) -> None:
    store.add(flows.review, COMPLETED, id="x")
    assert told(store, "x") == [
        (None, "running", ""),
        ("search", "completed", ""),
        ("approval", "waiting", "for an approval: Publish sky?"),
        ("approval", "completed", "approved: fine"),
        ("publish", "retrying", "attempt 1: ConnectionError: no\nroute; again at 2023-11-14T22:13:28+00:00"),
        ("publish", "completed", ""),
        ("summarize", "completed", ""),
        (None, "completed", ""),
    ]


def test_an_item_that_fails_is_told_and_one_that_completes_is_not(store: FilledStore) -> None:
    again = ev.AttemptFailed("summarize[1]", Failure("OSError", "x", "", 1), 1, BEGAN + 9)
    store.add(flows.review, [*WAITS[:5], again], id="x")
    assert ("summarize[1]", "retrying", "attempt 1: OSError: x; again at 2023-11-14T22:13:29+00:00") in told(store, "x")
    assert not [each for each in told(store, "x") if each[0] == "summarize[0]"]


def test_the_side_that_is_not_taken_is_skipped(store: FilledStore) -> None:
    found = ev.TaskCompleted("search", 1, b'["b"]')
    store.add(flows.branching, [ev.ExecutionStarted(b'{"score":1}'), found, ev.BranchTaken("when", False)], id="x")
    assert ("publish", "skipped", "") in told(store, "x")


def test_a_lost_attempt_is_told_as_another_try(store: FilledStore) -> None:
    store.add(flows.review, [STARTED, ev.AttemptLost("search", 1, "the actor died")], id="x")
    assert told(store, "x")[1:] == [("search", "retrying", "attempt 1 lost: the actor died")]


def test_a_cancel_is_told_with_its_reason(store: FilledStore) -> None:
    store.add(flows.review, [STARTED, ev.CancelRequested("enough")], id="x")
    assert told(store, "x")[1] == (None, "running", "asked to cancel: enough")


def persons(store: FilledStore, id: str) -> list[tuple[str, str]]:
    async def work(readings: Readings) -> list[tuple[str, str]]:
        state, _ = await readings.state(await readings.row(id))
        return [(ask.execution, ask.task) for ask in await left_to_persons(readings, id, state)]

    return read(store, work)


@pytest.mark.parametrize(
    ("events", "left"),
    [
        (WAITS, [("x", "approval")]),
        (WAITS[:-1], []),  # an item of the fan-out still runs
        (COMPLETED, []),
        (COMPLETED[:8], []),  # approved, and retrying
        ((*WAITS, ev.CancelRequested("enough")), []),
    ],
)
def test_only_a_person_can_go_on_where_all_else_has_ended(
    store: FilledStore, events: Sequence[ev.Event], left: list[tuple[str, str]]
) -> None:
    store.add(flows.review, events, id="x")
    assert persons(store, "x") == left


def test_a_signal_may_come_from_anywhere(store: FilledStore) -> None:
    store.add(flows.signalled, [ev.ExecutionStarted(b"{}"), ev.SignalAwaited("wait_signal", "go")], id="x")
    assert persons(store, "x") == []


def test_a_parent_hangs_on_what_its_child_hangs_on(store: FilledStore) -> None:
    store.add(flows.parent, [STARTED, ev.ChildStarted("review", "x/review")], id="x")
    assert persons(store, "x") == [], "the child's row is not there yet: it is about to begin"
    store.add(flows.review, WAITS, id="x/review", parent="x")
    assert persons(store, "x") == [("x/review", "approval")]


def test_a_parent_whose_child_works_hangs_on_nobody(store: FilledStore) -> None:
    store.add(flows.parent, [STARTED, ev.ChildStarted("review", "x/review")], id="x")
    store.add(flows.review, [STARTED], id="x/review", parent="x")
    assert persons(store, "x") == []


def test_a_finding_counts_once_it_has_lasted() -> None:
    now = [0.0]
    held = Held(lambda: now[0])
    seen = []
    for at, so in ((0, True), (1, True), (1.5, False), (2, True), (3.9, True), (4.0, True)):
        now[0] = at
        seen.append(held.lasts(so, 2.0))
    assert seen == [False, False, False, False, False, True]
