"""Executions that are not open here and are to be: closed ones that are retried, and forks of others.

An owner holds nothing of a closed execution, so its history is read again. **Authority**: what is on disk. Whatever was
decided here is written before we look, and one execution is opened at a time, so that what is folded is all there is.

**Failure.** The event that opens an execution, its row's new status and the mark that the command was taken go into the
commit buffer in this order. Dying between them leaves the command in the inbox: the next owner finds the execution open,
or a history that says so, and the id of the command in it.

A child is opened again by its parent's retry, never by itself: nobody would hear of its end.
"""

from __future__ import annotations

import asyncio
import json
import logging
from typing import TYPE_CHECKING, Any

from raywf.core import events as ev
from raywf.core.codec import from_record
from raywf.core.execution import is_wanted, task_at
from raywf.core.failures import Failure
from raywf.core.ids import shard_of, split_address
from raywf.core.kept import kept_bytes
from raywf.core.moves.again import fork_keeps
from raywf.core.state import ExecutionStatus, TaskStatus, child_of, passes_of
from raywf.errors import LeaseLost, StoreUnavailable
from raywf.ports import EventRow, ExecutionRow, InboxRow, Loaded
from raywf.runtime.children import child_outcome, reopen_child, take_up
from raywf.runtime.host import Host
from raywf.runtime.live import Live, address

if TYPE_CHECKING:
    from raywf.runtime.owner import Owner

log = logging.getLogger("raywf.reopening")
OPENING = ("retry", "fork")
"""Commands to executions that are not open."""
AGAIN_S = 1.0
"""How long to leave a store alone that was out of reach."""


async def open_by(owner: Owner, row: InboxRow) -> bool:
    """Do what a retry or a fork asks for. False: it cannot be done yet. Awaits the store."""
    async with owner.opening:
        await owner.durable()
        if row.execution in owner.host.open:
            return True  # somebody else's command was first
        found = await owner.journal.execution(row.namespace, row.execution)
        if row.kind == "fork":
            return found is not None or await _fork(owner, row, json.loads(row.body))
        if found is None:
            return True
        if found.ended_at is None:
            return False
        return await _retry(owner, found, row)


async def _retry(owner: Owner, found: ExecutionRow, row: InboxRow) -> bool:
    live = await _read(owner, found)
    if live.state.closed is None:  # opened by an owner that died before it could say so in the index
        _adopt(owner, live)
        owner.host.note_missing(live, None)
        owner.resume(live, clean=False)
    elif why := _refused(owner, live, row.command_id):
        log.info("execution %s is not retried: %s", live.id, why)
    else:
        _adopt(owner, live)
        owner.host.telemetry.execution_started(live)
        open_again(owner.host, live, row.command_id, row.by)
    return True


def _refused(owner: Owner, live: Live, command: str) -> str | None:
    deadline = live.row.deadline
    if live.state.closed is ExecutionStatus.COMPLETED:
        return "it has completed"
    if command in live.state.seen:
        return "this command was carried out before"
    if live.row.parent is not None:
        return "it is a child, whose parent is retried instead"
    return "its deadline has passed" if deadline is not None and deadline <= owner.parts.clock.now() else None


async def _read(owner: Owner, found: ExecutionRow) -> Live:
    """A closed execution, folded. Its row keeps the status until a turn changes it."""
    events = await owner.journal.history(found.key)
    return await owner.folded(Loaded(found._replace(ended_at=None), events))


def _adopt(owner: Owner, live: Live) -> None:
    live.watchers = owner.outbox.kept(live.id)
    owner.host.adopt(live)


def open_again(host: Host, live: Live, id_: str, by: str | None) -> None:
    """The turn that opens a closed execution; it may even close it again."""
    host.turn(live, ev.ExecutionRetried(id_), by)
    if not live.is_closed:
        host.adopt(live)  # now its deadline counts again


async def find_child(owner: Owner, parent: Live, task: int, item: int | None, attempt: int) -> None:
    """A child was started once and is not open here: its parent was retried, it has ended, or its first event was never
    written. Asked until the store answers: nobody else would ask, and its parent would wait for ever. Awaits the store."""
    while owner.host.open.get(parent.id) is parent and not owner.host.parked:
        try:
            if task_at(parent.state, task, item).status is TaskStatus.READY:
                await _child_again(owner, parent, task, item, attempt)
            else:
                await _ended_child(owner, parent, task, item)
            return
        except LeaseLost:
            return
        except StoreUnavailable as error:
            log.warning("execution %s looks for its child %s again: %s", parent.id, address(parent, task, item), error)
            await asyncio.sleep(AGAIN_S)


