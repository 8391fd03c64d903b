"""Schedules and triggers that follow the current version of their workflow, instead of the one that they were made with."""

from __future__ import annotations

from dataclasses import replace

from raywf.client.events import EventSpec
from raywf.client.fingerprints import fingerprint
from raywf.core.schedules import kind_of, spec_from
from raywf.definition.inputs import bind_input, input_values
from raywf.definition.model import WorkflowDefinition
from raywf.errors import InvalidInput
from raywf.journal.factory import ReadingInbox
from raywf.ports import ScheduleRow


async def following(inbox: ReadingInbox, namespace: str, definition: WorkflowDefinition) -> list[ScheduleRow]:
    """The schedules and triggers that follow this workflow, as they are under this version of it. Raises ``InvalidInput`` where the
    arguments of one do not fit."""
    found = []
    for row in await inbox.schedules(namespace):
        match kind_of(row.spec):
            case "schedule":
                moved = _schedule(row, definition)
            case "event":
                moved = _event(row, definition)
            case _:
                moved = None
        if moved is not None:
            found.append(moved)
    return found


def _schedule(row: ScheduleRow, definition: WorkflowDefinition) -> ScheduleRow | None:
    spec = spec_from(row.spec)
    if not spec.follow or spec.workflow != definition.id:
        return None
    try:
        input_ = bind_input(definition, (), input_values(spec.input.encode()))
    except InvalidInput as error:
        raise InvalidInput(
            f"schedule {row.id!r} follows workflow {definition.id!r}, and its arguments do not fit version "
            f"{definition.version} ({definition.content_hash[:12]}): {error}. Nothing was deployed: give the parameter a default, "
            f"or make the schedule anew"
        ) from None
    moved = replace(
        spec, definition=definition.content_hash, input=input_.decode(), fingerprint=fingerprint(definition, input_)
    )
    return row._replace(spec=moved.to_json())


def _event(row: ScheduleRow, definition: WorkflowDefinition) -> ScheduleRow | None:
    spec = EventSpec.model_validate_json(row.spec)
    if not spec.follow or spec.workflow != definition.id:
        return None
    moved = spec.model_copy(update={"definition": definition.content_hash})
    return row._replace(spec=moved.model_dump_json().encode())


async def follow(inbox: ReadingInbox, namespace: str, definition: WorkflowDefinition) -> list[str]:
    """Let whatever follows this workflow start this version from now on. Returns the ids. Twice is once."""
    ids = []
    before = {row.id: row for row in await inbox.schedules(namespace)}
    for row in await following(inbox, namespace, definition):
        if row != before.get(row.id):
            await inbox.put_schedule(row)
        ids.append(row.id)
    return ids
