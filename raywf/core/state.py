"""The state of one execution, as a value: what its history so far amounts to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, TypeAlias

from raywf.core.chunks import Chunks
from raywf.core.events import (
    ApprovalRequested,
    AttemptLost,
    BranchTaken,
    ChildStarted,
    MergeAwaited,
    PassStarted,
    PauseRequested,
    SignalAwaited,
    SignalReceived,
    TaskContinued,
    TimerStarted,
)
from raywf.core.failures import Failure
from raywf.core.ids import child_id, item_address, pass_address
from raywf.core.plan import Plan


class ExecutionStatus(StrEnum):
    PENDING = "pending"
    RUNNING = "running"
    WAITING = "waiting"
    PAUSED = "paused"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    COMPENSATING = "compensating"


CLOSED = frozenset({ExecutionStatus.COMPLETED, ExecutionStatus.FAILED, ExecutionStatus.CANCELLED})


class TaskStatus(StrEnum):
    PENDING = "pending"
    READY = "ready"
    RUNNING = "running"
    WAITING = "waiting"
    RETRYING = "retrying"
    COMPLETED = "completed"
    FAILED = "failed"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"


Wait: TypeAlias = (
    TimerStarted
    | SignalAwaited
    | ApprovalRequested
    | MergeAwaited
    | ChildStarted
    | BranchTaken
    | PassStarted
    | AttemptLost
)


class Notes(NamedTuple):
    """What is known of a task that most tasks never say: the last ``progress`` of an attempt, and how many items its
    stream has; of an approval, who has approved and who has rejected, and whether it was escalated."""

    progress: bytes | None = None
    emitted: int = 0
    approved_by: tuple[str, ...] = ()
    rejected_by: tuple[str, ...] = ()
    escalated: bool = False


NO_NOTES = Notes()


class TaskState(NamedTuple):
    """One task, or one item of a fan-out. (A named tuple, because one is made at every move.)

    ``remaining`` counts what must still complete before the next move; ``attempt`` numbers the attempt that runs or is
    next; ``failures`` and ``lost`` count how earlier ones ended. ``wait`` is the event that says what is waited for.
    A fan-out keeps its ``items`` once it is as wide as ``MapStarted`` said. ``order`` numbers the completions that a
    compensation would have to take back, from 1. ``passes`` is the pass that a loop is in; its ``value`` is then the state
    that the pass began with. ``grown`` says which child execution goes on for the task, once it gave a continuation.
    ``notes`` is None until there is something to note.
    """

    status: TaskStatus
    remaining: int = 0
    attempt: int = 0
    failures: int = 0
    lost: int = 0
    value: bytes | None = None
    failure: Failure | None = None
    due_at: float | None = None
    wait: Wait | None = None
    items: Chunks[TaskState] | None = None
    order: int = 0
    passes: int = 0
    grown: TaskContinued | None = None
    notes: Notes | None = None


WIDE = 48
"""Plans of more tasks keep their state in ``Chunks``."""


def task_states(tasks: Sequence[TaskState]) -> Sequence[TaskState]:
    """The states of a plan's tasks in the form that suits their number."""
    return Chunks.of(tasks) if len(tasks) > WIDE else tuple(tasks)


@dataclass(frozen=True, slots=True)
class Closing:
    """Why an execution is on its way to an end other than completion."""

    status: ExecutionStatus
    task: str | None = None
    failure: Failure | None = None
    reason: str = ""


class ExecutionState(NamedTuple):
    """What the history so far amounts to. (A named tuple, because one is made at every event.)

    ``active`` counts tasks and items that are ready, running or retrying; ``waiting`` those that wait for time, a
    signal or a person; ``left`` the tasks that have not completed and were not skipped. ``signals`` have come and are
    not taken yet; ``seen`` are the ids of commands already applied. ``order`` counts completions that can be taken back,
    ``undoing`` says that compensations have begun. While ``pause`` stands, nothing starts and no time passes. ``tasks`` is
    a tuple for a plan of up to ``WIDE`` tasks, else ``Chunks``: a tuple copies faster while it is short.
    ``round`` counts from 1 how often the execution was opened; ``rounds`` says in which one a task began whose name needs
    that (``key_of``, ``child_of``).
    """

    plan: Plan
    tasks: Sequence[TaskState]
    left: int
    active: int = 0
    waiting: int = 0
    started: bool = False
    input: bytes = b"{}"
    signals: tuple[SignalReceived, ...] = ()
    seen: frozenset[str] = frozenset()
    closing: Closing | None = None
    closed: ExecutionStatus | None = None
    value: bytes | None = None
    order: int = 0
    undoing: bool = False
    pause: PauseRequested | None = None
    round: int = 1
    rounds: Mapping[str, int] | None = None

    @property
    def status(self) -> ExecutionStatus:
        if self.closed is not None:
            return self.closed
        if not self.started:
            return ExecutionStatus.PENDING
        if self.pause is not None:
            return ExecutionStatus.PAUSED
        if self.undoing:
            return ExecutionStatus.COMPENSATING
        return ExecutionStatus.WAITING if self.waiting and not self.active else ExecutionStatus.RUNNING


def grown_parts(state: ExecutionState) -> list[TaskContinued]:
    """The continuations that have not ended yet."""
    places = (each for task in state.tasks for each in ((task,) if task.items is None else task.items))
    return [each.grown for each in places if each.grown is not None]


def passes_of(state: ExecutionState, task: int) -> tuple[int, ...]:
    """The pass that each loop around a task is in, outermost first."""
    loops = state.plan.nodes[task].loops
    return tuple(state.tasks[loop].passes for loop in loops) if loops else ()


def address_of(state: ExecutionState, task: int, item: int | None = None) -> str:
    """The address of a task, or of one item of its fan-out, now: ``name``, ``name[3]``, in a loop ``name@2[3]``."""
    node = state.plan.nodes[task]
    name = pass_address(node.id, passes_of(state, task)) if node.loops else node.id
    return name if item is None else item_address(name, item)


def key_of(state: ExecutionState, execution: str, address: str) -> str:
    """The idempotency key of all attempts of a task. Whatever is done again after it was taken back is another deed, and
    so is taking that back: ``#2`` says in which round. So is what a migration has done anew, under ``*name``."""
    round_ = state.rounds.get(address) if state.rounds else None
    if round_ is None and state.rounds:
        round_ = state.rounds.get("*" + address.partition("[")[0].partition("@")[0])
    return f"{execution}/{address}" if round_ is None else f"{execution}/{address}#{round_}"


def child_of(state: ExecutionState, execution: str, task: int, item: int | None) -> str:
    """The id of the child that a task, or an item of it, starts; ``#2`` where it was called anew after a retry, with
    other arguments than the child before."""
    where = address_of(state, task, item)
    round_ = state.rounds.get("/" + state.plan.nodes[task].id) if state.rounds else None
    return child_id(execution, where if round_ is None else f"{where}#{round_}")


def result_bytes(state: ExecutionState, task: int) -> bytes:
    """The encoded result of a completed task. A fan-out's is the list of its items' results."""
    current = state.tasks[task]
    if current.items is not None:
        return b"[" + b",".join(item.value or b"null" for item in current.items) + b"]"
    if current.value is None:
        raise LookupError(f"task {state.plan.nodes[task].id!r} has no result: it is {current.status}")
    return current.value
