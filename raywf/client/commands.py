"""Commands to executions: rows in the store's inbox. They need no engine; the owner or the next one takes them."""

from __future__ import annotations

import json
import time
import uuid
from typing import Any

from raywf.client.checks import check_text
from raywf.client.permissions import may_answer
from raywf.client.reading import Readings, open_approvals, open_doubts
from raywf.core.ids import split_passes
from raywf.core.state import CLOSED
from raywf.definition import values
from raywf.definition.lines import did_you_mean
from raywf.definition.signals import check_signal
from raywf.definition.updates import updates_of
from raywf.errors import ExecutionClosed, InvalidInput
from raywf.journal.factory import ReadingInbox, open_inbox
from raywf.ports import ExecutionRow, InboxRow

OUTCOMES = ("retry", "completed", "failed")


class Commands:
    """Sends commands to executions of one namespace, after checking that they can be meant."""

    def __init__(self, url: str, namespace: str, readings: Readings, inbox: ReadingInbox | None = None) -> None:
        self.namespace = namespace
        self.readings = readings
        self.inbox = inbox or open_inbox(url)

    async def close(self) -> None:
        await self.inbox.close()

    async def signal(
        self, execution_id: str, name: str, payload: Any = None, id: str | None = None, by: str | None = None
    ) -> bool:
        """Send a signal. ``id`` makes a repeat a no-op; returns False for one. Raises ``NotFound``,
        ``ExecutionClosed``, ``InvalidInput``."""
        if not name:
            raise InvalidInput(f"a signal needs a name, got {name!r}")
        row = await self._open(execution_id, f"signal {name!r}")
        check_signal(await self.readings.definition(row.definition), name, payload)
        body = {"name": name, "value": values.encode(payload).decode()}
        return await self.send(row, "signal", body, id, by)

    async def update(
        self, execution_id: str, name: str, payload: Any = None, id: str | None = None, by: str | None = None
    ) -> str:
        """Send an update; returns the id under which its answer is found. Raises ``NotFound``, ``ExecutionClosed``,
        ``InvalidInput``."""
        id_ = id or uuid.uuid4().hex
        row = await self.readings.row(execution_id)
        definition = await self.readings.definition(row.definition)
        known = [task.signal.name for task in updates_of(definition) if task.signal is not None]
        if name not in known:
            there = f"it takes {', '.join(known)}" if known else "its workflow has no raywf.wait_update"
            raise InvalidInput(
                f"execution {execution_id!r} takes no update {name!r}: {there}.{did_you_mean(name, known)}"
            )
        if row.status in CLOSED:
            if id is not None:
                return id_  # sent before, perhaps: its answer is on record
            raise ExecutionClosed(f"execution {execution_id!r} is {row.status}: it takes no update {name!r}")
        check_signal(definition, name, payload, update=True)
        await self.send(row, "update", {"name": name, "value": values.encode(payload).decode()}, id_, by)
        return id_

    async def cancel(self, execution_id: str, reason: str = "", by: str | None = None) -> bool:
        """Ask an execution to end. A no-op, and False, on one that has ended or is taking back what it did."""
        row = await self.readings.row(execution_id)
        if row.status in CLOSED or row.status == "compensating":
            return False
        return await self.send(row, "cancel", {"reason": reason}, None, by)

    async def pause(self, execution_id: str, reason: str = "", by: str | None = None) -> bool:
        """Let nothing new start. A no-op, and False, on an execution that is paused. Raises ``ExecutionClosed``."""
        row = await self._open(execution_id, "pause")
        return row.status != "paused" and await self.send(row, "pause", {"reason": reason}, None, by)

    async def resume(self, execution_id: str, by: str | None = None) -> None:
        """Let a paused execution go on; nothing happens to one that is not paused. Raises ``ExecutionClosed``."""
        # Whatever the row says: a pause may be on its way, and the inbox keeps the order.
        await self.send(await self._open(execution_id, "resume"), "resume", {}, None, by)

    async def resolve(
        self, execution_id: str, task: str, outcome: str, value: Any = None, comment: str = "", by: str | None = None
    ) -> None:
        """Say what became of an at-most-once task. Raises ``InvalidInput`` for one that is in no doubt."""
        if outcome not in OUTCOMES:
            raise InvalidInput(
                f"outcome={outcome!r}: it is one of {', '.join(OUTCOMES)}.{did_you_mean(outcome, OUTCOMES)}"
            )
        if value is not None and outcome != "completed":
            raise InvalidInput(f"a value goes with outcome='completed', not with {outcome!r}: leave it out")
        row = await self._open(execution_id, "resolve")
        doubts = open_doubts((await self.readings.state(row))[0])
        if task not in doubts:
            known = f"in doubt are {', '.join(doubts)}" if doubts else "nothing is in doubt there"
            raise InvalidInput(f"task {task!r} of execution {execution_id!r} is not in doubt: {known}")
        encoded = values.encode(value).decode() if outcome == "completed" else None
        body = {"task": task, "outcome": outcome, "value": encoded, "comment": comment}
        await self.send(row, "resolve", body, None, by)

    async def decide(self, execution_id: str, approved: bool, by: str, comment: str, task: str | None) -> bool:
        """Answer an approval. False: this person has given this answer before. Raises ``InvalidInput`` when there is none,
        or more than one and no ``task``, or where the person has answered otherwise; ``PermissionDenied`` for a person
        who is not asked."""
        verb = "approve" if approved else "reject"
        row = await self._open(execution_id, verb)
        state, _ = await self.readings.state(row)
        waiting = open_approvals(state)
        if task is None and len(waiting) > 1:
            raise InvalidInput(
                f"execution {execution_id!r} waits for {len(waiting)} approvals ({', '.join(waiting)}): say which task"
            )
        task = next((each for each in waiting if task in (each, split_passes(each)[0])), task)
        if not waiting or (task is not None and task not in waiting):
            which = f"task {task!r} of execution" if task else "execution"
            what = ", ".join(waiting) or row.waiting_for or "nothing from a person"
            raise InvalidInput(f"{which} {execution_id!r} is not waiting for an approval; it waits for {what}")
        task = task or waiting[0]
        if not may_answer(execution_id, state, task, by, approved):
            return False
        # The first answer of a person counts; the owner looks once more who may give it.
        return await self.send(row, verb, {"task": task, "comment": comment}, None, by)

    async def _open(self, execution_id: str, what: str) -> ExecutionRow:
        row = await self.readings.row(execution_id)
        if row.status in CLOSED:
            raise ExecutionClosed(f"execution {execution_id!r} is {row.status}: it takes no {what}")
        return row

    async def send(self, row: ExecutionRow, kind: str, body: dict[str, Any], id_: str | None, by: str | None) -> bool:
        """Put a command into the inbox. False: one with this id was there already."""
        for what, text in (("id", id_), ("by", by), *body.items()):
            if text is not None:
                check_text(what, text)
        command = InboxRow(
            0,
            self.namespace,
            row.id,
            row.lane,
            kind,
            json.dumps(body).encode(),
            id_ or uuid.uuid4().hex,
            by,
            time.time(),
        )
        return await self.inbox.send(command)
