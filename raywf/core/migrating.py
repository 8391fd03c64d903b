"""What becomes of an open execution under another definition: decided before anything changes, from three values.

::

    state (under the old plan)  +  new plan  +  rules   --plan_moves-->   a verdict for each task, what is kept, what blocks

A result is what its call gave: the function (by name), its arguments, the child, the condition. While these are the same, it is kept,
whatever else changed: options, code, the order of tasks. Where they are not, the task runs again and so does whatever needs its result.
Code is not among them, because it is shared by all executions as soon as it is deployed, and a result on record was computed once.

What must not happen is found here, too: a task that may run once only, one whose effect nobody would take back, an attempt that runs
now, a child that would go on for nobody. Such a task *blocks*, and the execution stays as it is until ``rules`` say otherwise.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, NamedTuple

from raywf.core.bindings import Const
from raywf.core.chunks import Chunks
from raywf.core.comparing import InNewPlan, difference, renamed_address
from raywf.core.events import AttemptLost, BranchTaken, ChildStarted, ExecutionMigrated, SignalAwaited
from raywf.core.moves.again import standing
from raywf.core.moves.migrated import migration_event
from raywf.core.moves.tasks import READY
from raywf.core.plan import Node, NodeKind, Plan
from raywf.core.state import ExecutionState, TaskState, TaskStatus, task_states

_NOT_BEGUN = (TaskStatus.PENDING, TaskStatus.SKIPPED)
_SKIPPED = TaskState(TaskStatus.SKIPPED)
_PENDING = TaskState(TaskStatus.PENDING)


class Verdict(StrEnum):
    KEPT = "kept"
    RERUNS = "re-runs"
    NEW = "new"
    NOT_RUN = "not run yet"
    DROPPED = "dropped"
    BLOCKS = "blocks"


@dataclass(frozen=True, slots=True)
class Rules:
    """What a person says about a migration. ``rename`` maps old ids of tasks to new ones; results of ``rerun`` (new ids) do not
    count, those of ``keep`` count although their call has changed; ``drop`` (old ids) may go whatever they are at.

    ``values`` are results in a new shape by new address, ``converts`` the tasks of which there must be one; ``misfits`` says of
    which new tasks the result on record does not fit, and why. ``input`` is the input under the new definition."""

    rename: Mapping[str, str] = field(default_factory=dict)
    rerun: frozenset[str] = frozenset()
    keep: frozenset[str] = frozenset()
    drop: frozenset[str] = frozenset()
    converts: frozenset[str] = frozenset()
    values: Mapping[str, bytes] = field(default_factory=dict)
    misfits: Mapping[str, str] = field(default_factory=dict)
    input: bytes | None = None


class TaskMove(NamedTuple):
    """What becomes of one task. ``was`` is its old id, None for a new one; ``status`` where it stands now."""

    task: str
    was: str | None
    status: str | None
    verdict: Verdict
    reason: str


@dataclass(frozen=True, slots=True)
class Moves:
    """What becomes of one execution. ``blocks`` says what keeps it where it is as a whole; ``target`` is the state that
    it goes on from, its tasks those that are kept."""

    tasks: tuple[TaskMove, ...]
    blocks: tuple[str, ...]
    notes: tuple[str, ...]
    target: ExecutionState

    @property
    def blocked(self) -> tuple[str, ...]:
        """Everything that keeps the execution where it is, in words."""
        said = (f"{each.task}: {each.reason}" for each in self.tasks if each.verdict is Verdict.BLOCKS)
        return (*self.blocks, *said)

    def event(self, id_: str, source: str) -> ExecutionMigrated:
        """The fact, for the history."""
        return migration_event(id_, source, self.target)


def plan_moves(state: ExecutionState, plan: Plan, rules: Rules) -> Moves:
    """What becomes of an execution in ``state`` under ``plan``. Changes nothing."""
    return _Planning(state, plan, rules).moves()


def has_begun(task: TaskState) -> bool:
    """Whether there is anything of a task to keep or to lose."""
    return task.status not in _NOT_BEGUN and task != READY


class _Planning:
    """One plan in the making."""

    def __init__(self, state: ExecutionState, plan: Plan, rules: Rules) -> None:
        self.state, self.old, self.new, self.rules = state, state.plan, plan, rules
        self.places = InNewPlan(self.old, plan, rules.rename, rules.drop)
        self.input = state.input if rules.input is None else rules.input
        self.changed = dict(self._changed())
        self.fresh, self.kept = self._standing()

    # what stands

    def _was(self, at: int) -> TaskState:
        """Where a task of the new plan stands now."""
        old = self.places.old_of.get(at)
        return _PENDING if old is None else self.state.tasks[old]

    def _changed(self) -> Iterator[tuple[int, str]]:
        parameters = _different(self.state.input, self.input)
        for node in self.new.nodes:
            old = self.places.old_of.get(node.index)
            if old is None or node.undoes is not None or not has_begun(self.state.tasks[old]):
                continue
            if node.id in self.rules.rerun:
                yield node.index, "it was asked for"
            elif node.id not in self.rules.keep and node.id not in self.rules.converts:
                before = self.old.nodes[old]
                why = difference(before, node, self.places, self.state.tasks[old].status, parameters)
                if why is not None:
                    yield node.index, why

    def _standing(self) -> tuple[set[int], dict[int, TaskState]]:
        tasks = [self._moved(node) for node in self.new.nodes]
        base = ExecutionState(self.new, tuple(tasks), left=0)
        begun = {at for at, task in enumerate(tasks) if task is not _PENDING}
        unfinished = {at for at in begun if tasks[at].status is not TaskStatus.COMPLETED}
        unfinished -= {at for at in unfinished if _done_without(tasks, self.new.nodes[at])}
        # A task that has begun and now comes after one that has not ended needs nothing of it: only the order is new.
        firm = {(at, each) for at in unfinished for each in self.new.nodes[at].dependents if each in begun}
        unfinished |= set(self._values_changed(tasks))
        _, kept = standing(base, unfinished, set(self.changed), set(), _go_on, firm)
        kept = {at: task for at, task in kept.items() if at in begun}
        skipped = set[int]()
        for node in self.new.nodes:
            if node.undoes is None and self._is_skipped(node, kept, skipped):
                skipped.add(node.index)
                kept[node.index] = _SKIPPED
        return begun - set(kept), kept

    def _moved(self, node: Node) -> TaskState:
        """A task's state under its new name and with its new value; ``_PENDING`` where it has not begun."""
        current = self._was(node.index)
        if node.undoes is not None or not has_begun(current):
            return _PENDING
        if (value := self.rules.values.get(node.id)) is not None and current.status is TaskStatus.COMPLETED:
            current = current._replace(value=value)
        if current.items is not None and (self.rules.values or self.rules.rename):
            places = enumerate(current.items)
            items = [self._named(node, self._item(node, at, each)) for at, each in places]
            current = current._replace(items=Chunks.of(items))
        return self._named(node, current)

    def _item(self, node: Node, at: int, item: TaskState) -> TaskState:
        value = self.rules.values.get(f"{node.id}[{at}]")
        return item if value is None or item.status is not TaskStatus.COMPLETED else item._replace(value=value)

    def _named(self, node: Node, task: TaskState) -> TaskState:
        old = self.old.nodes[self.places.old_of[node.index]].id
        if old == node.id or task.wait is None:
            return task
        return task._replace(wait=replace(task.wait, task=renamed_address(task.wait.task, node.id)))

    def _values_changed(self, tasks: list[TaskState]) -> Iterator[int]:
        """Conditions whose decision stands, and whose value is made of other results."""
        for node in self.new.nodes:
            taken = tasks[node.index].wait
            if node.kind is not NodeKind.WHEN or not isinstance(taken, BranchTaken):
                continue
            before = self.old.nodes[self.places.old_of[node.index]]
            sides = (before.result_then, node.result_then), (before.result_otherwise, node.result_otherwise)
            old, new = sides[0] if taken.side else sides[1]
            if old is not None and self.places.moved(old) != new:
                yield node.index

    def _is_skipped(self, node: Node, kept: Mapping[int, TaskState], skipped: set[int]) -> bool:
        if any(loop in skipped for loop in node.loops):
            return True
        if node.guard is None:
            return False
        around, side = node.guard
        taken = kept[around].wait if around in kept else None
        return around in skipped or (isinstance(taken, BranchTaken) and taken.side != side)

    # what is said of it

    def moves(self) -> Moves:
        tasks = [self._move(node) for node in self.new.nodes if node.undoes is None]
        gone = (node for node in self.old.nodes if node.undoes is None and node.index not in self.places.new_of)
        tasks += map(self._dropped, gone)
        return Moves(tuple(tasks), tuple(self._blocks()), tuple(self._notes()), self._target())

    def _move(self, node: Node) -> TaskMove:
        old, current = self.places.old_of.get(node.index), self._was(node.index)
        skipped = self.kept.get(node.index) is _SKIPPED
        if old is None:
            why = "it is on the side that was not taken" if skipped else "it runs when its turn comes"
            return TaskMove(node.id, None, None, Verdict.NEW, why)
        before = self.old.nodes[old]
        verdict, reason = self._judged(node, before, current, skipped)
        return TaskMove(node.id, before.id, current.status.value, verdict, reason)

    def _judged(self, node: Node, before: Node, current: TaskState, skipped: bool) -> tuple[Verdict, str]:
        if not has_begun(current):
            if current.status is TaskStatus.SKIPPED:
                said = "it was skipped" if skipped else "it was skipped, and now its turn comes"
                return (Verdict.KEPT if skipped else Verdict.NOT_RUN), said
            return Verdict.NOT_RUN, "it is on the side that was not taken" if skipped else ""
        if node.index not in self.kept:
            reason = self.changed.get(node.index) or self._input_of(node)
            why_not = None if node.id in self.rules.rerun else self._lost(before, current, again=True)
            return (Verdict.RERUNS, reason) if why_not is None else (Verdict.BLOCKS, f"{why_not} ({reason})")
        if (misfit := self.rules.misfits.get(node.id)) is not None:
            return Verdict.BLOCKS, misfit
        if node.id in self.rules.converts and not self._is_converted(node, current):
            return (
                Verdict.BLOCKS,
                "it has completed meanwhile, and its result was not brought into its new shape: try again",
            )
        if before.id != node.id and (tried := _tried(current)) is not None:
            return (
                Verdict.BLOCKS,
                f"{tried}: under its new name it would have another idempotency key. Wait until it has ended",
            )
        return Verdict.KEPT, _kept_words(node, before, current)

    def _is_converted(self, node: Node, current: TaskState) -> bool:
        if current.items is None:
            return current.status is not TaskStatus.COMPLETED or node.id in self.rules.values
        done = (at for at, item in enumerate(current.items) if item.status is TaskStatus.COMPLETED)
        return all(f"{node.id}[{at}]" in self.rules.values for at in done)

    def _input_of(self, node: Node) -> str:
        """Why a task runs again whose own call is the same."""
        around = [] if node.guard is None else [node.guard[0]]
        for at in (*node.loops, *around, *node.needs):
            if at in self.fresh:
                what = "what is around it" if at in node.loops or at in around else "what it needs"
                return f"{what} runs again: {self.new.nodes[at].id}"
        again = [self.new.nodes[at].id for at in node.needs if at in self.kept and self._value_is_new(at)]
        return f"what it needs has another value: {', '.join(again)}" if again else "what it needs has changed"

    def _value_is_new(self, at: int) -> bool:
        return self.kept[at].status is not TaskStatus.COMPLETED

    def _lost(self, before: Node, current: TaskState, *, again: bool) -> str | None:
        """Why what a task has done, or is doing, must not be forgotten; None where it may be."""
        places = (current,) if current.items is None else tuple(current.items)
        if any(isinstance(each.wait, ChildStarted) and each.status is not TaskStatus.COMPLETED for each in places):
            child = next(each.wait.child for each in places if isinstance(each.wait, ChildStarted))
            return f"its child execution {child} is open and would go on for nobody: wait for it, or cancel it"
        if any(_runs(before, each) for each in places):
            return f"attempt {max(each.attempt for each in places)} runs now: wait until it has ended"
        if any(isinstance(each.wait, AttemptLost) and each.status is TaskStatus.WAITING for each in places):
            return "nobody knows whether it happened: resolve it first"
        if again and before.options.effect == "at_most_once" and any(each.attempt for each in places):
            return "it has run, and must not run twice (at_most_once)"
        if any(each.order for each in places):
            gone = (
                "it would be done once more while what it did stands" if again else "nobody could take back what it did"
            )
            return f"{gone} (it has compensate=)"
        awaited = current.wait
        if (
            current.status is TaskStatus.WAITING
            and isinstance(awaited, SignalAwaited)
            and not self._is_awaited(awaited)
        ):
            return f"it waits for {'an update' if awaited.update else 'a signal'} {awaited.name!r}, which nothing takes any more"
        return None

    def _is_awaited(self, awaited: SignalAwaited) -> bool:
        return any(_may_await(node, awaited.name, awaited.update) for node in self.new.nodes)

    def _dropped(self, before: Node) -> TaskMove:
        current = self.state.tasks[before.index]
        verdict, reason = (
            Verdict.DROPPED,
            "it had not run" if not has_begun(current) else "its result is not needed any more",
        )
        if has_begun(current) and before.id not in self.rules.drop:
            why_not = self._lost(before, current, again=False)
            if why_not is not None:
                verdict, reason = Verdict.BLOCKS, f"{why_not} (it is gone)"
            elif current.status is not TaskStatus.COMPLETED:
                reason = f"it was {current.status.value}"
        return TaskMove(before.id, before.id, current.status.value, verdict, reason)

    def _blocks(self) -> Iterator[str]:
        state = self.state
        if state.closed is not None:
            yield f"it is {state.closed.value}: there is nothing left to migrate"
        elif state.closing is not None:
            yield f"it is on its way to {state.closing.status.value}: what is left of it runs under the definition it has"
        elif not state.started:
            yield "it has not started"
        for node in self.old.nodes:
            merge, current = node.merge, state.tasks[node.index]
            if merge is None or current.status not in (TaskStatus.WAITING, TaskStatus.READY):
                continue
            ended = (TaskStatus.FAILED, TaskStatus.CANCELLED)
            places = [each for at in merge.members for each in (state.tasks[at], *(state.tasks[at].items or ()))]
            if any(each.status in ended for each in places):
                yield f"{node.id} merges what its sources have answered, and some have failed: wait until it is done"

    def _notes(self) -> Iterator[str]:
        for signal in dict.fromkeys((each.name, each.update) for each in self.state.signals):
            if not any(_may_await(node, *signal) for node in self.new.nodes):
                yield f"{'update' if signal[1] else 'signal'} {signal[0]!r} has come, and nothing takes it any more"
        for at in sorted(self.kept):
            old = self.places.old_of.get(at)
            had = None if old is None else self.old.nodes[old].undone_by
            has = self.new.nodes[at].undone_by
            if old is not None and has_begun(self.state.tasks[old]) and (had is None) != (has is None):
                now = (
                    "can be taken back from now on only if it runs again"
                    if has is not None
                    else "is not taken back any more"
                )
                yield f"what {self.new.nodes[at].id} has done {now}"

    # the state it goes on from

    def _target(self) -> ExecutionState:
        state = self.state
        tasks = task_states([self.kept.get(node.index, _PENDING) for node in self.new.nodes])
        fields: dict[str, Any] = {name: getattr(state, name) for name in ("signals", "seen", "order", "pause")}
        round_ = state.round + 1
        return ExecutionState(
            self.new, tasks, left=0, started=True, input=self.input, round=round_, rounds=self._rounds(round_), **fields
        )

    def _rounds(self, round_: int) -> Mapping[str, int] | None:
        """What is done anew is another deed, under another key; and its children are others."""
        rounds: dict[str, int] = {}
        for key, number in (self.state.rounds or {}).items():
            mark = key[0] if key[0] in "/*" else ""
            old = self.old.index.get(key.removeprefix(mark).partition("[")[0].partition("@")[0])
            new = None if old is None else self.places.new_of.get(old)
            if new is not None:
                rounds[mark + renamed_address(key.removeprefix(mark), self.new.nodes[new].id)] = number
        for node in self.new.nodes:
            again = node.index in self.fresh
            taken_over = node.index not in self.places.old_of and node.id in self.old.index
            if node.undoes is None and (again or taken_over):
                rounds["*" + node.id] = rounds["/" + node.id] = round_
        return rounds or None