async def _ended_child(owner: Owner, parent: Live, task: int, item: int | None) -> None:
    id_ = child_of(parent.state, parent.id, task, item)
    row = await owner.journal.execution(owner.namespace, id_)
    closing = (await owner.journal.closings([row.key])).get(row.key) if row is not None else None
    if closing is not None:
        child_outcome(owner.host, parent, task, item, _closing_outcome(closing))
    elif row is None:
        reopen_child(owner.host, parent, task, item)


def _closing_outcome(row: EventRow) -> bytes | Failure:
    """How an execution ended, from its closing event."""
    match from_record(row.kind, row.task, row.attempt, row.data):
        case ev.ExecutionCompleted(value):
            return value
        case ev.ExecutionFailed(_, failure):
            return failure
        case ev.ExecutionCancelled(reason):
            return Failure("raywf.errors.WorkflowCancelled", reason)
        case other:
            raise ValueError(f"{other!r:.100} does not close an execution")


async def _child_again(owner: Owner, parent: Live, task: int, item: int | None, attempt: int) -> None:
    """A retried parent comes to a child that failed, or was cancelled: it is retried, too. Awaits the store."""
    host, at = owner.host, passes_of(parent.state, task)

    def wanted() -> bool:
        here = host.open.get(parent.id) is parent and parent.state.pause is None
        return here and is_wanted(parent.state, task, item, attempt, at)

    async with owner.opening:
        await owner.durable()
        id_ = child_of(parent.state, parent.id, task, item)
        found = await owner.journal.execution(owner.namespace, id_)
        child = None if found is None or found.ended_at is None else await _read(owner, found)
        if not wanted():
            return
        if id_ in host.open:
            take_up(host, parent, task, item, host.open[id_])
        elif found is None:
            reopen_child(host, parent, task, item)
            take_up(host, parent, task, item, host.open[id_])
        elif child is None:
            log.error("execution %s waits for its child %s, which cannot be resumed", parent.id, id_)
        elif child.state.closed is ExecutionStatus.COMPLETED:
            child_outcome(host, parent, task, item, child.state.value)
        else:
            child.parent = (parent, task, item)
            _adopt(owner, child)
            if child.is_closed:
                host.telemetry.execution_started(child)
                open_again(host, child, f"retry-{child.seq}", None)
            else:
                host.note_missing(child, None)
                owner.resume(child, clean=False)
            if wanted() and id_ in host.open:
                take_up(host, parent, task, item, child)


async def _fork(owner: Owner, row: InboxRow, body: dict[str, Any]) -> bool:
    source = await owner.journal.execution(row.namespace, body["source"])
    if source is None:
        log.error("execution %s cannot be forked: it is not in the store any more", body["source"])
        return True
    read = await owner.folded(Loaded(source, await owner.journal.history(source.key)))
    state = read.state
    task, item = state.plan.index.get(body["from_task"]), None
    if task is None:
        name, item = split_address(body["from_task"])
        task = state.plan.index[name]
    kept = kept_bytes(fork_keeps(state, task, item), state.plan)
    input_ = body["input"].encode() if body.get("input") is not None else state.input
    opened = ExecutionRow(
        key=owner.host.new_key(shard_of(row.execution)),
        id=row.execution,
        namespace=row.namespace,
        lane=owner.me.lane,
        shard=shard_of(row.execution),
        workflow=source.workflow,
        version=source.version,
        definition=source.definition,
        fingerprint=body["fingerprint"],
        status="running",
        priority=source.priority,
        parent=None,
        tags=source.tags,
        created_at=owner.parts.clock.now(),
        deadline=None,
        traceparent=None,
    )
    first = ev.ExecutionForked(source.id, body["from_task"], input_, kept)
    live = owner.host.open_execution(opened, input_, owner.definitions.row(source.definition), by=row.by, first=first)
    live.watchers = owner.outbox.kept(live.id)
    return True
