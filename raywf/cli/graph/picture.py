"""What there is to draw of a definition: nodes, and the arrows between them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from raywf.core.bindings import references
from raywf.core.plan import NodeKind
from raywf.definition.graph import Graph
from raywf.definition.model import TaskDefinition, WorkflowDefinition

INPUT = -1
RESULT = -2


class Node(NamedTuple):
    """``key`` is a task's number, ``INPUT`` or ``RESULT``; ``kind`` a task's kind, ``input`` or ``result``."""

    key: int
    kind: str
    label: str
    note: str
    mapped: bool = False


class Edge(NamedTuple):
    """``dotted`` is order without data."""

    source: int
    target: int
    label: str = ""
    dotted: bool = False


@dataclass(frozen=True, slots=True)
class Picture:
    title: str
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]


def picture_of(definition: WorkflowDefinition) -> Picture:
    """Nodes in the order of the definition, the input first and the result last."""
    graph = Graph(definition)
    nodes = [Node(INPUT, "input", ", ".join(definition.parameters), "input")] if definition.parameters else []
    nodes += [_node(at, task) for at, task in enumerate(definition.tasks)]
    nodes.append(Node(RESULT, "result", "result", ""))
    edges = dict.fromkeys(_edges(definition, graph))
    return Picture(f"{definition.name} (version {definition.version})", tuple(nodes), tuple(edges))


def _node(at: int, task: TaskDefinition) -> Node:
    mapped = task.map is not None
    return Node(at, task.kind.value, f"{task.id} × n" if mapped else task.id, _note(task), mapped)


def _note(task: TaskDefinition) -> str:
    match task.kind:
        case NodeKind.WHEN:
            return "decides"
        case NodeKind.APPROVAL:
            return "asks a person"
        case NodeKind.LOOP:
            return "again and again"
        case NodeKind.SLEEP:
            return "waits for time"
        case NodeKind.SIGNAL:
            return "waits for a signal"
        case NodeKind.GATHER:
            return "gathers"
        case NodeKind.AGGREGATE:
            return "merges"
        case NodeKind.CHILD:
            return f"workflow {task.workflow.id}" if task.workflow is not None else "workflow"
        case NodeKind.CALL:
            on_ray = task.options.get("runs_on") == "ray"
            return "Ray task" if on_ray else ""


def _edges(definition: WorkflowDefinition, graph: Graph) -> Iterator[Edge]:
    for at in range(len(definition.tasks)):
        guard = graph.guard[at]
        data, after = graph.data_needs(at), graph.after[at]
        if guard is not None and not any(graph.guard[each] == guard for each in (*data, *after)):
            inside = "each pass" if graph.tasks[guard[0]].loop is not None else ("then" if guard[1] else "otherwise")
            yield Edge(guard[0], at, inside)
        for need in data:
            yield from (edge._replace(target=at) for edge in _sources(graph, need))
        yield from (Edge(need, at, dotted=True) for need in after)
        if guard is None and not data and not after and definition.parameters:
            yield Edge(INPUT, at)
    for need in references(graph.result):
        yield from (edge._replace(target=RESULT) for edge in _sources(graph, need))


def _sources(graph: Graph, task: int) -> Iterator[Edge]:
    """Where a task's value comes from: that of a ``when`` from the tasks of its sides."""
    if graph.tasks[task].when is None:
        yield Edge(task, task)
        return
    for side in (True, False):
        inside = [each for each in graph.side_needs(task, side) if graph.guard[each] == (task, side)]
        if not inside:
            yield Edge(task, task, "then" if side else "otherwise")
        for each in inside:
            yield from _sources(graph, each)
