"""Submits of workflows with a start rule (debounce, singleton, batch): rows of the inbox, and the execution they become part of."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from raywf.core.collecting import StartRule, rule_from
from raywf.core.ids import SHARDS, shard_of
from raywf.definition.inputs import bind_input
from raywf.definition.model import WorkflowDefinition
from raywf.definition.starts import collector_id
from raywf.definition.workflows import Workflow
from raywf.errors import AlreadyExists, InvalidInput, NotConnected
from raywf.journal.factory import ReadingInbox
from raywf.ports import InboxRow, ScheduleRow
from raywf.runtime.collecting import MARK, inbox_of
from raywf.runtime.definitions import definition_row
from raywf.runtime.parts import SubmitRequest

if TYPE_CHECKING:
    from raywf.client.engine import AsyncWorkflowEngine
    from raywf.client.lane import Lane


def rule_of(definition: WorkflowDefinition) -> StartRule | None:
    data = definition.configuration.get("start")
    return None if data is None else rule_from(data)


def bind_submit(
    target: Workflow[..., Any] | WorkflowDefinition, rule: StartRule, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> bytes:
    """The encoded arguments of one submit; of a batch those of a list of its one item. Raises ``InvalidInput``."""
    if rule.kind != "batch":
        return bind_input(target, args, kwargs)
    given = [*args, *kwargs.values()]
    if len(given) != 1:
        raise InvalidInput(
            f"a submit gives one item to the batch of workflow {target.id!r}, and {len(given)} were given"
        )
    return bind_input(target, ([given[0]],), {})


def submit_row(
    definition: WorkflowDefinition,
    rule: StartRule,
    input_: bytes,
    lane: str,
    namespace: str,
    submit: str,
    start: dict[str, Any],
) -> InboxRow:
    """A submit as a row of the inbox; its ``execution`` is the collector of its key."""
    values = json.loads(input_)
    scope: dict[str, Any] = {"input": values, "tags": start.get("tags") or {}}
    body = {**start, "rule": definition.configuration["start"], "definition": definition.content_hash}
    if rule.kind == "batch":
        ((parameter, (item,)),) = values.items()
        scope["input"] = {"item": item}
        body |= {"parameter": parameter, "item": json.dumps(item, ensure_ascii=False)}
    else:
        body["input"] = input_.decode()
    collector = collector_id(definition.id, rule.key, scope)
    data = json.dumps(body).encode()
    return InboxRow(0, namespace, collector, inbox_of(lane), "collect", data, submit, start.get("by"), time.time())


async def mark(inbox: ReadingInbox, namespace: str, lane: str, definition: WorkflowDefinition) -> None:
    """Have the definition in the store, and owners of a lane look for submits that are collected."""
    await inbox.put_definition(definition_row(definition))
    id = f"{MARK}:{lane}"
    if any(row.id == id for row in await inbox.schedules(namespace)):
        return
    await inbox.put_schedule(
        ScheduleRow(namespace, id, lane, shard_of(id), b'{"kind": "start"}', math.inf, False, None)
    )
    now = time.time()
    for (
        name
    ) in _one_in_each_shard():  # once for each lane: whoever owns any shard of it hears that there is something new
        await inbox.send(InboxRow(0, namespace, name, lane, "schedules", b"{}", id, None, now))


def _one_in_each_shard() -> list[str]:
    found: dict[int, str] = {}
    number = 0
    while len(found) < SHARDS:
        found.setdefault(shard_of(f"@{number}"), f"@{number}")
        number += 1
    return list(found.values())


async def collect(
    engine: AsyncWorkflowEngine, lane: Lane, workflow: Workflow[..., Any], rule: StartRule, request: SubmitRequest
) -> str:
    """Accept one submit, and say which execution it becomes part of. Raises ``AlreadyExists`` where it is skipped."""
    definition, inbox = workflow.definition, engine._commands().inbox
    await engine._prepare(lane, workflow)
    known = f"{MARK}:{lane.spec.lane}:{definition.content_hash}"
    if known not in engine._prepared:
        await mark(inbox, engine.namespace, lane.spec.lane, definition)
        engine._prepared.add(known)
    start = {
        "priority": request.priority,
        "deadline": request.deadline,
        "tags": request.tags,
        "traceparent": request.traceparent,
        "by": request.by,
    }
    row = submit_row(definition, rule, request.input, lane.spec.lane, engine.namespace, request.id, start)
    await inbox.send(row)
    verdict, execution = await lane.ask(
        row.execution, lambda member: member.submitted.remote(lane.client, row.execution, request.id)
    )
    if verdict == "skipped":
        raise AlreadyExists(
            f"execution {execution!r} runs, and workflow {definition.id!r} has one of this key at a time: nothing was started. "
            "on_conflict='join' gives that one, 'cancel_previous' takes its place"
        )
    if verdict != "execution":
        raise NotConnected(
            f"submit {request.id!r} was accepted, and what has become of it is not known here any more: `raywf ls` shows "
            f"the executions of {definition.id!r}"
        )
    return str(execution)
