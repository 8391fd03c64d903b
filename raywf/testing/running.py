"""``raywf.testing.run``: a workflow with no Ray and no disk, in milliseconds, with a clock that jumps."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, cast

from raywf.client.reading import Readings, open_approvals
from raywf.config import Settings
from raywf.core.ids import SHARDS
from raywf.definition.inputs import bind_input
from raywf.definition.model import WorkflowDefinition
from raywf.definition.values import encode
from raywf.definition.workflows import Workflow, as_workflow
from raywf.errors import InvalidInput, RaywfError
from raywf.journal.group_commit import GroupCommit
from raywf.journal.memory import MemoryJournal
from raywf.ports import EventRow, OwnerRow
from raywf.runtime.clock import SystemEntropy
from raywf.runtime.code import Code
from raywf.runtime.data import MemoryBlobs
from raywf.runtime.definitions import definition_row
from raywf.runtime.local import InlineThreads, JumpingLoop, LoopClock
from raywf.runtime.owner import Owner
from raywf.runtime.parts import Parts, SubmitRequest
from raywf.telemetry import Telemetry

_numbers = itertools.count(1)
_EPOCH = 1_700_000_000.0
_PATIENCE_S = 3600.0 * 24 * 3650


def run(
    workflow: Workflow[..., Any] | WorkflowDefinition,
    /,
    *args: Any,
    faults: Any = None,
    signals: Mapping[str, Any] | None = None,
    approve: bool | None = None,
    seed: int = 0,
    **kwargs: Any,
) -> Any:
    """Run a workflow and return its result. No Ray, no disk, no network; sleeps and timeouts take no time.

    ``signals`` are sent at the start, by name. ``approve`` True or False answers every approval; None leaves it to its
    timeout. ``seed`` decides the jitter of retries. Raises what ``handle.result()`` would; an execution that can only
    go on by a signal or a person that never comes raises ``RaywfError`` saying what it waits for.
    """
    if faults is not None:
        raise InvalidInput("faults= is not part of this version: raise in a task to see a failure")
    found = as_workflow(workflow)
    input_ = bind_input(found, args, kwargs)
    loop = JumpingLoop()
    try:
        return loop.run_until_complete(_run(loop, found, input_, dict(signals or {}), approve, seed))
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


async def _run(
    loop: JumpingLoop,
    workflow: Workflow[..., Any],
    input_: bytes,
    signals: dict[str, Any],
    approve: bool | None,
    seed: int,
) -> Any:
    clock = LoopClock(loop, _EPOCH)
    name = f"testing-{next(_numbers)}"
    journal = MemoryJournal(name, clock=clock)
    blobs = MemoryBlobs()
    parts = Parts(
        journal=journal,
        open_journal=lambda: journal,
        commit_buffer=_Noticing,
        clock=clock,
        entropy=SystemEntropy(seed),
        settings=replace(Settings.from_env(os.environ, f"memory://{name}"), lease_s=_PATIENCE_S),
        blobs=blobs,
        threads=InlineThreads(loop),
        telemetry=Telemetry(),
        code=_code_of(workflow),
    )
    now = clock.now()
    me = OwnerRow("testing", "default/testing", "localhost", 0, b"{}", now, now + 3600.0, False)
    owner = Owner(me, "default", parts)
    moved = cast(_Noticing, owner.commits).moved = asyncio.Event()
    await owner.claim(range(SHARDS))
    readings = Readings(f"memory://{name}", "default", journal)
    readings.blobs = blobs
    definition = workflow.definition
    row = definition_row(definition)
    request = SubmitRequest("test", True, definition.content_hash, input_, "", 0, None, {}, None, None)
    await owner.submit("test", [row], [request], True)
    try:
        return await _to_the_end(owner, readings, moved, signals, approve)
    finally:
        await owner.work.runners.close()
        owner.gate.close()
        await owner.commits.close()


async def _to_the_end(
    owner: Owner, readings: Readings, moved: asyncio.Event, signals: dict[str, Any], approve: bool | None
) -> Any:
    """Answer whoever asks, until the execution has ended or only somebody else could move it."""
    live = owner.host.open.get("test")
    for number, (name, payload) in enumerate(signals.items()):
        if live is not None:
            owner.host.signal(live, name, encode(payload), f"signal-{number}", None)
    while "test" in owner.host.open:
        moved.clear()
        await owner.commits.drain()
        for each in list(owner.host.open.values()):
            while approve is not None and (waiting := open_approvals(each.state)):
                id_ = f"answer-{each.id}-{waiting[0]}"
                owner.host.decide_approval(each, waiting[0], approve, "", id_, "testing")
        try:
            await asyncio.wait_for(moved.wait(), _PATIENCE_S)
        except TimeoutError:
            each = next(iter(owner.host.open.values()))
            waiting_for = each.waiting_for or each.status
            raise RaywfError(f"the execution cannot end by itself: it waits for {waiting_for}") from None
    await owner.commits.drain()
    closing = await readings.outcome(await readings.row("test"))
    assert closing is not None
    return readings.settle("test", closing.kind, closing.task, closing.data)


class _Noticing(GroupCommit):
    """A commit buffer that tells when something happens."""

    moved: asyncio.Event

    def add_events(self, shard: int, rows: Iterable[EventRow]) -> None:
        super().add_events(shard, rows)
        self.moved.set()

    def add_turn(self, shard: int, rows: list[EventRow], then: Callable[[], None]) -> None:
        super().add_turn(shard, rows, then)
        self.moved.set()


def _code_of(workflow: Workflow[..., Any]) -> Code:
    """The functions of this process, the importable ones and those that live nowhere else."""
    code = Code()
    found = workflow.functions_by_ref.items()
    code.have({(ref.path, ref.source_hash): function for ref, function in found if ref.by_value})
    return code
