"""``compile_plan``: a definition made ready to run, tasks in a stable topological order."""

from __future__ import annotations

import heapq
from dataclasses import replace
from typing import Any

from raywf.core.bindings import Ref
from raywf.core.plan import FunctionRef, Node, NodeKind, Plan
from raywf.definition.compensation import compensation_options, compensation_ref
from raywf.definition.expressions import read_value
from raywf.definition.fallback import fallback_ref
from raywf.definition.graph import Graph
from raywf.definition.limits import uses
from raywf.definition.merging import merges_of, needs_of, with_merges
from raywf.definition.model import TaskDefinition, WorkflowDefinition
from raywf.definition.options import from_data
from raywf.definition.reads import Reads, read_task, resolver
from raywf.definition.updates import validator_ref


def compile_plan(definition: WorkflowDefinition) -> Plan:
    """The plan of a definition. Every task comes after all it needs; otherwise the order written is kept."""
    graph = Graph(definition)
    order = topological_order(graph)
    index = {definition.tasks[at].id: place for place, at in enumerate(order)}
    place_of = {at: place for place, at in enumerate(order)}
    resolve = resolver(definition, index)
    needs = [tuple(sorted(place_of[each] for each in graph.needs(at))) for at in order]
    merges = merges_of(graph, place_of)
    for place, merge in merges.items():
        guard = graph.guard[order[place]]
        needs[place] = needs_of(place, merge, needs, None if guard is None else place_of[guard[0]])
    nodes = []
    for place, at in enumerate(order):
        task = definition.tasks[at]
        guard = graph.guard[at]
        reads = read_task(task, resolve, ("tasks", at))
        node = _node(place, task, reads, needs[place], None if guard is None else (place_of[guard[0]], guard[1]))
        nodes.append(replace(node, loops=tuple(place_of[each] for each in graph.loops[at])))
    nodes = _linked(nodes, graph, order, place_of)
    if merges:
        nodes = with_merges(nodes, merges)
    nodes = _with_compensations(nodes, [definition.tasks[at].options for at in order])
    return Plan(
        workflow=definition.id,
        version=definition.version,
        definition=definition.content_hash,
        nodes=tuple(nodes),
        result=read_value(definition.result, resolve, ("result",)),
        index={node.id: node.index for node in nodes},
        undo=tuple(node.index for node in nodes if node.undoes is not None),
        dependents_of_sides=_dependents_of_sides(nodes),
        limits=uses(definition.configuration.get("limits", ())),
    )


def topological_order(graph: Graph) -> list[int]:
    """Kahn's algorithm with the written order as tie-break, over decisions and values of ``when``."""
    count = len(graph.tasks)
    waits = graph.moments()
    woken: list[list[int]] = [[] for _ in waits]
    missing = [len(each) for each in waits]
    for moment, each in enumerate(waits):
        for needed in each:
            woken[needed].append(moment)
    ready = [(at, at) for at in range(count) if not missing[at]]
    heapq.heapify(ready)
    order: list[int] = []
    while ready:
        _, moment = heapq.heappop(ready)
        if moment < count:
            order.append(moment)
        for other in woken[moment]:
            missing[other] -= 1
            if not missing[other]:
                # A value is no step of its own: it is there as soon as it can be, so it goes before all decisions.
                heapq.heappush(ready, (other if other < count else -1, other))
    return order


def _node(
    place: int, task: TaskDefinition, reads: Reads, needs: tuple[int, ...], guard: tuple[int, bool] | None
) -> Node:
    return Node(
        index=place,
        id=task.id,
        kind=task.kind,
        needs=needs,
        guard=guard,
        function=validator_ref(task)
        if task.function is None
        else FunctionRef(task.function, task.source_hash, task.by_value),
        child=None if task.workflow is None else task.workflow.content_hash,
        args=tuple(reads.args),
        kwargs=tuple(reads.kwargs),
        mapped=task.map is not None,
        options=from_data(task.options),
        fallback=fallback_ref(task.options),
        condition=reads.condition if reads.until is None else reads.until,
        on_limit="fail" if task.loop is None else task.loop.on_limit,
        update=task.signal is not None and task.signal.update is not None,
        result_then=reads.result_then,
        result_otherwise=reads.result_otherwise,
    )


def _linked(nodes: list[Node], graph: Graph, order: list[int], place_of: dict[int, int]) -> list[Node]:
    """The same nodes, knowing whom they wake. A ``when`` wakes the members of its side when it decides, not later."""
    dependents: list[list[int]] = [[] for _ in nodes]
    sides: dict[tuple[int, bool], list[int]] = {}
    bodies: dict[int, list[int]] = {}
    for node in nodes:
        if node.loops:
            bodies.setdefault(node.loops[-1], []).append(node.index)
        for need in node.needs:
            if node.guard is None or node.guard[0] != need:
                dependents[need].append(node.index)
        if node.guard is not None:
            sides.setdefault(node.guard, []).append(node.index)
    linked = []
    for node, at in zip(nodes, order, strict=True):
        changed = replace(node, dependents=tuple(dependents[node.index]))
        if node.kind is NodeKind.LOOP:
            changed = replace(changed, then=tuple(sides[node.index, True]), body=tuple(bodies[node.index]))
        if node.kind is NodeKind.WHEN:
            changed = replace(
                changed,
                then=tuple(sides.get((node.index, True), ())),
                otherwise=tuple(sides.get((node.index, False), ())),
                needs_then=tuple(sorted(place_of[each] for each in graph.side_needs(at, True))),
                needs_otherwise=tuple(sorted(place_of[each] for each in graph.side_needs(at, False))),
            )
        linked.append(changed)
    return linked


def _with_compensations(nodes: list[Node], options: list[dict[str, Any]]) -> list[Node]:
    """The same nodes, followed by those that take their effects back."""
    undone, undoing = list(nodes), list[Node]()
    for node, given in zip(nodes, options, strict=True):
        function = compensation_ref(given)
        if function is not None:
            undone[node.index] = replace(node, undone_by=len(nodes) + len(undoing))
            undoing.append(
                Node(
                    index=len(nodes) + len(undoing),
                    id=f"undo:{node.id}",
                    kind=NodeKind.CALL,
                    function=function,
                    args=(Ref(node.index),),
                    mapped=node.mapped,
                    options=compensation_options(given),
                    undoes=node.index,
                )
            )
    return undone + undoing


def _dependents_of_sides(nodes: list[Node]) -> tuple[tuple[int, ...], ...]:
    found: list[list[int]] = [[] for _ in nodes]
    for node in nodes:
        for need in sorted({*node.needs_then, *node.needs_otherwise}):
            found[need].append(node.index)
    return tuple(tuple(each) for each in found)
