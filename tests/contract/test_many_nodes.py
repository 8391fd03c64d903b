"""Workflow actors on all nodes of a cluster: their shards follow the nodes that come, leave and die, and nothing is lost."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import raywf
from raywf import task, workflow
from raywf.core.ids import SHARDS

pytestmark = pytest.mark.cluster
SMALL = {"num_cpus": 1, "object_store_memory": 100 * 1024 * 1024}


def note(ledger: str) -> None:
    here = raywf.current()
    line = json.dumps([here.execution_id, here.task_id, here.attempt]) + "\n"
    with open(ledger, "ab", buffering=0) as file:
        file.write(line.encode())


@task
async def step(number: int, ledger: str, seconds: float) -> int:
    note(ledger)
    await asyncio.sleep(seconds)
    return number + 1


@task(num_cpus=0.1)
def outside(number: int, ledger: str) -> int:
    note(ledger)
    time.sleep(0.05)
    return number + 1


@workflow
def chain(number: int, ledger: str, seconds: float) -> Any:
    for _ in range(4):
        number = step(number, ledger, seconds)
    return step(raywf.sleep(0.2, outside(number, ledger)), ledger, seconds)


def began(ledger: Path) -> Counter[tuple[str, str]]:
    if not ledger.exists():
        return Counter()
    return Counter(tuple(json.loads(line)[:2]) for line in ledger.read_text().splitlines())


def until(what: Callable[[], Any], timeout_s: float, why: str) -> Any:
    give_up_at = time.monotonic() + timeout_s
    while not (found := what()):
        assert time.monotonic() < give_up_at, f"after {timeout_s:g} s: not {why}"
        time.sleep(0.05)
    return found


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head without CPUs for actors, and whatever nodes the tests add. Ended whatever happens."""
    import ray
    from ray.cluster_utils import Cluster

    ray.shutdown()
    temporary = tempfile.mkdtemp(prefix="rwc-", dir="/tmp")
    started = Cluster()
    try:
        started.add_node(**SMALL, include_dashboard=False, temp_dir=temporary)
        yield started
    finally:
        ray.shutdown()
        started.shutdown()
        shutil.rmtree(temporary, ignore_errors=True)


@pytest.fixture
def second(cluster: Any, without_ray: None) -> Iterator[Any]:
    """One more node, removed after the test if it is there still."""
    node = cluster.add_node(**SMALL)
    try:
        yield node
    finally:
        import ray

        ray.shutdown()
        if node in cluster.worker_nodes:
            cluster.remove_node(node, allow_graceful=False)


def shards(engine: Any) -> list[int]:
    """How many shards each node holds, the head first."""
    return [node.shards for node in engine.nodes()]


def test_draining_a_node_runs_nothing_again(second: Any, cluster: Any, tmp_path: Path) -> None:
    ledger, count = tmp_path / "ledger", 200
    store = f"sqlite:///{tmp_path}/raywf.db"
    with raywf.connect(cluster.address, store=store, actors="per-node") as engine:
        until(lambda: shards(engine) == [SHARDS // 2] * 2, 30, "both nodes hold half of the shards")
        handles = engine.submit_many(chain, [[n, str(ledger), 0.05] for n in range(count)])
        until(lambda: len(began(ledger)) > count, 30, "they run")
        engine.drain(second.node_id, deadline=30)
        [left] = [node for node in engine.nodes() if node.id != second.node_id]
        assert left.shards == SHARDS and left.head
        assert [handle.result(timeout=60) for handle in handles] == [n + 6 for n in range(count)]
        runs = began(ledger)
        assert len(runs) == 6 * count and set(runs.values()) == {1}, "each task began once"
        with pytest.raises(raywf.InvalidInput, match="head of the Ray cluster"):
            engine.drain(left.id)
        with pytest.raises(raywf.NotFound, match="there are"):
            engine.drain("nowhere")


@pytest.mark.long
def test_a_node_that_joins_takes_its_share_amid_executions(cluster: Any, without_ray: None, tmp_path: Path) -> None:
    """And from when it has it, its clients talk to it; nothing that runs is run again."""
    ledger, added = tmp_path / "ledger", []
    try:
        with raywf.connect(cluster.address, store=f"sqlite:///{tmp_path}/raywf.db", actors="per-node") as engine:
            until(lambda: shards(engine) == [SHARDS], 60, "Ray has seen that the nodes of other tests are gone")
            handles = engine.submit_many(chain, [[n, str(ledger), 0.3] for n in range(100)])
            added.append(cluster.add_node(**SMALL))
            until(lambda: shards(engine) == [SHARDS // 2] * 2, 60, "the new node holds half of the shards")
            handles += engine.submit_many(chain, [[n, str(ledger), 0.01] for n in range(100)])
            assert [handle.result(timeout=60) for handle in handles] == 2 * [n + 6 for n in range(100)]
            assert set(began(ledger).values()) == {1}
            assert sum(actor.shards > 0 for each in engine.nodes() for actor in each.actors) == 2
            time.sleep(3)
            assert shards(engine) == [SHARDS // 2] * 2, "it does not flap"
    finally:
        for node in added:
            cluster.remove_node(node, allow_graceful=False)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(2))
def test_a_node_that_is_killed_amid_executions_costs_what_ran_there_and_nothing_else(
    second: Any, cluster: Any, tmp_path: Path, seed: int
) -> None:
    """SIGKILL of its raylet and workers, as when a machine loses its power: the others take its shards."""
    ledger, count = tmp_path / "ledger", 300
    with raywf.connect(cluster.address, store=f"sqlite:///{tmp_path}/raywf.db", actors="per-node") as engine:
        until(lambda: shards(engine) == [SHARDS // 2] * 2, 30, "both nodes hold half of the shards")
        handles = engine.submit_many(chain, [[n, str(ledger), 0.1] for n in range(count)])
        until(lambda: len(began(ledger)) > count * (1 + seed), 60, "they run")
        [pid] = [actor.pid for node in engine.nodes() if node.id == second.node_id for actor in node.actors]
        cluster.remove_node(second, allow_graceful=False)
        killed_at = time.monotonic()
        until(lambda: not os.path.exists(f"/proc/{pid}"), 30, "the workflow actor died with its node")
        assert [handle.result(timeout=120) for handle in handles] == [n + 6 for n in range(count)]
        print(f"\nall ended {time.monotonic() - killed_at:.1f} s after the kill")
        again = [key for key, times in began(ledger).items() if times > 1]
        assert len(again) < 2 * count, "what was on disk did not run again"
        until(lambda: shards(engine)[0] == SHARDS, 60, "the head holds everything")


@pytest.mark.long
def test_what_waits_is_a_request_to_the_autoscaler_and_is_withdrawn(
    cluster: Any, without_ray: None, tmp_path: Path
) -> None:
    from ray.experimental.internal_kv import _internal_kv_get

    def asked() -> Any:
        return json.loads(_internal_kv_get("autoscaler_resource_request") or b"[]")

    @task(num_cpus=1)
    def slow(number: int) -> int:
        time.sleep(0.5)
        return number

    @workflow
    def wide(numbers: list[int]) -> Any:
        return slow.map(numbers)

    with raywf.connect(cluster.address, store=f"sqlite:///{tmp_path}/raywf.db") as engine:
        handle = engine.submit(wide, list(range(30)))
        until(lambda: asked() and all(each == {"CPU": 1.0} for each in asked()), 40, "room for these is asked for")
        assert 1 <= len(asked()) <= 30
        handle.result(timeout=120)
        until(lambda: not asked(), 60, "it is withdrawn")
