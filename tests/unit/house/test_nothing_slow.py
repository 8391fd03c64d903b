"""In tests/unit the slow things are impossible."""

from __future__ import annotations

import asyncio
import socket
import time

import pytest

Refused = pytest.fail.Exception


def test_ray_cannot_be_started() -> None:
    import ray

    with pytest.raises(Refused, match="started Ray"):
        ray.init()
    with pytest.raises(Refused, match="started Ray"):
        ray.remote(lambda: 1).remote()


def test_the_network_cannot_be_reached() -> None:
    with socket.socket() as s, pytest.raises(Refused, match="network socket"):
        s.connect(("127.0.0.1", 9))


def test_nobody_sleeps() -> None:
    with pytest.raises(Refused, match="slept"):
        time.sleep(0.001)


async def test_an_event_loop_still_turns() -> None:
    left, right = socket.socketpair()
    with left, right:
        left.send(b"x")
        assert right.recv(1) == b"x"
    await asyncio.sleep(0)
