"""Pools of warm workers on a real Ray: they follow the backlog, survive what is killed, and leave nothing behind."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import raywf
from raywf import WorkflowFailed

pytestmark = pytest.mark.cluster


def note(folder: str, word: str) -> None:
    with open(f"{folder}/notes", "a", encoding="utf-8") as notes:
        notes.write(f"{word} {os.getpid()}\n")


def make(folder: str) -> dict[str, Any]:
    """Workflows whose pool notes in ``folder`` what it does; by value, so each test has functions of its own."""

    def load() -> str:
        note(folder, "load")
        return "a model"

    def close(state: str) -> None:
        note(folder, "close")

    def broken() -> None:
        note(folder, "load")
        raise OSError("no such model: /models/ocr.bin")

    ocr = raywf.Workers("ocr", max=2, setup=load, teardown=close, num_cpus=0.5, idle_timeout=1.0)

    @raywf.task(pool=ocr)
    def read(seconds: float) -> int:
        assert raywf.worker_state(load) == "a model"
        time.sleep(seconds)
        return os.getpid()

    @raywf.task(pool=ocr)
    async def wait(seconds: float) -> int:
        note(folder, "waits")
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            note(folder, "cleans")
            raise
        return os.getpid()

    @raywf.task(pool=raywf.Workers("broken", setup=broken, num_cpus=0.1))
    def never(x: int) -> int:
        return x

    @raywf.task(pool=raywf.Workers("gpus", max=4, num_gpus=1, num_cpus=0))
    def rare(x: int) -> int:
        return x

    @raywf.workflow
    def pages(seconds: list[float]) -> list[int]:
        return read.map(seconds)

    @raywf.workflow
    def waits(seconds: float) -> int:
        return wait(seconds)

    @raywf.workflow
    def nevers(x: int) -> int:
        return never(x)

    @raywf.workflow
    def rares(x: int) -> int:
        return rare(x)

    return {"pages": pages, "waits": waits, "nevers": nevers, "rares": rares}


@pytest.fixture
def engine(shared_ray: str, tmp_path: Path) -> Iterator[raywf.WorkflowEngine]:
    with raywf.connect(store=f"sqlite:///{tmp_path}/raywf.db", namespace=f"pools-{tmp_path.name}") as found:
        yield found


def noted(folder: Path) -> list[tuple[str, int]]:
    try:
        lines = (folder / "notes").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    return [(word, int(pid)) for word, pid in (line.split() for line in lines)]


def until(true: Callable[[], Any], seconds: float = 15.0) -> Any:
    give_up_at = time.monotonic() + seconds
    while time.monotonic() < give_up_at:
        if found := true():
            return found
        time.sleep(0.05)
    raise AssertionError("it does not come true")


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_a_pool_follows_its_backlog_and_a_killed_worker_costs_its_own_attempt(
    engine: raywf.WorkflowEngine, tmp_path: Path
) -> None:
    flows = make(str(tmp_path))
    handle = engine.submit(flows["pages"], [2.0] * 4)
    (pool,) = until(lambda: [each for each in engine.workers() if each.busy == 2])
    assert (pool.pool, pool.ready, pool.max) == ("ocr", 2, 2)
    os.kill(pool.workers[0].pid, signal.SIGKILL)
    assert len(handle.result(timeout=30)) == 4
    lost = [event.task for event in handle.history() if event.kind == "attempt_lost"]
    assert len(lost) == 1
    assert [word for word, _ in noted(tmp_path)].count("load") == 3
    assert len(set(engine.run(flows["pages"], [0.01] * 30))) <= 2
    until(lambda: engine.workers()[0].ready == 0)
    assert [word for word, _ in noted(tmp_path)].count("close") == 2
    assert engine.workers()[0].tasks == 34


@pytest.mark.long
def test_what_keeps_a_task_from_its_worker_is_said(engine: raywf.WorkflowEngine, tmp_path: Path) -> None:
    flows = make(str(tmp_path))
    waiting = engine.submit(flows["rares"], 1)
    with pytest.raises(WorkflowFailed) as failed:
        engine.run(flows["nevers"], 1)
    assert failed.value.failure.type == "raywf.errors.SetupFailed"
    assert "OSError: no such model: /models/ocr.bin" in failed.value.failure.message
    assert "in broken" in failed.value.failure.traceback
    assert [word for word, _ in noted(tmp_path)].count("load") == 3
    why = until(lambda: str(waiting.why()) if "no node has any" in str(waiting.why()) else "")
    assert "a worker of pool gpus: 0 of 4 ready, 1 without a place, each asks for GPU 1 and no node has any" in why
    assert waiting.status() == "waiting"
    waiting.cancel()


@pytest.mark.long
def test_closing_the_engine_ends_every_worker_and_takes_its_state_down(without_ray: None, tmp_path: Path) -> None:
    flows = make(str(tmp_path))
    with raywf.connect(store=f"sqlite:///{tmp_path}/raywf.db") as engine:
        engine.run(flows["pages"], [0.5] * 4)
        pids = {pid for word, pid in noted(tmp_path) if word == "load"}
    assert {pid for word, pid in noted(tmp_path) if word == "close"} == pids
    until(lambda: not any(map(is_alive, pids)))


@pytest.mark.long
def test_a_cancelled_coroutine_cleans_up_and_its_worker_stays_warm(
    engine: raywf.WorkflowEngine, tmp_path: Path
) -> None:
    flows = make(str(tmp_path))
    handle = engine.submit(flows["waits"], 60.0)
    until(lambda: "waits" in dict(noted(tmp_path)))
    handle.cancel("enough")
    with pytest.raises(raywf.WorkflowCancelled):
        handle.result(timeout=15)
    assert engine.run(flows["waits"], 0.0) in [pid for word, pid in noted(tmp_path) if word == "cleans"]
    assert [word for word, _ in noted(tmp_path)].count("load") == 1


@pytest.mark.long
@pytest.mark.kill
def test_a_killed_crew_takes_its_workers_along_and_another_goes_on(
    engine: raywf.WorkflowEngine, tmp_path: Path
) -> None:
    import ray

    flows = make(str(tmp_path))
    handle = engine.submit(flows["pages"], [1.0] * 4)
    until(lambda: [each for each in engine.workers() if each.busy == 2])
    before = {pid for word, pid in noted(tmp_path) if word == "load"}
    space = engine._async._space()
    (name,) = [each["name"] for each in ray.util.list_named_actors(all_namespaces=True)
               if each["namespace"] == space and each["name"].startswith("crew-")]  # fmt: skip
    crew = ray.get(ray.get_actor(name, namespace=space).stats.remote())
    os.kill(crew["pid"], signal.SIGKILL)
    assert len(handle.result(timeout=60)) == 4
    until(lambda: not any(map(is_alive, before)))


@pytest.mark.long
@pytest.mark.kill
def test_a_pool_outlives_the_workflow_actor_that_used_it(engine: raywf.WorkflowEngine, tmp_path: Path) -> None:
    flows = make(str(tmp_path))
    handle = engine.submit(flows["pages"], [2.0] * 4)
    until(lambda: [each for each in engine.workers() if each.busy == 2])
    loads = noted(tmp_path)
    (owner,) = [each for each in engine._loop.call(_stats(engine)) if each["open"]]
    os.kill(owner["pid"], signal.SIGKILL)
    assert len(handle.result(timeout=60)) == 4
    assert noted(tmp_path)[: len(loads)] == loads
    assert {pid for word, pid in noted(tmp_path) if word == "load"} == {pid for _, pid in loads}


async def _stats(engine: raywf.WorkflowEngine) -> Any:
    return await engine._async._supervisor.stats.remote()
