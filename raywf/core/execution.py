"""The state machine of one execution.

Three functions, all pure::

    evolve(state, event)   -> state                  what a fact changes
    outstanding(state)     -> effects                what the world still owes us
    step(state, event)     -> state, effects         the first, and what is newly outstanding because of it

Because effects follow from the state, recovery is no second program: fold the history, then issue what is outstanding.

A task moves like this (docs/architecture.md draws it)::

    pending --needs met--> ready --AttemptStarted--> running --TaskCompleted--> completed
       |                    ^  |  ^                     |
       |                    |  |  +----AttemptLost------+
       |                    |  +--AttemptFailed(retry_at)--> retrying --TimerFired--> ready
       |                    |  +--AttemptFailed--> failed       (both also from running)
       |                    |  +--TimerStarted, SignalAwaited, ApprovalRequested--> waiting --> completed | failed
       +--the other side of a when--> skipped                 ready, running, waiting, retrying --closing--> cancelled

An execution is running while anything is ready, running or retrying; waiting while only time, a signal or a person can
move it; and it closes once nothing is left. On the first final failure, on a cancel and past the deadline it is
*closing*: nothing new starts, what runs is cancelled, and when the last attempt has ended, compensations run
(``moves/undoing.py``), newest first. The end is reported when nothing is left.

A failed or cancelled execution may be opened again (``ExecutionRetried``, ``moves/again.py``): it goes on from what stands.

An event that the state does not allow raises ``IllegalTransition``: the hands check ``is_current`` before they report.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import assert_never

from raywf.core.effects import Close, Effect
from raywf.core.events import (
    ApprovalDecided,
    ApprovalRequested,
    AttemptCancelled,
    AttemptFailed,
    AttemptLost,
    AttemptStarted,
    BranchTaken,
    CancelRequested,
    ChildStarted,
    DeadlineExceeded,
    DoubtResolved,
    Event,
    ExecutionCancelled,
    ExecutionCompleted,
    ExecutionFailed,
    ExecutionForked,
    ExecutionMigrated,
    ExecutionRetried,
    ExecutionStarted,
    ItemsEmitted,
    MapStarted,
    MergeAwaited,
    MergeDecided,
    MigrationRefused,
    PassStarted,
    PauseRequested,
    ProgressMade,
    ResultFailed,
    ResultReused,
    ResumeRequested,
    SignalAwaited,
    SignalReceived,
    TaskCompleted,
    TaskContinued,
    TimerFired,
    TimerStarted,
    UpdateRefused,
)
from raywf.core.failures import Failure
from raywf.core.moves.again import retried
from raywf.core.moves.branches import branch_taken, map_started, pass_started
from raywf.core.moves.closing import begin_closing, close, ending
from raywf.core.moves.draft import Draft, IllegalTransition
from raywf.core.moves.migrated import begun_with
from raywf.core.moves.shortcut import completed
from raywf.core.moves.tasks import attempt_ended, attempt_failed, attempt_lost, given_up, make_ready
from raywf.core.moves.undoing import undo_next
from raywf.core.moves.voices import said
from raywf.core.moves.waits import approval_decided, doubt_resolved, resumed, signal_received, timer_fired, wait
from raywf.core.owed import OPEN, effects_of, must_close, stopped, task_at
from raywf.core.plan import Plan
from raywf.core.state import Closing, ExecutionState, ExecutionStatus, TaskState, TaskStatus, passes_of, task_states

__all__ = [
    "IllegalTransition",
    "ending",
    "evolve",
    "fold",
    "fold_on",
    "initial",
    "is_current",
    "is_wanted",
    "may_start",
    "outstanding",
    "step",
    "task_at",
]

_CLOSED = ExecutionState._fields.index("closed")  # and ``value`` beside it


def initial(plan: Plan) -> ExecutionState:
    """The state before the first event."""
    tasks = task_states([TaskState(TaskStatus.PENDING, remaining=len(node.needs)) for node in plan.nodes])
    return ExecutionState(plan, tasks, left=sum(not node.loops and node.undoes is None for node in plan.nodes))


def evolve(state: ExecutionState, event: Event) -> ExecutionState:
    """The state after a fact. Raises ``IllegalTransition`` for one that cannot follow."""
    return _drafted(state, event).freeze()


def step(state: ExecutionState, event: Event) -> tuple[ExecutionState, tuple[Effect, ...]]:
    """The state after a fact, and the effects that are outstanding because of it."""
    if type(event) is TaskCompleted and (moved := completed(state, event)) is not None:
        return moved
    if type(event) is ExecutionCompleted and state.closing is None and must_close(state):
        ended = (*state[:_CLOSED], ExecutionStatus.COMPLETED, event.value, *state[_CLOSED + 2 :])
        return tuple.__new__(ExecutionState, ended), ()
    return _stepped(state, event)


def _stepped(state: ExecutionState, event: Event) -> tuple[ExecutionState, tuple[Effect, ...]]:
    draft = _drafted(state, event)
    after = draft.freeze()
    effects = [effect for task, item in draft.touched for effect in effects_of(after, task, item)]
    if type(event) is ResumeRequested:  # what is ending was owed its end all the same
        owed = set(outstanding(state))
        effects = [effect for effect in effects if effect not in owed]
    if must_close(after):
        effects.append(Close())
    return after, tuple(effects)


def _drafted(state: ExecutionState, event: Event) -> Draft:
    draft = Draft(state)
    _apply(draft, event)
    if draft.closing is not None:
        undo_next(draft)
    return draft


def fold(plan: Plan, events: Iterable[Event]) -> ExecutionState:
    """The state that a history amounts to. ``plan`` is what it goes on under: of one that was migrated, its last part counts."""
    found = list(events)
    for at in range(len(found) - 1, 0, -1):
        if type(found[at]) is ExecutionMigrated:
            del found[:at]
            break
    return fold_on(initial(plan), found)


def fold_on(state: ExecutionState, events: Iterable[Event]) -> ExecutionState:
    """The state that a history amounts to, gone on with from the state it had reached before ``events``."""
    for event in events:
        state = evolve(state, event)
    return state


def outstanding(state: ExecutionState) -> Iterator[Effect]:
    """Everything the world still owes this execution."""
    if state.closed is not None:
        return
    for task, current in enumerate(state.tasks):
        if current.items is None:
            yield from effects_of(state, task, None)
        else:
            for item in range(len(current.items)):
                yield from effects_of(state, task, item)
    if must_close(state):
        yield Close()


def is_current(state: ExecutionState, task: int, item: int | None, attempt: int, at: tuple[int, ...] = ()) -> bool:
    """Whether the outcome of this attempt, made in the pass ``at``, is still wanted."""
    if state.closed is not None or ((at or state.plan.nodes[task].loops) and at != passes_of(state, task)):
        return False
    current = state.tasks[task] if item is None else task_at(state, task, item)
    return current.attempt == attempt and current.status in OPEN


def may_start(state: ExecutionState, task: int, item: int | None, attempt: int, at: tuple[int, ...] = ()) -> bool:
    """Whether this attempt is still to begin: its result is wanted, and its execution lets new things start."""
    return state.pause is None and is_wanted(state, task, item, attempt, at)


def is_wanted(state: ExecutionState, task: int, item: int | None, attempt: int, at: tuple[int, ...] = ()) -> bool:
    """Whether this attempt counts, and its execution goes on with the result."""
    if state.closing is not None and state.plan.nodes[task].undoes is None:
        return False
    node = state.plan.nodes[task]
    if node.merged_by is not None and stopped(state.tasks, node):
        return False
    return is_current(state, task, item, attempt, at)


def _apply(draft: Draft, event: Event) -> None:
    if draft.state.closed is not None and type(event) is not ExecutionRetried:
        raise IllegalTransition(f"the execution is {draft.state.closed}: it takes no {event!r:.200}")
    match event:
        case TaskCompleted(address, attempt, value) | ResultReused(address, attempt, value):
            ended = TaskState(TaskStatus.COMPLETED, attempt=attempt, value=value)
            attempt_ended(draft, *draft.current(address, attempt, event), ended)
        case ExecutionStarted(input_):
            _start(draft, input_)
        case ExecutionForked() | ExecutionMigrated():
            begun_with(draft, event)
        case ExecutionRetried():
            retried(draft, event)
        case ExecutionCompleted(value):
            close(draft, ExecutionStatus.COMPLETED, value)
        case AttemptStarted(address, attempt):
            task, item, current = draft.current(address, attempt, event)
            draft.put(task, item, current._replace(status=TaskStatus.RUNNING, attempt=attempt))
            if draft.plan.nodes[task].options.effect == "at_most_once":
                draft.touched.append((task, item))
        case TaskContinued(address, attempt):
            task, item, current = draft.current(address, attempt, event)
            draft.put(task, item, current._replace(status=TaskStatus.READY, grown=event))
            draft.touched.append((task, item))
        case AttemptFailed():
            attempt_failed(draft, event)
        case AttemptLost():
            attempt_lost(draft, event)
        case AttemptCancelled(address, attempt):
            given_up(draft, *draft.current(address, attempt, event))
        case ProgressMade() | ItemsEmitted():
            said(draft, event)
        case MapStarted(address, width):
            map_started(draft, address, width, event)
        case BranchTaken(address, side):
            branch_taken(draft, address, side, event)
        case PassStarted():
            pass_started(draft, event)
        case TimerStarted() | SignalAwaited() | ApprovalRequested() | MergeAwaited():
            wait(draft, event)
        case ChildStarted(address, _):
            task, item, current = draft.current(address, None, event)
            draft.put(task, item, current._replace(status=TaskStatus.RUNNING, wait=event))
        case TimerFired(address) | MergeDecided(address):
            timer_fired(draft, address, event)
        case SignalReceived() | UpdateRefused() | MigrationRefused():
            signal_received(draft, event)
        case ApprovalDecided():
            approval_decided(draft, event)
        case DoubtResolved():
            doubt_resolved(draft, event)
        case PauseRequested():
            if draft.state.pause is None:
                draft.changes["pause"] = event
        case ResumeRequested():
            resumed(draft)
        case CancelRequested(reason):
            draft.changes["pause"] = None
            begin_closing(draft, Closing(ExecutionStatus.CANCELLED, reason=reason))
        case DeadlineExceeded() | ResultFailed():
            begin_closing(draft, Closing(ExecutionStatus.FAILED, None, _failure_of(event)))
        case ExecutionFailed():
            close(draft, ExecutionStatus.FAILED, None)
            draft.closing = Closing(ExecutionStatus.FAILED, event.task, event.failure)
        case ExecutionCancelled(reason):
            close(draft, ExecutionStatus.CANCELLED, None)
            draft.closing = Closing(ExecutionStatus.CANCELLED, reason=reason)
        case _:
            assert_never(event)


def _failure_of(event: DeadlineExceeded | ResultFailed) -> Failure:
    if isinstance(event, ResultFailed):
        return event.failure
    message = f"the deadline (epoch second {event.deadline:.3f}) passed before the execution ended"
    return Failure("DeadlineExceeded", message)


def _start(draft: Draft, input_: bytes) -> None:
    if draft.state.started:
        raise IllegalTransition("the execution has started already")
    draft.changes["started"] = True
    draft.changes["input"] = input_
    for node in draft.plan.nodes:
        if not node.needs and node.undoes is None:
            make_ready(draft, node)
