"""Checking a signal's payload against what the workflow said it expects, before anything is stored."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from raywf.definition.model import WorkflowDefinition
from raywf.errors import InvalidInput


def check_signal(definition: WorkflowDefinition, name: str, payload: Any) -> None:
    """Raise ``InvalidInput`` when a task that waits for this signal has a schema that the payload does not fit."""
    for task in definition.tasks:
        schema = task.signal.payload_schema if task.signal is not None and task.signal.name == name else None
        if not isinstance(schema, dict):
            continue
        import jsonschema

        plain = payload.model_dump(mode="json") if isinstance(payload, BaseModel) else payload
        try:
            jsonschema.validate(plain, schema)
        except jsonschema.ValidationError as error:
            place = "".join(f"[{part!r}]" for part in error.absolute_path)
            raise InvalidInput(
                f"the payload of signal {name!r} does not fit what task {task.id!r} expects"
                f"{f' at {place}' if place else ''}: {error.message}"
            ) from None
