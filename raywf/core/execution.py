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
*closing*: nothing new starts, what runs is cancelled, and the end is reported when the last attempt has ended.

An event that the state does not allow raises ``IllegalTransition``: the hands check ``is_current`` before they report.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, assert_never

from raywf.core.chunks import Chunks
from raywf.core.effects import ArmTimer, CancelAttempt, Close, Effect, Evaluate, StartAttempt, StartChild
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
    Event,
    ExecutionCancelled,
    ExecutionCompleted,
    ExecutionFailed,
    ExecutionStarted,
    MapStarted,
    SignalAwaited,
    SignalReceived,
    TaskCompleted,
    TimerFired,
    TimerStarted,
)
from raywf.core.failures import Failure
from raywf.core.ids import item_address, split_address
from raywf.core.plan import Node, NodeKind, Plan
from raywf.core.state import Closing, ExecutionState, ExecutionStatus, TaskState, TaskStatus

_READY = TaskState(TaskStatus.READY, attempt=1)
_SKIPPED = TaskState(TaskStatus.SKIPPED)
_RUNS = (NodeKind.CALL, NodeKind.CHILD)
_OPEN = (TaskStatus.READY, TaskStatus.RUNNING)
_ACTIVE = (TaskStatus.READY, TaskStatus.RUNNING, TaskStatus.RETRYING)


class IllegalTransition(Exception):
    """The state does not allow this event. It marks a defect in the hands, never a user's mistake."""


def initial(plan: Plan) -> ExecutionState:
    """The state before the first event."""
    tasks = tuple(TaskState(TaskStatus.PENDING, remaining=len(node.needs)) for node in plan.nodes)
    return ExecutionState(plan, tasks, left=len(tasks))


def evolve(state: ExecutionState, event: Event) -> ExecutionState:
    """The state after a fact. Raises ``IllegalTransition`` for one that cannot follow."""
    draft = _Draft(state)
    draft.apply(event)
    return draft.freeze()


def step(state: ExecutionState, event: Event) -> tuple[ExecutionState, tuple[Effect, ...]]:
    """The state after a fact, and the effects that are outstanding because of it."""
    draft = _Draft(state)
    draft.apply(event)
    after = draft.freeze()
    effects = [effect for task, item in draft.touched for effect in _effects_of(after, task, item)]
    if _must_close(after):
        effects.append(Close())
    return after, tuple(effects)


def fold(plan: Plan, events: Iterable[Event]) -> ExecutionState:
    """The state that a history amounts to."""
    state = initial(plan)
    for event in events:
        state = evolve(state, event)
    return state


def outstanding(state: ExecutionState) -> Iterator[Effect]:
    """Everything the world still owes this execution."""
    if state.closed is not None:
        return
    for task, current in enumerate(state.tasks):
        if current.items is None:
            yield from _effects_of(state, task, None)
        else:
            for item in range(len(current.items)):
                yield from _effects_of(state, task, item)
    if _must_close(state):
        yield Close()


def task_at(state: ExecutionState, task: int, item: int | None) -> TaskState:
    """The state of a task, or of one item of its fan-out."""
    current = state.tasks[task]
    if item is None:
        return current
    if current.items is None:
        raise LookupError(f"task {state.plan.nodes[task].id!r} has no items yet")
    return current.items[item]


def is_current(state: ExecutionState, task: int, item: int | None, attempt: int) -> bool:
    """Whether the outcome of this attempt is still wanted."""
    if state.closed is not None:
        return False
    current = task_at(state, task, item)
    return current.status in _OPEN and current.attempt == attempt


def _must_close(state: ExecutionState) -> bool:
    if state.closed is not None or not state.started:
        return False
    if state.closing is not None:
        return state.active == 0 and state.waiting == 0
    return state.left == 0


