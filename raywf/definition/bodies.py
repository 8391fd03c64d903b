"""Running a body twice and making a definition of what it left."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from raywf.core.plan import FunctionRef
from raywf.definition.expressions import PlacedError
from raywf.definition.lines import line_of
from raywf.definition.model import WorkflowDefinition
from raywf.definition.parameters import parameters_of
from raywf.definition.references import Reference
from raywf.definition.tracing import Trace, active, tracing
from raywf.errors import DefinitionError

if TYPE_CHECKING:
    from raywf.definition.workflows import Workflow


def trace_twice(workflow: Workflow[Any, Any]) -> tuple[WorkflowDefinition, dict[FunctionRef, Callable[..., Any]]]:
    """The definition of a workflow and its functions.

    The body runs twice: a graph that depends on a clock, a random number or a global would differ between the client
    that submits and the one that looks at it later, so it is refused.
    """
    data, trace = _run(workflow)
    again, _ = _run(workflow)
    different = first_difference(data, again)
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


def _run(workflow: Workflow[Any, Any]) -> tuple[dict[str, Any], Trace]:
    function = workflow.function
    code = function.__code__
    trace = Trace(workflow.id, code.co_filename, owner=workflow, parent=active())
    positional, keywords = [], {}
    for parameter in inspect.signature(function).parameters.values():
        reference = Reference(trace, None, (parameter.name,))
        if parameter.kind is parameter.KEYWORD_ONLY:
            keywords[parameter.name] = reference
        else:
            positional.append(reference)
    with tracing(trace):
        returned = function(*positional, **keywords)
        result = trace.record(returned, f"result of workflow {workflow.id!r}")
    tasks = [{"id": each.id, **each.data, **({"after": each.after} if each.after else {})} for each in trace.drafts]
    data = {
        "id": workflow.id,
        "name": workflow.name,
        "description": workflow.description,
        "version": workflow.version,
        "parameters": {each.name: each.to_schema() for each in parameters_of(function)},
        "tasks": tasks,
        "result": result,
    }
    return data, trace


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
