"""``raywf.testing.run`` takes what ``engine.submit`` takes, and what a handle may do."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import raywf
from raywf.errors import InvalidInput, WorkflowFailed
from raywf.testing import Clock, Ledger

SEEN: list[Any] = []


@pytest.fixture(autouse=True)
def nothing_seen() -> None:
    SEEN.clear()


@raywf.task
def note(value: Any) -> Any:
    SEEN.append(value)
    return value


@raywf.task
def positive(amount: int) -> None:
    if amount <= 0:
        raise ValueError(f"{amount} is not positive")


@raywf.workflow
def account():
    return note(raywf.wait_update("deposit", validator=positive, timeout=60))


@raywf.workflow
def plain(value: int):
    return note(value)


def test_updates_are_validated_and_taken() -> None:
    assert raywf.testing.run(account, updates={"deposit": 5}) == 5


def test_an_update_that_is_refused_says_the_validators_words() -> None:
    with pytest.raises(InvalidInput, match=r"update 'deposit' of execution 'test' was refused: .*-1 is not positive"):
        raywf.testing.run(account, updates={"deposit": -1})


def test_an_update_that_nobody_takes_is_refused_before_anything_runs() -> None:
    with pytest.raises(InvalidInput, match=r"takes no update 'deposits': it takes deposit\. Did you mean 'deposit'"):
        raywf.testing.run(account, updates={"deposits": 1})
    with pytest.raises(InvalidInput, match=r"it has no raywf\.wait_update"):
        raywf.testing.run(plain, 1, updates={"x": 1})


def test_an_update_counts_once_through_crashes() -> None:
    faults = {"note": ["crash_before_commit", "crash_after_commit"]}
    assert raywf.testing.run(account, updates={"deposit": 5}, faults=faults) == 5


@raywf.task
def stumbles(value: int) -> int:
    SEEN.append(value)
    if len(SEEN) < 3:
        raise ValueError("not yet")
    return value


@raywf.workflow
def twice_wrong(value: int):
    return note(stumbles(note(value)))


def test_a_failed_execution_is_retried_and_what_stands_is_kept() -> None:
    ledger = Ledger()
    assert raywf.testing.run(twice_wrong, 7, retries=2, ledger=ledger) == 7
    assert [call.task_id for call in ledger.calls] == ["note", "stumbles", "stumbles", "note-2"]


@raywf.workflow
def loud(value: int):
    return stumbles(value)


def test_a_retry_goes_on_where_a_process_died() -> None:
    faults = {"stumbles": [None, "crash_before_commit"]}
    assert raywf.testing.run(loud, 7, retries=3, faults=faults) == 7


def test_without_enough_retries_it_has_failed() -> None:
    with pytest.raises(WorkflowFailed, match="not yet"):
        raywf.testing.run(loud, 7, retries=1)
    with pytest.raises(InvalidInput, match="whole number"):
        raywf.testing.run(loud, 7, retries=-1)


@raywf.task
def who() -> str:
    return raywf.current().execution_id


@raywf.workflow
def named():
    return who()


def test_an_execution_has_the_id_it_is_given() -> None:
    assert raywf.testing.run(named) == "test"
    assert (
        raywf.testing.run(named, execution_id="order-7", priority=3, tags={"a": "b"}, isolation="process") == "order-7"
    )
    for wrong in ({"execution_id": "a/b"}, {"priority": "high"}, {"tags": {"a": 1}}, {"isolation": "thread"}):
        with pytest.raises(InvalidInput):
            raywf.testing.run(named, **wrong)


@raywf.workflow
def slow():
    return note(raywf.sleep(3600, value=1))


def test_a_deadline_ends_it() -> None:
    clock = Clock()
    with pytest.raises(WorkflowFailed, match="deadline"):
        raywf.testing.run(slow, deadline=timedelta(minutes=5), clock=clock)
    soon = datetime.fromtimestamp(Clock().seconds() + 7200, UTC)
    assert raywf.testing.run(slow, deadline=soon) == 1


@raywf.workflow(start=raywf.Debounce(quiet_s=30))
def typed(value: int):
    return note(value)


@raywf.workflow(start=raywf.Batch(max_size=10, timeout=5))
def gathered(values: list[int]):
    return note(values)


@raywf.workflow(start=raywf.Singleton())
def single(value: int):
    return note(value)


def test_a_start_rule_says_when_it_begins() -> None:
    clock = Clock()
    began = clock.seconds()
    assert raywf.testing.run(typed, 1, clock=clock) == 1
    assert clock.seconds() - began >= 30
    began = clock.seconds()
    assert raywf.testing.run(gathered, [4, 5], clock=clock) == [4, 5]
    assert clock.seconds() - began >= 5
    began = clock.seconds()
    assert raywf.testing.run(gathered, list(range(10)), clock=clock) == list(range(10))
    assert clock.seconds() - began < 5, "a full batch starts at once"
    assert raywf.testing.run(single, 2) == 2
