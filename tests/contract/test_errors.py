"""Errors: one family, all picklable, with their attributes."""

from __future__ import annotations

import copy
import pickle
import traceback

import pytest

import raywf
import raywf.testing
from raywf import task, workflow

NAMES = (
    "DefinitionError WorkflowFailed WorkflowCancelled NotFound AlreadyExists ExecutionClosed InvalidInput NotConnected "
    "StoreUnavailable CodeMissing WorkerLost LoopLimit ResultTimeout BudgetExceeded RateLimited ProviderError "
    "ValidationFailed PermissionDenied"
).split()


@pytest.mark.parametrize("name", NAMES)
def test_every_error_is_a_raywf_error_and_pickles(name: str) -> None:
    kind = getattr(raywf, name)
    assert issubclass(kind, raywf.RaywfError)
    assert kind.__doc__, "says what it means"
    error = kind("what happened") if name != "WorkflowFailed" else _failed()
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(again) is kind
        assert str(again) == str(error)
        assert vars(again) == vars(error) or again.args == error.args


def _failed() -> raywf.WorkflowFailed:
    @task
    def fail() -> None:
        raise ValueError("broken")

    @workflow
    def flow() -> object:
        return fail()

    with pytest.raises(raywf.WorkflowFailed) as caught:
        raywf.testing.run(flow)
    return caught.value


def test_workflow_failed_keeps_its_attributes() -> None:
    error = _failed()
    again = pickle.loads(pickle.dumps(error))
    assert (again.execution_id, again.task_id, again.failure) == (error.execution_id, error.task_id, error.failure)
    assert again.failure.message == "broken"


def test_a_failure_is_data_and_no_pickled_exception() -> None:
    error = _failed()
    for field in ("type", "message", "traceback", "attempt", "retryable"):
        assert isinstance(getattr(error.failure, field), str | int | bool)
    assert error.__cause__ is None or not isinstance(error.__cause__, ValueError)
    assert "broken" in "".join(traceback.format_exception(error))


def test_invalid_input_tells_its_index() -> None:
    @task
    def same(x: int) -> int:
        return x

    @workflow
    def flow(x: int) -> object:
        return same(x)

    with pytest.raises(raywf.InvalidInput, match="x") as caught:
        raywf.testing.run(flow, "seven")
    assert caught.value.index is None


def test_current_outside_of_a_task_is_refused() -> None:
    with pytest.raises(raywf.RaywfError):
        raywf.current().task_id  # noqa: B018
