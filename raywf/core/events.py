"""History events: one frozen value per fact. What is in the journal is a sequence of these and nothing else.

``task`` is an address: the task's id, or ``name[3]`` for one item of a fan-out. Values are in encoded form (JSON bytes,
see ``raywf.runtime.values``); the brain never decodes them. Times are seconds since the epoch, UTC.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from raywf.core.failures import Failure


@dataclass(frozen=True, slots=True)
class ExecutionStarted:
    """Accepted. ``input`` is a JSON object from parameter to encoded value."""

    input: bytes


@dataclass(frozen=True, slots=True)
class ExecutionForked:
    """Accepted as a fork, in the place of ``ExecutionStarted``: it begins with what of ``source`` is not downstream of
    ``from_task``. ``kept`` is a JSON object from task id to what is kept of it (``core.kept``)."""

    source: str
    from_task: str
    input: bytes
    kept: bytes


@dataclass(frozen=True, slots=True)
class ExecutionRetried:
    """A failed or cancelled execution is opened again. ``id`` makes a repeat a no-op."""

    id: str


@dataclass(frozen=True, slots=True)
class ExecutionMigrated:
    """An open execution goes on under the definition ``definition`` (a content hash), which it had not begun with: until
    here it was ``source``. A state begins with this event as with ``ExecutionStarted``; ``kept`` is a JSON object from task
    id to what is kept of it, ``rest`` what else a state holds (``core.migrated``). ``id`` makes a repeat a no-op."""

    id: str
    source: str
    definition: str
    input: bytes
    kept: bytes
    rest: bytes


@dataclass(frozen=True, slots=True)
class MigrationRefused:
    """An execution could not be migrated, and goes on as it is."""

    id: str
    definition: str
    reason: str


@dataclass(frozen=True, slots=True)
class AttemptStarted:
    """An attempt began and did not end within the commit that followed (short attempts leave only their end)."""

    task: str
    attempt: int


class TaskCompleted(NamedTuple):
    """(A named tuple, because one is made for every task that ends well.)"""

    task: str
    attempt: int
    value: bytes


@dataclass(frozen=True, slots=True)
class ResultReused:
    """A task has its result, in the place of ``TaskCompleted``, and did not run: ``source`` (an execution's id) and its
    ``source_task`` (an address) computed it at ``computed_at``. ``key`` is what it was found under."""

    task: str
    attempt: int
    value: bytes
    source: str
    source_task: str
    computed_at: float
    key: str


@dataclass(frozen=True, slots=True)
class TaskContinued:
    """An attempt gave a continuation: the task's result will be that of a child execution of the workflow
    ``definition`` (its content hash) with this ``input``."""

    task: str
    attempt: int
    definition: str
    input: bytes


@dataclass(frozen=True, slots=True)
class AttemptFailed:
    """An attempt failed; ``retry_at`` says when the next begins, None that this was the last."""

    task: str
    failure: Failure
    attempt: int
    retry_at: float | None = None


@dataclass(frozen=True, slots=True)
class AttemptLost:
    """The outcome of the attempt will not be known: its process went away, say. ``counted`` losses lead to isolation and
    then to failure. ``begun`` False: it certainly had not begun, so even an at-most-once task may run again."""

    task: str
    attempt: int
    reason: str = ""
    counted: bool = True
    begun: bool = True


@dataclass(frozen=True, slots=True)
class AttemptCancelled:
    """``abandoned``: it did not end when it was asked to, and may still do something that counts no more."""

    task: str
    attempt: int
    abandoned: bool = False


@dataclass(frozen=True, slots=True)
class ProgressMade:
    """How far an attempt says it is. Of many words the last within some seconds is kept."""

    task: str
    attempt: int
    value: bytes


@dataclass(frozen=True, slots=True)
class ItemsEmitted:
    """The next items of a task's stream: ``first`` is the number of the first, from 0 and without gaps whichever
    attempt emits them."""

    task: str
    attempt: int
    first: int
    items: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class MapStarted:
    """A fan-out knows its width."""

    task: str
    width: int


@dataclass(frozen=True, slots=True)
class BranchTaken:
    """A condition was evaluated: ``side`` True is ``then``."""

    task: str
    side: bool


@dataclass(frozen=True, slots=True)
class PassStarted:
    """A loop begins its ``number``-th pass, from 1, with the state ``value``."""

    task: str
    number: int
    value: bytes


@dataclass(frozen=True, slots=True)
class TimerStarted:
    """A sleep began; it ends at ``due_at`` and gives ``value``."""

    task: str
    due_at: float
    value: bytes


@dataclass(frozen=True, slots=True)
class SignalAwaited:
    """A task waits for the next signal ``name``; with ``update`` for the next update of that name. ``default`` None: the
    timeout fails the task."""

    task: str
    name: str
    due_at: float | None = None
    default: bytes | None = None
    update: bool = False


@dataclass(frozen=True, slots=True)
class ApprovalRequested:
    """A task waits for a person. ``on_reject`` and ``on_timeout`` None: rejection and timeout fail the task.

    ``assignee`` and ``approvers`` may answer, anybody where nobody is named; ``required`` of them must approve. From
    ``escalate_at`` on those in ``escalate_to`` are asked as well.
    """

    task: str
    prompt: str
    data: bytes
    due_at: float | None = None
    on_reject: bytes | None = None
    on_timeout: bytes | None = None
    assignee: str = ""
    approvers: tuple[str, ...] = ()
    required: int = 1
    escalate_at: float | None = None
    escalate_to: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MergeAwaited:
    """A merge that does not need all its sources waits for answers, at most until ``due_at``."""

    task: str
    due_at: float | None = None


@dataclass(frozen=True, slots=True)
class MergeDecided:
    """The answers that a merge has decide it: those of the ``out`` sources still out could change nothing."""

    task: str
    answered: int
    out: int


@dataclass(frozen=True, slots=True)
class ChildStarted:
    task: str
    child: str


@dataclass(frozen=True, slots=True)
class TimerFired:
    """The time a task waited for has come: a retry, the end of a sleep, the timeout of a wait."""

    task: str


@dataclass(frozen=True, slots=True)
class SignalReceived:
    """``id`` makes a repeat a no-op. ``update``: it was an update, and its validator has accepted it."""

    name: str
    value: bytes
    id: str
    update: bool = False


@dataclass(frozen=True, slots=True)
class UpdateRefused:
    """An update was not accepted; its payload is not kept."""

    name: str
    id: str
    failure: Failure


@dataclass(frozen=True, slots=True)
class ApprovalDecided:
    """One person's answer. Empty ``by``: an older history, in which one answer decided."""

    task: str
    approved: bool
    comment: str
    id: str
    by: str = ""


@dataclass(frozen=True, slots=True)
class CancelRequested:
    reason: str


@dataclass(frozen=True, slots=True)
class PauseRequested:
    """Nothing new starts until it is resumed. ``inherited``: because the parent was paused."""

    reason: str = ""
    inherited: bool = False


@dataclass(frozen=True, slots=True)
class ResumeRequested:
    """A pause is over."""


@dataclass(frozen=True, slots=True)
class DoubtResolved:
    """Somebody says what became of an at-most-once attempt: ``outcome`` is ``retry``, ``completed`` (with ``value``) or
    ``failed``."""

    task: str
    outcome: str
    value: bytes | None
    comment: str
    id: str


@dataclass(frozen=True, slots=True)
class DeadlineExceeded:
    deadline: float


@dataclass(frozen=True, slots=True)
class ResultFailed:
    """All tasks have completed and yet there is no result (it cannot be evaluated): the execution is going to fail."""

    failure: Failure


@dataclass(frozen=True, slots=True)
class ExecutionCompleted:
    value: bytes


@dataclass(frozen=True, slots=True)
class ExecutionFailed:
    task: str | None
    failure: Failure


@dataclass(frozen=True, slots=True)
class ExecutionCancelled:
    reason: str


Event: TypeAlias = (
    ExecutionStarted
    | ExecutionForked
    | ExecutionRetried
    | ExecutionMigrated
    | MigrationRefused
    | AttemptStarted
    | TaskCompleted
    | ResultReused
    | TaskContinued
    | AttemptFailed
    | AttemptLost
    | AttemptCancelled
    | ProgressMade
    | ItemsEmitted
    | MapStarted
    | BranchTaken
    | PassStarted
    | TimerStarted
    | SignalAwaited
    | ApprovalRequested
    | MergeAwaited
    | MergeDecided
    | ChildStarted
    | TimerFired
    | SignalReceived
    | UpdateRefused
    | ApprovalDecided
    | CancelRequested
    | PauseRequested
    | ResumeRequested
    | DoubtResolved
    | DeadlineExceeded
    | ResultFailed
    | ExecutionCompleted
    | ExecutionFailed
    | ExecutionCancelled
)
