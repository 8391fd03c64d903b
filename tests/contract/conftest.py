"""What the contract is checked on: one engine per module, on the shared Ray."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import raywf


@pytest.fixture(scope="module")
def engine(shared_ray: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[raywf.WorkflowEngine]:
    """An engine on a store of its own, which joins the Ray of this process."""
    folder = tmp_path_factory.mktemp("store")
    with raywf.connect(store=f"sqlite:///{folder}/raywf.db") as connected:
        yield connected


def eventually(condition: Callable[[], Any], timeout: float = 20.0) -> Any:
    """What `condition` gives, as soon as it is true."""
    ends = time.monotonic() + timeout
    while not (found := condition()):
        assert time.monotonic() < ends, f"not within {timeout} s: {condition}"
        time.sleep(0.02)
    return found
