"""Schedules: rows in the store, which the owner of their shard fires. Made and changed with or without an engine."""

from __future__ import annotations

import json
import math
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict

from raywf.client.checks import check_priority, check_tags, check_text
from raywf.client.fingerprints import fingerprint
from raywf.client.of_engine import OfEngine
from raywf.client.reading import instant
from raywf.config import shown
from raywf.core.ids import check_execution_id, shard_of
from raywf.core.schedules import Spec, firing_id, kind_of, scheduled_at, spec_from, words_for
from raywf.definition.inputs import bind_input, call_of
from raywf.definition.lines import did_you_mean
from raywf.definition.model import WorkflowDefinition
from raywf.definition.schedules import first_instants, instant_of, timetable
from raywf.definition.workflows import Workflow, as_workflow
from raywf.errors import AlreadyExists, InvalidInput, NotFound
from raywf.journal.factory import ReadingInbox
from raywf.ports import InboxRow, ScheduleRow
from raywf.runtime.bundle import current_bundle
from raywf.runtime.definitions import definition_row
from raywf.runtime.spec import lane_of

MOST_BACKFILLED = 10_000
_PER_COMMAND = 500
_LONGEST_ID = 100
_WHEN = ("cron", "every_s", "timezone", "start", "end", "jitter_s")
ABSENT: Any = object()


class ScheduleDescription(BaseModel):
    """A schedule. ``next_at`` None: it does not fire any more; ``last`` is the execution that was started last. Spans in
    seconds."""

    model_config = ConfigDict(frozen=True)

    id: str
    workflow: str
    when: str
    cron: str | None
    every: float | None
    timezone: str
    overlap: str
    jitter: float
    start: datetime | None
    end: datetime | None
    catch_up: float
    paused: bool
    next_at: datetime | None
    last: str | None
    last_at: datetime | None
    input: dict[str, Any]
    tags: dict[str, str]
    by: str | None


def describe(row: ScheduleRow) -> ScheduleDescription:
    spec = spec_from(row.spec)
    last = None if row.last is None else row.last.removesuffix("?")
    ends = row.paused or not math.isfinite(row.next_at)
    return ScheduleDescription(
        id=row.id,
        workflow=spec.workflow,
        when=words_for(spec),
        cron=spec.cron,
        every=spec.every_s,
        timezone=spec.timezone,
        overlap=spec.overlap,
        jitter=spec.jitter_s,
        start=None if spec.start is None else instant(spec.start),
        end=None if spec.end is None else instant(spec.end),
        catch_up=spec.catch_up_s,
        paused=row.paused,
        next_at=None if ends else instant(row.next_at).astimezone(spec.zone),
        last=last,
        last_at=None if last is None else scheduled_at(last),
        input=json.loads(spec.input),
        tags=dict(spec.tags or {}),
        by=spec.by,
    )


def spec_of(
    wf: Workflow[..., Any] | WorkflowDefinition,
    args: Any,
    when: Mapping[str, Any],
    priority: int,
    tags: Any,
    by: str | None,
) -> Spec:
    """A schedule as it is stored. Everything wrong in it is refused here. Raises ``InvalidInput``, ``DefinitionError``."""
    workflow = as_workflow(wf)
    given = {name: value for name, value in when.items() if value is not None}
    fields = timetable(given)
    positional, named = ((), {}) if args is ABSENT else call_of(workflow, args)
    input_ = bind_input(workflow, positional, named)
    definition = workflow.definition
    return Spec(
        workflow=definition.id,
        definition=definition.content_hash,
        input=input_.decode(),
        fingerprint=fingerprint(definition, input_),
        priority=check_priority(priority),
        tags=check_tags(tags or {}) or None,
        by=by,
        **fields,
    )


