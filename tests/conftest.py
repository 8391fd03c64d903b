"""What every test stands on: no store, home or Ray of the machine is ever touched.

The environment is set when this file is imported, because Ray reads it at import and its processes inherit it.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

# Short, because Ray puts Unix sockets below it and their paths may have 107 bytes.
_HOME = Path(tempfile.mkdtemp(prefix="rwf-", dir="/tmp"))

os.environ.update(
    HOME=str(_HOME),
    XDG_CACHE_HOME=str(_HOME / ".cache"),
    XDG_CONFIG_HOME=str(_HOME / ".config"),
    RAY_USAGE_STATS_ENABLED="0",
    RAY_AUTH_MODE="disabled",
    RAY_worker_niceness="0",
    RAY_ENABLE_UV_RUN_RUNTIME_ENV="0",
    RAY_DEDUP_LOGS="0",
    RAYWF_LINGER_S="2",  # many stores share one Ray here: their actors must not outstay their tests
    RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO="0",
)
for _name in (
    "RAYWF_STORE",
    "RAYWF_NAMESPACE",
    "RAYWF_WORKFLOW_ACTORS",
    "RAY_ADDRESS",
    "RAY_AUTH_TOKEN",
    "RAY_JOB_CONFIG_JSON_ENV_VAR",
):
    os.environ.pop(_name, None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Quick tests first. Those that need a Ray of their own come last, because they end the shared one."""

    def weight(item: pytest.Item) -> tuple[bool, bool, bool]:
        fixtures = getattr(item, "fixturenames", ())
        slow = item.get_closest_marker("cluster") is not None or item.get_closest_marker("kill") is not None
        return ("without_ray" in fixtures, slow and "shared_ray" not in fixtures, slow)

    for item in items:
        if {"shared_ray", "without_ray"} & set(getattr(item, "fixturenames", ())):
            # Said or not: a Ray among the quick tests would be a Ray in all of them.
            item.add_marker(pytest.mark.cluster)
    items.sort(key=weight)


def pytest_unconfigure() -> None:
    shutil.rmtree(_HOME, ignore_errors=True)


@pytest.fixture(scope="session")
def shared_ray() -> Iterator[str]:
    """One small private Ray for all tests that need one, connected in this process; gives its address.

    It is shut down at the end whatever the tests did. Tests must not shut it down; one that needs a Ray of its own asks for
    `without_ray`.
    """
    import ray

    temporary = tempfile.mkdtemp(prefix="rwr-", dir="/tmp")
    try:
        try:
            _start_ray(temporary)
        except Exception as problem:
            # On a busy machine a raylet may give up waiting for its agent; Ray's own advice is to try again.
            sys.stderr.write(f"ray did not start ({problem}); once more\n")
            ray.shutdown()
            _start_ray(temporary)
        yield str(ray.get_runtime_context().gcs_address)
    finally:
        ray.shutdown()
        shutil.rmtree(temporary, ignore_errors=True)


def _start_ray(temporary: str) -> None:
    import ray

    ray.init(
        address="local",
        num_cpus=2,
        object_store_memory=200 * 1024 * 1024,
        include_dashboard=False,
        log_to_driver=False,
        namespace="raywf-tests",
        _temp_dir=temporary,
    )


@pytest.fixture
def without_ray() -> Iterator[None]:
    """This process is connected to no Ray, before and after: for tests that start one themselves."""
    _disconnect()
    yield
    _disconnect()


def _disconnect() -> None:
    if "ray" in sys.modules:
        import ray

        ray.shutdown()