def _go_on(node: Node, item: int | None, current: TaskState) -> TaskState:
    """How a place goes on whose call stands and whose result is not there yet: as it would have."""
    if isinstance(current.wait, ChildStarted) or current.grown is not None:
        wait = current.wait if isinstance(current.wait, ChildStarted) else None
        return TaskState(TaskStatus.READY, attempt=current.attempt, wait=wait, grown=current.grown, notes=current.notes)
    return current


def _done_without(tasks: list[TaskState], node: Node) -> bool:
    return node.merged_by is not None and tasks[node.merged_by].status is TaskStatus.COMPLETED


def _runs(node: Node, task: TaskState) -> bool:
    inside = task.items is not None or task.passes or isinstance(task.wait, BranchTaken)
    return task.status is TaskStatus.RUNNING and not inside and not isinstance(task.wait, ChildStarted)


def _tried(task: TaskState) -> str | None:
    places = (task,) if task.items is None else tuple(task.items)
    for each in places:
        if isinstance(each.wait, ChildStarted) and each.status is not TaskStatus.COMPLETED:
            return f"its child execution {each.wait.child} is open"
        inside = each.items is not None or each.passes or isinstance(each.wait, BranchTaken)
        if each.status in (TaskStatus.RUNNING, TaskStatus.RETRYING) and not inside:
            return f"it is {each.status.value} (attempt {each.attempt})"
    return None


