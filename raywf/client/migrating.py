"""What becomes of open executions under another version of their workflow: planned from the store alone, and sent as commands.

The plan is ``core.migrating``'s. What only the program that has the code can know is added here: whether results on record fit what
today's functions say that they return, and what a migration's functions make of them. It travels with the command as data, and the
owner plans once more at the moment when it acts.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict

from raywf.client.commands import Commands
from raywf.client.reading import Readings
from raywf.core.codec import from_record
from raywf.core.events import ExecutionMigrated, MigrationRefused
from raywf.core.ids import item_address
from raywf.core.migrating import Moves, Rules, plan_moves
from raywf.core.plan import NodeKind
from raywf.core.state import CLOSED, ExecutionState, TaskStatus
from raywf.definition import values
from raywf.definition.changes import changes, graph_diff
from raywf.definition.inputs import bind_input, binder_of, input_values
from raywf.definition.lines import did_you_mean
from raywf.definition.migrations import Migration, migration_for
from raywf.definition.model import WorkflowDefinition
from raywf.definition.workflows import Workflow
from raywf.errors import CodeMissing, InvalidInput, RaywfError
from raywf.ports import EventRow, ExecutionRow
from raywf.runtime.migrating import rules_data

_OPEN = ("pending", "running", "waiting", "paused", "compensating")
_PAGE = 500
_LOOK_S = 0.1

COVERS = (
    "A version is the hash of the graph: tasks, arguments, conditions, options, parameters, and the source text of each task's "
    "function. It does not cover what that function calls, imports or reads. Code is shared: once it is deployed, whatever runs next "
    "in any version uses it"
)


class TaskPlan(BaseModel):
    """What becomes of one task. ``verdict``: ``kept``, ``re-runs``, ``new``, ``not run yet``, ``dropped`` or ``blocks``; ``was`` is its
    old id, None for a new one, ``status`` where it stands now."""

    model_config = ConfigDict(frozen=True)

    task: str
    was: str | None
    status: str | None
    verdict: str
    reason: str


class ExecutionPlan(BaseModel):
    """What becomes of one open execution. ``blocks`` says what keeps it where it is, empty: it can be migrated."""

    model_config = ConfigDict(frozen=True)

    id: str
    status: str
    version: str
    label: str
    tasks: list[TaskPlan]
    blocks: list[str]
    notes: list[str]
    migration: str | None = None


class DeploymentPlan(BaseModel):
    """What a deployment would do; nothing was changed. ``changes`` and ``graph`` are against the ``current`` version (None: there is
    none). ``up_to_date`` counts open executions that are under this version already; ``more`` those that were not looked at."""

    model_config = ConfigDict(frozen=True)

    workflow: str
    version: str
    label: str
    current: str | None
    changes: list[str]
    graph: str
    executions: list[ExecutionPlan]
    up_to_date: int
    more: int
    covers: str = COVERS

    @property
    def blocked(self) -> list[str]:
        """The ids of executions that stay where they are."""
        return [each.id for each in self.executions if each.blocks]


class MigrationResult(BaseModel):
    """What became of a migration: ids that go on under ``version`` now, those that stay and why, and those whose command waits for
    an engine (or for an attempt to end)."""

    model_config = ConfigDict(frozen=True)

    version: str
    migrated: list[str] = []
    refused: dict[str, str] = {}
    waiting: list[str] = []


@dataclass(frozen=True, slots=True)
class Wishes:
    """What is asked for beside the migrations of the workflow: tasks by new ids, dropped ones by old."""

    rerun: frozenset[str] = frozenset()
    keep: frozenset[str] = frozenset()
    drop: frozenset[str] = frozenset()


def wishes(rerun: Collection[str], keep: Collection[str], drop: Collection[str]) -> Wishes:
    for name, given in (("rerun", rerun), ("keep", keep), ("drop", drop)):
        if isinstance(given, str) or not all(isinstance(each, str) for each in given):
            raise InvalidInput(f"{name}={given!r:.80} is a list of task ids, as in {name}=['write']")
    return Wishes(frozenset(rerun), frozenset(keep), frozenset(drop))


class Chosen(NamedTuple):
    """One execution, and what would become of it. ``rules`` None: it is blocked by what no rule can say."""

    row: ExecutionRow
    plan: ExecutionPlan
    rules: Rules | None
    seq: int


@dataclass(slots=True)
class Planner:
    """Plans executions of one workflow towards one version of it."""

    readings: Readings
    workflow: Workflow[..., Any]
    asked: Wishes
    _functions: dict[str, Callable[..., Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._functions = self.workflow.functions
        self._check_names()

    def _check_names(self) -> None:
        known = [task.id for task in self.workflow.definition.tasks]
        for what, names in (("rerun", self.asked.rerun), ("keep", self.asked.keep)):
            for name in names:
                if name not in known:
                    raise InvalidInput(
                        f"{what}: workflow {self.workflow.id!r} has no task {name!r}.{did_you_mean(name, known)} "
                        f"Its tasks: {', '.join(known)}"
                    )

    async def plan(self, row: ExecutionRow) -> Chosen:
        """What would become of one execution. Raises ``DefinitionError`` for a migration that names what is not there."""
        new = self.workflow.definition
        history = await self.readings.reader.history(row.key)
        state, _ = await self.readings.state_of(row, history)
        old = await self.readings.definition(state.plan.definition)
        migration = migration_for(self.workflow, old.content_hash, old.version)
        if migration is not None:
            migration.check(old, new)
        self._check_dropped(old)
        found = _Facts(self.readings, self._functions, row.id, state, new, migration)
        input_, missing = found.input()
        rules = found.rules(self.asked, input_)
        moves = plan_moves(state, self.workflow.plan, rules)
        return Chosen(row, _plan(row, old, moves, missing, migration), None if missing else rules, _seq(history))

    def _check_dropped(self, old: WorkflowDefinition) -> None:
        known = [task.id for task in old.tasks]
        for name in self.asked.drop:
            if name not in known:
                raise InvalidInput(
                    f"drop: version {old.version} ({old.content_hash[:12]}) has no task {name!r}.{did_you_mean(name, known)} "
                    f"Its tasks: {', '.join(known)}"
                )


def _seq(history: Sequence[EventRow]) -> int:
    return history[-1].seq if history else 0


def _plan(
    row: ExecutionRow, old: WorkflowDefinition, moves: Moves, missing: list[str], migration: Migration | None
) -> ExecutionPlan:
    return ExecutionPlan(
        id=row.id,
        status=row.status,
        version=old.content_hash,
        label=old.version,
        tasks=[TaskPlan(**each._asdict() | {"verdict": each.verdict.value}) for each in moves.tasks],
        blocks=[*missing, *moves.blocked],
        notes=list(moves.notes),
        migration=None if migration is None else str(migration),
    )


@dataclass(slots=True)
class _Facts:
    """What only the code can say of one execution."""

    readings: Readings
    functions: Mapping[str, Callable[..., Any]]
    id: str
    state: ExecutionState
    new: WorkflowDefinition
    migration: Migration | None

    def rules(self, asked: Wishes, input_: bytes | None) -> Rules:
        made = self.migration
        rename = {} if made is None else made.rename
        converts = frozenset() if made is None else frozenset(made.converters)
        dropped = asked.drop | (frozenset() if made is None else made.dropped)
        names = {new: old for old, new in rename.items()}
        done = {task.id: self._results(names.get(task.id, task.id)) for task in self.new.tasks}
        return Rules(
            rename=rename,
            rerun=asked.rerun | (frozenset() if made is None else made.rerun),
            keep=asked.keep | (frozenset() if made is None else made.kept),
            drop=dropped,
            converts=converts,
            values=dict(self._converted(done)),
            misfits=dict(self._misfits(done, converts)),
            input=input_,
        )

    def _results(self, name: str) -> list[tuple[int | None, bytes]]:
        """The results on record of a task: one, or its items' by number."""
        at = self.state.plan.index.get(name)
        if at is None:
            return []
        current = self.state.tasks[at]
        if current.items is not None:
            return [(item, each.value or b"null") for item, each in enumerate(current.items) if _is_done(each.status)]
        return [(None, current.value)] if _is_done(current.status) and current.value is not None else []

    def _converted(self, done: Mapping[str, list[tuple[int | None, bytes]]]) -> Iterator[tuple[str, bytes]]:
        converters = {} if self.migration is None else self.migration.converters
        for name, convert in converters.items():
            for item, value in done.get(name, []):
                where = name if item is None else item_address(name, item)
                yield where, self._convert(name, where, convert, value)

    def _convert(self, name: str, where: str, convert: Callable[[Any], Any], value: bytes) -> bytes:
        who = f"{self.migration}: the result of task {where!r} of execution {self.id!r}"
        try:
            made = convert(self._decoded(value))
            function = self._function_of(name)
            coerce = None if function is None else values.coercer(function)
            return values.encode(made if coerce is None else coerce(made))
        except Exception as error:
            raise InvalidInput(
                f"{who} cannot be brought into its new shape: {type(error).__name__}: {error}"
            ) from error

    def _misfits(
        self, done: Mapping[str, list[tuple[int | None, bytes]]], converts: Collection[str]
    ) -> Iterator[tuple[str, str]]:
        for task in self.new.tasks:
            function = self._function_of(task.id)
            if function is None or task.id in converts:
                continue
            coerce = values.coercer(function)
            for _, value in done[task.id]:
                why = self._misfit(value, coerce)
                if why is not None:
                    yield task.id, f"{why}. Convert it in a migration (@m.convert({task.id!r})), or let it run again"
                    break

    def _misfit(self, value: bytes, coerce: Callable[[Any], Any] | None) -> str | None:
        try:
            found = self._decoded(value)
        except CodeMissing as error:
            return f"its result on record cannot be read: {error}"
        except (RaywfError, ValueError, TypeError) as error:
            return f"its result on record is none for today's classes: {error}"
        try:
            if coerce is not None:
                coerce(found)
        except RaywfError as error:
            what = str(error).partition(" returned ")[2].partition(". Return what it says")[0]
            return f"its result on record is {what or error}"
        return None

    def _decoded(self, value: bytes) -> Any:
        return values.decode(value, None, self.readings.blobs.get)

    def _function_of(self, name: str) -> Callable[..., Any] | None:
        task = next((each for each in self.new.tasks if each.id == name), None)
        return None if task is None or task.kind is not NodeKind.CALL else self.functions.get(task.function or "")

    def input(self) -> tuple[bytes | None, list[str]]:
        """The input under the new version, None where it is the same; and which parameters nobody has a value for."""
        if self.migration is not None and self.migration.new_input is not None:
            try:
                given = self.migration.new_input(input_values(self.state.input))
                return bind_input(self.new, (), given), []
            except Exception as error:
                raise InvalidInput(
                    f"{self.migration}: the input of execution {self.id!r} cannot be brought into its new shape: "
                    f"{type(error).__name__}: {error}"
                ) from error
        before: dict[str, Any] = json.loads(self.state.input)
        now, missing = {}, []
        for _, _, default, name in binder_of(self.new).fields:
            if name in before:
                now[name] = before[name]
            elif default is not None:
                now[name] = json.loads(default)
            else:
                missing.append(
                    f"parameter {name!r} is new and has no default: give it one, or say in the migration's input what it was"
                )
        if now == before or missing:
            return None, missing
        return json.dumps(now, separators=(",", ":"), ensure_ascii=False).encode(), []


