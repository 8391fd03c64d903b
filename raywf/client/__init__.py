"""The client: connecting, submitting, waiting, reading, commanding.

What lives here: the engine a program talks to (async inside, one thin sync door), handles, what can be read from a
store without an engine, and the commands that go to its inbox.
What it may import: definition, runtime, actors, core, the journal's factory, errors. Ray only through the adapter, and
only once ``connect`` is called: reading needs none.
What is always true: an execution that ``submit`` answered for is on disk; every wait can be repeated.
"""

from raywf.client.door import ExecutionHandle, WorkflowEngine, connect
from raywf.client.engine import AsyncExecutionHandle, AsyncWorkflowEngine, connect_async
from raywf.client.reading import ExecutionDescription, ExecutionSummary, HistoryEvent, TaskDescription

__all__ = [
    "AsyncExecutionHandle",
    "AsyncWorkflowEngine",
    "ExecutionDescription",
    "ExecutionHandle",
    "ExecutionSummary",
    "HistoryEvent",
    "TaskDescription",
    "WorkflowEngine",
    "connect",
    "connect_async",
]
