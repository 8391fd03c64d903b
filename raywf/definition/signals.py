"""Checking a signal's payload against what the workflow said it expects, before anything is stored."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from raywf.definition.inputs import SchemaMisfit, schema_check
from raywf.definition.model import TaskDefinition, WorkflowDefinition
from raywf.errors import InvalidInput


def check_signal(definition: WorkflowDefinition, name: str, payload: Any, *, update: bool = False) -> None:
    """Raise ``InvalidInput`` when every task that waits for this signal has a schema and the payload fits none.

    Which of them will take it is not known yet: a signal goes to the first that waits.
    """
    misfits = []
    for task, schema in _waiting(definition, name, update):
        check = schema_check(schema) if isinstance(schema, dict) else None
        if check is None:
            return
        try:
            check(payload)
            return
        except SchemaMisfit as error:
            misfits.append((task, error))
    if misfits:
        task, misfit = misfits[0]
        place = f" at payload{misfit.place}" if misfit.place else ""
        raise InvalidInput(
            f"the payload of {'update' if update else 'signal'} {name!r} does not fit what task {task.id!r} of workflow {definition.id!r} "
            f"expects{place}: {misfit.message}"
        )


def _waiting(definition: WorkflowDefinition, name: str, update: bool) -> Iterator[tuple[TaskDefinition, Any]]:
    """The tasks that wait for a signal of this name, or may (the name is known only at run time), and their schemas."""
    for task in definition.tasks:
        if task.signal is None or (task.signal.update is not None) != update:
            continue
        if task.signal.name == name or not isinstance(task.signal.name, str):
            yield task, task.signal.payload_schema
