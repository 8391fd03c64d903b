"""What can be known of executions from their store alone: no engine, no Ray."""

from __future__ import annotations

import builtins
import itertools
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict
from pydantic_core import from_json

from raywf.aggregation.evidence import Dossier, Standing
from raywf.aggregation.facts import FactSet
from raywf.client.checks import check_status
from raywf.config import shown
from raywf.core import approvals
from raywf.core import events as ev
from raywf.core.codec import MIGRATED, from_record, last_part
from raywf.core.execution import evolve, fold, initial
from raywf.core.failures import Failure
from raywf.core.ids import split_address, split_passes
from raywf.core.state import ExecutionState, ExecutionStatus, TaskState, TaskStatus, address_of, result_bytes
from raywf.definition import values
from raywf.definition.compile import compile_plan
from raywf.definition.model import WorkflowDefinition
from raywf.errors import (
    CodeMissing,
    InvalidInput,
    KeyMissing,
    NotFound,
    RaywfError,
    SealBroken,
    WorkflowCancelled,
    WorkflowFailed,
)
from raywf.journal.factory import open_blobs, open_reader, parse
from raywf.journal.sealed import history_as_far_as_it_opens, sealer_of, why_sealed
from raywf.ports import EventRow, ExecutionRow, Reader
from raywf.runtime.aggregating import Gold, read_standing, read_standing_of
from raywf.runtime.data import Blobs, FileBlobs, MemoryBlobs, NamedBlobs, blob_root
from raywf.runtime.sealed import SealedBlobs
from raywf.sealing import Sealer, is_sealed


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)


class ExecutionSummary(_Model):
    """One line of a listing."""

    id: str
    workflow: str
    version: str
    status: str
    started_at: datetime
    ended_at: datetime | None
    parent: str | None
    tags: dict[str, str]
    waiting_for: str | None


class TaskDescription(_Model):
    """Where a task stands. A fan-out counts its items by status, a loop the passes it has begun. ``progress`` is the last one on
    record (of a fan-out: by item, for up to 100 that are not done); ``emitted`` counts the items of its stream. ``reused``
    counts the results that came from the cache, ``reused_from`` is the execution that computed the last of them."""

    id: str
    kind: str
    status: str
    attempt: int
    failure: dict[str, Any] | None = None
    waiting_for: str | None = None
    items: dict[str, int] | None = None
    passes: int | None = None
    progress: Any = None
    emitted: int = 0
    reused: int = 0
    reused_from: str | None = None


class ExecutionDescription(_Model):
    """All that is known of an execution. ``results`` has the decoded results of the tasks that have completed."""

    id: str
    workflow: str
    version: str
    status: str
    started_at: datetime
    ended_at: datetime | None
    parent: str | None
    tags: dict[str, str]
    tasks: dict[str, TaskDescription]
    results: dict[str, Any]
    context: dict[str, Any]
    metrics: dict[str, Any]
    waiting_for: str | None


class HistoryEvent(_Model):
    """One fact of an execution's history. ``seq`` counts from 1; ``by`` is who acted, None the engine."""

    seq: int
    at: datetime
    kind: str
    task: str | None
    attempt: int | None
    data: Any
    by: str | None


