"""Errors survive every process boundary, and their text helps."""

from __future__ import annotations

import copy
import inspect
import pickle
from typing import Any

import cloudpickle
import pytest

import raywf
from raywf import errors
from raywf.core.failures import Failure
from raywf.definition.expressions import PlacedError
from raywf.definition.values import EncodeError
from raywf.journal.conflicts import KeysTaken

FAILURE = Failure("app.Broken", "it broke", "Traceback…\n  app.Broken: it broke\n", attempt=3, retryable=False)
WITH_MORE: dict[str, Any] = {
    "WorkflowFailed": errors.WorkflowFailed("x-1", "parse", FAILURE),
    "InvalidInput": errors.InvalidInput("no", 7),
    "LeaseLost": errors.LeaseLost("gone", (1, 2)),
}
CLASSES = [getattr(errors, name) for name in errors.__all__]
EVERY = [WITH_MORE.get(cls.__name__) or cls("what happened, and what to do") for cls in CLASSES]
EVERY += [EncodeError("no"), PlacedError(("tasks", 0), "no"), errors.WorkflowFailed("x", None, FAILURE)]
EVERY += [KeysTaken((1, 2), "memory://"), errors.InvalidInput("no"), errors.WorkflowCancelled("x", "enough")]


def by_pickle(protocol: int) -> Any:
    return lambda error: pickle.loads(pickle.dumps(error, protocol))


WAYS = {
    **{f"pickle {protocol}": by_pickle(protocol) for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1)},
    "cloudpickle": lambda error: cloudpickle.loads(cloudpickle.dumps(error)),
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("error", EVERY, ids=lambda error: type(error).__name__)
def test_an_error_arrives_as_it_left(error: Exception, way: str) -> None:
    error.note = "set by whoever caught it"  # type: ignore[attr-defined]
    found = WAYS[way](error)
    assert type(found) is type(error)
    assert (str(found), repr(found), found.args) == (str(error), repr(error), error.args)
    assert vars(found) == vars(error)


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_every_error_says_in_its_docstring_what_it_means_and_can_be_caught_as_ours(cls: type) -> None:
    assert issubclass(cls, raywf.RaywfError)
    assert not issubclass(cls, ValueError)
    assert inspect.getdoc(cls) != inspect.getdoc(errors.RaywfError) or cls is errors.RaywfError


def test_the_public_errors_are_those_of_the_module_but_for_one_that_users_never_see() -> None:
    public = {name for name in raywf.__all__ if isinstance(getattr(raywf, name), type)
              and issubclass(getattr(raywf, name), Exception)}  # fmt: skip
    assert {*public, "LeaseLost"} == set(errors.__all__)


def test_a_failed_workflow_says_where_what_and_how_it_came_to_be() -> None:
    error = errors.WorkflowFailed("x-1", "parse", FAILURE)
    assert (error.execution_id, error.task_id, error.failure) == ("x-1", "parse", FAILURE)
    lines = str(error).splitlines()
    assert lines[0] == "task 'parse' of execution 'x-1' failed: app.Broken: it broke"
    assert lines[-1] == "  app.Broken: it broke"
    whole = errors.WorkflowFailed("x-1", None, Failure("DeadlineExceeded", "too late"))
    assert str(whole) == "execution 'x-1' failed: DeadlineExceeded: too late"


def test_input_of_a_batch_says_which() -> None:
    error = errors.InvalidInput("parameter 'n' is missing", 7)
    assert (error.index, str(error)) == (7, "input 7: parameter 'n' is missing")
    assert errors.InvalidInput("no").index is None


def test_a_failure_is_plain_data() -> None:
    assert Failure.from_data(FAILURE.to_data()) == FAILURE
    assert pickle.loads(pickle.dumps(FAILURE)) == FAILURE
