"""Rays to be killed, and scenes on them. Only processes that were started here are ever ended."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.kill.machine import Head
from tests.kill.scene import Scene


@pytest.fixture(scope="session")
def lasting_head() -> Iterator[Head]:
    """One Ray for all tests that leave it alive."""
    head = Head().start()
    yield head
    head.end()


@pytest.fixture
def scene(lasting_head: Head) -> Iterator[Scene]:
    """A store on the Ray that lasts. Its actors are dismissed at the end."""
    scene = Scene(lasting_head)
    try:
        yield scene
    finally:
        dismiss(scene)


def dismiss(scene: Scene) -> None:
    """End the actors of this scene: their supervisor first, so that it replaces nobody."""
    from signal import SIGKILL

    from tests.kill.machine import send

    assert scene.head is not None
    try:
        with suppress(Exception):
            scene.driver().ask("dismiss", timeout_s=40)
    finally:
        scene.end()
        for title in ("ray::SupervisorActor", "ray::WorkflowActor"):
            for pid in scene.head.pids(title):
                send(pid, SIGKILL)


@pytest.fixture
def head() -> Iterator[Head]:
    """A Ray that this test may end in part or whole."""
    head = Head()
    try:
        yield head.start()
    finally:
        head.end()


@pytest.fixture
def doomed(head: Head) -> Iterator[Scene]:
    """A store on a Ray that this test may end."""
    scene = Scene(head)
    try:
        yield scene
    finally:
        scene.end()