def _effects_of(state: ExecutionState, task: int, item: int | None) -> tuple[Effect, ...]:
    node = state.plan.nodes[task]
    current = task_at(state, task, item)
    if current.status in _OPEN:
        if state.closing is not None:
            return (CancelAttempt(task, item, current.attempt),) if node.kind in _RUNS else ()
        if node.kind not in _RUNS or (node.mapped and item is None):
            return (Evaluate(task),) if current.status is TaskStatus.READY else ()
        if node.kind is NodeKind.CHILD:
            return (StartChild(task, item, current.attempt),)
        return (StartAttempt(task, item, current.attempt, current.lost >= 2),)
    if current.due_at is not None and current.status in (TaskStatus.RETRYING, TaskStatus.WAITING):
        return (ArmTimer(task, item, current.due_at),)
    return ()


class _Draft:
    """A state while one event is applied to it. Lives for one call; the state it came from is not touched."""

    __slots__ = ("active", "changes", "closing", "left", "plan", "state", "tasks", "touched", "waiting")

    def __init__(self, state: ExecutionState) -> None:
        self.state = state
        self.plan = state.plan
        self.tasks: list[TaskState] = list(state.tasks)
        self.left = state.left
        self.active = state.active
        self.waiting = state.waiting
        self.closing = state.closing
        self.changes: dict[str, Any] = {}
        self.touched: list[tuple[int, int | None]] = []

    def freeze(self) -> ExecutionState:
        old = self.state
        if self.changes:
            old = old._replace(**self.changes)
        return ExecutionState(
            old.plan,
            tuple(self.tasks),
            self.left,
            self.active,
            self.waiting,
            old.started,
            old.input,
            old.signals,
            old.seen,
            self.closing,
            old.closed,
            old.value,
        )

    def apply(self, event: Event) -> None:
        if self.state.closed is not None:
            raise IllegalTransition(f"the execution is {self.state.closed}: it takes no {event!r:.200}")
        match event:
            case TaskCompleted(address, attempt, value):
                ended = TaskState(TaskStatus.COMPLETED, attempt=attempt, value=value)
                self._attempt_ended(*self._current(address, attempt, event), ended)
            case ExecutionStarted(input_):
                self._start(input_)
            case ExecutionCompleted(value):
                self._close(ExecutionStatus.COMPLETED, value)
            case AttemptStarted(address, attempt):
                task, item, current = self._current(address, attempt, event)
                self._put(task, item, current._replace(status=TaskStatus.RUNNING, attempt=attempt))
            case AttemptFailed():
                self._attempt_failed(event)
            case AttemptLost():
                self._attempt_lost(event)
            case AttemptCancelled(address, attempt):
                self._cancel(*self._current(address, attempt, event))
            case MapStarted(address, width):
                self._map_started(address, width, event)
            case BranchTaken(address, side):
                self._branch_taken(address, side, event)
            case TimerStarted() | SignalAwaited() | ApprovalRequested():
                self._wait(event)
            case ChildStarted(address, _):
                task, item, current = self._current(address, None, event)
                self._put(task, item, current._replace(status=TaskStatus.RUNNING, wait=event))
            case TimerFired(address):
                self._timer_fired(address, event)
            case SignalReceived():
                self._signal_received(event)
            case ApprovalDecided():
                self._approval_decided(event)
            case CancelRequested(reason):
                self._begin_closing(Closing(ExecutionStatus.CANCELLED, reason=reason))
            case DeadlineExceeded(deadline):
                message = f"the deadline (epoch second {deadline:.3f}) passed before the execution ended"
                self._begin_closing(Closing(ExecutionStatus.FAILED, None, Failure("DeadlineExceeded", message)))
            case ExecutionFailed():
                self._close(ExecutionStatus.FAILED, None)
                self.closing = Closing(ExecutionStatus.FAILED, event.task, event.failure)
            case ExecutionCancelled(reason):
                self._close(ExecutionStatus.CANCELLED, None)
                self.closing = Closing(ExecutionStatus.CANCELLED, reason=reason)
            case _:
                assert_never(event)

    # places

    def _locate(self, address: str) -> tuple[int, int | None]:
        task = self.plan.index.get(address)
        if task is not None:
            return task, None
        try:
            name, item = split_address(address)
            return self.plan.index[name], item
        except (KeyError, ValueError):
            raise IllegalTransition(f"there is no task {address!r} in the plan of {self.plan.workflow!r}") from None

    def _at(self, task: int, item: int | None) -> TaskState:
        current = self.tasks[task]
        if item is None:
            return current
        if current.items is None or not 0 <= item < len(current.items):
            raise IllegalTransition(f"task {self.plan.nodes[task].id!r} has no item {item}")
        return current.items[item]

    def _put(self, task: int, item: int | None, new: TaskState) -> None:
        if item is None:
            self.tasks[task] = new
            return
        parent = self.tasks[task]
        assert parent.items is not None
        self.tasks[task] = parent._replace(items=parent.items.replaced(item, new))

    def _expect(self, task: int, item: int | None, allowed: tuple[TaskStatus, ...], event: Event) -> TaskState:
        current = self._at(task, item)
        if current.status not in allowed:
            name = self.plan.nodes[task].id if item is None else item_address(self.plan.nodes[task].id, item)
            raise IllegalTransition(f"task {name!r} is {current.status}: it takes no {event!r:.200}")
        return current

    def _current(self, address: str, attempt: int | None, event: Event) -> tuple[int, int | None, TaskState]:
        """The task whose attempt the event is about: it is open, and the attempt is the one that counts now."""
        task, item = self._locate(address)
        current = self._expect(task, item, _OPEN, event)
        by_others = current.status is TaskStatus.RUNNING and (
            current.items is not None or isinstance(current.wait, BranchTaken)
        )
        if by_others or (attempt is not None and attempt != current.attempt):
            what = "moved by its items or its side" if by_others else f"at attempt {current.attempt}"
            raise IllegalTransition(f"task {address!r} is {current.status}, {what}: it takes no {event!r:.200}")
        return task, item, current

    # the life of an execution

    def _start(self, input_: bytes) -> None:
        if self.state.started:
            raise IllegalTransition("the execution has started already")
        self.changes["started"] = True
        self.changes["input"] = input_
        for node in self.plan.nodes:
            if not node.needs:
                self._make_ready(node)

    def _close(self, status: ExecutionStatus, value: bytes | None) -> None:
        if not _must_close(self.state):
            raise IllegalTransition(f"the execution is {self.state.status} with work left: it cannot be {status} yet")
        self.changes["closed"] = status
        self.changes["value"] = value
        self.active = self.waiting = 0
        self.touched.clear()

    def _begin_closing(self, closing: Closing) -> None:
        """Nothing new starts from here on; waits end at once, running attempts are asked to."""
        if self.closing is not None:
            return
        self.closing = closing
        for task, current in enumerate(self.tasks):
            if current.items is None:
                self._stop(task, None, current)
            else:
                for item, each in enumerate(current.items):
                    self._stop(task, item, each)
                if self.tasks[task].status is TaskStatus.RUNNING:
                    self.tasks[task] = self.tasks[task]._replace(status=TaskStatus.CANCELLED)

    def _stop(self, task: int, item: int | None, current: TaskState) -> None:
        node = self.plan.nodes[task]
        runs = node.kind in _RUNS and not (node.mapped and item is None)
        if current.status in _OPEN and runs:
            self.touched.append((task, item))
        elif current.status in (*_ACTIVE, TaskStatus.WAITING):
            self._cancel(task, item, current)

    def _cancel(self, task: int, item: int | None, current: TaskState) -> None:
        if current.status is TaskStatus.WAITING:
            self.waiting -= 1
        elif not (current.status is TaskStatus.RUNNING and isinstance(current.wait, BranchTaken)):
            self.active -= 1
        self._put(task, item, current._replace(status=TaskStatus.CANCELLED, due_at=None))

    # the life of a task

    def _make_ready(self, node: Node) -> None:
        if self.closing is not None:
            return
        self.tasks[node.index] = _READY
        self.active += 1
        self.touched.append((node.index, None))

    def _settled(self, task: int) -> None:
        """A task completed: wake those who needed only this."""
        self.left -= 1
        node = self.plan.nodes[task]
        for dependent in node.dependents:
            self._need_met(dependent)
        for when in self.plan.dependents_of_sides[task]:
            current = self.tasks[when]
            if isinstance(current.wait, BranchTaken) and current.status is TaskStatus.RUNNING:
                taken = self.plan.nodes[when]
                if task in (taken.needs_then if current.wait.side else taken.needs_otherwise):
                    self._side_progress(when, current)

    def _need_met(self, dependent: int) -> None:
        waiting = self.tasks[dependent]
        if waiting.status is not TaskStatus.PENDING:
            return
        if waiting.remaining == 1:
            self._make_ready(self.plan.nodes[dependent])
        else:
            self.tasks[dependent] = TaskState(TaskStatus.PENDING, waiting.remaining - 1)

    def _side_progress(self, when: int, current: TaskState) -> None:
        if current.remaining > 1:
            self.tasks[when] = current._replace(remaining=current.remaining - 1)
            return
        if self.closing is None:
            self.tasks[when] = current._replace(status=TaskStatus.READY, remaining=0)
            self.active += 1
            self.touched.append((when, None))

    def _attempt_ended(self, task: int, item: int | None, current: TaskState, ended: TaskState) -> None:
        """An attempt ended with a result."""
        if current.failures or current.lost or current.wait:
            ended = ended._replace(failures=current.failures, lost=current.lost, wait=current.wait)
        self.active -= 1
        self._put(task, item, ended)
        if item is None:
            self._settled(task)
        else:
            self._item_settled(task)

    def _item_settled(self, task: int) -> None:
        parent = self.tasks[task]
        if parent.remaining > 1:
            self.tasks[task] = parent._replace(remaining=parent.remaining - 1)
        elif self.closing is None:
            self.tasks[task] = parent._replace(remaining=0, status=TaskStatus.COMPLETED)
            self._settled(task)

    def _attempt_failed(self, event: AttemptFailed) -> None:
        task, item, current = self._current(event.task, event.attempt, event)
        if event.retry_at is not None and self.closing is None:
            self._put(
                task,
                item,
                current._replace(
                    status=TaskStatus.RETRYING,
                    failures=current.failures + 1,
                    failure=event.failure,
                    due_at=event.retry_at,
                    wait=None,
                ),
            )
            self.touched.append((task, item))
            return
        self._fail(task, item, current, event.task, event.failure)

    def _fail(self, task: int, item: int | None, current: TaskState, address: str, failure: Failure) -> None:
        if current.status is TaskStatus.WAITING:
            self.waiting -= 1
        else:
            self.active -= 1
        failed = current._replace(status=TaskStatus.FAILED, failures=current.failures + 1, failure=failure, due_at=None)
        self._put(task, item, failed)
        if item is not None and self.tasks[task].status is TaskStatus.RUNNING:
            self.tasks[task] = self.tasks[task]._replace(status=TaskStatus.FAILED, failure=failure)
        self._begin_closing(Closing(ExecutionStatus.FAILED, address, failure))

    def _attempt_lost(self, event: AttemptLost) -> None:
        task, item, current = self._current(event.task, event.attempt, event)
        if self.closing is not None:
            self._cancel(task, item, current)
            return
        lost = current.lost + (1 if event.counted else 0)
        again = current._replace(status=TaskStatus.READY, attempt=current.attempt + 1, lost=lost, wait=None)
        self._put(task, item, again)
        self.touched.append((task, item))

    def _map_started(self, address: str, width: int, event: Event) -> None:
        task, _ = self._locate(address)
        current = self._expect(task, None, (TaskStatus.READY,), event)
        self.active -= 1
        if width == 0:
            self.tasks[task] = current._replace(status=TaskStatus.COMPLETED, items=Chunks.filled(_READY, 0))
            self._settled(task)
            return
        self.tasks[task] = current._replace(
            status=TaskStatus.RUNNING, remaining=width, items=Chunks.filled(_READY, width)
        )
        self.active += width
        self.touched.extend((task, item) for item in range(width))

    def _branch_taken(self, address: str, side: bool, event: BranchTaken) -> None:
        task, _ = self._locate(address)
        current = self._expect(task, None, (TaskStatus.READY,), event)
        node = self.plan.nodes[task]
        self.active -= 1
        needs = node.needs_then if side else node.needs_otherwise
        remaining = sum(self.tasks[need].status is not TaskStatus.COMPLETED for need in needs)
        self.tasks[task] = current._replace(status=TaskStatus.RUNNING, remaining=remaining, wait=event)
        self._skip(node.otherwise if side else node.then)
        for member in node.then if side else node.otherwise:
            self._need_met(member)
        if remaining == 0:
            self._side_progress(task, self.tasks[task])

    def _skip(self, members: tuple[int, ...]) -> None:
        for member in members:
            node = self.plan.nodes[member]
            self.tasks[member] = _SKIPPED
            self.left -= 1
            if node.kind is NodeKind.WHEN:
                self._skip(node.then)
                self._skip(node.otherwise)

    # waiting

    def _wait(self, event: TimerStarted | SignalAwaited | ApprovalRequested) -> None:
        task, _ = self._locate(event.task)
        current = self._expect(task, None, (TaskStatus.READY,), event)
        if isinstance(event, SignalAwaited):
            for place, signal in enumerate(self.state.signals):
                if signal.name == event.name:
                    self.changes["signals"] = (*self.state.signals[:place], *self.state.signals[place + 1 :])
                    self._attempt_ended(task, None, current, current._replace(value=signal.value, status=_DONE))
                    return
        self.active -= 1
        self.waiting += 1
        self.tasks[task] = current._replace(status=TaskStatus.WAITING, due_at=event.due_at, wait=event)
        self.touched.append((task, None))

    def _wait_ended(self, task: int, value: bytes) -> None:
        self.waiting -= 1
        self.tasks[task] = self.tasks[task]._replace(status=TaskStatus.COMPLETED, value=value, due_at=None)
        self._settled(task)

    def _timer_fired(self, address: str, event: Event) -> None:
        task, item = self._locate(address)
        current = self._expect(task, item, (TaskStatus.RETRYING, TaskStatus.WAITING), event)
        match current.wait:
            case TimerStarted(_, _, value):
                self._wait_ended(task, value)
            case SignalAwaited(_, name, _, default):
                self._timed_out(task, current, address, default, f"no signal {name!r} came in time")
            case ApprovalRequested(_, prompt, _, _, _, on_timeout):
                self._timed_out(task, current, address, on_timeout, f"nobody answered in time: {prompt}")
            case _:
                ready = current._replace(status=TaskStatus.READY, attempt=current.attempt + 1, due_at=None)
                self._put(task, item, ready)
                self.touched.append((task, item))

    def _timed_out(self, task: int, current: TaskState, address: str, value: bytes | None, message: str) -> None:
        if value is not None:
            self._wait_ended(task, value)
        else:
            failure = Failure("TimeoutError", message, attempt=current.attempt, retryable=False)
            self._fail(task, None, current, address, failure)

    def _signal_received(self, event: SignalReceived) -> None:
        if event.id in self.state.seen:
            return
        self.changes["seen"] = self.state.seen | {event.id}
        for node in self.plan.nodes:
            current = self.tasks[node.index]
            awaited = current.wait if current.status is TaskStatus.WAITING else None
            if isinstance(awaited, SignalAwaited) and awaited.name == event.name:
                self._wait_ended(node.index, event.value)
                return
        self.changes["signals"] = (*self.state.signals, event)

    def _approval_decided(self, event: ApprovalDecided) -> None:
        task, _ = self._locate(event.task)
        current = self.tasks[task]
        if event.id in self.state.seen or not isinstance(current.wait, ApprovalRequested):
            return
        self.changes["seen"] = self.state.seen | {event.id}
        if current.status is not TaskStatus.WAITING:
            return
        if event.approved:
            self._wait_ended(task, current.wait.data)
        elif current.wait.on_reject is not None:
            self._wait_ended(task, current.wait.on_reject)
        else:
            comment = f": {event.comment}" if event.comment else ""
            message = f"{current.wait.prompt} was rejected{comment}"
            failure = Failure("ApprovalRejected", message, attempt=current.attempt, retryable=False)
            self._fail(task, None, current, event.task, failure)


_DONE = TaskStatus.COMPLETED
