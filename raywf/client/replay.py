"""An exported history against today's definition: what would be kept, what differs, and whether it still folds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from pydantic import BaseModel, ConfigDict

from raywf.client.exporting import ExportedExecution
from raywf.core.codec import from_record, last_part
from raywf.core.events import ExecutionMigrated
from raywf.core.execution import evolve, initial
from raywf.core.plan import FunctionRef
from raywf.core.state import ExecutionState, TaskStatus
from raywf.definition.compile import compile_plan
from raywf.definition.functions import resolve_function, source_hash
from raywf.definition.model import TaskDefinition, WorkflowDefinition
from raywf.errors import CodeMissing


class TaskReplay(BaseModel):
    """One task. ``verdict``: ``kept`` (its recorded result counts), ``runs again``, ``not run yet``, ``skipped``, ``new``
    or ``gone``. ``differs`` says how it differs from the definition that the history began with."""

    model_config = ConfigDict(frozen=True)

    task: str
    status: str | None
    verdict: str
    differs: list[str]


class Replay(BaseModel):
    """What today's definition makes of a history. ``folds`` is None, or says at which event it does not fold and why."""

    model_config = ConfigDict(frozen=True)

    id: str
    workflow: str
    status: str
    events: int
    same_definition: bool
    folds: str | None
    tasks: list[TaskReplay]

    @property
    def ok(self) -> bool:
        """Whether the history still folds."""
        return self.folds is None


def replay(exported: ExportedExecution, today: WorkflowDefinition | None = None) -> Replay:
    """Compare the root's history with a definition; None: with its own, whose functions are looked up as they are today.

    Nothing runs. A result is kept where its task is the same task (what it calls, its arguments, its kind) and so is
    everything that it needs; code that changed does not matter to a result that is recorded, and is said.
    """
    whole = exported.rows(exported.root)
    hash_, history = last_part(whole, exported.root.definition)
    old = exported.definition(hash_)
    new = old if today is None else today
    state, _ = _fold(old, history)
    _, folds = _fold(new, history)
    return Replay(
        id=exported.id,
        workflow=old.id,
        status=exported.root.status,
        events=len(whole),
        same_definition=old.content_hash == new.content_hash,
        folds=folds,
        tasks=_tasks(old, new, state, looked_up=today is None),
    )


def _fold(definition: WorkflowDefinition, history: Sequence[Any]) -> tuple[ExecutionState, str | None]:
    """The state as far as it folds, and why not further."""
    state = initial(compile_plan(definition))
    for row in history:
        try:
            event = from_record(*row[4:])
            if isinstance(event, ExecutionMigrated):  # what it kept, as a migration to this definition
                event = replace(event, definition=state.plan.definition)
            state = evolve(state, event)
        except Exception as error:
            what = f"{row.kind} {row.task}" if row.task else row.kind
            why = f"there is no task {error.args[0]!r}" if isinstance(error, KeyError) and error.args else str(error)
            return state, f"event {row.seq} ({what}): {why or type(error).__name__}"
    return state, None


def _tasks(
    old: WorkflowDefinition, new: WorkflowDefinition, state: ExecutionState, *, looked_up: bool
) -> list[TaskReplay]:
    before = {task.id: task for task in old.tasks}
    after = {task.id: task for task in new.tasks}
    statuses = {
        node.id: task.status for node, task in zip(state.plan.nodes, state.tasks, strict=True) if node.undoes is None
    }
    needs = new.dependencies
    kept: dict[str, bool] = {}

    def stays(name: str) -> bool:
        """Whether a task and all that it needs are what they were."""
        if name not in kept:
            kept[name] = name in before and not _changes(before[name], after[name]) and all(map(stays, needs[name]))
        return kept[name]

    found = []
    for name, task in after.items():
        status = statuses.get(name)
        differs = _changes(before[name], task) + _code(before[name], task, looked_up) if name in before else []
        if not stays(name) and name in before and not _changes(before[name], task):
            differs.append("what it needs has changed: " + ", ".join(each for each in needs[name] if not stays(each)))
        found.append(
            TaskReplay(task=name, status=status, verdict=_verdict(name in before, status, stays(name)), differs=differs)
        )
    gone = [name for name in before if name not in after]
    return found + [TaskReplay(task=name, status=statuses.get(name), verdict="gone", differs=[]) for name in gone]


def _verdict(known: bool, status: str | None, stays: bool) -> str:
    if not known:
        return "new"
    if status == TaskStatus.SKIPPED and stays:
        return "skipped"
    if status != TaskStatus.COMPLETED:
        return "not run yet"
    return "kept" if stays else "runs again"


def _changes(old: TaskDefinition, new: TaskDefinition) -> list[str]:
    """What is different about a task, save for its code and for how it runs."""
    was, now = old._as_data(), new._as_data()
    names = sorted((was.keys() | now.keys()) - {"source_hash", "by_value", "options", "workflow", "after"})
    changes = [
        f"{name}: {_short(was.get(name))} is now {_short(now.get(name))}"
        for name in names
        if was.get(name) != now.get(name)
    ]
    if old.workflow is not None and new.workflow is not None and old.workflow.content_hash != new.workflow.content_hash:
        changes.append(f"the child workflow {old.workflow.id} has changed")
    return changes


def _short(value: Any) -> str:
    text = "not given" if value is None else str(value)
    return text if len(text) <= 80 else text[:79] + "…"


def _code(old: TaskDefinition, new: TaskDefinition, looked_up: bool) -> list[str]:
    """Whether the function is another one today. A recorded result does not mind."""
    said = [f"options: {_short(old.options)} is now {_short(new.options)}"] if old.options != new.options else []
    if old.function is None or old.function != new.function:
        return said
    today = new.source_hash
    if looked_up and old.by_value:
        return [*said, "its code lives in a script, so what it is today is not known here"]
    if looked_up:
        try:
            today = source_hash(resolve_function(FunctionRef(old.function)), old.function)
        except CodeMissing as error:
            return [*said, f"its code is not here: {error}"]
    if old.source_hash and today and today != old.source_hash:
        said.append("its code has changed")
    return said
