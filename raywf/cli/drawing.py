"""`raywf graph` and `raywf validate`: workflows that are looked at, not run."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from raywf.cli.arguments import ABSENT
from raywf.cli.graph.picture import picture_of
from raywf.cli.graph.svg import to_svg
from raywf.cli.place import Place
from raywf.cli.targets import load
from raywf.client.reading import Readings, task_statuses
from raywf.core.plan import NodeKind
from raywf.definition.inputs import bind_input, call_of
from raywf.definition.model import WorkflowDefinition
from raywf.errors import NotFound, RaywfError

FORMATS = ("mermaid", "svg")


def is_target(text: str) -> bool:
    """Whether a text looks like a TARGET, rather than the id of an execution."""
    return ":" in text or text.endswith((".json", ".yaml", ".yml", ".py"))


def draw(text: str, form: str, place: Place) -> str:
    """A workflow, or an execution with the states of its tasks. Raises ``NotFound``, ``DefinitionError``."""
    if not is_target(text):
        return asyncio.run(_draw_execution(text, form, place))
    try:
        return drawn(load(text).definition, form)
    except NotFound:
        try:  # an id may have a colon as well
            return asyncio.run(_draw_execution(text, form, place))
        except RaywfError:
            pass
        raise


async def _draw_execution(execution_id: str, form: str, place: Place) -> str:
    readings = Readings(place.store, place.namespace)
    try:
        row = await readings.row(execution_id)
        state, _ = await readings.state(row)
        return drawn(await readings.definition(row.definition), form, task_statuses(state), state.status.value)
    finally:
        await readings.close()


def drawn(
    definition: WorkflowDefinition, form: str, states: Mapping[str, str] | None = None, status: str | None = None
) -> str:
    """The picture in a format of ``FORMATS``."""
    if form == "mermaid":
        return definition.to_mermaid(states)
    by_number = {at: states[task.id] for at, task in enumerate(definition.tasks) if states and task.id in states}
    return to_svg(picture_of(definition), by_number, status)


def validate(target: str, value: Any = ABSENT) -> dict[str, Any]:
    """Check everything that can be known before it runs; gives what was found.

    Raises ``NotFound``, ``DefinitionError``, ``CodeMissing``, ``InvalidInput``.
    """
    workflow = load(target)
    workflow.check()
    definition = workflow.definition
    if value is not ABSENT:
        bind_input(workflow, *call_of(workflow, value))
    kinds: dict[str, int] = {}
    for task in definition.tasks:
        kinds[task.kind.value] = kinds.get(task.kind.value, 0) + 1
    return {
        "target": target,
        "workflow": definition.id,
        "version": definition.version,
        "parameters": list(definition.parameters),
        "tasks": len(definition.tasks),
        "kinds": kinds,
        "functions": sorted(
            {task.function for task in definition.tasks if task.kind is NodeKind.CALL and task.function}
        ),
        "input_checked": value is not ABSENT,
        "content_hash": definition.content_hash,
        "valid": True,
    }


def validation_text(found: Mapping[str, Any]) -> list[str]:
    """What was checked, for people."""
    kinds = ", ".join(f"{count} {kind}" for kind, count in found["kinds"].items())
    functions = len(found["functions"])
    lines = [
        f"{found['workflow']} (version {found['version']}) is valid: {found['target']}",
        f"  tasks       {found['tasks']}{f' ({kinds})' if kinds else ''}: ids unique, dependencies known, no cycle",
        f"  functions   {functions}: each is there and takes its arguments" if functions else "  functions   none",
        f"  parameters  {', '.join(found['parameters']) or 'none'}",
    ]
    if found["input_checked"]:
        lines.append("  input       fits the parameters")
    return [*lines, f"  hash        {found['content_hash'][:16]}"]
