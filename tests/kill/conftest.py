"""Rays to be killed, and scenes on them. Only processes that were started here are ever ended."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.journal.postgres_server import Admin, Server, in_schema, running
from tests.kill.machine import Head
from tests.kill.scene import ONE, TWO, Scene


@pytest.fixture(scope="session")
def lasting_head() -> Iterator[Head]:
    """One Ray for all tests that leave it alive."""
    head = Head().start()
    yield head
    head.end()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """One PostgreSQL server for all tests that leave it alive."""
    with running() as server:
        yield server


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.long)])
def store(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a store to be made on a server; empty: a file of the scene's own. A test that shall try both each time
    is marked ``on_both``."""
    if request.param == "sqlite":
        yield ""
        return
    server: Server = request.getfixturevalue("postgres")
    schema = f"kill_{uuid.uuid4().hex[:8]}"
    yield in_schema(server.url, schema)
    admin = Admin(server.url)
    admin.do(f"DROP SCHEMA IF EXISTS {schema} CASCADE")
    admin.close()


@pytest.fixture(scope="session")
def lasting_pair() -> Iterator[Head]:
    """The same with two nodes."""
    pair = Head()
    try:
        pair.start().add_node()
        yield pair
    finally:
        pair.end()


@pytest.fixture(params=[ONE, pytest.param(TWO, marks=pytest.mark.long)])
def nodes(request: pytest.FixtureRequest) -> str:
    """How many nodes the Ray has, with a workflow actor on each."""
    return str(request.param)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Two nodes are tried with one kind of store: each of both is tried with one node."""
    params = {id(item): getattr(getattr(item, "callspec", None), "params", {}) for item in items}
    items[:] = [
        item
        for item in items
        if params[id(item)].get("nodes") != TWO or params[id(item)].get("store", "sqlite") == "sqlite"
    ]


@pytest.fixture
def scene(store: str, nodes: str, request: pytest.FixtureRequest) -> Iterator[Scene]:
    """A store on the Ray that lasts. Its actors are dismissed at the end."""
    if nodes == TWO:
        scene = Scene(request.getfixturevalue("lasting_pair"), store, {"RAYWF_WORKFLOW_ACTORS": "per-node"})
    else:
        scene = Scene(request.getfixturevalue("lasting_head"), store)
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
def doomed(head: Head, store: str) -> Iterator[Scene]:
    """A store on a Ray that this test may end."""
    scene = Scene(head, store)
    try:
        yield scene
    finally:
        scene.end()
