"""How a command ends: its exit code, and the one line that an error is."""

from __future__ import annotations

from enum import IntEnum

from raywf.errors import (
    AlreadyExists,
    CodeMissing,
    DefinitionError,
    ExecutionClosed,
    InvalidInput,
    KeyMissing,
    NotConnected,
    NotFound,
    PermissionDenied,
    RaywfError,
    ResultTimeout,
    StoreUnavailable,
    WorkflowFailed,
)


class ExitCode(IntEnum):
    DONE = 0
    FAILED = 1
    """Failed or cancelled."""
    USAGE = 2
    NOT_FOUND = 3
    OUT_OF_REACH = 4
    """The store or the cluster."""
    WAITING = 5
    """Still waiting: the time is over, or only a person can go on."""
    INTERRUPTED = 130


_CODES: dict[type[BaseException], ExitCode] = {
    DefinitionError: ExitCode.USAGE,
    InvalidInput: ExitCode.USAGE,
    AlreadyExists: ExitCode.USAGE,
    ExecutionClosed: ExitCode.USAGE,
    CodeMissing: ExitCode.USAGE,
    PermissionDenied: ExitCode.USAGE,
    NotFound: ExitCode.NOT_FOUND,
    StoreUnavailable: ExitCode.OUT_OF_REACH,
    KeyMissing: ExitCode.OUT_OF_REACH,
    NotConnected: ExitCode.OUT_OF_REACH,
    ResultTimeout: ExitCode.WAITING,
    KeyboardInterrupt: ExitCode.INTERRUPTED,
}
"""Whatever is not here, and does not derive from it, is 1."""


def exit_code(error: BaseException) -> ExitCode:
    """The exit code of a command that ended with this error."""
    return next((_CODES[cls] for cls in type(error).__mro__ if cls in _CODES), ExitCode.FAILED)


def one_line(error: BaseException) -> str:
    """What the user reads of an error. A traceback inside it stays where it is: `raywf show` has it."""
    if isinstance(error, WorkflowFailed):
        task = f"task {error.task_id!r} of " if error.task_id else ""
        return _flat(f"{task}execution {error.execution_id!r} failed: {error.failure.type}: {error.failure.message}")
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    text = _flat(str(error))
    if isinstance(error, RaywfError) and text:
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _flat(text: str) -> str:
    return " ".join(text.split())
