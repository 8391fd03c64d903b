"""A definition as a Mermaid flowchart. Diamonds decide, hexagons ask a person, doubled boxes fan out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from raywf.core.bindings import references
from raywf.core.plan import NodeKind
from raywf.definition.graph import Graph

if TYPE_CHECKING:
    from raywf.definition.model import TaskDefinition, WorkflowDefinition

_COLOURS = {
    "pending": "fill:#f5f5f5,stroke:#999,color:#333",
    "ready": "fill:#e3f2fd,stroke:#1976d2,color:#0d3c61",
    "running": "fill:#bbdefb,stroke:#1976d2,color:#0d3c61",
    "waiting": "fill:#fff3cd,stroke:#b58900,color:#5c4500",
    "retrying": "fill:#ffe0b2,stroke:#e65100,color:#6b2600",
    "completed": "fill:#d4edda,stroke:#2e7d32,color:#1b4620",
    "failed": "fill:#f8d7da,stroke:#c62828,color:#6d1616",
    "skipped": "fill:#fafafa,stroke:#ccc,color:#999,stroke-dasharray:4",
    "cancelled": "fill:#eeeeee,stroke:#666,color:#555,stroke-dasharray:4",
}


def mermaid(definition: WorkflowDefinition, states: Mapping[str, str]) -> str:
    """The flowchart. ``states`` maps task ids to statuses."""
    graph = Graph(definition)
    lines = ["flowchart TD"]
    lines += [f"    input([{label(', '.join(definition.parameters))}])"] if definition.parameters else []
    lines += [f"    t{at}{_shape(task)}" for at, task in enumerate(definition.tasks)]
    lines.append(f"    result([{label('result')}])")
    lines += [f"    {line}" for line in dict.fromkeys(_edges(definition, graph))]
    shown = {at: states[task.id] for at, task in enumerate(definition.tasks) if states.get(task.id) in _COLOURS}
    lines += [f"    class t{at} {status}" for at, status in shown.items()]
    lines += [f"    classDef {status} {_COLOURS[status]}" for status in sorted(set(shown.values()))]
    return "\n".join(lines) + "\n"


def label(text: str) -> str:
    """Text as a quoted Mermaid label: no character of it can end the label or mean something."""
    escaped = "".join(_ENTITIES.get(char, char) for char in text)
    return f'"{escaped}"'


_ENTITIES = {char: f"#{ord(char)};" for char in '"#&<>`\\|;*~'} | {"\n": "<br/>", "\r": "", "\t": " "}


def _shape(task: TaskDefinition) -> str:
    name = task.id if task.map is None else f"{task.id} × n"
    match task.kind:
        case NodeKind.WHEN:
            return f"{{{label(f'{name}?')}}}"
        case NodeKind.APPROVAL:
            return f"{{{{{label(f'{name} (a person)')}}}}}"
        case NodeKind.LOOP:
            return f"{{{{{label(f'{name} (again and again)')}}}}}"
        case NodeKind.SLEEP:
            return f"([{label(f'{name} (time)')}])"
        case NodeKind.SIGNAL:
            return f">{label(f'{name} (signal)')}]"
        case NodeKind.GATHER:
            return f"(({label(name)}))"
        case NodeKind.AGGREGATE:
            return f"[\\{label(f'{name} (merge)')}/]"
        case NodeKind.CHILD:
            child = task.workflow.id if task.workflow is not None else ""
            text = name if child == task.id else f"{name}: workflow {child}"
            return f"[[{label(text)}]]" if task.map is not None else f"[/{label(text)}/]"
        case NodeKind.CALL:
            return f"[[{label(name)}]]" if task.map is not None else f"[{label(name)}]"


def _edges(definition: WorkflowDefinition, graph: Graph) -> list[str]:
    edges = []
    for at in range(len(definition.tasks)):
        guard = graph.guard[at]
        data, after = graph.data_needs(at), graph.after[at]
        inside = [each for each in (*data, *after) if graph.guard[each] == guard]
        if guard is not None and not inside:
            edges.append(f"t{guard[0]} -->|{_way_in(graph, *guard)}| t{at}")
        for need in data:
            edges += [edge + f" t{at}" for edge in _sources(graph, need)]
        edges += [f"t{need} -.-> t{at}" for need in after]
        if guard is None and not data and not after and definition.parameters:
            edges.append(f"input --> t{at}")
        if graph.tasks[at].loop is not None:
            ends = [each for each in graph.side_needs(at, True) if at in graph.loops[each]]
            edges += [edge + f"|again| t{at}" for end in ends for edge in _sources(graph, end) if "|" not in edge]
    for need in references(graph.result):
        edges += [edge + " result" for edge in _sources(graph, need)]
    return edges


def _way_in(graph: Graph, guard: int, side: bool) -> str:
    """What the edge into a side or a body says."""
    if graph.tasks[guard].loop is not None:
        return "each pass"
    return "then" if side else "otherwise"


def _sources(graph: Graph, task: int) -> list[str]:
    """The beginnings of the edges from a task's value: that of a ``when`` comes from the tasks of its sides."""
    if graph.tasks[task].when is None:
        return [f"t{task} -->"]
    found = []
    for side in (True, False):
        inside = [each for each in graph.side_needs(task, side) if graph.guard[each] == (task, side)]
        if not inside:
            found.append(f"t{task} -->|{'then' if side else 'otherwise'}|")
        for each in inside:
            found += _sources(graph, each)
    return found
