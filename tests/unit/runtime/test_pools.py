"""Tasks that run in a pool of warm workers: a setup serves many tasks, the pool follows the backlog, a worker's death costs its
own attempt, and whatever keeps a task waiting is said."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import raywf
from raywf.core.crews import TRIES
from raywf.runtime import pooled
from raywf.runtime.crews import SILENT_S
from tests.unit.runtime.crewed import Process, World, crewed
from tests.unit.runtime.engines import Engine, live_through, new_store

T = TypeVar("T")


def load() -> str:
    return "a model"


ocr = raywf.Workers("ocr", max=3, setup=load, idle_timeout=30.0)


@raywf.task(pool=ocr)
def read(page: int) -> int:
    raise AssertionError("it runs in a worker")


@raywf.task(pool=ocr, retry=raywf.Retry(max_attempts=2, initial=0.0))
def again(page: int) -> int:
    raise AssertionError("it runs in a worker")


@raywf.task(pool=ocr, effect="at_most_once", in_doubt="fail")
def once(page: int) -> int:
    raise AssertionError("it runs in a worker")


@raywf.workflow
def pages(numbers: list[int]) -> list[int]:
    return read.map(numbers)


@raywf.workflow
def one(page: int) -> int:
    return read(page)


@raywf.workflow
def stubborn(page: int) -> int:
    return again(page)


@raywf.workflow
def careful(page: int) -> int:
    return once(page)


@raywf.task(pool=raywf.Workers("leaky", max=1, max_tasks=4))
def leak(page: int) -> int:
    raise AssertionError("it runs in a worker")


@raywf.workflow
def leaks(numbers: list[int]) -> list[int]:
    return leak.map(numbers)


@raywf.task(pool=raywf.Workers("many", max=2, concurrency=3))
async def ask(page: int) -> int:
    raise AssertionError("it runs in a worker")


@raywf.workflow
def asks(numbers: list[int]) -> list[int]:
    return ask.map(numbers)


@raywf.task(pool=raywf.Workers("ocr", max=9, setup=load))
def other(page: int) -> int:
    raise AssertionError("it runs in a worker")


@raywf.workflow
def others(page: int) -> int:
    return other(page)


def with_pool(workflow: Any, main: Callable[[Engine, World], Coroutine[Any, Any, T]], places: int = 100) -> T:
    async def run() -> T:
        world = World(places)
        engine = crewed(workflow, new_store(), world)
        await engine.claim()
        return await main(engine, world)

    return live_through(run)  # type: ignore[no-any-return]


def taking(seconds: float) -> Callable[..., Any]:
    async def work(process: Process, path: str, args: list[Any]) -> Any:
        await asyncio.sleep(seconds)
        return args[0]

    return work


def test_a_setup_serves_many_tasks_and_the_pool_grows_to_its_max() -> None:
    async def main(engine: Engine, world: World) -> None:
        world.work = taking(5.0)
        await engine.submit(list(range(30)))
        assert await engine.to_the_end() == ("execution_completed", list(range(30)))
        assert world.setups == 3
        assert len(world.ran) == 30
        assert set(Counter(worker for _, _, worker in world.ran).values()) == {10}

    with_pool(pages, main)


def test_short_tasks_are_not_worth_the_loading_of_another_worker() -> None:
    async def main(engine: Engine, world: World) -> None:
        world.setup = lambda process: asyncio.sleep(60.0)
        world.work = taking(0.01)
        await engine.submit([1])
        await engine.to_the_end()
        await engine.submit(list(range(100)), id="y")
        await engine.to_the_end(id="y")
        assert world.setups == 1

    with_pool(pages, main)


def test_an_idle_pool_shrinks_and_its_crew_leaves_when_nobody_uses_it() -> None:
    async def main(engine: Engine, world: World) -> None:
        world.work = taking(5.0)
        await engine.submit([1, 2, 3])
        await engine.to_the_end()
        (crew,) = world.crews.values()
        assert len(world.alive) == 3
        await asyncio.sleep(31.0)
        assert world.alive == []
        assert all(each.served.torn_down for each in world.workers)
        assert crew.dead is None
        await asyncio.sleep(pooled.LINGER_S + pooled.IDLE_S)
        assert crew.dead is not None
        await engine.submit([4], id="y")  # and another is started when it is wanted again
        assert await engine.to_the_end(id="y") == ("execution_completed", [4])

    with_pool(pages, main)


def test_a_worker_that_dies_costs_exactly_the_attempt_it_was_in_and_is_replaced() -> None:
    async def main(engine: Engine, world: World) -> None:
        async def work(process: Process, path: str, args: list[Any]) -> Any:
            await asyncio.sleep(5.0)
            if args[0] == 7 and sum(task == "read[7]" for task, _, _ in world.ran) == 1:
                process.die()
                await asyncio.sleep(1.0)
            return args[0]

        world.work = work
        await engine.submit(list(range(12)))
        assert await engine.to_the_end() == ("execution_completed", list(range(12)))
        assert [kind for kind in await engine.kinds() if kind.startswith("attempt_lost")] == ["attempt_lost read[7]"]
        assert len(world.ran) == 13
        assert world.setups == 4

    with_pool(pages, main)


def test_a_task_that_always_kills_its_worker_is_lost_three_times_and_then_fails() -> None:
    async def main(engine: Engine, world: World) -> None:
        async def work(process: Process, path: str, args: list[Any]) -> Any:
            process.die()
            await asyncio.sleep(1.0)

        world.work = work
        await engine.submit(1)
        kind, (task, type_, message) = await engine.to_the_end()
        assert (kind, task, type_) == ("execution_failed", "read", "raywf.errors.WorkerLost")
        assert "died 3 times with it, the last time alone in a process" in message
        assert [attempt for _, attempt, _ in world.ran] == [1, 2, 3]

    with_pool(one, main)


def test_an_effect_of_at_most_once_is_in_doubt_only_if_it_had_begun() -> None:
    async def main(engine: Engine, world: World) -> None:
        async def work(process: Process, path: str, args: list[Any]) -> Any:
            process.die()
            await asyncio.sleep(1.0)

        async def setup(process: Process) -> None:
            if world.setups == 1:
                process.die()
                await asyncio.sleep(1.0)

        world.setup, world.work = setup, work
        await engine.submit(1)
        kind, (_, type_, _) = await engine.to_the_end()
        assert (kind, type_) == ("execution_failed", "raywf.errors.InDoubt")
        assert world.setups == 2  # the death of the first one was before it began anything
        assert len(world.ran) == 1

    with_pool(careful, main)


def test_a_setup_that_raises_is_tried_again_and_then_the_tasks_that_wait_are_told() -> None:
    async def main(engine: Engine, world: World) -> None:
        async def setup(process: Process) -> None:
            raise OSError("no such model: /models/ocr.bin")

        world.setup = setup
        await engine.submit(1)
        kind, (task, type_, message) = await engine.to_the_end()
        assert (kind, task, type_) == ("execution_failed", "read", "raywf.errors.SetupFailed")
        assert "no worker of pool 'ocr' becomes ready" in message
        assert "OSError: no such model: /models/ocr.bin" in message
        assert world.setups == TRIES

        async def repaired(process: Process) -> None:
            return None

        world.setup = repaired
        await asyncio.sleep(60.0)
        await engine.submit(2, id="y")
        assert await engine.to_the_end(id="y") == ("execution_completed", 2)

    with_pool(one, main)


def test_a_setup_that_hangs_is_ended_at_its_timeout_and_counts_as_failed() -> None:
    async def main(engine: Engine, world: World) -> None:
        world.setup = lambda process: asyncio.sleep(1e6)
        await engine.submit(1)
        kind, (_, type_, message) = await engine.to_the_end()
        assert (kind, type_) == ("execution_failed", "raywf.errors.SetupFailed")
        assert "setup did not return within setup_timeout=600 s" in message
        assert world.setups == TRIES

    with_pool(one, main)


def test_a_retry_policy_goes_on_after_a_setup_that_failed() -> None:
    async def main(engine: Engine, world: World) -> None:
        async def setup(process: Process) -> None:
            if world.setups <= TRIES:
                raise OSError("busy")

        world.setup = setup
        await engine.submit(1)
        kind, _ = await engine.to_the_end()
        assert kind in ("execution_completed", "execution_failed")
        assert [each for each in await engine.kinds() if each.startswith("attempt_failed")]

    with_pool(stubborn, main)


def test_a_pool_without_a_place_is_said_and_the_task_goes_on_once_there_is_one() -> None:
    async def main(engine: Engine, world: World) -> None:
        world.resources = [{"CPU": 0.5}]
        await engine.submit(1)
        await engine.until(lambda: (live := engine.live()) is not None and "asks for" in (live.waiting_for or ""))
        live = engine.live()
        assert live is not None
        assert live.status == "waiting"
        await asyncio.sleep(5.0)
        assert live.waiting_for == (
            "pool: a worker of pool ocr: 0 of 3 ready, 1 without a place, each asks for CPU 1 and no node has more than 0.5"
        )
        assert "attempt_started read" not in await engine.kinds()
        world.places.release()
        assert await engine.to_the_end() == ("execution_completed", 1)

    with_pool(one, main, places=0)


def test_cancelling_what_waits_for_a_worker_ends_it_and_calls_the_worker_off() -> None:
    async def main(engine: Engine, world: World) -> None:
        await engine.submit(1)
        await asyncio.sleep(5.0)
        assert len(world.alive) == 1
        await engine.send(1, "cancel", {"reason": "enough"})
        kind, _ = await engine.to_the_end()
        assert kind == "execution_cancelled"
        await asyncio.sleep(2.0)
        assert world.alive == []
        assert world.ran == []

    with_pool(one, main, places=0)


def test_cancelling_what_runs_stops_it_in_its_worker_which_stays_warm() -> None:
    async def main(engine: Engine, world: World) -> None:
        world.work = taking(1000.0)
        await engine.submit(1)
        await engine.until(lambda: world.ran)
        await engine.send(1, "cancel", {"reason": "enough"})
        kind, _ = await engine.to_the_end()
        assert kind == "execution_cancelled"
        assert len(world.alive) == 1

    with_pool(one, main)


def test_a_worker_is_replaced_after_max_tasks() -> None:
    async def main(engine: Engine, world: World) -> None:
        await engine.submit(list(range(10)))
        assert await engine.to_the_end() == ("execution_completed", list(range(10)))
        assert sorted(Counter(worker for _, _, worker in world.ran).values()) == [2, 4, 4]
        assert [each.served.torn_down for each in world.workers[:2]] == [True, True]

    with_pool(leaks, main)


def test_a_worker_runs_as_many_tasks_at_a_time_as_its_concurrency() -> None:
    most = Counter[int]()
    now = Counter[int]()

    async def work(process: Process, path: str, args: list[Any]) -> Any:
        now[process.number] += 1
        most[process.number] = max(most[process.number], now[process.number])
        await asyncio.sleep(5.0)
        now[process.number] -= 1
        return args[0]

    async def main(engine: Engine, world: World) -> None:
        world.work = work
        await engine.submit(list(range(30)))
        assert await engine.to_the_end() == ("execution_completed", list(range(30)))
        assert set(most.values()) == {3}
        assert len(most) == 2

    with_pool(asks, main)


def test_when_the_crew_dies_another_is_started_and_only_what_ran_is_lost() -> None:
    async def main(engine: Engine, world: World) -> None:
        world.work = taking(5.0)
        await engine.submit(list(range(9)))
        await engine.until(lambda: len(world.ran) == 3)
        (crew,) = world.crews.values()
        crew.die("it was killed")
        for each in list(world.workers):
            world.kill(each)  # Ray ends the children of what has ended
        assert await engine.to_the_end() == ("execution_completed", list(range(9)))
        lost = [kind for kind in await engine.kinds() if kind.startswith("attempt_lost")]
        assert sorted(lost) == [f"attempt_lost read[{at}]" for at in range(3)]

    with_pool(pages, main)


def test_the_same_name_with_other_settings_is_refused_with_both_named() -> None:
    async def run() -> None:
        world = World()
        first = crewed(one, new_store(), world)
        await first.claim()
        await first.submit(1)
        await first.to_the_end()
        second = crewed(others, new_store(), world, life=2)
        await second.claim()
        await second.submit(1)
        kind, (task, type_, message) = await second.to_the_end()
        assert (kind, task, type_) == ("execution_failed", "other", "raywf.errors.DefinitionError")
        assert "(min=0, max=3, concurrency=1" in message
        assert "(min=0, max=9, concurrency=1" in message

    live_through(run)


def test_two_workflow_actors_share_one_crew_and_it_ends_when_both_have_left() -> None:
    async def run() -> None:
        world = World()
        world.work = taking(5.0)
        engines = [crewed(pages, new_store(), world, life) for life in (1, 2)]
        for engine in engines:
            await engine.claim()
            await engine.submit(list(range(6)))
        for engine in engines:
            assert await engine.to_the_end() == ("execution_completed", list(range(6)))
        assert world.setups == 3
        (crew,) = world.crews.values()
        for engine in engines:
            assert crew.dead is None
            assert engine.owner.work.dispatcher is not None
            await engine.owner.work.dispatcher.close()
        await asyncio.sleep(0.1)
        assert crew.dead is not None
        assert world.alive == []
        assert all(each.served.torn_down for each in world.workers)

    live_through(run)


def test_what_a_dead_workflow_actor_has_asked_for_is_given_to_others() -> None:
    async def run() -> None:
        world = World()
        world.work = taking(10_000.0)
        dead, living = (crewed(pages, new_store(), world, life) for life in (1, 2))
        for engine in (dead, living):
            await engine.claim()
        await dead.submit(list(range(6)))
        await dead.until(lambda: len(world.ran) == 3)
        assert dead.owner.work.dispatcher is not None
        pool = dead.owner.work.dispatcher.pooled  # type: ignore[attr-defined]
        for link in pool._links.values():
            link.following.cancel()
        pool._closing = True  # its process is gone: it says nothing any more
        world.work = taking(5.0)
        await asyncio.sleep(SILENT_S + 2)
        await living.submit(list(range(6)))
        assert await living.to_the_end() == ("execution_completed", list(range(6)))

    live_through(run)
