"""Every error has its exit code and is one line; the table of docs/errors.md, for machines."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest

import raywf.errors
from raywf.cli import main as program
from raywf.cli.exits import ExitCode, exit_code, one_line
from raywf.core.failures import Failure
from raywf.errors import WorkflowCancelled, WorkflowFailed

FAILURE = Failure("ValueError", "no\nway", "Traceback …\nValueError: no", 1)

CODES: dict[str, int] = {
    "RaywfError": 1,
    "WorkflowFailed": 1,
    "WorkflowCancelled": 1,
    "InDoubt": 1,
    "SetupFailed": 1,
    "WorkerLost": 1,
    "HeartbeatTimeout": 1,
    "AttemptEnded": 1,
    "LoopLimit": 1,
    "BudgetExceeded": 1,
    "RateLimited": 1,
    "ProviderError": 1,
    "TooFewAnswers": 1,
    "ValidationFailed": 1,
    "PermissionDenied": 2,
    "LeaseLost": 1,
    "DefinitionError": 2,
    "InvalidInput": 2,
    "AlreadyExists": 2,
    "ExecutionClosed": 2,
    "CodeMissing": 2,
    "NotFound": 3,
    "StoreUnavailable": 4,
    "KeyMissing": 4,
    "SealBroken": 1,
    "NotConnected": 4,
    "ResultTimeout": 5,
}


def an_error(name: str) -> BaseException:
    match name:
        case "WorkflowFailed":
            return WorkflowFailed("x-1", "publish", FAILURE)
        case "WorkflowCancelled":
            return WorkflowCancelled("x-1", "enough")
        case _:
            error: BaseException = getattr(raywf.errors, name)("what happened\nand what to do")
            return error


def test_the_table_names_every_error() -> None:
    classes = {name for name, found in vars(raywf.errors).items() if inspect.isclass(found) and name in raywf.errors.__all__}  # fmt: skip
    assert classes == set(CODES)


@pytest.mark.parametrize(("name", "code"), CODES.items())
def test_each_error_has_its_exit_code_and_is_one_line(
    name: str, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    error = an_error(name)
    assert exit_code(error) == code
    monkeypatch.setattr(program, "app", _raising(error))
    assert program.main(["anything"]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err == f"raywf: {one_line(error)}\n"


def _raising(error: BaseException) -> Callable[..., Any]:
    def app(*args: Any, **kwargs: Any) -> None:
        raise error

    return app


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (KeyboardInterrupt(), 130, "interrupted"),
        (ZeroDivisionError("by\nzero"), 1, "ZeroDivisionError: by zero"),
        (RuntimeError(), 1, "RuntimeError"),
    ],
)
def test_what_nobody_expected_is_one_line_too(
    error: BaseException, code: int, says: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(program, "app", _raising(error))
    assert program.main([]) == code
    assert capsys.readouterr().err == f"raywf: {says}\n"


def test_the_traceback_is_shown_when_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(program, "app", _raising(ZeroDivisionError("by zero")))
    monkeypatch.setenv("RAYWF_DEBUG", "1")
    assert program.main([]) == 1
    err = capsys.readouterr().err
    assert err.startswith("Traceback (most recent call last):")
    assert err.endswith("raywf: ZeroDivisionError: by zero\n")


def test_a_failure_leaves_its_traceback_to_show() -> None:
    assert one_line(WorkflowFailed("x-1", "publish", FAILURE)) == (
        "task 'publish' of execution 'x-1' failed: ValueError: no way"
    )
    assert one_line(WorkflowFailed("x-1", None, FAILURE)) == "execution 'x-1' failed: ValueError: no way"


def test_the_codes_are_those_of_the_contract() -> None:
    assert [int(code) for code in ExitCode] == [0, 1, 2, 3, 4, 5, 130]