def _is_done(status: TaskStatus) -> bool:
    return status is TaskStatus.COMPLETED


async def open_rows(readings: Readings, workflow: str, ids: Collection[str] | None) -> list[ExecutionRow]:
    """Open executions of a workflow, oldest first; children go with their parents. With ``ids``, those of them. Raises ``NotFound``,
    ``InvalidInput``."""
    if ids is not None:
        return [_of_workflow(await readings.row(id_), workflow) for id_ in dict.fromkeys(ids)]
    rows: dict[str, ExecutionRow] = {}
    for status in _OPEN:
        after = None
        while True:
            page = await readings.reader.executions(
                readings.namespace, status=status, workflow=workflow, limit=_PAGE, after=after
            )
            rows |= {row.id: row for row in page if row.parent is None}
            if len(page) < _PAGE:
                break
            after = page[-1].id
    return sorted(rows.values(), key=lambda row: row.key)


def _of_workflow(row: ExecutionRow, workflow: str) -> ExecutionRow:
    if row.workflow != workflow:
        raise InvalidInput(f"execution {row.id!r} is one of workflow {row.workflow!r}, not of {workflow!r}")
    if row.parent is not None:
        raise InvalidInput(
            f"execution {row.id!r} is a child of {row.parent!r} and goes with it: migrate {row.id.partition('/')[0]!r}"
        )
    return row


