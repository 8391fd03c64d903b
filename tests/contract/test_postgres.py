"""An engine on a PostgreSQL store: the same programs, another URL."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

import raywf
from raywf import task, workflow
from raywf.cli.main import main
from raywf.client.commands import Commands
from raywf.client.reading import Readings
from tests.contract.conftest import eventually
from tests.journal.postgres_server import in_schema, running

pytestmark = pytest.mark.cluster


@task
def double(value: Any) -> Any:
    return value * 2


@workflow
def doubling(value: Any) -> Any:
    return double(double(value))


@workflow
def waiting() -> Any:
    return double(raywf.wait_signal("go"))


@pytest.fixture(scope="module")
def store() -> Iterator[str]:
    pytest.importorskip("asyncpg")
    with running() as server:
        yield in_schema(server.url.replace("postgres:@", "postgres:s3cret@"), f"raywf_{uuid.uuid4().hex[:8]}")


def test_a_signal_from_elsewhere_is_heard_at_once(shared_ray: str, store: str) -> None:
    """Whoever sends it is no client of the engine and pokes nobody; the owner itself looks once a second."""
    ids = [f"told-{n}" for n in range(15)]
    with raywf.connect(store=store) as engine:
        engine.submit_many(waiting, [()] * len(ids), execution_ids=ids)
        eventually(lambda: all(engine.get(id_).status() == "waiting" for id_ in ids))
        sent = asyncio.run(_signal(store, ids))
        assert [engine.get(id_).result(20) for id_ in ids] == [4] * len(ids)
        late = sorted(_received(engine.get(id_)) - sent[id_] for id_ in ids)
    assert late[len(late) // 2] < 0.2, f"half of them wait for the owner's next look: {late}"


async def _signal(store: str, ids: list[str]) -> dict[str, float]:
    readings = Readings(store, "default")
    commands = Commands(store, "default", readings)
    sent = {}
    for id_ in ids:
        sent[id_] = time.time()
        await commands.signal(id_, "go", 2)
        await asyncio.sleep(0.11)
    await commands.close()
    await readings.close()
    return sent


def _received(handle: Any) -> float:
    return next(float(event.at.timestamp()) for event in handle.history() if event.kind == "signal_received")


def test_a_program_runs_on_a_server(shared_ray: str, store: str, capsys: pytest.CaptureFixture[str]) -> None:
    large = "x" * 200_000
    with raywf.connect(store=store) as engine:
        assert engine.run(doubling, 3) == 12
        assert engine.run(doubling, large) == large * 4  # through the table for large values
        assert [handle.result(20) for handle in engine.submit_many(doubling, range(20))] == [4 * n for n in range(20)]
        asleep = engine.submit(waiting, execution_id="asleep")
        eventually(lambda: asleep.status() == "waiting")
        assert "s3cret" not in repr(engine)
    assert "s3cret" not in capsys.readouterr().err
    with raywf.connect(store=store) as engine:
        again = engine.get("asleep")
        again.signal("go", 21)
        assert again.result(20) == 42
    for command, exits in ((["doctor"], (0, 1)), (["ls"], (0,)), (["show", "nothing-like-this"], (3,))):
        assert main([*command, "--store", store]) in exits
    said = capsys.readouterr()
    assert "asyncpg" in said.out
    assert "s3cret" not in said.out + said.err
