"""Retry and fork through an engine on Ray."""

from __future__ import annotations

import contextlib
import io
import runpy
from collections.abc import Callable
from datetime import timedelta

import pytest

import raywf
from tests.contract import tasks
from tests.contract.conftest import eventually
from tests.docs.pages import ROOT, printed_by

pytestmark = pytest.mark.cluster


def test_the_program_of_the_gallery_prints_what_it_says(shared_ray: str) -> None:
    path, printed = ROOT / "examples" / "gallery" / "retry_and_fork.py", io.StringIO()
    with contextlib.redirect_stdout(printed):
        runpy.run_path(str(path), run_name="__main__")
    assert printed.getvalue() == printed_by(path)


@raywf.workflow
def asked(number: int):
    return raywf.approval("Go on?", data=tasks.double(number))


def waiting(handle: raywf.ExecutionHandle) -> None:
    eventually(lambda: handle.status() == "waiting")


def test_a_cancelled_execution_of_an_actor_of_its_own_is_retried_and_its_result_is_the_new_one(
    engine: raywf.WorkflowEngine,
) -> None:
    handle = engine.submit(asked, 21, isolation="process")
    waiting(handle)
    handle.cancel("not now")
    with pytest.raises(raywf.WorkflowCancelled):
        handle.result(timeout=60)
    assert handle.retry()
    waiting(handle)
    handle.approve("anna")
    assert handle.result(timeout=60) == 42
    with pytest.raises(raywf.ExecutionClosed, match="is completed"):
        handle.retry()


@pytest.mark.parametrize(
    ("task", "said"),
    [("duoble", "Did you mean 'double'"), ("double[1]", "it is no fan-out"), ("approval@2", "fork from")],
)
def test_a_fork_from_what_is_not_there_is_refused(engine: raywf.WorkflowEngine, task: str, said: str) -> None:
    handle = engine.submit(asked, 21)
    with pytest.raises(raywf.InvalidInput, match=said):
        engine.fork(handle.id, from_task=task)
    with pytest.raises(raywf.InvalidInput, match="only what has ended"):
        handle.retry()
    handle.cancel()


def test_a_fork_of_an_open_execution_with_other_arguments(engine: raywf.WorkflowEngine) -> None:
    handle = engine.submit(asked, 21)
    waiting(handle)
    forks: list[Callable[[], raywf.ExecutionHandle]] = [
        lambda: engine.fork(handle.id, from_task="approval", args=5),
        lambda: engine.fork(handle.id, from_task="double", args=5),
    ]
    results = []
    for make in forks:
        fork = make()
        waiting(fork)
        fork.approve("anna")
        results.append(fork.result(timeout=60))
        assert fork.describe().context["forked_from"]["execution"] == handle.id
    assert results == [42, 10]
    handle.cancel()


def test_many_at_once(engine: raywf.WorkflowEngine) -> None:
    handles = [engine.submit(asked, number, tags={"batch": "many"}) for number in range(3)]
    for handle in handles:
        waiting(handle)
    dry = engine.bulk("cancel", tags={"batch": "many"}, started_after=timedelta(hours=1), dry_run=True)
    assert (sorted(dry.ids), dry.sent) == (sorted(handle.id for handle in handles), 0)
    assert engine.bulk("cancel", tags={"batch": "many"}, reason="all of them").sent == 3
    eventually(lambda: {handle.status() for handle in handles} == {"cancelled"})
    assert engine.bulk("retry", tags={"batch": "many"}, started_before=timedelta(0)).sent == 3
    for handle in handles:
        waiting(handle)
    listed = engine.list(tags={"batch": "many"}, started_after=timedelta(hours=1), started_before=timedelta(0))
    assert len(listed) == 3
    assert engine.list(tags={"batch": "many"}, started_before=timedelta(hours=1)) == []
    with pytest.raises(raywf.InvalidInput, match="Did you mean 'retry'"):
        engine.bulk("retyr", status="failed")
    with pytest.raises(raywf.InvalidInput, match="of which executions"):
        engine.bulk("cancel")
    assert engine.bulk("cancel", tags={"batch": "many"}).refused == {}
