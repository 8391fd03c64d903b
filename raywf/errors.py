"""Every error a user can meet. All derive from ``RaywfError`` and all survive pickling, because Ray pickles them.

A message says what happened (with the value), why it matters, and what to do.
"""

from __future__ import annotations

from typing import Any

from raywf.core.failures import Failure

__all__ = [
    "AlreadyExists",
    "AttemptEnded",
    "BudgetExceeded",
    "CodeMissing",
    "DefinitionError",
    "ExecutionClosed",
    "HeartbeatTimeout",
    "InDoubt",
    "InvalidInput",
    "KeyMissing",
    "LeaseLost",
    "LoopLimit",
    "NotConnected",
    "NotFound",
    "PermissionDenied",
    "ProviderError",
    "RateLimited",
    "RaywfError",
    "ResultTimeout",
    "SealBroken",
    "SetupFailed",
    "StoreUnavailable",
    "TooFewAnswers",
    "ValidationFailed",
    "WorkerLost",
    "WorkflowCancelled",
    "WorkflowFailed",
]


def _rebuild(cls: type[RaywfError], args: tuple[Any, ...], fields: dict[str, Any]) -> RaywfError:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(fields)
    return error


class RaywfError(Exception):
    """Base of all errors that raywf raises on purpose."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.args, dict(self.__dict__))


class DefinitionError(RaywfError):
    """The workflow cannot be built as written. Nothing ran and nothing was stored. Not a ``ValueError``."""


class WorkflowFailed(RaywfError):
    """The execution ended as ``failed``. ``failure`` is data: type, message, traceback, attempt, retryable."""

    def __init__(self, execution_id: str, task_id: str | None, failure: Failure) -> None:
        self.execution_id = execution_id
        self.task_id = task_id
        self.failure = failure
        where = f"task {task_id!r} of execution {execution_id!r}" if task_id else f"execution {execution_id!r}"
        text = f"{where} failed: {failure.type}: {failure.message}"
        if failure.traceback:
            text += f"\n\n{failure.traceback.rstrip()}"
        super().__init__(text)


class WorkflowCancelled(RaywfError):
    """The execution was cancelled before it could end."""

    def __init__(self, execution_id: str, reason: str = "") -> None:
        self.execution_id = execution_id
        self.reason = reason
        super().__init__(f"execution {execution_id!r} was cancelled" + (f": {reason}" if reason else ""))


class NotFound(RaywfError):
    """There is no such execution, task, file or definition in this store and namespace."""


class AlreadyExists(RaywfError):
    """The execution id is taken by an execution of another workflow or with other arguments."""


class ExecutionClosed(RaywfError):
    """The execution has ended: it takes no more signals, approvals or changes."""


class InvalidInput(RaywfError):
    """The arguments do not fit the workflow's parameters. Nothing was stored. ``index`` is the place in a batch."""

    def __init__(self, message: str, index: int | None = None) -> None:
        self.index = index
        super().__init__(message if index is None else f"input {index}: {message}")
        self.args = (str(self.args[0]),)


class NotConnected(RaywfError):
    """The engine is closed, or was never opened."""


class StoreUnavailable(RaywfError):
    """The store cannot be used now: out of reach, full, read-only, not ours, or held by another engine."""


class KeyMissing(RaywfError):
    """A value is encrypted with a key that is not given here, or a source of keys is not there. ``key`` is the key's id, empty
    where no id is known. Trying again helps once the key is there; nothing was changed."""

    def __init__(self, message: str, key: str = "") -> None:
        self.key = key
        super().__init__(message)
        self.args = (message,)


class SealBroken(RaywfError):
    """A compressed or encrypted value does not open: it was changed, moved to another row, or its key's id means another key."""


class LeaseLost(RaywfError):
    """Another owner holds the shard now: this writer must stop. Internal; users never see it raised."""

    def __init__(self, message: str, shards: tuple[int, ...] = ()) -> None:
        self.shards = shards
        super().__init__(message)


class CodeMissing(RaywfError):
    """The code of a task is not there: the execution waits for an engine that has it."""


class WorkerLost(RaywfError):
    """The process that ran the task died three times with it."""


class SetupFailed(RaywfError):
    """No worker of the task's pool becomes ready: its ``setup`` failed again and again."""


class InDoubt(RaywfError):
    """Nobody knows whether a task with ``effect="at_most_once"`` happened. Such a task may raise it to say so itself."""


class HeartbeatTimeout(RaywfError):
    """As a failure's type: an attempt did not heartbeat within its task's ``heartbeat_timeout``."""


class AttemptEnded(RaywfError):
    """``heartbeat`` and ``emit`` raise it in an attempt that counts no more: stop, and clean up."""


class LoopLimit(RaywfError):
    """A loop reached ``max_iterations`` before its condition held."""


class ResultTimeout(RaywfError):
    """The execution did not end within the time given. It goes on; ask again later."""


class BudgetExceeded(RaywfError):
    """The call would pass the budget's limit, so it was not made."""


class RateLimited(RaywfError):
    """The provider's rate limit holds the call back."""


class ProviderError(RaywfError):
    """The AI provider answered with an error."""


class TooFewAnswers(RaywfError):
    """A merge that need not wait for everybody has fewer answers than ``at_least`` asks for, and no more will come."""


class ValidationFailed(RaywfError):
    """A result does not fit what was asked for."""


class PermissionDenied(RaywfError):
    """The caller may not do this."""
