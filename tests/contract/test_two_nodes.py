"""A cluster of two nodes: one engine, tasks on both."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import raywf
from raywf import task, workflow

pytestmark = pytest.mark.cluster


def node() -> str:
    import ray

    return str(ray.get_runtime_context().get_node_id())


@task
async def here() -> str:
    return node()


@task(num_cpus=1)
def there(seconds: float) -> str:
    time.sleep(seconds)
    return node()


@task(num_cpus=1)
def carry(size: int) -> bytes:
    return b"x" * size


@task(num_cpus=1)
def weigh(value: bytes) -> list[Any]:
    return [len(value), node()]


@workflow
def spread(count: int) -> Any:
    return [here(), there.map([0.4] * 8)]


@workflow
def placed() -> Any:
    return [
        there.with_options(resources={"left": 0.1})(0.0),
        there.with_options(resources={"right": 0.1})(0.0),
    ]


@workflow
def across(size: int) -> Any:
    """A large value made on one node and read on the other."""
    made = carry.with_options(resources={"left": 0.1})(size)
    return [weigh.with_options(resources={"right": 0.1})(made), made]


@pytest.fixture
def cluster(without_ray: None) -> Iterator[Any]:
    from ray.cluster_utils import Cluster

    temporary = tempfile.mkdtemp(prefix="rwc-", dir="/tmp")
    small = {"num_cpus": 1, "object_store_memory": 100 * 1024 * 1024}
    started = Cluster()
    try:
        started.add_node(**small, resources={"left": 1}, include_dashboard=False, temp_dir=temporary)
        started.add_node(**small, resources={"right": 1})
        started.wait_for_nodes()
        yield started
    finally:
        import ray

        ray.shutdown()
        started.shutdown()
        shutil.rmtree(temporary, ignore_errors=True)


def test_tasks_run_on_both_nodes(cluster: Any, tmp_path: Path) -> None:
    import ray

    with raywf.connect(cluster.address, store=f"sqlite:///{tmp_path}/raywf.db") as engine:
        alive = {each["NodeID"] for each in ray.nodes() if each["Alive"]}
        assert len(alive) == 2
        actor, nodes = engine.run(spread, 8)
        assert actor in alive
        assert set(nodes) == alive, "small Ray tasks of one kind spread over the cores of both"
        left, right = engine.run(placed)
        assert {left, right} == alive
        (size, read_on), value = engine.run(across, 300_000)
        assert size == 300_000 and value == b"x" * 300_000
        assert read_on == right
