"""Inside a worker of a pool: one setup, the same thread and loop for all tasks, and an end for whatever does not end."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import raywf
from raywf.core.crews import CrewRule
from raywf.core.plan import FunctionRef, PoolUse
from raywf.definition import values
from raywf.runtime import bundle as bundles
from raywf.runtime.bundle import Bundle
from raywf.runtime.crews import CrewSpec
from raywf.runtime.warm import WarmProcess
from raywf.runtime.worker import Chunk, Item

HERE = "tests.unit.runtime.test_warm"
STARTED, GO, ENDED = threading.Event(), threading.Event(), threading.Event()
LOG: list[str] = []


def load() -> dict[str, Any]:
    LOG.append("load")
    return {"thread": threading.get_ident()}


async def load_on_a_loop() -> asyncio.AbstractEventLoop:
    await asyncio.sleep(0)
    return asyncio.get_running_loop()


def broken() -> None:
    raise OSError("no such model")


def close(state: Any) -> None:
    LOG.append(f"close {sorted(state)}")


def same_thread(x: int) -> bool:
    return bool(raywf.worker_state(load)["thread"] == threading.get_ident())


async def same_loop(x: int) -> bool:
    return raywf.worker_state(load_on_a_loop) is asyncio.get_running_loop()


def wrong_state(x: int) -> Any:
    return raywf.worker_state(broken)


def hold(x: int) -> int:
    STARTED.set()
    GO.wait(10)
    return x


async def hang(x: int) -> int:
    STARTED.set()
    try:
        await asyncio.get_running_loop().create_future()
    finally:
        LOG.append("cleaned up")
    return x


async def deaf(x: int) -> int:
    STARTED.set()
    while not GO.is_set():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(0.001)
    ENDED.set()
    return x


@pytest.fixture(autouse=True)
async def a_process_of_its_own(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    path = list(sys.path)
    monkeypatch.setattr(bundles, "_entered", None)
    STARTED.clear()
    GO.clear()
    LOG.clear()
    yield
    GO.set()
    sys.path[:] = path


class Worker:
    def __init__(self, tmp_path: Path, setup: str | None = "load", concurrency: int = 1) -> None:
        ref = None if setup is None else FunctionRef(f"{HERE}:{setup}")
        pool = PoolUse("ocr", CrewRule(concurrency=concurrency), (), ref, FunctionRef(f"{HERE}:close"))
        self.ended: list[str] = []
        spec = CrewSpec("crew-ocr", "default", "p", "ray", pool, Bundle((), "h", "p"))
        self.process = WarmProcess(spec, lambda: self.ended.append("ended"))
        self.tmp_path = tmp_path
        self.numbers = 0

    def run(self, function: str, timeout: float | None = None, cleanup: float = 10.0) -> asyncio.Task[Any]:
        self.numbers += 1
        item = Item([values.encode(1)], {}, ("x", function, 1, "key", None))
        chunk = Chunk(
            bundle=self.process.spec.bundle,
            function=FunctionRef(f"{HERE}:{function}"),
            timeout=timeout,
            non_retryable=(),
            items=[item],
            spool=self.tmp_path / str(self.numbers),
            blob_root=None,
            blob_mark="",
            hot=[],
            number=self.numbers,
            cleanup=cleanup,
        )
        return asyncio.ensure_future(self.process.run(self.numbers, chunk, None, [], None))

    async def outcome(self, function: str, **more: Any) -> Any:
        _, ((kind, what),), worn = await self.run(function, **more)
        return (values.decode(what.encode()) if kind == "ok" else what if what is None else what["message"]), worn

    async def started(self) -> None:
        assert await asyncio.to_thread(STARTED.wait, 10)


async def begun(tmp_path: Path, **more: Any) -> Worker:
    worker = Worker(tmp_path, **more)
    assert (await worker.process.begin())[1] is None
    return worker


async def test_setup_runs_once_and_in_the_thread_of_the_tasks(tmp_path: Path) -> None:
    worker = await begun(tmp_path)
    assert [await worker.outcome("same_thread") for _ in range(3)] == [(True, False)] * 3
    assert LOG == ["load"]


async def test_an_async_setup_runs_on_the_loop_of_the_tasks(tmp_path: Path) -> None:
    worker = await begun(tmp_path, setup="load_on_a_loop")
    assert await worker.outcome("same_loop") == (True, False)


async def test_a_setup_that_raises_says_what_it_raised(tmp_path: Path) -> None:
    _, failure = await Worker(tmp_path, "broken").process.begin()
    assert failure is not None
    assert (failure["type"], failure["message"]) == ("OSError", "no such model")
    assert "in broken" in str(failure["traceback"])


async def test_a_setup_that_cannot_be_found_is_a_setup_that_failed(tmp_path: Path) -> None:
    _, failure = await Worker(tmp_path, "lod").process.begin()
    assert failure is not None
    assert "did you mean 'load'" in str(failure["message"]).lower()


async def test_teardown_gets_what_setup_gave(tmp_path: Path) -> None:
    worker = await begun(tmp_path)
    assert await worker.process.leave() is None
    assert LOG == ["load", "close ['thread']"]


async def test_what_goes_wrong_in_teardown_is_told(tmp_path: Path) -> None:
    worker = await begun(tmp_path, setup="load_on_a_loop")
    assert "TypeError" in str(await worker.process.leave())


async def test_a_task_that_names_another_setup_is_told_which_pool_it_is_in(tmp_path: Path) -> None:
    worker = await begun(tmp_path)
    message, _ = await worker.outcome("wrong_state")
    assert "the workers of its pool 'ocr' are made by load" in message


async def test_a_coroutine_that_is_stopped_cleans_up_and_the_worker_goes_on(tmp_path: Path) -> None:
    worker = await begun(tmp_path)
    running = worker.run("hang")
    await worker.started()
    await worker.process.stop(1, 1)
    _, outcomes, worn = await running
    assert (outcomes, worn) == ([["cancelled", None]], False)
    assert LOG == ["load", "cleaned up"]
    assert await worker.outcome("same_thread") == (True, False)


async def test_a_coroutine_that_does_not_stop_is_given_up_on_and_the_worker_is_worn(tmp_path: Path) -> None:
    worker = await begun(tmp_path)
    running = worker.run("deaf", cleanup=0.0)
    await worker.started()
    await worker.process.stop(1, 1)
    _, outcomes, worn = await running
    assert (outcomes, worn) == ([["cancelled", None]], True)
    GO.set()
    assert await asyncio.to_thread(ENDED.wait, 10)


async def test_a_coroutine_that_runs_out_of_time_fails(tmp_path: Path) -> None:
    worker = await begun(tmp_path)
    assert await worker.outcome("hang", timeout=0.01) == ("hang ran longer than its timeout of 0.01 s", False)


async def test_a_plain_function_that_is_stopped_takes_its_process_along(tmp_path: Path) -> None:
    worker = await begun(tmp_path)
    running = worker.run("hold")
    await worker.started()
    await worker.process.stop(1, 1)
    assert worker.ended == ["ended"]
    GO.set()
    await running


async def test_a_plain_function_that_shares_its_process_is_abandoned(tmp_path: Path) -> None:
    worker = await begun(tmp_path, concurrency=2)
    running = worker.run("hold")
    await worker.started()
    await worker.process.stop(1, 1)
    _, outcomes, worn = await running
    assert (outcomes, worn, worker.ended) == ([["cancelled", None]], True, [])
    assert await worker.outcome("hold", timeout=0.01) == ("hold ran longer than its timeout of 0.01 s", True)


async def test_a_stop_that_comes_for_an_earlier_chunk_stops_nothing(tmp_path: Path) -> None:
    worker = await begun(tmp_path)
    running = worker.run("hold")
    await worker.started()
    await worker.process.stop(1, 99)
    await worker.process.stop(99, 1)
    GO.set()
    assert (await running)[1] == [["ok", "1"]]
    assert worker.ended == []


async def test_a_slot_is_free_once_what_ran_in_it_has_been_asked_to_end(tmp_path: Path) -> None:
    worker = await begun(tmp_path)
    running = worker.run("hang")
    await worker.started()
    await asyncio.wait_for(worker.process.until_free(1), 10)
    await worker.process.until_free(77)
    assert (await running)[1] == [["cancelled", None]]
