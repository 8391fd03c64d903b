"""A workflow's triggers put into effect: rows of the store, checked all before the first is stored."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from raywf.client.collecting import mark, rule_of
from raywf.client.events import EventSpec, event_rows
from raywf.client.schedules import ABSENT, Schedules, check_id, spec_of
from raywf.core.ids import shard_of
from raywf.core.schedules import Spec, kind_of, spec_from
from raywf.definition.schedules import TIMETABLE
from raywf.definition.triggers import check_triggers
from raywf.definition.workflows import Workflow
from raywf.errors import AlreadyExists, InvalidInput
from raywf.ports import ScheduleRow
from raywf.runtime.definitions import definition_row

DECLARED = "@workflow"
"""Who made what a workflow declares itself."""


async def register(
    schedules: Schedules, workflow: Workflow[..., Any], lane: str, triggers: Sequence[Mapping[str, Any]] | None = None
) -> list[str]:
    """Put a workflow's own triggers into effect and end those it has no more; or put others into effect beside them. Returns
    their ids. Raises ``InvalidInput``, ``DefinitionError``, ``AlreadyExists``."""
    definition, own = workflow.definition, triggers is None
    given = [dict(each) for each in (definition.triggers if triggers is None else triggers)]
    check_triggers(f"workflow {definition.id!r}", given)
    workflow.check()
    by = DECLARED if own else None
    wanted: dict[str, Spec | EventSpec] = {}
    for trigger in given:
        if trigger["type"] == "manual":
            continue
        id = check_id(trigger.get("id") or _free(_stem(definition.id, trigger), wanted))
        if id in wanted:
            raise InvalidInput(f"workflow {definition.id!r} has two triggers with id {id!r}: ids are unique")
        wanted[id] = _spec(workflow, trigger, by)
    await _refuse_taken(schedules, definition.id, wanted)
    for id, spec in wanted.items():
        if isinstance(spec, Spec):
            await schedules.put(workflow, spec, lane, id, False)
        else:
            await _put_event(schedules, workflow, lane, id, spec)
    if own:
        await _end_others(schedules, definition.id, wanted)
    return list(wanted)


def _stem(workflow: str, trigger: Mapping[str, Any]) -> str:
    return workflow if trigger["type"] == "cron" else f"{workflow}@{trigger['name']}"


def _free(stem: str, taken: Mapping[str, Any]) -> str:
    number, id = 1, stem
    while id in taken:
        number += 1
        id = f"{stem}-{number}"
    return id


def _spec(workflow: Workflow[..., Any], trigger: Mapping[str, Any], by: str | None) -> Spec | EventSpec:
    if trigger["type"] == "event":
        definition = workflow.definition
        said = {name: value for name, value in trigger.items() if name != "id"}
        follow = bool(trigger.get("follow"))
        return EventSpec(trigger=said, workflow=definition.id, definition=definition.content_hash, by=by, follow=follow)
    args = ABSENT if trigger.get("args") is None else trigger["args"]
    spec = spec_of(workflow, args, {name: trigger.get(name) for name in TIMETABLE}, 0, None, by)
    return replace(spec, follow=bool(trigger.get("follow")))


async def _refuse_taken(schedules: Schedules, workflow: str, wanted: Mapping[str, Spec | EventSpec]) -> None:
    for row in await schedules.inbox.schedules(schedules.namespace):
        if row.id not in wanted:
            continue
        kind = kind_of(row.spec)
        whose = spec_from(row.spec).workflow if kind == "schedule" else EventSpec.model_validate_json(row.spec).workflow
        if kind != ("schedule" if isinstance(wanted[row.id], Spec) else "event") or whose != workflow:
            raise AlreadyExists(f"trigger {row.id!r} belongs to workflow {whose!r}: give this one an id of its own")


async def _put_event(schedules: Schedules, workflow: Workflow[..., Any], lane: str, id: str, spec: EventSpec) -> None:
    await schedules.inbox.put_definition(definition_row(workflow.definition))
    if rule_of(workflow.definition) is not None:
        await mark(schedules.inbox, schedules.namespace, lane, workflow.definition)
    body = spec.model_dump_json().encode()
    row = ScheduleRow(schedules.namespace, id, lane, shard_of(id), body, math.inf, False, None)
    await schedules.inbox.put_schedule(row)
    await schedules.tell(row)


async def _end_others(schedules: Schedules, workflow: str, wanted: Mapping[str, Spec | EventSpec]) -> None:
    for row in await schedules.rows():
        known = spec_from(row.spec)
        if known.workflow == workflow and known.by == DECLARED and row.id not in wanted:
            await schedules.delete(row.id)
    for row, spec in await event_rows(schedules.inbox, schedules.namespace):
        if spec.workflow == workflow and spec.by == DECLARED and row.id not in wanted:
            await schedules.inbox.drop_schedule(schedules.namespace, row.id)
