"""The bindings of a definition's tasks, read with the place of each in the document."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from raywf.core.bindings import INPUT, Binding
from raywf.definition.expressions import Place, PlacedError, Resolve, read_condition, read_value
from raywf.definition.lines import did_you_mean
from raywf.definition.panels import ASKED

if TYPE_CHECKING:
    from raywf.definition.model import TaskDefinition, WorkflowDefinition


@dataclass(slots=True)
class Reads:
    """The bindings of one task and where they stand in the definition."""

    args: list[Binding] = field(default_factory=list)
    kwargs: list[tuple[str, Binding]] = field(default_factory=list)
    condition: Binding | None = None
    result_then: Binding | None = None
    result_otherwise: Binding | None = None
    until: Binding | None = None

    def needed(self) -> Iterator[Binding]:
        """What must be there before the task (or a ``when``'s decision) can begin."""
        yield from self.args
        yield from (value for _, value in self.kwargs)
        if self.condition is not None:
            yield self.condition


def index_of(definition: WorkflowDefinition) -> dict[str, int]:
    return {task.id: at for at, task in enumerate(definition.tasks)}


def resolver(definition: WorkflowDefinition, index: dict[str, int]) -> Resolve:
    """Finds the task of a reference, or says which one was probably meant."""

    def resolve(head: str, path: tuple[str | int, ...], place: Place) -> int:
        if head == "input":
            if path and path[0] not in definition.parameters:
                raise PlacedError(
                    place,
                    f"workflow {definition.id!r} has no parameter {path[0]!r}."
                    + did_you_mean(path[0], definition.parameters),
                )
            return INPUT
        if head not in index:
            raise PlacedError(
                place, f"unknown dependency: there is no task {head!r}.{did_you_mean(head, [*index, 'input'])}"
            )
        return index[head]

    return resolve


def read_task(task: TaskDefinition, resolve: Resolve, place: Place) -> Reads:
    """The bindings of one task. Raises ``PlacedError``."""
    reads = Reads()
    where = "args"
    positional = task.args
    if task.map is not None:
        where, positional = "map", task.map
    elif task.gather is not None:
        where, positional = "gather", task.gather
    reads.args = [read_value(each, resolve, (*place, where, at)) for at, each in enumerate(positional)]
    pairs: Iterable[tuple[str, Any, Place]] = [(k, v, ("kwargs", k)) for k, v in task.kwargs.items()]
    if task.sleep is not None:
        pairs = [(name, getattr(task.sleep, name), ("sleep", name)) for name in ("seconds", "value")]
    elif task.signal is not None:
        pairs = _signal_fields(task)
    elif task.approval is not None:
        pairs = _approval_fields(task)
    elif task.loop is not None:
        reads.args = [read_value(task.loop.initial, resolve, (*place, "loop", "initial"))]
        pairs = [("max_iterations", task.loop.max_iterations, ("loop", "max_iterations"))]
        reads.until = read_condition(task.loop.until, resolve, (*place, "loop", "until"))
        reads.result_then = read_value(task.loop.result, resolve, (*place, "loop", "result"))
    elif task.aggregate is not None:
        given = task.aggregate
        reads.args = [read_value(given.results, resolve, (*place, "aggregate", "results"))]
        pairs = [(name, getattr(given, name), ("aggregate", name)) for name in ("strategy", "accept_at")]
        pairs += [
            (name, getattr(given, name), ("aggregate", name))
            for name in ("reconcile", "timeout")
            if getattr(given, name)
        ]
    reads.kwargs = [(name, read_value(value, resolve, (*place, *at))) for name, value, at in pairs]
    if task.when is not None:
        reads.condition = read_condition(task.when, resolve, (*place, "when"))
        for side in ("then", "otherwise"):
            value = None if task.result is None else getattr(task.result, side)
            setattr(reads, f"result_{side}", read_value(value, resolve, (*place, "result", side)))
    return reads


def _signal_fields(task: TaskDefinition) -> list[tuple[str, Any, Place]]:
    signal = task.signal
    assert signal is not None
    pairs: list[tuple[str, Any, Place]] = [
        ("name", signal.name, ("signal", "name")),
        ("timeout", signal.timeout, ("signal", "timeout")),
    ]
    if "default" in signal.model_fields_set:
        pairs.append(("default", signal.default, ("signal", "default")))
    pairs.append(("schema", {"$const": signal.payload_schema}, ("signal", "schema")))
    return pairs


def _approval_fields(task: TaskDefinition) -> list[tuple[str, Any, Place]]:
    approval = task.approval
    assert approval is not None
    names = ["prompt", "data", "timeout"]
    names += [name for name in ("on_reject", "on_timeout") if name in approval.model_fields_set]
    names += [name for name in ASKED if approval._says(name)]
    return [(name, getattr(approval, name), ("approval", name)) for name in names]