async def deployment_plan(
    readings: Readings,
    workflow: Workflow[..., Any],
    current: str | None,
    asked: Wishes,
    ids: Collection[str] | None,
    limit: int,
) -> DeploymentPlan:
    """What deploying a workflow would do to its open executions. Changes nothing."""
    new = workflow.definition
    planner = Planner(readings, workflow, asked)
    rows = await open_rows(readings, new.id, ids)
    behind = [row for row in rows if row.definition != new.content_hash or asked.rerun]
    base = None if current is None else await readings.definition(current)
    return DeploymentPlan(
        workflow=new.id,
        version=new.content_hash,
        label=new.version,
        current=current,
        changes=[] if base is None else changes(base, new),
        graph="" if base is None else graph_diff(base, new),
        executions=[(await planner.plan(row)).plan for row in behind[:limit]],
        up_to_date=len(rows) - len(behind),
        more=max(0, len(behind) - limit),
    )


async def migrate(
    commands: Commands,
    workflow: Workflow[..., Any],
    asked: Wishes,
    ids: Collection[str] | None,
    by: str | None,
    timeout: float,
) -> MigrationResult:
    """Ask for the migration of open executions to this version; its definition is in the store. Those whose plan blocks stay. Waits up
    to ``timeout`` seconds for those that live engines hold."""
    readings, new = commands.readings, workflow.definition
    planner = Planner(readings, workflow, asked)
    sent: dict[str, tuple[ExecutionRow, str, int]] = {}
    refused: dict[str, str] = {}
    here: list[str] = []
    for row in await open_rows(readings, new.id, ids):
        if row.status in CLOSED:
            refused[row.id] = f"it is {row.status}: there is nothing left to migrate"
        elif row.definition == new.content_hash and not asked.rerun:
            here.append(row.id)
        else:
            found = await planner.plan(row)
            if found.plan.blocks or found.rules is None:
                refused[row.id] = "; ".join(found.plan.blocks)
                continue
            rules = json.dumps(rules_data(found.rules), sort_keys=True, ensure_ascii=False)
            # The same wish at the same point of its history is one command, however often it is sent.
            mark = hashlib.sha256(rules.encode()).hexdigest()[:8]
            command = f"migrate-{new.content_hash[:16]}-{found.seq}-{mark}"
            body = {"definition": new.content_hash, "rules": rules}
            await commands.send(row, "migrate", body, command, by)
            sent[row.id] = row, command, found.seq
    done = await _outcomes(readings, sent, timeout)
    return MigrationResult(
        version=new.content_hash,
        migrated=[*here, *(id_ for id_, why in done.items() if why is None)],
        refused=refused | {id_: why for id_, why in done.items() if why is not None},
        waiting=[id_ for id_ in sent if id_ not in done],
    )


async def _outcomes(
    readings: Readings, sent: Mapping[str, tuple[ExecutionRow, str, int]], timeout: float
) -> dict[str, str | None]:
    """What became of each command, as far as histories say within the time: None where it was migrated, else why not."""
    done: dict[str, str | None] = {}
    now = time.time()
    held = {owner.lane for owner in await readings.reader.owners() if owner.expires_at > now}
    until = time.monotonic() + timeout
    while True:
        for id_, (row, command, seq) in sent.items():
            if id_ in done or row.lane not in held:
                continue
            for each in await readings.reader.history(row.key, seq):
                event = from_record(*each[4:]) if each.kind in ("execution_migrated", "migration_refused") else None
                if isinstance(event, ExecutionMigrated) and event.id == command:
                    done[id_] = None
                elif isinstance(event, MigrationRefused) and event.id == command:
                    done[id_] = event.reason
        waiting = [row for id_, (row, _, _) in sent.items() if id_ not in done and row.lane in held]
        if not waiting or time.monotonic() >= until:
            return done
        await asyncio.sleep(_LOOK_S)
