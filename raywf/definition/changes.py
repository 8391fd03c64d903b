"""What is different between two versions of a workflow: in words, and as a diff of their graphs."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator
from typing import Any

from raywf.definition.model import TaskDefinition, WorkflowDefinition

_HOW = ("options", "source_hash", "by_value", "then", "otherwise")


def changes(old: WorkflowDefinition, new: WorkflowDefinition) -> list[str]:
    """Every difference, a line each: ``added``, ``removed``, ``rewired``, ``changed``. Empty: they are the same but for the label."""
    before, after = {task.id: task for task in old.tasks}, {task.id: task for task in new.tasks}
    needs_before, needs_after = old.dependencies, new.dependencies
    said = list(_parameters(old, new))
    for name, task in after.items():
        if name not in before:
            needs = f", after {', '.join(needs_after[name])}" if needs_after[name] else ""
            said.append(f"added {name}{needs}")
            continue
        gained = [each for each in needs_after[name] if each not in needs_before[name]]
        lost = [each for each in needs_before[name] if each not in needs_after[name]]
        if gained or lost:
            parts = [f"needs {', '.join(gained)}"] if gained else []
            parts += [f"needs {', '.join(lost)} no more"] if lost else []
            said.append(f"rewired {name}: {'; '.join(parts)}")
        different = list(task_changes(before[name], task))
        if different and not (gained or lost):
            said.append(f"changed {name}: {'; '.join(different)}")
        elif different:
            said += [f"changed {name}: {each}" for each in different if not each.startswith(("args", "map", "kwargs"))]
    said += [f"removed {name}" for name in before if name not in after]
    for what in ("result", "configuration", "triggers"):
        if getattr(old, what) != getattr(new, what):
            said.append(f"changed the workflow's {what}")
    return said


def _parameters(old: WorkflowDefinition, new: WorkflowDefinition) -> Iterator[str]:
    for name, schema in new.parameters.items():
        if name not in old.parameters:
            yield f"added parameter {name}" + (" (it has a default)" if "default" in schema else "")
        elif old.parameters[name] != schema:
            yield f"changed parameter {name}: {_short(old.parameters[name])} is now {_short(schema)}"
    yield from (f"removed parameter {name}" for name in old.parameters if name not in new.parameters)


def task_changes(old: TaskDefinition, new: TaskDefinition) -> Iterator[str]:
    """What is different about one task."""
    was, now = old._as_data(), new._as_data()
    for name in sorted((was.keys() | now.keys()) - {"source_hash", "by_value", "workflow", "id"}):
        if was.get(name) != now.get(name):
            yield f"{name}: {_short(was.get(name))} is now {_short(now.get(name))}"
    if old.workflow is not None and new.workflow is not None and old.workflow.content_hash != new.workflow.content_hash:
        yield f"its child workflow {new.workflow.id} has changed"
    if old.function is not None and old.function == new.function and old.source_hash != new.source_hash:
        yield "its code"


def _short(value: Any) -> str:
    text = "not given" if value is None else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else text[:59] + "…"


def graph_diff(old: WorkflowDefinition, new: WorkflowDefinition) -> str:
    """A unified diff of the two graphs, a line for each task with what it needs."""
    names = [f"{each.id} {each.version} ({each.content_hash[:12]})" for each in (old, new)]
    lines = difflib.unified_diff(graph_lines(old), graph_lines(new), names[0], names[1], lineterm="", n=2)
    return "\n".join(lines)


def graph_lines(definition: WorkflowDefinition) -> list[str]:
    """The graph as text: parameters, then each task as ``id = what(needs) how``."""
    needs = definition.dependencies
    lines = [
        f"parameter {name} {json.dumps(schema, ensure_ascii=False)}" for name, schema in definition.parameters.items()
    ]
    for task in definition.tasks:
        data = task._as_data()
        given = {name: data[name] for name in ("args", "map", "kwargs") if name in data}
        rest = {
            name: value for name, value in data.items() if name not in (*given, "id", "function", "workflow", *_HOW)
        }
        what = task.function or (f"workflow {task.workflow.id}" if task.workflow is not None else task.kind.value)
        code = f" code {task.source_hash[:8]}" if task.source_hash else ""
        said = " ".join(json.dumps(each, ensure_ascii=False) for each in (given, rest, task.options) if each)
        lines.append(f"{task.id} = {what}({', '.join(needs[task.id])}){code}{' ' if said else ''}{said}")
    return [*lines, f"result {json.dumps(definition.result, ensure_ascii=False, default=str)}"]
