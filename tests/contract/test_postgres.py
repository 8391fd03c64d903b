"""An engine on a PostgreSQL store: the same programs, another URL."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

import raywf
from raywf import task, workflow
from raywf.cli.main import main
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
