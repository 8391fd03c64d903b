"""The loop that obeys the brain: effects leave after their commit, trouble of the store loses nothing, time is kept."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any

import cloudpickle
import pytest

import raywf
from raywf.core.codec import from_record
from raywf.core.execution import fold
from raywf.core.state import CLOSED
from raywf.errors import LeaseLost, StoreUnavailable
from raywf.runtime.attempts import Attempt, Done
from raywf.runtime.code import Code
from tests.unit.runtime.engines import ID, Engine, live_through, new_store

BEGAN: list[Any] = []
Main = Callable[[], Coroutine[Any, Any, Any]]


@pytest.fixture(autouse=True)
def _nothing_began() -> None:
    BEGAN.clear()


@raywf.task
async def note(x: Any = None) -> Any:
    BEGAN.append(raywf.current().task_id)
    return x


@raywf.task
async def forever(x: Any = None) -> None:
    BEGAN.append(raywf.current().task_id)
    try:
        await asyncio.sleep(1e9)
    except asyncio.CancelledError:
        BEGAN.append(f"{raywf.current().task_id} cancelled")
        raise


@raywf.workflow
def chain(x: int):
    return note(note(note(x)))


@raywf.workflow
def waits(x: int):
    return note(raywf.wait_signal("go")), note(x)


@raywf.workflow
def long(x: int):
    return forever(x), note(x)


def within(workflow: Any, main: Callable[[Engine], Coroutine[Any, Any, Any]], **more: Any) -> Any:
    """An engine that has claimed everything, for one test."""

    async def whole() -> Any:
        engine = Engine(workflow, new_store(), **more)
        await engine.claim()
        try:
            return await main(engine)
        finally:
            await engine.close()

    return live_through(whole)


async def turns(count: int = 30) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


# events before effects


def test_no_task_begins_before_its_reason_is_on_disk() -> None:
    """While a commit is held back nothing starts and nobody is answered; each commit lets exactly one step go on."""

    async def main(engine: Engine) -> None:
        engine.journal.gate.clear()
        submitted = asyncio.ensure_future(engine.submit(1))
        await turns()
        assert (BEGAN, submitted.done()) == ([], False)
        engine.journal.gate.set()
        assert await submitted == "new"
        assert await engine.to_the_end() == ("execution_completed", 1)

    within(chain, main)
    assert BEGAN == ["note", "note-2", "note-3"]


def test_a_caller_hears_of_the_end_only_when_it_is_on_disk() -> None:
    @raywf.workflow
    def signal():
        return raywf.wait_signal("go")

    async def main(engine: Engine) -> None:
        await engine.submit()
        live = engine.live()
        assert live is not None
        engine.journal.gate.clear()
        heard = asyncio.ensure_future(engine.owner.outbox.poll("client", 0, 1e6))
        engine.host.signal(live, "go", b"1", "s1", None)
        assert (live.is_closed, engine.live()) == (True, None)
        await turns()
        assert not heard.done()
        engine.journal.gate.set()
        [ending] = await heard
        assert ending[1] == ID

    within(signal, main)


# trouble of the store


def test_a_store_in_trouble_loses_nothing_and_starts_nothing_early() -> None:
    async def main(engine: Engine) -> None:
        engine.journal.fail = [StoreUnavailable("full"), StoreUnavailable("still full")]
        submitted = asyncio.ensure_future(engine.submit(1))
        await engine.until(lambda: engine.owner.trouble == "full")
        assert (BEGAN, submitted.done()) == ([], False)
        assert await submitted == "new"
        assert engine.owner.trouble is None
        assert await engine.to_the_end() == ("execution_completed", 1)
        rows = await engine.history()
        assert [row.seq for row in rows] == list(range(1, len(rows) + 1))

    within(chain, main)
    assert BEGAN == ["note", "note-2", "note-3"]


@pytest.mark.parametrize("step", range(1, 6))
def test_trouble_at_any_commit_changes_nothing_but_time(step: int) -> None:
    async def main(engine: Engine) -> Any:
        await engine.submit(1)
        await engine.until(lambda: engine.journal.commits >= step or engine.live() is None)
        engine.journal.fail = [StoreUnavailable("full")] * 5
        return await engine.to_the_end()

    assert within(chain, main) == ("execution_completed", 1)
    assert BEGAN == ["note", "note-2", "note-3"]


def test_an_owner_that_lost_its_lease_drops_what_it_held_and_tells_nobody() -> None:
    async def main(engine: Engine) -> None:
        await engine.submit(1)
        heard = asyncio.ensure_future(engine.owner.outbox.poll("client", 0, 5.0))
        await engine.until(lambda: "forever" in BEGAN)
        engine.journal.fail = [LeaseLost("somebody else", (7,))]
        engine.host.signal(engine.live(), "any", b"1", "s1", None)  # type: ignore[arg-type]
        await engine.until(lambda: engine.host.open == {})
        assert engine.owner.gone.is_set()
        assert engine.owner.epochs == {}
        await engine.until(lambda: "forever cancelled" in BEGAN)
        assert await heard == []
        assert "signal_received" not in await engine.kinds()

    within(long, main)


def test_a_zombie_cannot_write_what_its_successor_owns() -> None:
    """The first owner sleeps through its lease; the second one takes over; the first wakes up and is fenced."""

    async def main(engine: Engine) -> None:
        await engine.submit(1)
        await engine.until(lambda: (live := engine.live()) is not None and live.status == "waiting")
        other = Engine(waits, engine.journal._url.removeprefix("memory://"), 2, now=engine.clock.now() + 10)
        await other.claim()
        before = await other.kinds()
        await engine.send(1, "signal", {"name": "go", "value": "1"})
        await engine.until(lambda: engine.owner.gone.is_set())
        assert await other.kinds() == before
        assert BEGAN == ["note-2"]
        await other.owner._take_once()
        assert await other.to_the_end() == ("execution_completed", (1, 1))
        await other.close()

    within(waits, main)


# submitting


def test_a_submit_with_the_same_id_finds_the_same_execution_or_is_told_what_is_there() -> None:
    async def main(engine: Engine) -> None:
        assert await engine.submit(1) == "new"
        assert await engine.submit(1) == "same"
        other = engine.request(1)._replace(fingerprint="another")
        row = engine.owner.definitions.row(chain.definition.content_hash)
        assert (await engine.owner.submit("c", [row], [other], True))[0] == ("taken", "chain 1")
        await engine.to_the_end()
        assert await engine.submit(1) == "closed"
        assert (await engine.owner.submit("c", [row], [other], True))[0][0] == "taken"
        engine.owner.epochs.clear()
        assert (await engine.owner.submit("c", [row], [engine.request(1)], True))[0] == ("moved", "")

    within(chain, main)
    assert len(BEGAN) == 3


def test_keys_are_in_order_of_time_and_never_the_same_twice() -> None:
    async def main(engine: Engine) -> None:
        keys = [engine.host.new_key(n % 256) for n in range(2000)]
        assert keys == sorted(set(keys))
        assert all(0 < key < 2**62 for key in keys)

    within(chain, main)


def test_owners_of_other_shards_never_make_the_same_key_even_in_the_same_millisecond() -> None:
    """With random bits alone, two owners that took 5,000 executions at once met in one run of three."""
    made: list[set[int]] = []

    async def main(engine: Engine) -> None:
        shards = range(len(made), 256, 2)
        made.append({engine.host.new_key(shards[n % len(shards)]) for n in range(20_000)})

    within(chain, main)
    within(chain, main)
    assert len(made[0]) == len(made[1]) == 20_000
    assert not made[0] & made[1]


# commands


def test_commands_are_taken_once_in_order_and_leave_the_inbox_with_their_outcome() -> None:
    async def main(engine: Engine) -> None:
        await engine.submit(1)
        await engine.until(lambda: (live := engine.live()) is not None and live.status == "waiting")
        assert engine.live().waiting_for == "a signal 'go'"  # type: ignore[union-attr]
        assert await engine.send(1, "signal", {"name": "other", "value": "0"})
        assert await engine.send(2, "signal", {"name": "go", "value": "1"})
        assert not await engine.send(2, "signal", {"name": "go", "value": "9"})
        assert await engine.to_the_end() == ("execution_completed", (1, 1))
        rows = [row for row in await engine.history() if row.kind == "signal_received"]
        assert [row.by for row in rows] == ["me", "me"]
        assert await engine.journal.inbox(engine.me.lane, 0) == []

    within(waits, main)


def test_commands_that_make_no_sense_are_dropped_and_harm_nobody() -> None:
    async def main(engine: Engine) -> None:
        await engine.submit(1)
        await engine.until(lambda: (live := engine.live()) is not None and live.status == "waiting")
        await engine.send(1, "approve", {})
        await engine.send(2, "dance", {})
        await engine.send(3, "signal", {"nonsense": 1})
        await engine.send(4, "approve", {"task": "no-such-task"})
        await engine.send(5, "signal", {"name": "go", "value": "1"})
        assert await engine.to_the_end() == ("execution_completed", (1, 1))
        await engine.send(6, "cancel", {"reason": "too late"})
        await engine.send(7, "cancel", {}, id="nobody")
        await engine.commits.drain()
        await turns()
        await engine.commits.drain()
        assert await engine.journal.inbox(engine.me.lane, 0) == []

    within(waits, main)


def test_a_cancel_stops_what_runs_and_keeps_the_reason() -> None:
    async def main(engine: Engine) -> None:
        await engine.submit(1)
        await engine.until(lambda: "forever" in BEGAN)
        await engine.send(1, "cancel", {"reason": "enough"})
        assert await engine.to_the_end() == ("execution_cancelled", {"reason": "enough"})
        cancelled = [row for row in await engine.history() if row.kind == "cancel_requested"]
        assert [row.by for row in cancelled] == ["me"]

    within(long, main)
    assert BEGAN[-1] == "forever cancelled"


@pytest.mark.parametrize(("deadline_s", "ended"), [(5.0, "execution_failed"), (1e7, "execution_completed")])
def test_a_deadline_fails_an_execution_that_takes_longer(deadline_s: float, ended: str) -> None:
    @raywf.workflow
    def slow(x: int):
        return note(raywf.sleep(timedelta(hours=1), x))

    async def main(engine: Engine) -> Any:
        await engine.submit(1, deadline=engine.clock.now() + deadline_s)
        return await engine.to_the_end()

    kind, what = within(slow, main)
    assert kind == ended
    if kind == "execution_failed":
        assert what[:2] == (None, "DeadlineExceeded")


# attempts and time


def test_a_long_attempt_leaves_its_start_in_the_history_and_a_short_one_only_its_end() -> None:
    @raywf.task
    async def pause() -> None:
        await asyncio.sleep(3)

    @raywf.workflow
    def both():
        return note(), pause()

    async def main(engine: Engine) -> list[str]:
        await engine.submit()
        await engine.to_the_end()
        return await engine.kinds()

    kinds = within(both, main)
    assert "attempt_started pause" in kinds
    assert "attempt_started note" not in kinds


class HeldThreads:
    """A thread pool that begins nothing until it is told to."""

    def __init__(self) -> None:
        self.held: list[Attempt] = []
        self.abandoned = 0

    def start(self, work: Callable[[], Any], done: Done, priority: int = 0) -> Attempt:
        attempt = Attempt(work, done)
        self.held.append(attempt)
        return attempt

    def begin(self) -> None:
        attempt = self.held.pop(0)
        attempt.begun = True
        try:
            result = attempt.work()
        except Exception as error:
            attempt.done(None, error)
        else:
            attempt.done(result, None)

    def abandon(self, attempt: Attempt) -> None:
        attempt.cancelled = attempt.abandoned = True


@raywf.task(timeout=5.0, retry=raywf.Retry(max_attempts=2, initial=0.001, max_delay=0.001))
def threaded(x: int) -> int:
    BEGAN.append(raywf.current().attempt)
    if raywf.current().attempt == 1:
        raise OSError("again")
    return x


@raywf.workflow
def in_threads(x: int):
    return threaded(x)


def test_a_timeout_counts_from_when_the_attempt_begins_and_not_from_when_it_queues() -> None:
    async def main(engine: Engine) -> Any:
        threads = engine.owner.work.threads = HeldThreads()
        await engine.submit(1)
        await engine.until(lambda: threads.held)
        await asyncio.sleep(600)
        threads.begin()
        await engine.until(lambda: threads.held)
        await asyncio.sleep(600)
        assert "TimeoutError" not in str(await engine.history())
        threads.begin()
        return await engine.to_the_end()

    assert within(in_threads, main) == ("execution_completed", 1)
    assert BEGAN == [1, 2]


# code that is not here


def test_an_execution_whose_code_is_missing_waits_says_so_and_goes_on_when_it_comes() -> None:
    @raywf.task
    def nested(x: int) -> int:
        BEGAN.append("nested")
        return x * 2

    @raywf.workflow
    def by_value(x: int):
        return nested(x), note(x)

    async def main(engine: Engine) -> Any:
        await engine.submit(21)
        await engine.until(lambda: (live := engine.live()) is not None and live.missing)
        await engine.commits.drain()
        row = await engine.journal.execution("default", ID)
        assert row is not None
        assert row.status == "waiting"
        assert "code" in (row.waiting_for or "")
        assert "nested" in (row.waiting_for or "")
        await asyncio.sleep(60)
        assert BEGAN == ["note"]
        ref = nested.ref
        functions = {(ref.path, ref.source_hash): nested.function}
        engine.owner.parts.code.receive(cloudpickle.dumps({"functions": functions, "classes": {}}))
        engine.owner.work.code_came()
        row = await engine.journal.execution("default", ID)
        return await engine.to_the_end()

    code = Code()
    code.have({(note.ref.path, note.ref.source_hash): note.function})
    assert within(by_value, main, code=code)[1][0] == 42
    assert [kind for kind in BEGAN if kind == "note"] == ["note"]


def test_an_execution_that_waits_for_code_can_be_cancelled() -> None:
    @raywf.task
    def nested(x: int) -> int:
        return x

    @raywf.workflow
    def by_value(x: int):
        return nested(x)

    async def main(engine: Engine) -> Any:
        await engine.submit(1)
        await engine.until(lambda: (live := engine.live()) is not None and live.missing)
        await engine.send(1, "cancel", {"reason": "no code"})
        ended = await engine.to_the_end()
        row = await engine.journal.execution("default", ID)
        assert row is not None
        assert (row.status, row.waiting_for) == ("cancelled", None)
        return ended

    assert within(by_value, main, code=Code()) == ("execution_cancelled", {"reason": "no code"})


# the journal and the memory agree


def test_what_is_in_memory_is_what_the_history_amounts_to() -> None:
    async def main(engine: Engine) -> None:
        await engine.submit(1)
        await engine.until(lambda: (live := engine.live()) is not None and live.status == "waiting")
        live = engine.live()
        assert live is not None
        rows = await engine.history()
        events = [from_record(row.kind, row.task, row.attempt, row.data) for row in rows]
        assert fold(live.state.plan, events) == live.state
        assert live.seq == len(rows)
        assert live.state.status not in CLOSED

    within(waits, main)


def test_draining_starts_nothing_new_and_lets_what_runs_end() -> None:
    @raywf.task
    async def pause(x: int) -> int:
        BEGAN.append("pause")
        await asyncio.sleep(5)
        return x

    @raywf.workflow
    def two(x: int):
        return note(pause(x))

    async def main(engine: Engine) -> list[str]:
        await engine.submit(1)
        await engine.until(lambda: BEGAN)
        await engine.owner.drain(60)
        await asyncio.sleep(100)
        return await engine.kinds()

    assert within(two, main)[-1] == "task_completed pause"
    assert BEGAN == ["pause"]
