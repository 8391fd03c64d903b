"""What the functions of this library raise. All are ``raywf.RaywfError`` too, and all pickle."""

from __future__ import annotations

from raywf.core.failures import Failure
from raywf.errors import RaywfError


class WorkflowError(RaywfError):
    """Base of what this library raises about a workflow."""


class WorkflowExecutionError(WorkflowError):
    """The workflow failed. ``failure`` says how, as data: type, message, traceback, attempt."""

    def __init__(self, workflow_id: str, task_id: str | None = None, failure: Failure | None = None) -> None:
        self.workflow_id = workflow_id
        self.task_id = task_id
        self.failure = failure
        where = f"task {task_id!r}: " if task_id else ""
        what = f" {where}{failure.type}: {failure.message}" if failure is not None else ""
        self.message = f"Workflow[id={workflow_id}] failed during execution.{what}"
        super().__init__(self.message)


class WorkflowCancellationError(WorkflowError):
    """The workflow was cancelled."""

    def __init__(self, workflow_id: str) -> None:
        self.workflow_id = workflow_id
        self.message = f"Workflow[id={workflow_id}] was cancelled during execution."
        super().__init__(self.message)


class WorkflowNotResumableError(WorkflowError):
    """The workflow cannot go on: it was cancelled."""

    def __init__(self, workflow_id: str, reason: str = "it was cancelled") -> None:
        self.workflow_id = workflow_id
        self.message = f"Workflow[id={workflow_id}] is not resumable: {reason}. Run it under another id."
        super().__init__(self.message)


class WorkflowNotFoundError(WorkflowError, ValueError):
    """There is no such workflow in the store."""

    def __init__(self, workflow_id: str, hint: str = "") -> None:
        self.workflow_id = workflow_id
        self.message = f"Workflow[id={workflow_id}] does not exist in this store.{hint} list_all() gives those that do."
        super().__init__(self.message)


class WorkflowStillActiveError(WorkflowError):
    """What was asked needs a workflow that has ended."""

    def __init__(self, operation: str, workflow_id: str) -> None:
        self.workflow_id = workflow_id
        self.message = (
            f"{operation} needs a workflow that has ended, and Workflow[id={workflow_id}] is running or pending: wait for it, "
            "or cancel it."
        )
        super().__init__(self.message)


__all__ = [
    "WorkflowCancellationError",
    "WorkflowError",
    "WorkflowExecutionError",
    "WorkflowNotFoundError",
    "WorkflowNotResumableError",
    "WorkflowStillActiveError",
]
