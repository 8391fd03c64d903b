"""The same engine in asyncio: all methods awaited, `map` an async iterator, `id` a property."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

import raywf
from raywf import task, workflow

pytestmark = pytest.mark.cluster


@task
async def double(x: int) -> int:
    return 2 * x


@workflow
def doubling(x: int) -> Any:
    return double(x)


@workflow
def waiting() -> Any:
    return [raywf.wait_signal("go"), raywf.approval("ok?", data=1)]


@workflow
def asking() -> Any:
    return raywf.approval("ok?", on_reject="no")


async def test_every_method_is_awaited(shared_ray: str, tmp_path: Path) -> None:
    async with raywf.connect_async(store=f"sqlite:///{tmp_path}/raywf.db") as engine:
        assert await engine.run(doubling, 2) == 4

        handle = await engine.submit(doubling, 3, execution_id="a-1", tags={"a": "b"})
        assert handle.id == "a-1"
        assert await handle.result(timeout=20) == 6
        assert await handle.status() == "completed"
        assert (await handle.describe()).id == "a-1"
        assert [each.seq for each in await handle.history()]
        assert "double" in await handle.graph()
        await handle.cancel("no-op")
        with pytest.raises(raywf.ExecutionClosed):
            await handle.signal("go", 1)

        assert (await (await engine.get("a-1")).describe()).tags == {"a": "b"}
        with pytest.raises(raywf.NotFound):
            await engine.get("nothing")
        assert [each.id for each in await engine.list(tags={"a": "b"})] == ["a-1"]

        handles = await engine.submit_many(doubling, [1, 2], execution_ids=["m-1", "m-2"])
        assert await asyncio.gather(*(each.result(timeout=20) for each in handles)) == [2, 4]
        assert [each async for each in engine.map(doubling, range(5), max_in_flight=2)] == [0, 2, 4, 6, 8]

        waits = await engine.submit(waiting)
        with pytest.raises(raywf.ResultTimeout):
            await waits.result(timeout=0.1)
        await waits.signal("go", 5, id="s-1")
        await waits.approve(by="a", comment="fine")
        assert await waits.result(timeout=20) == [5, 1]
        asks = await engine.submit(asking)
        await asks.reject(by="a")
        assert await asks.result(timeout=20) == "no"

        cancelled = await engine.submit(waiting)
        await cancelled.cancel("enough")
        with pytest.raises(raywf.WorkflowCancelled, match="enough"):
            await cancelled.result(timeout=20)

        with pytest.raises(raywf.InvalidInput):
            await engine.submit(doubling, "x")

    with pytest.raises(raywf.NotConnected):
        await engine.run(doubling, 2)
    with pytest.raises(raywf.NotConnected):
        await handle.status()


async def test_waiting_for_a_result_does_not_block_the_loop(shared_ray: str, tmp_path: Path) -> None:
    @task
    async def nap() -> int:
        await asyncio.sleep(0.4)
        return 1

    @workflow
    def flow() -> Any:
        return nap()

    async with raywf.connect_async(store=f"sqlite:///{tmp_path}/raywf.db") as engine:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                await asyncio.sleep(0.01)
                ticks += 1

        ticking = asyncio.create_task(tick())
        assert await asyncio.gather(*(engine.run(flow) for _ in range(5))) == [1] * 5
        ticking.cancel()
        assert ticks > 10
