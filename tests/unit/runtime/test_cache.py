"""``cache=`` of a task: what is reused, by whom and for how long; what a crash leaves; what is never kept."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import Any, ClassVar

import pytest

import raywf
from raywf import task, workflow
from raywf.client.reading import Readings
from raywf.errors import StoreUnavailable
from raywf.journal.memory import MemoryJournal
from tests.unit.runtime.engines import Engine, live_through, new_store


class Calls:
    """What ran, by name and argument."""

    ran: ClassVar[Counter[str]] = Counter()
    fail: ClassVar[int] = 0


@pytest.fixture(autouse=True)
def _reset() -> None:
    Calls.ran = Counter()
    Calls.fail = 0


@task(cache=True)
async def search(question: str, limit: int = 3, **more: Any) -> list[str]:
    Calls.ran[f"search {question} {limit}"] += 1
    return [question] * limit


@task(cache=raywf.Cache(ttl=60.0))
async def brief(question: str) -> str:
    Calls.ran["brief"] += 1
    return f"{question} {Calls.ran['brief']}"


@task(cache=raywf.Cache(ignore="session", scope="workflow"))
def plain(question: str, session: str) -> str:
    Calls.ran["plain"] += 1
    return question.upper()


@task(cache=True, retry=raywf.Retry(max_attempts=3, initial=0.1))
async def flaky(question: str) -> str:
    Calls.ran["flaky"] += 1
    if Calls.ran["flaky"] <= Calls.fail:
        raise ValueError("not yet")
    return question


async def stand_in(question: str) -> str:
    Calls.ran["stand_in"] += 1
    return "made up"


@task(cache=True, fallback=stand_in)
async def with_fallback(question: str) -> str:
    Calls.ran["with_fallback"] += 1
    raise ValueError("no")


@task(cache=True)
async def slow(question: str) -> str:
    Calls.ran["slow"] += 1
    await asyncio.sleep(5.0)
    if Calls.ran["slow"] <= Calls.fail:
        raise ValueError("no")
    return question


@task(cache=True, limits=[raywf.Limit("one", concurrency=1)])
async def limited(question: str) -> str:
    Calls.ran["limited"] += 1
    await asyncio.sleep(1.0)
    return question


@task(cache=True)
async def big(size: int) -> bytes:
    Calls.ran["big"] += 1
    return b"x" * size


@task(cache=True)
async def streaming(question: str) -> str:
    Calls.ran["streaming"] += 1
    raywf.current().emit("a word")
    return question


@task
async def count(text: bytes) -> int:
    return len(text)


@task
async def again(question: str) -> Any:
    return raywf.continuation(search, question)


@workflow
def asked(question: str):  # type: ignore[no-untyped-def]
    return search(question)


@workflow
def asked_otherwise(question: str):  # type: ignore[no-untyped-def]
    return search.with_options(id="look")(limit=3, question=question)


@workflow
def asked_briefly(question: str):  # type: ignore[no-untyped-def]
    return brief(question)


@workflow
def in_session(question: str, session: str):  # type: ignore[no-untyped-def]
    return plain(question, session)


@workflow
def in_another(question: str, session: str):  # type: ignore[no-untyped-def]
    return plain(question, session)


@workflow
def fan_out(questions: list[str]):  # type: ignore[no-untyped-def]
    return search.map(questions)


@workflow
def slowly(question: str):  # type: ignore[no-untyped-def]
    return slow(question)


@workflow
def slow_fan_out(questions: list[str]):  # type: ignore[no-untyped-def]
    return slow.map(questions)


@workflow
def one_at_a_time(questions: list[str]):  # type: ignore[no-untyped-def]
    return limited.map(questions)


@workflow
def flaky_once(question: str):  # type: ignore[no-untyped-def]
    return flaky(question)


@workflow
def falls_back(question: str):  # type: ignore[no-untyped-def]
    return with_fallback(question)


@workflow
def streams(question: str):  # type: ignore[no-untyped-def]
    return streaming(question)


@workflow
def large(size: int):  # type: ignore[no-untyped-def]
    return count(big(size))


@workflow
def grows(question: str):  # type: ignore[no-untyped-def]
    return again.with_options(cache=True)(question)


@workflow
def switched_off(question: str):  # type: ignore[no-untyped-def]
    return search.with_options(cache=False)(question)


def play(
    *runs: tuple[Any, tuple[Any, ...]], store: str | None = None, pause: float = 0.0
) -> list[tuple[Any, list[str]]]:
    """Executions one after another on one store: the value of each, and the kinds of its events."""
    store = store or new_store()

    async def life(number: int, flow: Any, args: tuple[Any, ...]) -> tuple[Any, list[str]]:
        engine = Engine(flow, store, number, now=1_700_000_000.0 + number * pause)
        await engine.claim()
        await engine.submit(*args, id=f"x{number}")
        kind, value = await engine.to_the_end(id=f"x{number}")
        kinds = [row.kind for row in await engine.history(f"x{number}")]
        await engine.close()
        return (value if kind == "execution_completed" else kind), kinds

    return [live_through(lambda n=number, f=flow, a=args: life(n, f, a)) for number, (flow, args) in enumerate(runs, 1)]  # type: ignore[misc]


REUSED = ["execution_started", "result_reused", "execution_completed"]
COMPUTED = ["execution_started", "task_completed", "execution_completed"]


def test_another_execution_is_given_the_result_and_says_where_it_is_from() -> None:
    store = new_store()
    first, second = play((asked, ("why",)), (asked, ("why",)), store=store)
    assert first == (["why"] * 3, COMPUTED)
    assert second == (["why"] * 3, REUSED)
    assert Calls.ran == {"search why 3": 1}
    readings = Readings(f"memory://{store}", "default", MemoryJournal(store))
    described = asyncio.run(readings.describe("x2"))
    assert (described.tasks["search"].reused, described.tasks["search"].reused_from) == (1, "x1")
    assert described.results == {"search": ["why"] * 3}
    assert described.metrics["results_reused"] == described.metrics["tasks_completed"] == 1
    data = asyncio.run(readings.history("x2"))[1].data
    assert (data["value"], data["source"], data["source_task"]) == (["why"] * 3, "x1", "search")


def test_how_a_call_is_written_makes_no_difference() -> None:
    _, second = play((asked, ("why",)), (asked_otherwise, ("why",)))
    assert second[1] == REUSED


def test_other_arguments_are_another_call() -> None:
    _, second = play((asked, ("why",)), (asked, ("who",)))
    assert second == (["who"] * 3, COMPUTED)


def test_a_result_counts_for_its_time_to_live() -> None:
    runs = play(*[(asked_briefly, ("why",))] * 4, pause=25.0)
    assert [value for value, _ in runs] == ["why 1", "why 1", "why 1", "why 2"]


def test_whoever_asks_may_want_it_fresher_than_whoever_kept_it() -> None:
    @workflow
    def fresh(question: str):  # type: ignore[no-untyped-def]
        return brief.with_options(cache=raywf.Cache(ttl=10.0))(question)

    store = new_store()
    runs = play((asked_briefly, ("why",)), (fresh, ("why",)), store=store, pause=20.0)
    assert [value for value, _ in runs] == ["why 1", "why 2"]
    (kept,) = asyncio.run(MemoryJournal(store).list_cached("default"))
    assert kept.value == b'"why 2"'


def test_an_ignored_argument_is_not_compared_and_a_scope_keeps_others_out() -> None:
    runs = play((in_session, ("a", "1")), (in_session, ("a", "2")), (in_another, ("a", "1")))
    assert [kinds for _, kinds in runs] == [COMPUTED, REUSED, COMPUTED]


def test_items_of_a_fan_out_reuse_one_by_one() -> None:
    store = new_store()
    runs = play((asked, ("b",)), (fan_out, (["a", "b", "c"],)), store=store)
    assert runs[1][0] == [["a"] * 3, ["b"] * 3, ["c"] * 3]
    assert sorted(runs[1][1]) == sorted(
        ["execution_started", "map_started", "task_completed", "result_reused", "task_completed", "execution_completed"]
    )
    described = asyncio.run(Readings(f"memory://{store}", "default", MemoryJournal(store)).describe("x2"))
    assert (described.tasks["search"].reused, described.tasks["search"].reused_from) == (1, "x1")


def test_failed_attempts_leave_nothing() -> None:
    Calls.fail = 2
    first, second = play((flaky_once, ("a",)), (flaky_once, ("a",)))
    assert first[1].count("attempt_failed") == 2
    assert second[1] == REUSED
    Calls.fail = 100
    third, fourth = play((flaky_once, ("b",)), (flaky_once, ("b",)))
    assert third[0] == fourth[0] == "execution_failed"
    assert Calls.ran["flaky"] == 3 + 6


def test_what_a_fallback_gives_is_not_kept() -> None:
    runs = play((falls_back, ("a",)), (falls_back, ("a",)))
    assert [value for value, _ in runs] == ["made up"] * 2
    assert Calls.ran == {"with_fallback": 2, "stand_in": 2}


def test_a_result_whose_stream_would_be_missing_is_not_kept() -> None:
    runs = play((streams, ("a",)), (streams, ("a",)))
    assert [kinds[-2] for _, kinds in runs] == ["task_completed"] * 2


def test_a_continuation_is_not_kept() -> None:
    play((grows, ("a",)), (grows, ("a",)))
    assert Calls.ran == {"search a 3": 1}, "the task it goes on in has a cache of its own"


def test_a_large_result_is_reused_by_its_reference() -> None:
    store = new_store()

    async def main() -> Any:
        engine = Engine(large, store)
        await engine.claim()
        await engine.submit(100_000, id="x1")
        assert await engine.to_the_end(id="x1") == ("execution_completed", 100_000)
        (kept,) = await engine.journal.list_cached("default", "big")
        await engine.submit(100_000, id="x2")
        assert await engine.to_the_end(id="x2") == ("execution_completed", 100_000)
        return kept

    kept = live_through(main)
    assert json.loads(kept.value)["$t"] == "dataref"
    assert Calls.ran == {"big": 1}


def test_a_task_may_be_asked_without_its_cache() -> None:
    runs = play((asked, ("why",)), (switched_off, ("why",)))
    assert [kinds for _, kinds in runs] == [COMPUTED] * 2


def test_of_two_at_once_one_computes_and_the_other_waits_and_says_so() -> None:
    async def main() -> None:
        engine = Engine(slowly, new_store())
        await engine.claim()
        await engine.submit("why", id="x1")
        await engine.submit("why", id="x2")
        await engine.until(lambda: engine.live("x2") and engine.live("x2").missing)  # type: ignore[union-attr]
        live = engine.live("x2")
        assert live is not None and live.waiting_for == "cache: slow: x1 is computing the same now"
        assert await engine.to_the_end(id="x1") == ("execution_completed", "why")
        assert await engine.to_the_end(id="x2") == ("execution_completed", "why")
        assert "result_reused slow" in await engine.kinds("x2")
        row = await engine.journal.execution("default", "x2")
        assert row is not None and row.waiting_for is None

    live_through(main)
    assert Calls.ran == {"slow": 1}


def test_equal_items_of_one_fan_out_are_computed_once() -> None:
    ((value, kinds),) = play((slow_fan_out, (["a", "b", "a", "a"],)))
    assert value == ["a", "b", "a", "a"]
    assert (kinds.count("task_completed"), kinds.count("result_reused")) == (2, 2)


def test_when_the_one_that_computes_fails_the_next_one_computes() -> None:
    Calls.fail = 1

    async def main() -> None:
        engine = Engine(slowly, new_store())
        await engine.claim()
        for id_ in ("x1", "x2", "x3"):
            await engine.submit("why", id=id_)
        assert (await engine.to_the_end(id="x1"))[0] == "execution_failed"
        assert await engine.to_the_end(id="x2") == ("execution_completed", "why")
        assert await engine.to_the_end(id="x3") == ("execution_completed", "why")

    live_through(main)
    assert Calls.ran == {"slow": 2}


@pytest.mark.parametrize("command", ["cancel", "pause"])
def test_whoever_waits_for_a_result_can_be_cancelled_and_paused(command: str) -> None:
    async def main() -> None:
        engine = Engine(slowly, new_store())
        await engine.claim()
        await engine.submit("why", id="x1")
        await engine.submit("why", id="x2")
        await engine.until(lambda: engine.live("x2") and engine.live("x2").missing)  # type: ignore[union-attr]
        await engine.send(1, command, {"reason": "no"}, id="x2")
        if command == "cancel":
            assert (await engine.to_the_end(id="x2"))[0] == "execution_cancelled"
            assert (await engine.to_the_end(id="x1"))[0] == "execution_completed"
        else:
            assert (await engine.to_the_end(id="x1"))[0] == "execution_completed"
            assert "result_reused slow" not in await engine.kinds("x2")
            await engine.send(2, "resume", {}, id="x2")
            assert await engine.to_the_end(id="x2") == ("execution_completed", "why")

    live_through(main)
    assert Calls.ran == {"slow": 1}


def test_when_the_one_that_computes_is_cancelled_the_other_one_computes() -> None:
    async def main() -> None:
        engine = Engine(slowly, new_store())
        await engine.claim()
        await engine.submit("why", id="x1")
        await engine.submit("why", id="x2")
        await engine.until(lambda: engine.live("x2") and engine.live("x2").missing and Calls.ran["slow"])  # type: ignore[union-attr]
        await engine.send(1, "cancel", {"reason": "no"}, id="x1")
        assert await engine.to_the_end(id="x2") == ("execution_completed", "why")

    live_through(main)
    assert Calls.ran == {"slow": 2}


def test_what_waits_for_a_limit_is_given_what_others_have_computed_meanwhile() -> None:
    ((value, kinds),) = play((one_at_a_time, (["a", "a", "b", "a"],)))
    assert value == ["a", "a", "b", "a"]
    assert Calls.ran == {"limited": 2}
    assert kinds.count("result_reused") == 2


@pytest.mark.parametrize("written", [False, True])
@pytest.mark.parametrize("commit", [1, 2])
def test_a_crash_leaves_the_result_and_its_event_or_neither(commit: int, written: bool) -> None:
    """The process dies in the commit of the result: there is no moment between computing and keeping."""
    store = new_store()

    async def first() -> None:
        engine = Engine(asked, store)
        engine.journal.die_at, engine.journal.die_after_writing = commit, written
        await engine.claim()
        submitted = asyncio.ensure_future(engine.submit("why", id="x1"))
        await engine.journal.died.wait()
        submitted.cancel()

    async def second() -> Any:
        engine = Engine(asked, store, 2)
        kept = bool(await engine.journal.list_cached("default"))
        recorded = any(row.kind == "task_completed" for row in await engine.history("x1"))
        assert kept == recorded == (commit == 2 and written)
        await engine.claim()
        await engine.submit("why", id="x1")
        assert (await engine.to_the_end(id="x1"))[1] == ["why"] * 3
        await engine.submit("why", id="x2")
        assert (await engine.to_the_end(id="x2"))[1] == ["why"] * 3
        return await engine.kinds("x2")

    live_through(first)
    assert "result_reused search" in live_through(second)
    assert Calls.ran["search why 3"] == (2 if commit == 2 and not written else 1)


def test_two_engines_that_compute_the_same_keep_the_first_commit() -> None:
    """Each execution keeps the result that its own history has; whoever comes later is given the first."""
    store = new_store()

    async def main() -> None:
        one, two = Engine(asked_briefly, store), Engine(asked_briefly, store, 2)
        for engine, shards in ((one, range(128)), (two, range(128, 256))):
            await engine.owner.claim(shards)
        ids = [f"x{number}" for number in range(40)]
        from raywf.core.ids import shard_of

        mine = next(id_ for id_ in ids if shard_of(id_) < 128)
        theirs = next(id_ for id_ in ids if shard_of(id_) >= 128)
        await asyncio.gather(one.submit("why", id=mine), two.submit("why", id=theirs))
        values = {(await one.to_the_end(id=mine))[1], (await two.to_the_end(id=theirs))[1]}
        (kept,) = await one.journal.list_cached("default")
        assert values == {"why 1", "why 2"}
        later = next(id_ for id_ in ids if shard_of(id_) >= 128 and id_ != theirs)
        await two.submit("why", id=later)
        assert json.dumps((await two.to_the_end(id=later))[1]).encode() == kept.value

    live_through(main)
    assert Calls.ran == {"brief": 2}


def test_a_cache_that_cannot_be_read_holds_nobody_up() -> None:
    async def main() -> None:
        engine = Engine(asked, new_store())

        async def gone(namespace: str, keys: Any) -> Any:
            raise StoreUnavailable("the table is locked")

        engine.journal.find_cached = gone  # type: ignore[method-assign]
        await engine.claim()
        await engine.submit("why")
        assert (await engine.to_the_end())[0] == "execution_completed"

    live_through(main)


def test_expired_results_are_swept_where_results_are_reused() -> None:
    store = new_store()
    play((asked_briefly, ("a",)), (asked_briefly, ("b",)), store=store, pause=100.0)
    journal = MemoryJournal(store)
    assert [row.source for row in asyncio.run(journal.list_cached("default"))] == ["x2"]


def test_a_task_without_a_cache_asks_nobody() -> None:
    async def main() -> None:
        engine = Engine(switched_off, new_store())
        await engine.claim()
        await engine.submit("why")
        await engine.to_the_end()
        assert engine.owner.recall._task is None
        assert await engine.journal.list_cached("default") == []

    live_through(main)
