"""Stores filled by hand: rows as an engine would have written them, with no engine."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Sequence
from typing import Any

from raywf.core import events as ev
from raywf.core.codec import to_record
from raywf.core.execution import fold
from raywf.core.failures import Failure
from raywf.core.ids import shard_of
from raywf.core.state import ExecutionState
from raywf.definition.workflows import Workflow
from raywf.journal.factory import open_journal
from raywf.ports import Batch, DefinitionRow, EventRow, ExecutionRow, InboxRow, Journal, OwnerRow
from raywf.runtime.bundle import Bundle
from raywf.runtime.spec import ActorSpec

LANE = "default/project"
BEGAN = 1_700_000_000.0
"""2023-11-14 22:13:20 UTC: the instant of the first event; each next one is a second later."""


class FilledStore:
    """A store and the owner that fills it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._keys = 0
        self._owner = OwnerRow("owner-1", LANE, "elsewhere", 1, b"{}", BEGAN, 0.0, False)
        self._call(lambda journal: journal.claim(self._owner, range(256), 60.0))
        self._call(lambda journal: journal.release("owner-1"))

    def _call(self, work: Any) -> Any:
        async def run() -> Any:
            journal = open_journal(self.url)
            try:
                return await work(journal)
            finally:
                await journal.close()

        return asyncio.run(run())

    def add(
        self,
        workflow: Workflow[..., Any],
        events: Sequence[ev.Event],
        *,
        id: str,
        waiting_for: str | None = None,
        parent: str | None = None,
        tags: dict[str, str] | None = None,
        **changes: Any,
    ) -> ExecutionState:
        """Write an execution with this history; gives the state that it amounts to."""
        self._keys += 1
        definition, key = workflow.definition, self._keys
        state = fold(workflow.plan, events)
        rows = [
            EventRow(
                key, seq, BEGAN + seq - 1, "anna" if isinstance(event, ev.ApprovalDecided) else None, *_fields(event)
            )
            for seq, event in enumerate(events, 1)
        ]
        row = ExecutionRow(
            key=key,
            id=id,
            namespace="default",
            lane=LANE,
            shard=shard_of(id),
            workflow=definition.id,
            version=definition.version,
            definition=definition.content_hash,
            fingerprint="f",
            status=state.status.value,
            priority=0,
            parent=parent,
            tags=tags or {},
            created_at=BEGAN,
            deadline=None,
            traceparent=None,
            ended_at=rows[-1].at if state.closed else None,
            waiting_for=waiting_for,
        )._replace(**changes)
        every = {definition.content_hash: definition, **definition.children()}
        known = [DefinitionRow(hash_, each.id, each.version, each.body) for hash_, each in every.items()]

        async def write(journal: Journal) -> None:
            epochs = await journal.claim(self._owner, [row.shard], 60.0, dead=("owner-1", "live"))
            batch = Batch(LANE, "owner-1", epochs=epochs, definitions=known, opened=[row], events=rows)
            await journal.commit(batch)
            await journal.release("owner-1")

        self._call(write)
        return state

    def hold(self, lane: str = LANE, ray_address: str = "127.0.0.1:6379", expires_in_s: float = 600.0) -> None:
        """A live engine holds the store: this process, which has more than a minute to live."""
        spec = ActorSpec(self.url, "default", lane, Bundle((), "h", "project"), 0, 1, 3.0, ray_address, "space")
        owner = OwnerRow("live", lane, socket.gethostname(), os.getpid(), spec.to_json(), time.time(), 0.0, False)
        self._call(lambda journal: journal.claim(owner, range(256), expires_in_s))

    def inbox(self) -> list[InboxRow]:
        found: list[InboxRow] = self._call(lambda journal: journal.inbox(LANE, 0))
        return found


def _fields(event: ev.Event) -> tuple[str, str | None, int | None, bytes | None]:
    return to_record(event)


STARTED = ev.ExecutionStarted(b'{"question":"sky"}')
WAITS: tuple[ev.Event, ...] = (
    STARTED,
    ev.TaskCompleted("search", 1, b'["a","b"]'),
    ev.ApprovalRequested("approval", "Publish sky?", b"null", BEGAN + 3600),
    ev.MapStarted("summarize", 2),
    ev.TaskCompleted("summarize[0]", 1, b'"A"'),
    ev.TaskCompleted("summarize[1]", 1, b'"B"'),
)
"""`review`, waiting for a person."""

COMPLETED: tuple[ev.Event, ...] = (
    *WAITS,
    ev.ApprovalDecided("approval", True, "fine", "c1"),
    ev.AttemptFailed("publish", Failure("ConnectionError", "no\nroute", "", 1), 1, BEGAN + 8),
    ev.TimerFired("publish"),
    ev.TaskCompleted("publish", 2, b'"done"'),
    ev.ExecutionCompleted(b'"done"'),
)
TRACE = (
    'Traceback (most recent call last):\n  File "a.py", line 7, in publish\n    raise ValueError(x)\nValueError: bad'
)
BROKE = Failure("ValueError", "bad sky", TRACE, 1, False)
FAILED: tuple[ev.Event, ...] = (
    *WAITS,
    ev.ApprovalDecided("approval", True, "", "c1"),
    ev.AttemptFailed("publish", BROKE, 1),
    ev.ExecutionFailed("publish", BROKE),
)
CANCELLED: tuple[ev.Event, ...] = (*WAITS, ev.CancelRequested("not needed"), ev.ExecutionCancelled("not needed"))