def instant(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def blobs_of(url: str, sealer: Sealer | None) -> Blobs:
    """Where the large values of a store are; ``sealer`` is that of its door (``sealer_of``)."""
    scheme, place = parse(url)
    match scheme:
        case "sqlite":
            found: NamedBlobs = FileBlobs(blob_root(place))
        case "postgresql":
            found = open_blobs(url)
        case _:
            return MemoryBlobs()
    return found if sealer is None else SealedBlobs(found, sealer)


_WITH_VALUES = (
    "result_reused",
    "timer_started",
    "signal_awaited",
    "signal_received",
    "approval_requested",
    "pass_started",
)


class Readings:
    """Reads executions of one namespace from a store. Never starts anything."""

    def __init__(self, url: str, namespace: str, reader: Reader | None = None) -> None:
        self.url = url
        self.namespace = namespace
        self.reader = reader or open_reader(url)
        self.blobs = blobs_of(url, sealer_of(self.reader))
        self._definitions: dict[str, WorkflowDefinition] = {}

    async def close(self) -> None:
        await self.reader.close()
        self.blobs.close()

    async def row(self, execution_id: str) -> ExecutionRow:
        """The index row of an execution. Raises ``NotFound``."""
        row = await self.reader.execution(self.namespace, execution_id)
        if row is None:
            raise NotFound(
                f"there is no execution {execution_id!r} in namespace {self.namespace!r} of {shown(self.url)}: "
                "`raywf ls` lists those that are there"
            )
        return row

    async def list(
        self,
        *,
        status: str | None = None,
        workflow: str | None = None,
        tags: Mapping[str, str] | None = None,
        started_after: float | None = None,
        started_before: float | None = None,
        limit: int = 100,
        after: str | None = None,
    ) -> list[ExecutionSummary]:
        """Executions, newest first. ``after`` is the id of the last one of the page before. Instants are epoch seconds."""
        check_status(status)
        rows = await self.reader.executions(
            self.namespace,
            status=status,
            workflow=workflow,
            tags=tags,
            started_after=started_after,
            started_before=started_before,
            limit=limit,
            after=after,
        )
        return [summary(row) for row in rows]

    async def definition(self, hash_: str) -> WorkflowDefinition:
        found = self._definitions.get(hash_)
        if found is None:
            row = await self.reader.definition(hash_)
            if row is None:
                raise NotFound(
                    f"the definition {hash_} is not in {shown(self.url)}: the store is damaged or incomplete"
                )
            found = self._definitions[hash_] = WorkflowDefinition.from_json(row.body)
        return found

    async def state(self, row: ExecutionRow) -> tuple[ExecutionState, builtins.list[EventRow]]:
        """The folded history of an execution."""
        return await self.state_of(row, await self.reader.history(row.key))

    async def state_of(
        self, row: ExecutionRow, history: builtins.list[EventRow]
    ) -> tuple[ExecutionState, builtins.list[EventRow]]:
        """The same, of a history that was read."""
        definition, part = last_part(history, row.definition)
        plan = compile_plan(await self.definition(definition))
        return fold(plan, (from_record(each.kind, each.task, each.attempt, each.data) for each in part)), history

    async def evolved(self, state: ExecutionState, event: ev.Event) -> ExecutionState:
        """The state after one more event, which may be a migration to another definition."""
        if isinstance(event, ev.ExecutionMigrated):
            state = initial(compile_plan(await self.definition(event.definition)))
        return evolve(state, event)

    async def describe(self, execution_id: str) -> ExecutionDescription:
        row = await self.row(execution_id)
        try:
            state, history = await self.state(row)
        except (KeyMissing, SealBroken) as error:
            return await self._outside(row, error)
        results = {
            node.id: self.decode(result_bytes(state, node.index))
            for node, task in zip(state.plan.nodes, state.tasks, strict=True)
            if task.status is TaskStatus.COMPLETED and node.undoes is None
        }
        ended = row.ended_at or (history[-1].at if state.closed and history else None)
        closing = state.closing
        context: dict[str, Any] = {"input": self.decode(state.input), "priority": row.priority}
        if row.deadline is not None:
            context["deadline"] = instant(row.deadline)
        if history and history[0].kind == "execution_forked":
            first = self._event_data(history[0])
            context["forked_from"] = {"execution": first["source"], "task": first["from_task"]}
        if state.round > 1:
            context["round"] = state.round
        if closing is not None:
            context["reason"] = closing.reason or (closing.failure.message if closing.failure else "")
        return ExecutionDescription(
            **summary(row).model_dump(exclude={"status", "ended_at"}),
            status=row.status if row.status == "waiting" and not state.closed else state.status.value,
            ended_at=None if ended is None else instant(ended),
            tasks=with_reused(task_descriptions(state, self.decode), history),
            results=results,
            context=context,
            metrics=_metrics(row, history, ended),
        )

    async def _outside(self, row: ExecutionRow, why: RaywfError) -> ExecutionDescription:
        """What can be said of an execution whose values do not open here."""
        return ExecutionDescription(
            **summary(row).model_dump(),
            tasks={},
            results={},
            context={"sealed": str(why), "priority": row.priority},
            metrics=_metrics(row, await history_as_far_as_it_opens(self.reader, row.key), row.ended_at),
        )

    async def history(self, execution_id: str, after_seq: int = 0) -> builtins.list[HistoryEvent]:
        """The history; in the place of data that does not open here stands why."""
        row = await self.row(execution_id)
        return [self._event(each) for each in await history_as_far_as_it_opens(self.reader, row.key, after_seq)]

    def _event(self, row: EventRow) -> HistoryEvent:
        return HistoryEvent(
            seq=row.seq,
            at=instant(row.at),
            kind=row.kind,
            task=row.task,
            attempt=row.attempt,
            data=self._event_data(row),
            by=row.by,
        )

    def _event_data(self, row: EventRow) -> Any:
        """The data of an event, with the encoded values inside it decoded."""
        if row.data is None:
            return None
        if is_sealed(row.data):
            return why_sealed(row.data)
        data = self.decode(row.data)
        if row.kind == "execution_forked":
            return {**data, "input": self.decode(data["input"].encode()), "kept": list(json.loads(data["kept"]))}
        if row.kind == MIGRATED:
            kept = {"input": self.decode(data["input"].encode()), "kept": list(json.loads(data["kept"]))}
            return {name: data[name] for name in ("id", "source", "definition")} | kept
        if isinstance(data, dict) and row.kind in _WITH_VALUES:
            for name in ("value", "default", "data", "on_reject", "on_timeout"):
                if isinstance(data.get(name), str):
                    data[name] = self.decode(data[name].encode())
        return data

    async def graph(self, execution_id: str) -> str:
        """Mermaid, with the state of each task."""
        row = await self.row(execution_id)
        state, _ = await self.state(row)
        definition = await self.definition(row.definition)
        return definition.to_mermaid(task_statuses(state))

    async def standing(self, name: str | None, field: str | None = None) -> tuple[str, Standing]:
        """The name of an aggregator, and what its evidence amounts to, of whole answers or of one ``field`` of them (a JSON
        pointer; reads every item). None: the one there is. Raises ``NotFound``, and ``InvalidInput`` where there are several."""
        name = await self._aggregator(name)
        if field is not None:
            return name, await read_standing_of(self.reader, self.namespace, name, field)
        return name, (await read_standing(self.reader, self.namespace, name))[0]

    async def gold(self, name: str | None) -> tuple[str, dict[str, Dossier], FactSet]:
        """The name of an aggregator, and its newest items with known truth, 1,000 at most: by item, and as facts. As ``standing``
        raises."""
        name, gold = await self._aggregator(name), Gold()
        await read_standing(self.reader, self.namespace, name, gold)
        return name, gold.items, gold.facts()

    async def _aggregator(self, name: str | None) -> str:
        if name is None:
            known = await self.reader.aggregators(self.namespace)
            if len(known) > 1:
                raise InvalidInput(f"there are several aggregators, so name one: {', '.join(known)}")
            if not known:
                raise NotFound(
                    f"there is no aggregator in namespace {self.namespace!r} of {shown(self.url)}: the first "
                    "`engine.aggregator(NAME).merge(…)` makes one"
                )
            name = known[0]
        return name

    async def outcome(self, row: ExecutionRow) -> EventRow | None:
        """The closing event of an execution; None while it is open."""
        return (await self.reader.closings([row.key])).get(row.key)

    def decode(self, data: bytes) -> Any:
        """A stored value; where its class is not at hand, its plain JSON form."""
        try:
            return values.decode(data, None, self.blobs.get)
        except (CodeMissing, RaywfError, LookupError):
            return from_json(data)

    def settle(self, execution_id: str, kind: str, task: str | None, data: bytes | None) -> Any:
        """The result behind a closing event, or the error that tells how the execution ended."""
        if kind == "execution_completed" and data is not None:  # the commonest, for which no event need be made
            return values.decode(data, None, self.blobs.get)
        match from_record(kind, task, None, data):
            case ev.ExecutionCompleted(value):
                return values.decode(value, None, self.blobs.get)
            case ev.ExecutionFailed(where, failure):
                raise WorkflowFailed(execution_id, where, failure)
            case ev.ExecutionCancelled(reason):
                raise WorkflowCancelled(execution_id, reason)
            case other:
                raise WorkflowFailed(execution_id, None, Failure("RuntimeError", f"ended with {other!r:.100}"))


def summary(row: ExecutionRow) -> ExecutionSummary:
    return ExecutionSummary(
        id=row.id,
        workflow=row.workflow,
        version=row.version,
        status=row.status,
        started_at=instant(row.created_at),
        ended_at=None if row.ended_at is None else instant(row.ended_at),
        parent=row.parent,
        tags=dict(row.tags),
        waiting_for=row.waiting_for,
    )


_MANY = 100
_OPEN = ("pending", "ready", "running", "waiting", "retrying")


def task_statuses(state: ExecutionState) -> dict[str, str]:
    """The status of each task by id. What never ran of a closed execution counts as cancelled."""
    return {
        node.id: _status(task, state)
        for node, task in zip(state.plan.nodes, state.tasks, strict=True)
        if node.undoes is None
    }


def task_descriptions(state: ExecutionState, decode: Callable[[bytes], Any] = from_json) -> dict[str, TaskDescription]:
    """Where each task stands, by id. ``decode`` gives a stored value."""
    return {
        node.id: _task(node.id, node.kind if node.undoes is None else "compensation", task, state, decode)
        for node, task in zip(state.plan.nodes, state.tasks, strict=True)
        if node.undoes is None or task.status is not TaskStatus.PENDING
    }


def with_reused(tasks: dict[str, TaskDescription], history: list[EventRow]) -> dict[str, TaskDescription]:
    """The same, with what the history says of results that came from the cache: of each address the last result counts."""
    last = {row.task: row for row in history if row.kind in ("task_completed", "result_reused")}
    found: dict[str, list[EventRow]] = {}
    for address, row in last.items():
        if row.kind == "result_reused" and address is not None:
            name = address if address in tasks else split_passes(split_address(address)[0])[0]
            found.setdefault(name, []).append(row)
    for name, rows in found.items():
        source = json.loads(rows[-1].data or b"{}").get("source")
        if name in tasks:
            tasks[name] = tasks[name].model_copy(update={"reused": len(rows), "reused_from": source})
    return tasks


def _status(task: TaskState, state: ExecutionState) -> str:
    status = task.status.value
    return "cancelled" if state.closed is not None and status in _OPEN else status


def _task(
    id_: str, kind: str, task: TaskState, state: ExecutionState, decode: Callable[[bytes], Any]
) -> TaskDescription:
    items: dict[str, int] | None = None
    if task.items is not None:
        items = {}
        for item in task.items:
            status = _status(item, state)
            items[status] = items.get(status, 0) + 1
    return TaskDescription(
        id=id_,
        kind=str(kind),
        status=_status(task, state),
        attempt=task.attempt,
        failure=task.failure.to_data() if task.failure else None,
        waiting_for=_waiting_for(task),
        items=items,
        passes=task.passes if kind == "loop" else None,
        progress=_progress(task, decode),
        emitted=sum(each.notes.emitted for each in (task, *(task.items or ())) if each.notes),
    )


def _progress(task: TaskState, decode: Callable[[bytes], Any]) -> Any:
    if task.items is None:
        return None if task.notes is None or task.notes.progress is None else decode(task.notes.progress)
    said = (
        (at, item.notes.progress)
        for at, item in enumerate(task.items)
        if item.notes is not None and item.notes.progress is not None and item.status is not TaskStatus.COMPLETED
    )
    return {at: decode(progress) for at, progress in itertools.islice(said, _MANY)} or None


def _waiting_for(task: TaskState) -> str | None:
    if task.status is TaskStatus.RETRYING and task.due_at is not None:
        return f"the next attempt at {instant(task.due_at).isoformat()}"
    if task.status is not TaskStatus.WAITING:
        return None
    match task.wait:
        case ev.ApprovalRequested() as asked:
            return f"{approvals.words(asked, task.notes)}: {asked.prompt}"
        case ev.AttemptLost(_, _, reason):
            return f"a decision: nobody knows whether it happened ({reason})"
        case ev.SignalAwaited(_, name):
            return f"{'an update' if task.wait.update else 'a signal'} {name!r}"
        case ev.TimerStarted(_, due_at):
            return f"time, until {instant(due_at).isoformat()}"
        case _:
            return None


def open_approvals(state: ExecutionState) -> list[str]:
    """The tasks that wait for a person."""
    if state.status in (ExecutionStatus.COMPLETED, ExecutionStatus.FAILED, ExecutionStatus.CANCELLED):
        return []
    return [
        address_of(state, at)
        for at, task in enumerate(state.tasks)
        if task.status is TaskStatus.WAITING and isinstance(task.wait, ev.ApprovalRequested)
    ]


def open_doubts(state: ExecutionState) -> list[str]:
    """The tasks and items of which nobody knows whether they happened, by address."""
    places = [each for task in state.tasks for each in ((task,) if task.items is None else task.items)]
    waiting = [each.wait for each in places if each.status is TaskStatus.WAITING]
    return [doubt.task for doubt in waiting if isinstance(doubt, ev.AttemptLost)]


def _metrics(row: ExecutionRow, history: list[EventRow], ended: float | None) -> dict[str, Any]:
    kinds: dict[str, int] = {}
    for each in history:
        kinds[each.kind] = kinds.get(each.kind, 0) + 1
    return {
        "events": len(history),
        "tasks_completed": kinds.get("task_completed", 0) + kinds.get("result_reused", 0),
        "results_reused": kinds.get("result_reused", 0),
        "attempts_failed": kinds.get("attempt_failed", 0),
        "attempts_lost": kinds.get("attempt_lost", 0),
        "duration_s": None if ended is None else round(ended - row.created_at, 6),
    }