def _may_await(node: Node, name: str, update: bool) -> bool:
    """Whether a task takes signals of that name, as far as its definition says."""
    if node.kind is not NodeKind.SIGNAL or node.update != update:
        return False
    said = dict(node.kwargs).get("name")
    return not isinstance(said, Const) or json.loads(said.value) == name


def _kept_words(node: Node, before: Node, current: TaskState) -> str:
    match current.status:
        case TaskStatus.COMPLETED:
            said = "its result"
        case TaskStatus.WAITING:
            said = "it goes on waiting"
        case TaskStatus.RETRYING:
            said = "its next attempt comes when it would have"
        case _ if current.items is not None:
            done = sum(item.status is TaskStatus.COMPLETED for item in current.items)
            said = f"{done} of {len(current.items)} items are done"
        case _ if isinstance(current.wait, BranchTaken):
            said = "its decision"
        case _ if current.passes:
            said = f"it is in pass {current.passes}"
        case _ if isinstance(current.wait, ChildStarted):
            said = f"its child execution {current.wait.child} goes on"
        case _:
            said = (
                f"attempt {current.attempt} ends first" if current.status is TaskStatus.RUNNING else "it is on its way"
            )
    if before.id != node.id:
        said += f"; it was called {before.id}"
    old, new = before.function, node.function
    if old is not None and new is not None and old.source_hash != new.source_hash:
        minds = "its code has changed, which a result on record does not mind"
        said += f"; {minds}" if current.status is TaskStatus.COMPLETED else "; its code has changed"
    return said


def _different(before: bytes, now: bytes) -> frozenset[str]:
    """The parameters whose values differ."""
    if before == now:
        return frozenset()
    old, new = json.loads(before), json.loads(now)
    return frozenset(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))
