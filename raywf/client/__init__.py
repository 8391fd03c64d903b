"""The client: connecting, submitting, waiting, reading, commanding.

What lives here: the engine a program talks to (async inside, one thin sync door), handles, what can be read from a
store without an engine, and the commands that go to its inbox.
What it may import: definition, runtime, actors, core, the journal's factory, errors. Ray only through the adapter, and
only once ``connect`` is called: reading needs none, so the names below are loaded when they are first used.
What is always true: an execution that ``submit`` answered for is on disk; every wait can be repeated.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from raywf.client.archive import Archive
    from raywf.client.door import ExecutionHandle, WorkflowEngine, connect
    from raywf.client.engine import AsyncWorkflowEngine, connect_async
    from raywf.client.exporting import ExportedExecution
    from raywf.client.handle import AsyncExecutionHandle
    from raywf.client.reading import ExecutionDescription, ExecutionSummary, HistoryEvent, TaskDescription

_HOME = {
    "Archive": "archive",
    "ExportedExecution": "exporting",
    "ExecutionHandle": "door",
    "WorkflowEngine": "door",
    "connect": "door",
    "AsyncExecutionHandle": "handle",
    "AsyncWorkflowEngine": "engine",
    "connect_async": "engine",
    "ExecutionDescription": "reading",
    "ExecutionSummary": "reading",
    "HistoryEvent": "reading",
    "TaskDescription": "reading",
}
"""Public name -> the module of this room it lives in."""


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'raywf.client' has no attribute {name!r}")
    value = getattr(import_module(f"raywf.client.{home}"), name)
    globals()[name] = value
    return value


__all__ = [
    "Archive",
    "AsyncExecutionHandle",
    "AsyncWorkflowEngine",
    "ExecutionDescription",
    "ExecutionHandle",
    "ExecutionSummary",
    "ExportedExecution",
    "HistoryEvent",
    "TaskDescription",
    "WorkflowEngine",
    "connect",
    "connect_async",
]
