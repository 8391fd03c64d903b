"""What ``raywf.wait_update`` writes down: who accepts an update, and whose result answers it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from raywf.core.plan import FunctionRef
from raywf.definition.functions import check_arity, function_ref, plain
from raywf.definition.lines import did_you_mean
from raywf.definition.names import FUNCTION
from raywf.errors import DefinitionError

if TYPE_CHECKING:
    from raywf.definition.model import TaskDefinition, WorkflowDefinition

_FIELDS = ("validator", "answer")
_VALIDATOR = ("function", "source_hash", "by_value")


def validator_data(value: Any, know: Callable[[Callable[..., Any], FunctionRef], str]) -> dict[str, Any]:
    """The stored form of a validator. ``know`` gives a function its path in the workflow. Raises ``DefinitionError``."""
    function = plain(value)
    if getattr(value, "kind", "") == "workflow" or not callable(function):
        raise DefinitionError(
            f"validator is {value!r:.100}: it is a function or a @task of the payload, which raises to refuse it"
        )
    check_arity("validator: it is called with the payload, so", function, (None,), {})
    ref = getattr(value, "ref", None) or function_ref(function)
    data: dict[str, Any] = {"function": know(function, ref), "source_hash": ref.source_hash}
    return {**data, "by_value": True} if ref.by_value else data


def validator_ref(task: TaskDefinition) -> FunctionRef | None:
    """The function that accepts or refuses the updates of a task."""
    update = task.signal.update if task.signal is not None else None
    data = (update or {}).get("validator")
    if data is None:
        return None
    return FunctionRef(data["function"], data.get("source_hash", ""), data.get("by_value", False))


def check_update(id: str, update: Mapping[str, Any], tasks: frozenset[str]) -> None:
    """What a document says of an update. Raises ``DefinitionError``."""
    for name in update:
        if name not in _FIELDS:
            raise DefinitionError(f"task {id!r}: update has no field {name!r}.{did_you_mean(name, _FIELDS)}")
    validator = update.get("validator")
    if validator is not None:
        known = isinstance(validator, Mapping) and all(each in _VALIDATOR for each in validator)
        if not known or not isinstance(validator.get("function"), str) or not FUNCTION.match(validator["function"]):
            raise DefinitionError(
                f"task {id!r}: validator is {validator!r:.80}: it is {{function: 'package.module:function'}}"
            )
    answer = update.get("answer")
    if answer is None:
        return
    if not isinstance(answer, Mapping) or not isinstance(answer.get("$ref"), str) or not {*answer} <= {"$ref", "path"}:
        raise DefinitionError(f"task {id!r}: the answer of an update is the result of a task, as {{$ref: TASK}}")
    head = answer["$ref"].partition(".")[0].partition("[")[0]
    if head not in tasks or head == id:
        raise DefinitionError(
            f"task {id!r}: its answer is that of {head!r}, which is no task.{did_you_mean(head, tasks)}"
        )


def updates_of(definition: WorkflowDefinition) -> Iterator[TaskDefinition]:
    """The tasks that wait for updates."""
    return (task for task in definition.tasks if task.signal is not None and task.signal.update is not None)
