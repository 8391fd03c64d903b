"""Events: emitted by name, and starting whatever waits for them. Rows in the store's inbox; no engine is needed.

An event goes to the triggers that are there when it is emitted. The execution that it starts is called ``TRIGGER:EVENT``, and each
trigger takes an event id once: whoever does not know whether an event was accepted emits it again under the same id.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict
from pydantic_core import from_json

from raywf.client.checks import check_text
from raywf.client.collecting import bind_submit, rule_of, submit_row
from raywf.client.fingerprints import fingerprint
from raywf.client.of_engine import OfEngine
from raywf.client.webhooks import Webhook
from raywf.core.ids import check_execution_id
from raywf.core.schedules import kind_of
from raywf.definition import events as of
from raywf.definition.inputs import bind_input, call_of
from raywf.definition.lines import did_you_mean
from raywf.definition.model import WorkflowDefinition
from raywf.definition.values import encode
from raywf.errors import DefinitionError, InvalidInput, NotFound
from raywf.journal.factory import ReadingInbox
from raywf.ports import InboxRow, ScheduleRow

_LONGEST_ID = 90


class Emitted(BaseModel):
    """What became of an event. ``started``: execution ids (of a workflow that collects: its collector's), by trigger; they
    begin as soon as an engine of their project takes them.
    ``repeated``: those among them that the same event had started before. ``passed``: why other triggers of this name did not
    want it. ``hint``: where no trigger has this name, and another one nearly does."""

    model_config = ConfigDict(frozen=True)

    id: str
    name: str
    started: dict[str, str]
    repeated: list[str]
    passed: dict[str, str]
    hint: str = ""


class TriggerDescription(BaseModel):
    """A trigger by event that is in effect. ``where`` and ``args`` as data."""

    model_config = ConfigDict(frozen=True)

    id: str
    event: str
    workflow: str
    where: dict[str, Any] | None
    args: Any
    by: str | None


class EventSpec(BaseModel):
    """A trigger by event as it is stored."""

    model_config = ConfigDict(frozen=True)

    kind: str = "event"
    trigger: dict[str, Any]
    workflow: str
    definition: str
    by: str | None = None
    follow: bool = False


async def event_rows(inbox: ReadingInbox, namespace: str) -> list[tuple[ScheduleRow, EventSpec]]:
    rows = await inbox.schedules(namespace)
    return [(row, EventSpec.model_validate_json(row.spec)) for row in rows if kind_of(row.spec) == "event"]


async def triggers(inbox: ReadingInbox, namespace: str) -> list[TriggerDescription]:
    """The triggers by event of a namespace, by id."""
    return [
        TriggerDescription(
            id=row.id,
            event=spec.trigger["name"],
            workflow=spec.workflow,
            where=spec.trigger.get("where"),
            args=spec.trigger.get("args"),
            by=spec.by,
        )
        for row, spec in await event_rows(inbox, namespace)
    ]


async def drop_trigger(inbox: ReadingInbox, namespace: str, id: str) -> None:
    """Let events start it no more; what they have started goes on. Raises ``NotFound``."""
    known = [row.id for row, _ in await event_rows(inbox, namespace)]
    if id not in known:
        raise NotFound(
            f"there is no trigger {id!r} by event in namespace {namespace!r}.{did_you_mean(id, known)} "
            f"There are: {', '.join(known[:10]) or 'none yet'}"
        )
    await inbox.drop_schedule(namespace, id)


async def emit(
    inbox: ReadingInbox, namespace: str, name: str, payload: Any = None, id: str | None = None, by: str | None = None
) -> Emitted:
    """Emit an event: returns when every execution that it starts is accepted. With an ``id``, a repeat starts nothing again.

    Raises ``InvalidInput`` where the payload does not fit the parameters of a workflow that wants it; nothing is stored then.
    """
    try:
        of.check_name("emit", name)
    except DefinitionError as error:
        raise InvalidInput(str(error)) from None
    id = uuid.uuid4().hex if id is None else check_event_id(id)
    event = from_json(encode(payload))
    rows = await event_rows(inbox, namespace)
    wanted: list[tuple[ScheduleRow, InboxRow]] = []
    passed: dict[str, str] = {}
    for row, spec in rows:
        if spec.trigger["name"] != name:
            continue
        why = of.why_not(spec.trigger, event)
        if why is None:
            wanted.append((row, await _command(inbox, row, spec, event, id, by)))
        else:
            passed[row.id] = why
    started, repeated = {}, []
    for row, command in wanted:
        if not await inbox.send(command):
            repeated.append(command.execution)
        started[row.id] = command.execution
    names = {spec.trigger["name"] for _, spec in rows}
    hint = "" if name in names else did_you_mean(name, names).strip()
    return Emitted(id=id, name=name, started=started, repeated=repeated, passed=passed, hint=hint)


async def _command(
    inbox: ReadingInbox, row: ScheduleRow, spec: EventSpec, event: Any, id: str, by: str | None
) -> InboxRow:
    """What an event asks of the owner: start an execution, or collect it with others. Raises ``InvalidInput``."""
    stored = await inbox.definition(spec.definition)
    assert stored is not None, f"the definition of trigger {row.id} is not in the store"
    definition = WorkflowDefinition.from_json(stored.body)
    rule, name = rule_of(definition), spec.trigger["name"]
    start = {"tags": {"trigger": row.id, "event": name}, "by": by or f"event {name}"}
    try:
        value = of.argument(spec.trigger, event)
        if rule is not None:
            args, kwargs = ((value,), {}) if rule.kind == "batch" else call_of(definition, value)
            input_ = bind_submit(definition, rule, args, kwargs)
            return submit_row(definition, rule, input_, row.lane, row.namespace, f"{row.id}:{id}", start)
        input_ = bind_input(definition, *call_of(definition, value))
    except (InvalidInput, LookupError) as error:
        raise InvalidInput(
            f"event {name!r} does not fit trigger {row.id!r}: {error}. Nothing was started; args= of "
            "raywf.on_event says which part of an event becomes which argument"
        ) from None
    start |= {
        "definition": spec.definition,
        "input": input_.decode(),
        "fingerprint": fingerprint(spec.workflow, input_),
    }
    body = json.dumps(start).encode()
    return InboxRow(0, row.namespace, f"{row.id}:{id}", row.lane, "start", body, "start", by, time.time())


def check_event_id(id: object) -> str:
    if not isinstance(id, str) or len(id) > _LONGEST_ID:
        raise InvalidInput(f"event id {id!r:.120} cannot be used: it is a text of 1 to {_LONGEST_ID} characters")
    try:
        return check_text("the event's id", check_execution_id(id))
    except InvalidInput as error:
        raise InvalidInput(str(error).replace("execution_id", "event id")) from None


class EventsOfEngine(OfEngine):
    """What an engine offers about events."""

    async def emit(self, name: str, payload: Any = None, id: str | None = None) -> Emitted:
        """Emit an event: returns when every execution that it starts is accepted. With an ``id``, a repeat starts nothing
        again. Raises ``InvalidInput`` where the payload does not fit a workflow that wants it; nothing is stored then."""
        emitted = await emit(self._commands().inbox, self.namespace, name, payload, id)
        for execution in emitted.started.values():
            self._poke(execution)
        return emitted

    async def receive(self, webhook: Webhook, headers: Mapping[str, str], body: bytes) -> Emitted:
        """Emit the event of a webhook's request (``raywf.Webhook``). Raises ``PermissionDenied`` for a signature that is not
        right, ``InvalidInput`` for a body that cannot be read."""
        name, payload, id = webhook.event(headers, body, time.time())
        return await self.emit(name, payload, id)

    async def triggers(self) -> list[TriggerDescription]:
        """The triggers by event that are in effect, by id."""
        return await triggers(self._commands().inbox, self.namespace)

    async def drop_trigger(self, id: str) -> None:
        """Let events start it no more; what they have started goes on. Raises ``NotFound``."""
        await drop_trigger(self._commands().inbox, self.namespace, id)
