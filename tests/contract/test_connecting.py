"""Connect: which store, which Ray, who holds it, and what happens to what is open when an engine leaves."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from typing import Any

import pytest

import raywf
from raywf import task, workflow
from tests.contract.conftest import eventually

pytestmark = pytest.mark.cluster


@task
def echo(value: Any) -> Any:
    return value


@workflow
def echoing(value: Any) -> Any:
    return echo(value)


@workflow
def waiting() -> Any:
    return echo(raywf.wait_signal("go"))


@pytest.fixture
def store(shared_ray: str, tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/raywf.db"


def test_a_ray_already_initialised_in_this_process_is_used(shared_ray: str, store: str) -> None:
    import ray

    with raywf.connect(store=store) as engine:
        assert str(ray.get_runtime_context().gcs_address) == shared_ray
        assert engine.run(echoing, 1) == 1
    assert ray.is_initialized(), "what was there before stays"


def test_an_address_given_is_used(shared_ray: str, store: str) -> None:
    with raywf.connect(shared_ray, store=store) as engine:
        assert engine.run(echoing, 1) == 1


def test_connect_works_without_with_and_closes(store: str) -> None:
    engine = raywf.connect(store=store)
    assert isinstance(engine, raywf.WorkflowEngine)
    handle = engine.submit(echoing, 1)
    assert handle.result(timeout=20) == 1
    engine.close()
    engine.close()
    for call in (
        lambda: engine.run(echoing, 1),
        lambda: engine.get(handle.id),
        lambda: engine.list(),
        lambda: list(engine.map(echoing, [1])),
        lambda: engine.submit_many(echoing, [1]),
        handle.status,
        handle.result,
        handle.describe,
        handle.history,
        handle.cancel,
    ):
        with pytest.raises(raywf.NotConnected):
            call()


def test_what_is_open_when_an_engine_leaves_goes_on_with_the_next_connect(store: str) -> None:
    """A Ray that was joined stays, and so does what it runs; that a private one parks is shown in test_programs."""
    with raywf.connect(store=store) as engine:
        first, second = engine.submit(waiting), engine.submit(waiting)
        done = engine.submit(echoing, "done")
        done.result(timeout=20)
        eventually(lambda: first.status() == second.status() == "waiting")
        first.signal("go", "before")
        first.result(timeout=20)
        third = engine.submit(waiting)
    with raywf.connect(store=store) as engine:
        assert engine.get(done.id).result(timeout=20) == "done"
        assert engine.get(first.id).result(timeout=20) == "before"
        for each in (second, third):
            engine.get(each.id).signal("go", "after")
        assert engine.get(second.id).result(timeout=20) == "after"
        assert engine.get(third.id).result(timeout=20) == "after"


def test_signals_and_answers_that_nobody_took_are_not_lost(store: str) -> None:
    with raywf.connect(store=store) as engine:
        handle = engine.submit(waiting)
        handle.signal("go", "last word")
    with raywf.connect(store=store) as engine:
        assert engine.get(handle.id).result(timeout=20) == "last word"


def test_a_second_connect_in_the_same_process_joins(store: str) -> None:
    with raywf.connect(store=store) as first:
        handle = first.submit(waiting)
        with raywf.connect(store=store) as second:
            assert second.run(echoing, 2) == 2
            second.get(handle.id).signal("go", 1)
        assert handle.result(timeout=20) == 1, "the first goes on when the second has left"
        assert first.run(echoing, 3) == 3


def test_two_stores_are_two_engines(store: str, tmp_path: Path) -> None:
    with raywf.connect(store=store) as first, raywf.connect(store=f"sqlite:///{tmp_path}/other.db") as second:
        a = first.submit(echoing, "a", execution_id="same")
        b = second.submit(echoing, "b", execution_id="same")
        assert (a.result(timeout=20), b.result(timeout=20)) == ("a", "b")


def test_namespaces_do_not_see_each_other(store: str) -> None:
    with raywf.connect(store=store, namespace="one") as engine:
        assert engine.namespace == "one"
        handle = engine.submit(echoing, 1, execution_id="in-one")
        handle.result(timeout=20)
    with raywf.connect(store=store, namespace="two") as engine:
        assert list(engine.list()) == []
        with pytest.raises(raywf.NotFound):
            engine.get("in-one")


def test_the_store_of_the_environment_is_the_default(
    store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAYWF_STORE", f"sqlite:///{tmp_path}/named.db")
    with raywf.connect():
        pass
    assert (tmp_path / "named.db").exists()
    assert not (tmp_path / ".raywf").exists()


# -- bad input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["mysql://host/db", "raywf.db", "sqlite://", 7])
def test_a_store_that_is_no_store_is_refused_by_name(shared_ray: str, text: Any) -> None:
    with pytest.raises((raywf.StoreUnavailable, raywf.InvalidInput, ValueError, TypeError)) as caught:
        raywf.connect(store=text)
    assert str(text) in str(caught.value)


def test_another_programs_database_is_refused_untouched(shared_ray: str, tmp_path: Path) -> None:
    path = tmp_path / "shop.db"
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute("create table goods (name text)")
        other.commit()
    before = path.read_bytes()
    with pytest.raises(raywf.StoreUnavailable, match=r"shop\.db"):
        raywf.connect(store=f"sqlite:///{path}")
    assert path.read_bytes() == before


def test_what_is_no_database_is_refused_untouched(shared_ray: str, tmp_path: Path) -> None:
    path = tmp_path / "letter.txt"
    path.write_text("Dear reader,\n" * 100)
    with pytest.raises(raywf.StoreUnavailable, match=r"letter\.txt"):
        raywf.connect(store=f"sqlite:///{path}")
    assert path.read_text() == "Dear reader,\n" * 100


def test_a_folder_is_no_store(shared_ray: str, tmp_path: Path) -> None:
    with pytest.raises(raywf.StoreUnavailable, match=str(tmp_path)):
        raywf.connect(store=f"sqlite:///{tmp_path}")


def test_a_ray_that_is_not_there_is_refused_by_its_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Checked before Ray spends its minute on it would be best; that it is said at all is the contract."""
    with pytest.raises(raywf.RaywfError, match=r"127\.0\.0\.1:1"):
        raywf.connect("127.0.0.1:1", store=f"sqlite:///{tmp_path}/raywf.db")
