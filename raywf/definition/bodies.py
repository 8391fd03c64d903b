"""Running a body twice and making a definition of what it left."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from raywf.core.plan import FunctionRef
from raywf.definition.expressions import PlacedError
from raywf.definition.lines import line_of
from raywf.definition.model import WorkflowDefinition
from raywf.definition.names import MAX_DEPTH
from raywf.definition.parameters import parameters_of
from raywf.definition.references import Draft, Reference
from raywf.definition.tracing import Trace, tracing
from raywf.errors import DefinitionError

if TYPE_CHECKING:
    from raywf.definition.workflows import Workflow


def trace_twice(workflow: Workflow[Any, Any]) -> tuple[WorkflowDefinition, dict[FunctionRef, Callable[..., Any]]]:
    """The definition of a workflow and its functions.

    The body runs twice: a graph that depends on a clock, a random number or a global would differ between the client
    that submits and the one that looks at it later, so it is refused.
    """
    trace, returned = _run(workflow)
    again, returned_again = _run(workflow)
    with _entered(workflow):
        data, data_again = _data_of(workflow, trace, returned), _data_of(workflow, again, returned_again)
    different = first_difference(data, data_again)
    if different:
        raise DefinitionError(
            f"{_line(workflow)}: the body of workflow {workflow.id!r} gave two different graphs when it was run twice: "
            f"{different}. A clock, a random number or a global variable in a body makes a graph that cannot be told "
            "again: compute it in a task, or pass it as a parameter."
        )
    try:
        return WorkflowDefinition.model_validate(data), trace.functions
    except PlacedError as error:
        raise DefinitionError(f"{_line_of_place(workflow, trace, error)}: {error.message}") from None


_open: ContextVar[tuple[Workflow[Any, Any], ...]] = ContextVar("raywf_open_definitions", default=())
"""The workflows whose definitions wait for those of their children, outermost first."""


@contextmanager
def _entered(workflow: Workflow[Any, Any]) -> Iterator[None]:
    token = _open.set((*_open.get(), workflow))
    try:
        yield
    finally:
        _open.reset(token)


def _run(workflow: Workflow[Any, Any]) -> tuple[Trace, Any]:
    """One run of a body: its trace, and its result as data."""
    function = workflow.function
    trace = Trace(workflow.id, function.__code__.co_filename)
    positional, keywords = [], {}
    for parameter in inspect.signature(function).parameters.values():
        reference = Reference(trace, None, (parameter.name,))
        if parameter.kind is parameter.KEYWORD_ONLY:
            keywords[parameter.name] = reference
        else:
            positional.append(reference)
    with tracing(trace):
        returned = function(*positional, **keywords)
        return trace, trace.record(returned, f"result of workflow {workflow.id!r}")


def _data_of(workflow: Workflow[Any, Any], trace: Trace, returned: Any) -> dict[str, Any]:
    tasks = []
    for draft in trace.drafts:
        data = {"id": draft.id, **draft.data}
        if "workflow" in data:
            data["workflow"] = _child(data["workflow"], trace, draft)
        tasks.append({**data, "after": draft.after} if draft.after else data)
    return {
        "id": workflow.id,
        "name": workflow.name,
        "description": workflow.description,
        "version": workflow.version,
        "parameters": {each.name: each.to_schema() for each in parameters_of(workflow.function)},
        "tasks": tasks,
        **({"configuration": workflow.configuration} if workflow.configuration else {}),
        **({"triggers": workflow.triggers} if workflow.triggers else {}),
        "result": returned,
    }


def _child(child: Workflow[Any, Any], trace: Trace, draft: Draft) -> WorkflowDefinition:
    """The definition of a child. It is built when the parent's body has ended, so deep families need little stack."""
    above = _open.get()
    if child in above:
        path = " → ".join(each.id for each in (*above[above.index(child) :], child))
        raise DefinitionError(
            f"{draft.line}: workflow {child.id!r} calls itself: {path}. A graph cannot contain itself: let a task "
            "decide about the next round"
        )
    if len(above) > MAX_DEPTH:
        raise DefinitionError(f"{draft.line}: child workflows are nested deeper than {MAX_DEPTH} levels")
    trace.adopt(child.functions_by_ref, child.id, draft.line)
    return child.definition


def first_difference(one: Any, other: Any, place: str = "") -> str:
    """Where two graphs differ first, in words; empty where they are equal."""
    if type(one) is not type(other):
        return f"{place or 'it'} was {one!r:.100} and then {other!r:.100}"
    if isinstance(one, dict):
        for key in [*one, *(key for key in other if key not in one)]:
            if key not in one or key not in other:
                return f"{place or 'it'} had {key!r} only {'once' if key in one else 'the second time'}"
            found = first_difference(one[key], other[key], f"{place}.{key}" if place else str(key))
            if found:
                return found
        return "" if list(one) == list(other) else f"the order in {place}"
    if isinstance(one, list):
        for at, (mine, theirs) in enumerate(zip(one, other, strict=False)):
            name = f"task {mine['id']!r}" if place == "tasks" else f"{place}[{at}]"
            found = first_difference(mine, theirs, name)
            if found:
                return found
        return "" if len(one) == len(other) else f"{place} had {len(one)} and then {len(other)} items"
    return "" if one == other else f"{place or 'it'} was {one!r:.100} and then {other!r:.100}"


def _line(workflow: Workflow[Any, Any]) -> str:
    code = workflow.function.__code__
    return line_of(code.co_filename, code.co_firstlineno)


def _line_of_place(workflow: Workflow[Any, Any], trace: Trace, error: PlacedError) -> str:
    place = error.place
    if len(place) > 1 and place[0] == "tasks" and isinstance(place[1], int):
        return trace.drafts[place[1]].line
    return _line(workflow)
