"""``raywf.continuation``: a task that hands its result over to another task or workflow, chosen at run time.

What grows is a child execution: of the workflow, or of a workflow made of the one task. Its definition is stored under its
content hash with the event that says so, so that recovery finds it as it finds any other. The body of a workflow runs where
the task runs, for here is no client.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from raywf.core.plan import FunctionRef
from raywf.definition.functions import check_arity
from raywf.definition.inputs import bind_input
from raywf.definition.model import WorkflowDefinition
from raywf.definition.tasks import Task
from raywf.definition.tracing import Trace
from raywf.definition.workflows import Workflow, as_workflow
from raywf.errors import DefinitionError

MARK: Final = b'{"$continue":'
"""How the stored form begins. No value of a user does: a key with ``$`` is kept in another way."""


class Continuation:
    """What ``raywf.continuation`` gives. Only good to be returned, as it is, by a task."""

    __slots__ = ("args", "functions", "kwargs", "workflow")

    def __init__(
        self,
        workflow: Workflow[..., Any],
        functions: Mapping[FunctionRef, Callable[..., Any]],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> None:
        self.workflow = workflow
        self.functions = functions
        self.args = args
        self.kwargs = kwargs

    def to_bytes(self) -> bytes:
        """The stored form. Raises ``InvalidInput`` and ``DefinitionError`` like a submit."""
        body = self.workflow.definition.to_data()
        input_ = bind_input(self.workflow, self.args, self.kwargs).decode()
        return MARK + json.dumps([body, input_], separators=(",", ":"), ensure_ascii=False).encode() + b"}"


def read_continuation(data: bytes) -> tuple[WorkflowDefinition, bytes]:
    """The definition and the input behind a stored form."""
    body, input_ = json.loads(data)["$continue"]
    return WorkflowDefinition.model_validate(body), input_.encode()


def continuation(other: Any, /, *args: Any, **kwargs: Any) -> Any:
    """Returned by a task: its result becomes that of ``other``, a task or a workflow, called with these arguments.

    The graph grows by a child execution ``PARENT/TASK``, at most 100 deep. Raises ``DefinitionError`` for what is neither.
    """
    if isinstance(other, Workflow):
        return Continuation(other, other.functions_by_ref, args, kwargs)
    if isinstance(other, Task):
        return _of_task(other, args, kwargs)
    name = getattr(other, "__name__", None)
    what = f"the function {name!r}" if callable(other) and name else f"{other!r:.60}"
    raise DefinitionError(
        "raywf.continuation takes a task or a workflow, uncalled, and its arguments, as in continuation(search, query), "
        f"not {what}"
    )


def _of_task(other: Task[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Continuation:
    """A workflow of the one task, with a parameter for each argument given."""
    check_arity(f"raywf.continuation: task {other.name!r}", other.function, args, kwargs)
    names = [f"arg_{at}" for at in range(len(args))]
    trace = Trace(other.name)
    task: dict[str, Any] = {
        "id": other.name,
        **other._data(trace),
        "args": [{"$ref": f"input.{name}"} for name in names],
        "kwargs": {name: {"$ref": f"input.kwarg_{name}"} for name in kwargs},
    }
    parameters: dict[str, Any] = {name: {} for name in [*names, *(f"kwarg_{name}" for name in kwargs)]}
    definition = WorkflowDefinition.model_validate(
        {"id": other.name, "parameters": parameters, "tasks": [task], "result": {"$ref": other.name}}
    )
    given = {f"kwarg_{name}": value for name, value in kwargs.items()}
    return Continuation(as_workflow(definition), trace.functions, args, given)
