"""``raywf.testing.run`` with tasks that run in pools: no Ray, one setup."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

import raywf
from raywf import WorkflowFailed

CALLS: Counter[str] = Counter()


def load() -> str:
    CALLS["load"] += 1
    return "model"


async def load_slowly() -> str:
    CALLS["slowly"] += 1
    await asyncio.sleep(120.0)
    return "slow model"


def fails_twice() -> str:
    CALLS["twice"] += 1
    if CALLS["twice"] < 3:
        raise OSError("busy")
    return "at last"


def broken() -> str:
    CALLS["broken"] += 1
    raise OSError("no such model")


@raywf.task(pool=raywf.Workers("one", max=4, setup=load))
def read(page: int) -> str:
    return f"{raywf.worker_state(load)} {page}"


@raywf.task(pool=raywf.Workers("one", max=4, setup=load))
async def read_async(page: int) -> str:
    return f"{raywf.worker_state(load)} {page}"


@raywf.task(pool=raywf.Workers("slow", setup=load_slowly))
def slow(page: int) -> str:
    return raywf.worker_state(load_slowly)


@raywf.task(pool=raywf.Workers("twice", setup=fails_twice))
def twice(page: int) -> str:
    return raywf.worker_state(fails_twice)


@raywf.task(pool=raywf.Workers("bare"))
def bare(page: int) -> bool:
    return raywf.worker_state() is None


def instead(page: int) -> str:
    with pytest.raises(raywf.RaywfError, match="runs in no pool"):
        raywf.worker_state()
    return "without a model"


@raywf.task(pool=raywf.Workers("broken", setup=broken))
def never(page: int) -> str:
    raise AssertionError("its setup never succeeds")


@raywf.task(pool=raywf.Workers("broken", setup=broken), fallback=instead)
def covered(page: int) -> str:
    raise AssertionError("its setup never succeeds")


@raywf.task
def outside(page: int) -> str:
    return str(raywf.worker_state())


@pytest.fixture(autouse=True)
def _nothing_called() -> None:
    CALLS.clear()


def test_setup_is_called_once_for_all_tasks_of_a_pool() -> None:
    @raywf.workflow
    def wf() -> object:
        return raywf.gather(read.map([1, 2, 3]), read_async(4), read(5))

    assert raywf.testing.run(wf) == [["model 1", "model 2", "model 3"], "model 4", "model 5"]
    assert CALLS == {"load": 1}


def test_a_setup_that_takes_minutes_takes_none() -> None:
    @raywf.workflow
    def wf() -> object:
        return slow.map([1, 2])

    assert raywf.testing.run(wf) == ["slow model", "slow model"]
    assert CALLS == {"slowly": 1}


def test_a_setup_that_fails_is_tried_again() -> None:
    @raywf.workflow
    def wf() -> str:
        return twice(1)

    assert raywf.testing.run(wf) == "at last"
    assert CALLS == {"twice": 3}


def test_a_setup_that_goes_on_failing_fails_its_tasks() -> None:
    @raywf.workflow
    def wf() -> str:
        return never(1)

    with pytest.raises(WorkflowFailed) as failed:
        raywf.testing.run(wf)
    assert failed.value.failure.type == "raywf.errors.SetupFailed"
    assert "OSError: no such model" in failed.value.failure.message
    assert CALLS == {"broken": 3}


def test_a_fallback_runs_outside_of_the_pool() -> None:
    @raywf.workflow
    def wf() -> str:
        return covered(1)

    assert raywf.testing.run(wf) == "without a model"


def test_a_pool_without_setup_has_no_state() -> None:
    @raywf.workflow
    def wf() -> bool:
        return bare(1)

    assert raywf.testing.run(wf) is True


def test_a_task_that_runs_in_no_pool_has_no_state_and_is_told_so() -> None:
    @raywf.workflow
    def wf() -> str:
        return outside(1)

    with pytest.raises(WorkflowFailed, match="runs in no pool, so nothing was set up"):
        raywf.testing.run(wf)


def test_a_crash_sets_the_next_process_up_anew() -> None:
    @raywf.workflow
    def wf() -> str:
        return read(1)

    assert raywf.testing.run(wf, faults={"read": "crash_before_commit"}) == "model 1"
    assert CALLS == {"load": 2}
