"""``raywf.testing.run(…, faults=…)``: what goes wrong by name, and what a user's test sees of it."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta
from typing import Any

import pytest

import raywf
from raywf.errors import InvalidInput, RaywfError, WorkflowFailed
from raywf.testing import Clock, Fault, InjectedFault, Ledger, run

FAST = raywf.Retry(max_attempts=3, initial=1.0)


@raywf.task(retry=FAST, timeout=30.0)
async def charge(amount: int) -> int:
    return amount + 1


@raywf.task(retry=FAST)
def book(amount: int) -> int:
    return amount * 10


@raywf.task(effect="at_most_once")
def pay(amount: int) -> int:
    return amount


@raywf.workflow
def order(amount: int):
    return book(charge(amount))


@raywf.workflow
def orders(amounts: list[int]):
    return charge.map(amounts)


@raywf.workflow
def paid(amount: int):
    return pay(amount)


@raywf.workflow
def nested(amount: int):
    return order(amount)


def seen(workflow: Any, *args: Any, **more: Any) -> tuple[Any, Ledger]:
    ledger = Ledger()
    return run(workflow, *args, ledger=ledger, **more), ledger


def attempts(ledger: Ledger, task: str) -> list[tuple[int, str]]:
    return [(call.attempt, call.outcome) for call in ledger.of(task)]


@pytest.mark.parametrize("task", ["charge", "book"])
def test_fail_raises_instead_of_running_and_the_retry_goes_well(task: str) -> None:
    result, ledger = seen(order, 1, faults={task: "fail"})
    assert result == 20
    assert attempts(ledger, task) == [(2, "completed")]


def test_a_task_that_fails_in_every_attempt_fails_the_execution_with_the_error_of_the_fault() -> None:
    with pytest.raises(WorkflowFailed) as caught:
        run(order, 1, faults={"book": Fault("fail", attempt=None, error=ValueError("no stock"))})
    assert (caught.value.task_id, caught.value.failure.type, caught.value.failure.attempt) == ("book", "ValueError", 3)
    with pytest.raises(WorkflowFailed, match="InjectedFault: the fault 'fail' of this test, in book"):
        run(order, 1, faults={"book": ["fail", "fail", "fail"]})
    assert issubclass(InjectedFault, Exception)


def test_timeout_ends_by_the_timeout_of_the_task_and_takes_no_time() -> None:
    clock = Clock()
    result, ledger = seen(order, 1, faults={"charge": "timeout"}, clock=clock)
    assert result == 20
    assert attempts(ledger, "charge") == [(2, "completed")]
    assert 30 <= clock.elapsed_s < 40


def test_delay_answers_late_and_past_the_timeout_not_at_all() -> None:
    clock = Clock()
    result, ledger = seen(order, 1, faults={"book": Fault("delay", seconds=3600)}, clock=clock)
    assert (result, attempts(ledger, "book")) == (20, [(1, "completed")])
    assert clock.elapsed_s >= 3600
    result, ledger = seen(order, 1, faults={"charge": Fault("delay", seconds=31)})
    assert (result, attempts(ledger, "charge")) == (20, [(1, "completed"), (2, "completed")])


@pytest.mark.parametrize("task", ["charge", "book"])
def test_duplicate_runs_twice_under_one_key_and_counts_once(task: str) -> None:
    result, ledger = seen(order, 1, faults={task: "duplicate"})
    assert result == 20
    assert [call.attempt for call in ledger.of(task)] == [1, 1]
    assert list(ledger.repeated()) == [f"test/{task}"]


@pytest.mark.parametrize("task", ["charge", "book"])
def test_a_crash_before_the_commit_runs_the_task_again_under_the_same_key(task: str) -> None:
    result, ledger = seen(order, 1, faults={task: "crash_before_commit"})
    assert result == 20
    assert attempts(ledger, task) == [(1, "completed"), (2, "completed")]
    assert len(ledger.keys(task)) == 1
    assert ledger.again == []


@pytest.mark.parametrize("task", ["charge", "book"])
def test_a_crash_after_the_commit_keeps_the_result(task: str) -> None:
    result, ledger = seen(order, 1, faults={task: "crash_after_commit"})
    assert result == 20
    assert attempts(ledger, task) == [(1, "completed")]


def test_a_process_that_dies_three_times_with_a_task_fails_it_as_lost() -> None:
    with pytest.raises(WorkflowFailed) as caught:
        run(order, 1, faults={"book": Fault("crash_before_commit", attempt=None)})
    assert caught.value.failure.type == "raywf.errors.WorkerLost"


def test_an_at_most_once_task_that_dies_with_its_process_is_in_doubt_and_not_run_again() -> None:
    ledger = Ledger()
    with pytest.raises(RaywfError, match="waits for"):
        run(paid, 1, faults={"pay": "crash_before_commit"}, ledger=ledger)
    assert attempts(ledger, "pay") == [(1, "completed")]


def test_an_item_and_a_task_of_a_child_are_named_as_in_the_history() -> None:
    _, ledger = seen(orders, [1, 2, 3], faults={"charge[1]": "fail"})
    assert sorted((call.task_id, call.attempt) for call in ledger.calls) == [
        ("charge[0]", 1),
        ("charge[1]", 2),
        ("charge[2]", 1),
    ]
    _, ledger = seen(nested, 1, faults={"book": "crash_before_commit"})
    assert [(call.execution_id, call.attempt) for call in ledger.of("book")] == [("test/order", 1), ("test/order", 2)]


def test_chance_is_drawn_from_the_seed() -> None:
    def failed(seed: int) -> list[str]:
        _, ledger = seen(orders, list(range(40)), faults={"charge": Fault("fail", chance=0.5)}, seed=seed)
        # Sorted: the loop jumps over sleeps but its time is real, so two retries due within a moment may swap places.
        return sorted(call.task_id for call in ledger.calls if call.attempt == 2)

    assert failed(1) == failed(1) != failed(2)
    assert 5 < len(failed(1)) < 35


@pytest.mark.parametrize(
    ("faults", "said"),
    [
        ({"chrage": "fail"}, "no task 'chrage'. Did you mean 'charge'"),
        ({"charge": "fial"}, "no fault 'fial'. Did you mean 'fail'"),
        ({"book": "timeout"}, "'book' has no timeout="),
        ({"charge": object()}, "neither the name of a fault, nor a Fault"),
        (["charge"], "no mapping from task to fault"),
    ],
)
def test_a_fault_that_cannot_happen_is_refused_before_anything_runs(faults: Any, said: str) -> None:
    ledger = Ledger()
    with pytest.raises(InvalidInput) as caught:
        run(order, 1, faults=faults, ledger=ledger)
    assert said in str(caught.value)
    assert ledger.calls == []


def test_what_no_fault_can_be_is_refused() -> None:
    with pytest.raises(InvalidInput, match="never runs it twice"):
        run(paid, 1, faults={"pay": "duplicate"})
    for wrong in ({"attempt": 0}, {"chance": 2.0}, {"seconds": -1.0}):
        with pytest.raises(InvalidInput):
            Fault("delay", **wrong)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="error= goes with"):
        Fault("delay", error=ValueError)


def test_the_clock_goes_on_from_run_to_run() -> None:
    clock = Clock()
    begun = clock.now()
    clock.advance(timedelta(days=2))
    run(order, 1, clock=clock)
    assert timedelta(days=2) <= clock.now() - begun < timedelta(days=2, minutes=1)
    with pytest.raises(InvalidInput, match="backwards"):
        clock.advance(-1)


def test_fixtures_share_clock_and_ledger_with_the_run(raywf_run: Any, raywf_clock: Clock, raywf_ledger: Ledger) -> None:
    assert raywf_run(order, 1, faults={"charge": "fail"}) == 20
    assert raywf_ledger.results("book") == [20]
    assert raywf_clock.elapsed_s > 0


def test_the_plugin_loads_nothing_until_a_fixture_is_used() -> None:
    code = "import sys, raywf.testing.fixtures; print([m for m in ('ray', 'pydantic', 'pyarrow') if m in sys.modules])"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"