class Schedules:
    """The schedules of one namespace of a store."""

    def __init__(self, inbox: ReadingInbox, namespace: str, url: str) -> None:
        self.inbox = inbox
        self.namespace = namespace
        self._url = url

    async def all(self) -> list[ScheduleDescription]:
        return [describe(row) for row in await self.rows()]

    async def get(self, id: str) -> ScheduleDescription:
        """Raises ``NotFound``."""
        return describe(await self.row(id))

    async def row(self, id: str) -> ScheduleRow:
        rows = await self.rows()
        found = next((row for row in rows if row.id == id), None)
        if found is None:
            known = ", ".join(row.id for row in rows[:10]) or "none yet"
            hint = did_you_mean(id, [row.id for row in rows])
            raise NotFound(
                f"there is no schedule {id!r} in namespace {self.namespace!r} of {shown(self._url)}.{hint} There are: {known}"
            )
        return found

    async def rows(self) -> list[ScheduleRow]:
        return [row for row in await self.inbox.schedules(self.namespace) if kind_of(row.spec) == "schedule"]

    async def put(
        self, wf: Workflow[..., Any] | WorkflowDefinition, spec: Spec, lane: str, id: str | None, paused: bool
    ) -> ScheduleDescription:
        """Make a schedule, or change the one with this id. Raises ``InvalidInput``, and ``AlreadyExists`` where the id
        belongs to another workflow's."""
        id = check_id(spec.workflow if id is None else id)
        now = time.time()
        next_at = spec.next_at(id, now)
        if not math.isfinite(next_at):
            raise InvalidInput(f"schedule {id!r} ({words_for(spec)}) would never fire: it ends before its next instant")
        before = next((row for row in await self.inbox.schedules(self.namespace) if row.id == id), None)
        row = ScheduleRow(self.namespace, id, lane, shard_of(id), spec.to_json(), next_at, paused, None)
        if before is not None:
            known = None if kind_of(before.spec) != "schedule" else spec_from(before.spec)
            if known is None or known.workflow != spec.workflow:
                whose = before.id if known is None else f"workflow {known.workflow!r}"
                raise AlreadyExists(
                    f"schedule {id!r} belongs to {whose}: give this one an id of its own, or delete that"
                )
            same = all(getattr(known, name) == getattr(spec, name) for name in _WHEN)
            row = row._replace(
                paused=before.paused or paused, last=before.last, next_at=before.next_at if same else next_at
            )
        if row != before:
            await self.inbox.put_definition(definition_row(as_workflow(wf).definition))
            await self.inbox.put_schedule(row)
            await self.tell(row)
        return describe(row)

    async def pause(self, id: str) -> bool:
        """Let it fire no more. False: it is paused already. Raises ``NotFound``."""
        row = await self.row(id)
        if not row.paused:
            await self.inbox.put_schedule(row._replace(paused=True))
        return not row.paused

    async def resume(self, id: str) -> bool:
        """Let it fire again, from the next instant on: what fell into the pause is not made up for. False: it was not
        paused. Raises ``NotFound``."""
        row = await self.row(id)
        if row.paused:
            row = row._replace(paused=False, next_at=spec_from(row.spec).next_at(id, time.time()))
            await self.inbox.put_schedule(row)
            await self.tell(row)
            return True
        return False

    async def delete(self, id: str) -> None:
        """Forget it; executions it has started go on. Raises ``NotFound``."""
        await self.row(id)
        await self.inbox.drop_schedule(self.namespace, id)

    async def backfill(self, id: str, start: Any, end: Any) -> list[str]:
        """Start the executions of its instants in [start, end], whatever runs; those that are there already stay the ones.
        Returns their ids. Raises ``NotFound``, ``InvalidInput``."""
        row = await self.row(id)
        spec = spec_from(row.spec)
        since, until = instant_of("start", start), instant_of("end", end)
        if until < since:
            raise InvalidInput(f"backfill from {start} to {end}: it ends before it begins")
        instants: list[float] = []
        for at in spec.between(since, until):
            if len(instants) == MOST_BACKFILLED:
                raise InvalidInput(
                    f"backfill from {start} to {end} has more than {MOST_BACKFILLED:,} instants of {words_for(spec)}: "
                    "take it in parts"
                )
            instants.append(at)
        for first in range(0, len(instants), _PER_COMMAND):
            part = instants[first : first + _PER_COMMAND]
            await self._send(row, "backfill", {"spec": row.spec.decode(), "instants": part})
        return [firing_id(id, at) for at in instants]

    async def next(self, id: str, count: int = 5) -> Sequence[datetime]:
        """Its next instants, in its own zone. Raises ``NotFound``."""
        return first_instants(spec_from((await self.row(id)).spec), time.time(), count)

    async def tell(self, row: ScheduleRow) -> None:
        """Let the owner of a row look at it at once."""
        await self._send(row, "schedules", {})

    async def _send(self, row: ScheduleRow, kind: str, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        await self.inbox.send(
            InboxRow(0, self.namespace, row.id, row.lane, kind, data, uuid.uuid4().hex, None, time.time())
        )


def lane_here(namespace: str) -> str:
    """The lane whose owner fires what this project makes."""
    return lane_of(namespace, current_bundle().project)


def instants_of_line(cron: str, timezone: str, count: int) -> Sequence[datetime]:
    """The next instants of a cron line. Raises ``InvalidInput``."""
    return first_instants(Spec("", "", "", "", **timetable({"cron": cron, "timezone": timezone})), time.time(), count)


def check_id(id: object) -> str:
    if not isinstance(id, str) or len(id) > _LONGEST_ID or id.startswith("@"):
        raise InvalidInput(
            f"schedule id {id!r:.200} cannot be used: it has 1 to {_LONGEST_ID} characters and does not begin with '@'"
        )
    try:
        return check_text("the schedule's id", check_execution_id(id))
    except InvalidInput as error:
        raise InvalidInput(str(error).replace("execution_id", "schedule id").replace("an id has", "it has")) from None


class AsyncSchedule:
    """One schedule of an engine."""

    def __init__(self, engine: SchedulesOfEngine, id: str) -> None:
        self._engine = engine
        self.id = id

    def __repr__(self) -> str:
        return f"<schedule {self.id}>"

    async def describe(self) -> ScheduleDescription:
        """Raises ``NotFound``."""
        return await self._engine._schedules().get(self.id)

    async def pause(self) -> bool:
        """Let it fire no more. False: it is paused already."""
        return await self._engine._schedules().pause(self.id)

    async def resume(self) -> bool:
        """Let it fire again, from the next instant on. False: it was not paused."""
        resumed = await self._engine._schedules().resume(self.id)
        self._engine._poke(self.id)
        return resumed

    async def delete(self) -> None:
        """Forget it; executions it has started go on."""
        await self._engine._schedules().delete(self.id)

    async def backfill(self, start: datetime | str, end: datetime | str) -> list[str]:
        """Start the executions of its instants in [start, end], whatever runs. Returns their ids; those that are there
        already stay the ones. Raises ``InvalidInput`` for more than 10,000."""
        ids = await self._engine._schedules().backfill(self.id, start, end)
        self._engine._poke(self.id)
        return ids

    async def next(self, count: int = 5) -> Sequence[datetime]:
        """Its next instants, in its own zone."""
        return await self._engine._schedules().next(self.id, count)


class _Calls(Protocol):
    def call(self, work: Any) -> Any: ...


class Schedule:
    """One schedule of an engine."""

    def __init__(self, inner: AsyncSchedule, loop: _Calls) -> None:
        self._async = inner
        self._loop = loop

    @property
    def id(self) -> str:
        return self._async.id

    def __repr__(self) -> str:
        return repr(self._async)

    def describe(self) -> ScheduleDescription:
        """Raises ``NotFound``."""
        found: ScheduleDescription = self._loop.call(self._async.describe())
        return found

    def pause(self) -> bool:
        """Let it fire no more. False: it is paused already."""
        return bool(self._loop.call(self._async.pause()))

    def resume(self) -> bool:
        """Let it fire again, from the next instant on. False: it was not paused."""
        return bool(self._loop.call(self._async.resume()))

    def delete(self) -> None:
        """Forget it; executions it has started go on."""
        self._loop.call(self._async.delete())

    def backfill(self, start: datetime | str, end: datetime | str) -> list[str]:
        """Start the executions of its instants in [start, end], whatever runs. Returns their ids; those that are there
        already stay the ones. Raises ``InvalidInput`` for more than 10,000."""
        found: list[str] = self._loop.call(self._async.backfill(start, end))
        return found

    def next(self, count: int = 5) -> Sequence[datetime]:
        """Its next instants, in its own zone."""
        found: Sequence[datetime] = self._loop.call(self._async.next(count))
        return found


class SchedulesOfEngine(OfEngine):
    """What an engine offers about schedules."""

    def _schedules(self) -> Schedules:
        return Schedules(self._commands().inbox, self.namespace, self.store)

    async def schedule(
        self,
        wf: Workflow[..., Any] | WorkflowDefinition,
        args: Any = ABSENT,
        *,
        cron: str | None = None,
        every: float | timedelta | None = None,
        timezone: str = "UTC",
        overlap: str = "skip",
        id: str | None = None,
        jitter: float | timedelta = 0.0,
        start: datetime | None = None,
        end: datetime | None = None,
        catch_up: float | timedelta = 3600.0,
        priority: int = 0,
        tags: Mapping[str, str] | None = None,
        paused: bool = False,
        follow: bool = False,
    ) -> AsyncSchedule:
        """Start a workflow at the instants of a cron line (or ``every`` so many seconds), from the next one on.

        ``args`` is one value that stands for the arguments, as in ``map``. ``overlap`` says what an instant does while the last
        execution runs: ``skip``, ``allow``, ``buffer_one``, ``cancel_previous``. ``catch_up``: instants that were missed
        because no engine ran start late, up to so many seconds. ``jitter``: it fires a constant part of this later.
        ``id`` (default: the workflow's) names it: the same id changes it. ``follow``: it starts the version of its workflow that
        is deployed, from the next deployment on, not the one it was made with. Raises ``InvalidInput``, ``AlreadyExists``.
        """
        when = {
            "cron": cron,
            "every": every,
            "timezone": timezone,
            "overlap": overlap,
            "jitter": jitter,
            "start": start,
            "end": end,
            "catch_up": catch_up,
        }
        schedules = self._schedules()
        spec = replace(spec_of(wf, args, when, priority, tags, None), follow=follow)
        check_id(spec.workflow if id is None else id)
        lane = await self._lane(None)
        await self._prepare(lane, as_workflow(wf))
        made = await schedules.put(wf, spec, lane.spec.lane, id, paused)
        self._poke(made.id)
        return AsyncSchedule(self, made.id)

    async def schedules(self) -> list[ScheduleDescription]:
        """Every schedule of the namespace, by id."""
        return await self._schedules().all()

    async def get_schedule(self, id: str) -> AsyncSchedule:
        """The schedule of that id. Raises ``NotFound``."""
        await self._schedules().row(id)
        return AsyncSchedule(self, id)

    async def register(
        self, wf: Workflow[..., Any] | WorkflowDefinition, triggers: Sequence[Mapping[str, Any]] | None = None
    ) -> list[str]:
        """Put a workflow's own triggers (``@workflow(triggers=[…])``) into effect; those that it had before and has no
        more are deleted. Or put ``triggers`` into effect beside them. Returns the ids of what is in effect. Raises
        ``InvalidInput``, ``DefinitionError``, ``AlreadyExists``."""
        from raywf.client.registering import register

        workflow = as_workflow(wf)
        lane = await self._lane(None)
        await self._prepare(lane, workflow)
        made = await register(self._schedules(), workflow, lane.spec.lane, triggers)
        for id in made:
            self._poke(id)
        return made
