"""Fast tests stay fast because the slow things are impossible: no Ray, no network, no sleeping."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import Any, NoReturn

import pytest

_NETWORK = (socket.AF_INET, socket.AF_INET6)


def _refuse(what: str, instead: str) -> Callable[..., NoReturn]:
    def refuse(*args: object, **kwargs: object) -> NoReturn:
        __tracebackhide__ = True
        pytest.fail(f"a unit test {what}; {instead}")

    return refuse


@pytest.fixture(scope="session")
def _ray_is_there() -> None:
    # Imported once, outside of any test's time: a test that brings it in later would get around the ban below.
    import ray._private.worker  # noqa: F401


@pytest.fixture(autouse=True)
def _nothing_slow(monkeypatch: pytest.MonkeyPatch, _ray_is_there: None) -> None:
    import ray

    no_ray = _refuse("started Ray", "test the decision in core, use raywf.testing, or move the test to tests/cluster")
    monkeypatch.setattr(ray, "init", no_ray)
    monkeypatch.setattr(ray._private.worker, "init", no_ray)
    monkeypatch.setattr(time, "sleep", _refuse("slept", "hand in a clock"))
    for name in ("connect", "connect_ex", "bind"):
        monkeypatch.setattr(socket.socket, name, _local_only(name))


def _local_only(name: str) -> Callable[..., Any]:
    original = getattr(socket.socket, name)
    refuse = _refuse(f"opened a network socket ({name})", "hand in a Transport, or move the test to tests/contract")

    def guarded(self: socket.socket, *args: Any) -> Any:
        return refuse() if self.family in _NETWORK else original(self, *args)

    return guarded
