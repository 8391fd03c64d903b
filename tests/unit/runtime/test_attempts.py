"""Attempts inside this process: coroutines on the loop, plain functions in threads."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from raywf.definition.context import TaskContext, current
from raywf.runtime.attempts import Attempt, CoroutineRunners, Threads
from raywf.runtime.local import InlineThreads, JumpingLoop

VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="untouched")
Call = Callable[..., Coroutine[Any, Any, Any]]


class Outcomes:
    """What attempts came to, by name, in order."""

    def __init__(self) -> None:
        self.ended: dict[str, Any] = {}
        self.moved = asyncio.Event()

    def done(self, name: str) -> Callable[[Any, BaseException | None], None]:
        def note(result: Any, error: BaseException | None) -> None:
            assert name not in self.ended, f"{name} ended twice"
            self.ended[name] = result if error is None else error
            self.moved.set()

        return note

    async def __call__(self, *names: str) -> Any:
        while not self.ended.keys() >= set(names):
            self.moved.clear()
            await asyncio.wait_for(self.moved.wait(), 20)
        found = tuple(self.ended[name] for name in names)
        return found if len(names) > 1 else found[0]


class Bench:
    def __init__(self) -> None:
        self.runners = CoroutineRunners(asyncio.get_running_loop())
        self.outcomes = Outcomes()

    def start(self, call: Call, *args: Any, name: str = "it") -> Attempt:
        context = TaskContext("x", name, 1, f"x/{name}")
        return self.runners.start(call, (lambda: context, list(args), {}), self.outcomes.done(name))


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def never() -> None:
    await asyncio.get_running_loop().create_future()


def jump(main: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """Run on a loop whose clock jumps."""
    loop = JumpingLoop()
    try:
        return loop.run_until_complete(main())
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


async def test_a_coroutine_that_never_suspends_costs_no_task() -> None:
    """A thousand of them share the one runner, and each sees a current task all the same."""
    bench, tasks = Bench(), []

    async def quick(number: int) -> int:
        tasks.append(asyncio.current_task())
        return number

    for number in range(1000):
        bench.start(quick, number, name=str(number))
    found = await bench.outcomes(*map(str, range(1000)))
    assert found == tuple(range(1000))
    assert None not in tasks
    assert len({id(task) for task in tasks}) == 1
    assert len(bench.runners._runners) == 1
    await bench.runners.close()


async def test_start_only_queues() -> None:
    bench, ran = Bench(), []

    async def quick() -> None:
        ran.append(True)

    attempt = bench.start(quick)
    assert (ran, attempt.begun) == ([], False)
    await bench.outcomes("it")
    assert (ran, attempt.begun) == ([True], True)
    await bench.runners.close()


async def test_one_that_suspends_holds_up_nobody() -> None:
    bench, gate = Bench(), asyncio.Event()

    async def slow() -> str:
        await gate.wait()
        return "slow"

    async def quick() -> str:
        return "quick"

    bench.start(slow, name="slow")
    bench.start(quick, name="quick")
    assert await bench.outcomes("quick") == "quick"
    assert "slow" not in bench.outcomes.ended
    gate.set()
    assert await bench.outcomes("slow") == "slow"
    await bench.runners.close()


async def test_runners_are_used_again_and_do_not_pile_up() -> None:
    bench = Bench()

    async def pause() -> None:
        await asyncio.sleep(0)

    for crowd in range(5):
        names = [f"{crowd}-{number}" for number in range(300)]
        for name in names:
            bench.start(pause, name=name)
        await bench.outcomes(*names)
        await turns()
    assert len(bench.runners._runners) <= 70
    await bench.runners.close()


async def test_current_task_and_the_context_are_there_in_every_step() -> None:
    bench = Bench()

    async def steps() -> list[Any]:
        seen = [(asyncio.current_task(), current().task_id)]
        await asyncio.sleep(0)
        seen.append((asyncio.current_task(), current().task_id))
        inner = await asyncio.create_task(inside())
        return [*seen, inner]

    async def inside() -> str:
        return current().idempotency_key

    bench.start(steps, name="a")
    (first, one), (second, other), inner = await bench.outcomes("a")
    assert first is second is not None
    assert (one, other, inner) == ("a", "a", "x/a")
    await bench.runners.close()


async def test_what_an_attempt_sets_in_its_context_nobody_else_sees() -> None:
    bench = Bench()
    VARIABLE.set("of the caller")

    async def look() -> str:
        before = VARIABLE.get()
        VARIABLE.set("of an attempt")
        await asyncio.sleep(0)
        return f"{before}, then {VARIABLE.get()}"

    for name in "ab":
        bench.start(look, name=name)
        assert await bench.outcomes(name) == "untouched, then of an attempt"
    assert VARIABLE.get() == "of the caller"
    await bench.runners.close()


def test_timeouts_task_groups_and_wait_for_work_inside() -> None:
    async def main() -> None:
        bench = Bench()

        async def with_timeout() -> str:
            try:
                async with asyncio.timeout(5):
                    await never()
            except TimeoutError:
                return "timed out"
            return "never"

        async def with_wait_for() -> str:
            try:
                await asyncio.wait_for(never(), 5)
            except TimeoutError:
                return await asyncio.wait_for(asyncio.sleep(1, "waited"), 5)
            return "never"

        async def with_group() -> list[str]:
            async def fail() -> None:
                await asyncio.sleep(1)
                raise ValueError("no")

            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(fail())
                    group.create_task(never())
                    await never()
            except ExceptionGroup as caught:
                return [str(error) for error in caught.exceptions]
            return []

        async def gathered() -> list[int]:
            return await asyncio.gather(*(asyncio.sleep(number, number) for number in range(3)))

        for _ in range(3):  # on runners that were used before, too
            for call in (with_timeout, with_wait_for, with_group, gathered):
                bench.start(call, name=call.__name__)
            names = ("with_timeout", "with_wait_for", "with_group", "gathered")
            assert await bench.outcomes(*names) == ("timed out", "waited", ["no"], [0, 1, 2])
            bench.outcomes.ended.clear()
        await bench.runners.close()

    jump(main)


async def test_an_exception_is_reported_with_its_traceback_and_the_next_attempt_is_unharmed() -> None:
    bench = Bench()

    async def fail(late: bool) -> None:
        if late:
            await asyncio.sleep(0)
        raise ValueError("no")

    async def quick() -> str:
        return "fine"

    bench.start(fail, False, name="at once")
    bench.start(fail, True, name="late")
    bench.start(quick, name="next")
    at_once, late, fine = await bench.outcomes("at once", "late", "next")
    for error in (at_once, late):
        assert isinstance(error, ValueError)
        assert error.__traceback__ is not None
    assert fine == "fine"
    await bench.runners.close()


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit(), StopAsyncIteration()])
async def test_what_would_end_a_process_ends_only_the_attempt(error: BaseException) -> None:
    bench = Bench()

    async def leave(late: bool) -> None:
        if late:
            await asyncio.sleep(0)
        raise error

    for name, late in (("at once", False), ("late", True)):
        bench.start(leave, late, name=name)
        assert await bench.outcomes(name) is error
    await bench.runners.close()


async def test_a_call_that_fails_before_there_is_a_coroutine_fails_the_attempt() -> None:
    bench = Bench()

    async def one(only: int) -> int:
        return only

    bench.start(one, 1, 2)
    assert isinstance(await bench.outcomes("it"), TypeError)
    await bench.runners.close()


# cancelling


async def test_cancelled_before_it_began_it_never_begins() -> None:
    bench, ran = Bench(), []

    async def quick() -> None:
        ran.append(True)

    bench.runners.cancel(bench.start(quick))
    assert isinstance(await bench.outcomes("it"), asyncio.CancelledError)
    assert ran == []
    await bench.runners.close()


async def test_cancelled_while_it_waits_it_ends_and_its_cleanup_runs() -> None:
    bench, cleaned = Bench(), []

    async def slow() -> None:
        try:
            await never()
        finally:
            await asyncio.sleep(0)
            cleaned.append(True)

    attempt = bench.start(slow)
    await turns()
    bench.runners.cancel(attempt)
    assert isinstance(await bench.outcomes("it"), asyncio.CancelledError)
    assert cleaned == [True]
    await bench.runners.close()


async def stubborn() -> str:
    try:
        await never()
    except asyncio.CancelledError:
        return "finished anyway"
    return "never"


async def test_one_that_swallows_its_cancellation_reports_what_it_returns() -> None:
    bench = Bench()
    attempt = bench.start(stubborn)
    await turns()
    bench.runners.cancel(attempt)
    assert await bench.outcomes("it") == "finished anyway"
    await bench.runners.close()


async def cancelling() -> tuple[int, str]:
    task = asyncio.current_task()
    assert task is not None
    count = task.cancelling()
    await asyncio.sleep(0)
    return count, "unharmed"


async def test_a_swallowed_cancellation_does_not_reach_the_next_attempt() -> None:
    bench = Bench()
    attempt = bench.start(stubborn, name="first")
    await turns()
    bench.runners.cancel(attempt)
    await bench.outcomes("first")
    for name in "ab":
        bench.start(cancelling, name=name)
        assert await bench.outcomes(name) == (0, "unharmed")
    await bench.runners.close()


async def test_one_that_cancels_itself_and_returns_does_not_harm_the_next() -> None:
    bench = Bench()

    async def suicidal(late: bool) -> str:
        if late:
            await asyncio.sleep(0)
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        return "returned"

    for late in (False, True):
        for crowd in range(3):
            names = [f"{late}{crowd}{number}" for number in range(3)]
            bench.start(suicidal, late, name=names[0])
            bench.start(cancelling, name=names[1])
            await bench.outcomes(*names[:2])
            bench.start(cancelling, name=names[2])
            assert await bench.outcomes(names[2]) == (0, "unharmed")
            assert bench.outcomes.ended[names[1]] == (0, "unharmed")
    await bench.runners.close()


async def test_a_cancellation_that_nobody_asked_for_is_a_failure_and_not_a_cancel() -> None:
    bench = Bench()

    async def give_up() -> None:
        raise asyncio.CancelledError

    bench.start(give_up)
    error = await bench.outcomes("it")
    assert isinstance(error, RuntimeError)
    assert "cancelled from inside" in str(error)
    await bench.runners.close()


async def test_closing_ends_what_runs_and_reports_nothing() -> None:
    bench = Bench()
    bench.start(never, name="waiting")
    bench.start(stubborn, name="stubborn")
    await turns()
    bench.start(never, name="queued")
    await asyncio.wait_for(bench.runners.close(), 5)
    assert bench.outcomes.ended == {}
    assert bench.runners._runners == set()


async def test_closing_runners_that_are_idle_ends_them() -> None:
    bench = Bench()
    bench.start(cancelling)
    await bench.outcomes("it")
    await asyncio.wait_for(bench.runners.close(), 5)
    assert bench.runners._runners == set()


# threads


class Workshop:
    """Threads, and functions in them that wait for a word from the test."""

    def __init__(self, limit: int) -> None:
        self.threads = Threads(asyncio.get_running_loop(), limit)
        self.outcomes = Outcomes()
        self.gates: dict[str, threading.Event] = {}
        self.began: dict[str, threading.Event] = {}

    def start(self, name: str, result: Any = None, priority: int = 0) -> Attempt:
        gate, began = self.gates.setdefault(name, threading.Event()), self.began.setdefault(name, threading.Event())

        def work() -> Any:
            began.set()
            assert gate.wait(20)
            if isinstance(result, BaseException):
                raise result
            return result

        return self.threads.start(work, self.outcomes.done(name), priority)

    async def has_begun(self, name: str) -> None:
        assert await asyncio.get_running_loop().run_in_executor(None, self.began[name].wait, 20)


@pytest.fixture
def open_gates() -> Iterator[list[Workshop]]:
    shops: list[Workshop] = []
    yield shops
    for shop in shops:
        for gate in shop.gates.values():
            gate.set()
        shop.threads.close()


async def workshop(open_gates: list[Workshop], limit: int) -> Workshop:
    shop = Workshop(limit)
    open_gates.append(shop)
    return shop


async def test_functions_run_side_by_side_up_to_the_limit(open_gates: list[Workshop]) -> None:
    shop = await workshop(open_gates, 2)
    for name in "abc":
        shop.start(name, name)
    await shop.has_begun("a")
    await shop.has_begun("b")
    assert not shop.began["c"].is_set()
    shop.gates["a"].set()
    await shop.has_begun("c")
    shop.gates["b"].set()
    shop.gates["c"].set()
    assert await shop.outcomes("a", "b", "c") == ("a", "b", "c")


async def test_those_who_wait_for_a_thread_go_by_priority_then_in_order(open_gates: list[Workshop]) -> None:
    shop, order = await workshop(open_gates, 1), []
    shop.start("first")
    for name, priority in (("low", 0), ("high", 5), ("low too", 0), ("higher", 9)):
        shop.threads.start(lambda name=name: order.append(name), shop.outcomes.done(name), priority)  # type: ignore[misc]
    shop.gates["first"].set()
    await shop.outcomes("low", "low too")
    assert order == ["higher", "high", "low", "low too"]


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(2), KeyboardInterrupt()])
async def test_what_a_function_raises_is_reported_and_its_thread_goes_on(
    open_gates: list[Workshop], error: BaseException
) -> None:
    shop = await workshop(open_gates, 1)
    shop.start("bad", error)
    shop.start("good", 1)
    shop.gates["bad"].set()
    shop.gates["good"].set()
    assert await shop.outcomes("bad", "good") == (error, 1)


async def test_functions_see_nothing_of_each_others_context(open_gates: list[Workshop]) -> None:
    shop = await workshop(open_gates, 1)

    def look() -> str:
        before = VARIABLE.get()
        VARIABLE.set("mine")
        return before

    for name in "ab":
        shop.threads.start(look, shop.outcomes.done(name))
        assert await shop.outcomes(name) == "untouched"


async def test_a_function_that_was_given_up_on_is_replaced_and_its_result_ignored(open_gates: list[Workshop]) -> None:
    shop = await workshop(open_gates, 1)
    hangs = shop.start("hangs", "too late")
    shop.start("next", 2)
    await shop.has_begun("hangs")
    shop.threads.abandon(hangs)
    assert shop.threads.abandoned == 1
    shop.gates["next"].set()
    assert await shop.outcomes("next") == 2
    shop.gates["hangs"].set()
    while shop.threads.abandoned:
        await asyncio.sleep(0)
    assert "hangs" not in shop.outcomes.ended


async def test_a_function_that_was_given_up_on_in_the_queue_never_runs(open_gates: list[Workshop]) -> None:
    shop = await workshop(open_gates, 1)
    shop.start("first")
    queued = shop.start("queued")
    shop.threads.abandon(queued)
    shop.start("last", 3)
    for name in ("first", "queued", "last"):
        shop.gates[name].set()
    found = await shop.outcomes("first", "queued", "last")
    assert isinstance(found[1], asyncio.CancelledError)
    assert (found[2], shop.began["queued"].is_set(), shop.threads.abandoned) == (3, False, 0)


async def test_many_results_at_once_are_all_reported(open_gates: list[Workshop]) -> None:
    shop = await workshop(open_gates, 8)
    names = [str(number) for number in range(500)]
    for name in names:
        shop.threads.start(lambda name=name: name, shop.outcomes.done(name))  # type: ignore[misc]
    assert await shop.outcomes(*names) == tuple(names)


def test_a_result_that_comes_after_the_loop_has_ended_harms_nobody() -> None:
    loop = asyncio.new_event_loop()
    threads, gate, gone = Threads(loop, 1), threading.Event(), threading.Event()

    def work() -> None:
        assert gate.wait(20)

    def reported(result: Any, error: BaseException | None) -> None:
        raise AssertionError("nobody is there to hear this")

    threads.start(work, reported)
    loop.close()
    threads._queue.put(Attempt(gone.set, reported))
    gate.set()
    assert gone.wait(20)
    gc.collect()


def test_without_threads_functions_run_on_the_loop_one_after_another() -> None:
    async def main() -> None:
        threads, outcomes, seen = InlineThreads(asyncio.get_running_loop()), Outcomes(), []

        def work(name: str) -> str:
            seen.append((name, VARIABLE.get()))
            VARIABLE.set(name)
            if name == "bad":
                raise SystemExit(1)
            return name

        attempts = {
            name: threads.start(lambda name=name: work(name), outcomes.done(name))  # type: ignore[misc]
            for name in ("a", "bad", "gone", "b")
        }
        assert seen == []
        threads.abandon(attempts["gone"])
        found = await outcomes("a", "bad", "gone", "b")
        assert (found[0], type(found[1]), type(found[2]), found[3]) == ("a", SystemExit, asyncio.CancelledError, "b")
        assert seen == [("a", "untouched"), ("bad", "untouched"), ("b", "untouched")]

    jump(main)


def test_a_jumping_loop_takes_no_time_over_years() -> None:
    async def main() -> float:
        began = asyncio.get_running_loop().time()
        await asyncio.gather(*(asyncio.sleep(86_400.0 * days) for days in (365, 1, 30)))
        return asyncio.get_running_loop().time() - began

    assert 365 <= jump(main) / 86_400 < 366


def test_a_jumping_loop_still_hears_a_thread() -> None:
    async def main() -> str:
        return await asyncio.get_running_loop().run_in_executor(None, lambda: "from a thread")

    assert jump(main) == "from a thread"
