"""The API of ``ray.workflow``, which Ray removed in 2.48, on raywf: ``from raywf.compat import ray_workflow as workflow``.

Graphs of ``@ray.remote`` functions, made with ``.bind(…)``, run durably. What is not as it was is in
docs/from-ray-workflow.md, and what cannot be is refused.
"""

from raywf.compat.ray_workflow import event_listener, exceptions
from raywf.compat.ray_workflow.api import (
    cancel,
    continuation,
    delete,
    get_metadata,
    get_output,
    get_output_async,
    get_status,
    init,
    list_all,
    resume,
    resume_all,
    resume_async,
    run,
    run_async,
)
from raywf.compat.ray_workflow.common import WorkflowStatus
from raywf.compat.ray_workflow.event_listener import EventListener, TimerListener
from raywf.compat.ray_workflow.events import sleep, wait_for_event
from raywf.compat.ray_workflow.exceptions import (
    WorkflowCancellationError,
    WorkflowError,
    WorkflowExecutionError,
    WorkflowNotFoundError,
    WorkflowNotResumableError,
    WorkflowStillActiveError,
)
from raywf.compat.ray_workflow.options import options

PENDING = WorkflowStatus.PENDING
RUNNING = WorkflowStatus.RUNNING
CANCELED = WorkflowStatus.CANCELED
SUCCESSFUL = WorkflowStatus.SUCCESSFUL
FAILED = WorkflowStatus.FAILED
RESUMABLE = WorkflowStatus.RESUMABLE

__all__ = [
    "CANCELED",
    "FAILED",
    "PENDING",
    "RESUMABLE",
    "RUNNING",
    "SUCCESSFUL",
    "EventListener",
    "TimerListener",
    "WorkflowCancellationError",
    "WorkflowError",
    "WorkflowExecutionError",
    "WorkflowNotFoundError",
    "WorkflowNotResumableError",
    "WorkflowStatus",
    "WorkflowStillActiveError",
    "cancel",
    "continuation",
    "delete",
    "event_listener",
    "exceptions",
    "get_metadata",
    "get_output",
    "get_output_async",
    "get_status",
    "init",
    "list_all",
    "options",
    "resume",
    "resume_all",
    "resume_async",
    "run",
    "run_async",
    "sleep",
    "wait_for_event",
]
