"""The host: holds executions, and obeys the brain.

Who decides: ``core.execution``, nobody else. The host turns outcomes into events, events into turns, and effects into
work. Drawing of one turn::

    outcome, command or timer
        -> event -> step(state, event) -> state'  + effects
                       |                              |
                       v                              v
                 commit buffer --on disk--> effects leave: attempts start, timers are armed, callers are answered

Authority: the journal. A commit that finds another epoch raises ``LeaseLost``; the host then drops the execution and
tells nobody. While the store is in trouble nothing leaves, and nothing accepted is forgotten.

Failure: if this process dies on any line, what is on disk is a prefix of what was decided here, and no effect of an
event that is not on disk has left. The next owner folds and goes on (``recovery.py``).
"""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from raywf.core import events as ev
from raywf.core import retry, snapshot
from raywf.core.codec import to_record
from raywf.core.effects import Announce, ArmTimer, CancelAttempt, Close, Effect, Evaluate, StartAttempt, StartChild
from raywf.core.execution import ending, is_current, is_wanted, may_start, step, task_at
from raywf.core.failures import Failure
from raywf.core.plan import Node, NodeKind, Plan
from raywf.core.state import ExecutionState, ExecutionStatus, TaskStatus, address_of, child_of, passes_of
from raywf.definition.continuation import MARK
from raywf.ports import Clock, DefinitionRow, Entropy, EventRow, ExecutionRow, StatusChange
from raywf.runtime.alarms import Alarms, Key
from raywf.runtime.children import child_ended, open_child, start_child
from raywf.runtime.evaluate import Evaluator, failure_of
from raywf.runtime.handing import HeldBack
from raywf.runtime.hands import Commits, Work
from raywf.runtime.keeping import keep_snapshot
from raywf.runtime.live import Live, Prepared, address, goes_on, only_runs, wake_at, words, worker_lost_text
from raywf.runtime.overdue import timed_out, verdict
from raywf.runtime.voices import Voices
from raywf.telemetry import Telemetry

log = logging.getLogger("raywf.host")

_SLICE = 500
"""Effects carried out in one go: the 50,000 of a wide fan-out must not hold up everybody else's."""

_UNKNOWN = ("TimeoutError", "raywf.errors.HeartbeatTimeout", "raywf.errors.InDoubt")
"""Failures after which nobody knows whether the effect of an at-most-once task happened."""

_new = tuple.__new__
"""A named tuple made without its constructor's own call: one is made for every event."""

STARTED_AFTER_S = 0.02
"""An attempt that runs longer than this leaves an ``AttemptStarted`` in the history."""


class Host:
    """Holds the executions of some shards. All methods run on the loop's thread; none of them awaits."""

    def __init__(
        self,
        *,
        commits: Commits,
        evaluator: Evaluator,
        clock: Clock,
        entropy: Entropy,
        loop: asyncio.AbstractEventLoop,
        plan_of: Callable[[str], Plan],
        telemetry: Telemetry,
    ) -> None:
        self.commits = commits
        self.evaluator = evaluator
        self.clock = clock
        self.entropy = entropy
        self.loop = loop
        self.plan_of = plan_of
        self.telemetry = telemetry
        self.work: Work
        self.open: dict[str, Live] = {}
        self.on_closed: Callable[[Live, EventRow], None] = lambda live, last: None
        self.on_orphan_child: Callable[[Live, int, int | None, int], None] = functools.partial(open_child, self)
        self.on_rest: Callable[[Live], None] = lambda live: None
        self.on_stir: Callable[[Live], None] = lambda live: None
        self.may_act: Callable[[], bool] = lambda: True
        self.admit_first: Callable[[Live, Sequence[Effect]], Sequence[Effect]] = lambda live, effects: effects
        self.on_landed: Callable[[Live, int, int | None], None] = lambda live, task, item: None
        self.keep_result: Callable[[Live, Node, int | None, bytes], None] = lambda live, node, item, outcome: None
        self.voices = Voices(self)
        self.overruled: dict[tuple[str, int, int | None], Failure] = {}
        """Attempts that have failed, and are cleaning up."""
        self.draining = False
        self.held_back: HeldBack | None = None
        """While draining: the shards that start nothing new. None: all of them."""
        self.parked = False
        self.alarms = Alarms(loop, clock, self._ring)
        self._unrecorded: list[tuple[Live, StartAttempt]] = []
        self._recorder: asyncio.TimerHandle | None = None
        self._last_place = 0
        self._prepared: dict[str, Prepared] = {}

    # opening and adopting

    def open_execution(
        self,
        row: ExecutionRow,
        input_: bytes,
        definition: DefinitionRow | None,
        parent: Any = None,
        by: str | None = None,
        first: ev.Event | None = None,
    ) -> Live:
        """Accept an execution: its row and its first event go into the next commit."""
        prepared = self._prepared.get(row.definition)
        if prepared is None:
            prepared = self._prepared[row.definition] = Prepared(self.plan_of(row.definition))
        live = Live(row, prepared.before, 0, prepared.functions)
        live.parent = parent
        self.open[row.id] = live
        self.commits.add_opened(row, definition)
        self.telemetry.execution_started(live)
        if row.deadline is not None:
            self.alarms.at((row.id, -1, None, "deadline"), row.deadline)
        if first is not None:
            self.turn(live, first, by)
            return live
        self.advance(live, prepared.after(input_), prepared.effects, ev.ExecutionStarted(input_), by)
        return live

    def new_key(self, shard: int) -> int:
        """A time-ordered key: milliseconds, 13 random bits, and the shard, which nobody else in this lane holds; never the
        same twice here. 62 bits until the year 2109."""
        place = (int(self.clock.now() * 1000) << 13) | self.entropy.bits(13)
        self._last_place = place = max(place, self._last_place + 1)
        return place << 8 | shard

    def adopt(self, live: Live) -> None:
        """Take over a folded execution; ``recovery`` then issues what is outstanding."""
        self.open[live.id] = live
        if live.row.deadline is not None and live.state.closing is None:
            self.alarms.at((live.id, -1, None, "deadline"), live.row.deadline)

    def drop(self, live: Live) -> None:
        """Forget an execution that another owner holds now. Nothing is reported."""
        self.open.pop(live.id, None)
        self._disarm_all(live)
        for (task, item), handle in (live.inflight or {}).items():
            self.overruled.pop((live.id, task, item), None)
            self.work.cancel(handle)
        self.voices.forget(live)
        live.inflight = None

    def let_go(self, live: Live) -> None:
        """Forget an execution that sleeps in the store."""
        self.open.pop(live.id, None)
        self._disarm_all(live)

    # turns

    def turn(self, live: Live, event: ev.Event, by: str | None = None) -> None:
        """One turn, one breath: the event, everything it evaluates to at once, and then the effects, once on disk."""
        state, effects = step(live.state, event)
        self.advance(live, state, effects, event, by)

    def advance(
        self, live: Live, state: ExecutionState, effects: Sequence[Effect], event: ev.Event, by: str | None
    ) -> None:
        """The rest of a turn, once it is known what the event makes of the state."""
        live.state = state
        live.seq = seq = live.seq + 1
        rows: list[EventRow] = [_new(EventRow, (live.key, seq, self.clock.now(), by, *to_record(event)))]
        if len(effects) == 1 and type(effects[0]) is StartAttempt and goes_on(live):
            self.commits.add_turn(live.shard, rows, functools.partial(self.release, live, effects, state))
        else:
            self._carry_out(live, effects, rows)

    def _carry_out(self, live: Live, todo: Iterable[Effect], rows: list[EventRow]) -> None:
        """Finish a turn that has begun with ``rows``; or one of recovery, that begins with an evaluation."""
        leaving: list[Effect] = []
        while todo:
            following: list[Effect] = []
            for effect in todo:
                kind = type(effect)
                if kind is Evaluate:
                    following.extend(self._evaluate(live, effect.task, rows))  # type: ignore[union-attr]
                elif kind is Close:
                    following.extend(self._close(live, rows))
                else:
                    leaving.append(effect)
            todo = following
        closed = live.state.closed is not None
        if rows and leaving and goes_on(live):
            self.commits.add_turn(live.shard, rows, functools.partial(self.release, live, leaving))
            return
        if rows:
            self.commits.add_events(live.shard, rows)
        if live.seq >= live.snapshot_at:
            keep_snapshot(self, live)
        if live.status != "running" or live.missing is not None or not only_runs(live.state):
            self._note_status(live)
        if closed:
            self._closed(live, rows[-1])
        elif leaving:
            self.commits.on_durable(functools.partial(self.release, live, leaving))

    def _step(self, live: Live, event: ev.Event, by: str | None, rows: list[EventRow]) -> Sequence[Effect]:
        live.state, effects = step(live.state, event)
        live.seq += 1
        rows.append(_new(EventRow, (live.key, live.seq, self.clock.now(), by, *to_record(event))))
        return effects

    def _evaluate(self, live: Live, task: int, rows: list[EventRow]) -> Iterable[Effect]:
        current = live.state.tasks[task]
        if live.state.closing is not None or live.state.pause is not None:
            return ()
        node = live.state.plan.nodes[task]
        if current.status is TaskStatus.WAITING and node.merge is not None:
            decided = self.evaluator.decided(live.state, node)
            return () if decided is None else self._step(live, decided, None, rows)
        if current.status is not TaskStatus.READY:
            return ()
        fact = self.evaluator.fact(live.state, node, self.clock.now())
        return self._step(live, fact, None, rows)

    def _close(self, live: Live, rows: list[EventRow]) -> Iterable[Effect]:
        if live.is_closed:
            return ()
        event = ending(live.state)
        if event is None:
            try:
                event = ev.ExecutionCompleted(self.evaluator.result(live.state))
            except Exception as error:
                event = ev.ResultFailed(failure_of(error, 0))
        return self._step(live, event, None, rows)

    def _note_status(self, live: Live) -> None:
        status = live.state.status if live.missing is None or live.is_closed else ExecutionStatus.WAITING
        if status == live.status and status is not ExecutionStatus.WAITING:
            return
        waiting_for, wake = (None, None) if live.is_closed else (words(live), wake_at(live))
        slept = live.wake_at is not None
        if status != live.status or waiting_for != live.waiting_for or wake != live.wake_at:
            live.status, live.waiting_for, live.wake_at = str(status), waiting_for, wake
            ended = self.clock.now() if live.is_closed else None
            self.commits.add_changed(live.shard, StatusChange(live.row.key, live.status, ended, waiting_for, wake))
        if wake is not None:
            self.on_rest(live)
        elif slept:
            self.on_stir(live)

    def _closed(self, live: Live, last: EventRow) -> None:
        self.open.pop(live.id, None)
        if len(self.alarms):
            self._disarm_all(live)
        if live.snapshot_at > snapshot.EVERY:
            keep_snapshot(self, live)
        live.columns = None
        self.telemetry.execution_ended(live)
        self.commits.on_durable(functools.partial(self.on_closed, live, last))
        if live.parent is not None:
            parent, task, item = live.parent
            child_ended(self, parent, task, item, live)

    def note_missing(self, live: Live, missing: str | None) -> None:
        """Say (or say no longer) that an execution waits for something its history does not tell of, as ``kind: words``:
        code that is not here, resources that no node has."""
        live.missing = missing
        self._note_status(live)

    # effects

    def release(self, live: Live, effects: Sequence[Effect], owed_in: ExecutionState | None = None) -> None:
        """Carry effects out. Their events are on disk. ``owed_in`` is the state they follow from, if it is one: while the
        execution is still in it, they are owed, and nobody need ask again."""
        if self.parked or self.open.get(live.id) is not live:
            return
        if not self.may_act():
            self.loop.call_later(0.1, self.release, live, effects)
            return
        if live.gated:
            effects = self.admit_first(live, effects)
        if len(effects) > _SLICE:
            self.loop.call_soon(self.release, live, effects[_SLICE:])
            effects = effects[:_SLICE]
        for effect in effects:
            if live.state is owed_in and type(effect) is StartAttempt:
                if not self.draining or self._lets(live, effect):
                    self._start(live, effect)
                continue
            match effect:
                case StartAttempt(task, item, attempt):
                    if not may_start(live.state, task, item, attempt, effect.at):
                        continue
                    if not self.draining or self._lets(live, effect):
                        self._start(live, effect)
                case ArmTimer(task, item, due_at):
                    if task_at(live.state, task, item).due_at == due_at:
                        self.alarms.at((live.id, task, item, "wait"), due_at)
                case Announce(task, item, attempt):
                    ready = task_at(live.state, task, item).status is TaskStatus.READY
                    if not ready or not may_start(live.state, task, item, attempt, effect.at):
                        continue
                    if not self.draining or self._lets(live, effect):
                        self.turn(live, ev.AttemptStarted(address(live, task, item), attempt))
                case StartChild(task, item, attempt):
                    if is_wanted(live.state, task, item, attempt, effect.at):
                        start_child(self, live, task, item, attempt)
                case CancelAttempt(task, item, attempt):
                    if effect.at == passes_of(live.state, task):
                        self._cancel(live, task, item, attempt)
                case Evaluate() | Close():
                    self._carry_out(live, (effect,), [])

    def _lets(self, live: Live, effect: Effect) -> bool:
        return self.held_back is not None and self.held_back.lets(live, effect)

    def _start(self, live: Live, effect: StartAttempt) -> None:
        place = (effect.task, effect.item)
        if live.inflight is None:
            live.inflight = {}
        elif place in live.inflight:
            return
        node = live.state.plan.nodes[effect.task]
        handle = live.inflight[place] = self.work.start(live, node, effect)
        handle.queued_at = self.clock.now()
        self._unrecorded.append((live, effect))
        if self._recorder is None:
            self._recorder = self.loop.call_later(STARTED_AFTER_S, self._record_started)

    def arm_timeout(self, live: Live, effect: StartAttempt, timeout: float) -> None:
        """The attempt has begun (it may have queued before): its timeout counts from here, unless it has ended."""
        task, item = effect.task, effect.item
        if self.open.get(live.id) is live and is_current(live.state, task, item, effect.attempt, effect.at):
            self.alarms.within((live.id, task, item, "timeout"), timeout)

    def _record_started(self) -> None:
        """Give attempts that run for a while their ``AttemptStarted``; those that still queue are looked at again."""
        self._recorder = None
        unrecorded, self._unrecorded = self._unrecorded, []
        queued: list[tuple[Live, StartAttempt]] = []
        for live, effect in unrecorded:
            task, item, attempt = effect.task, effect.item, effect.attempt
            handle = live.inflight.get((task, item)) if live.inflight else None
            if handle is None or not is_current(live.state, task, item, attempt, effect.at):
                continue
            begun = self.work.has_begun(handle)
            if begun is False or (begun and self.work.is_brief(handle)):
                queued.append((live, effect))
            elif begun and task_at(live.state, task, item).status is TaskStatus.READY:
                self.turn(live, ev.AttemptStarted(address(live, task, item), attempt))
        # Look at those that queue less and less often, the more they are: a long queue is not read 50 times a second.
        self._unrecorded.extend(queued)
        if self._unrecorded:
            pause = STARTED_AFTER_S if len(queued) < 100 else min(1.0, len(queued) / 2000)
            self._recorder = self.loop.call_later(pause, self._record_started)

    def ended(
        self,
        live: Live,
        task: int,
        item: int | None,
        attempt: int,
        outcome: bytes | Failure | None,
        at: tuple[int, ...] = (),
    ) -> None:
        """An attempt, of the pass ``at``, ended: with an encoded value, with a failure, or (None) because it was
        cancelled."""
        state = live.state
        node = state.plan.nodes[task]
        if (at or node.loops) and at != passes_of(state, task):
            return  # given up on in an earlier pass; what is in flight now is another attempt
        handle = self.forget_attempt(live, task, item)
        options = node.options
        if options.timeout is not None or options.heartbeat_timeout is not None:
            self.alarms.disarm((live.id, task, item, "timeout"))
            self.alarms.disarm((live.id, task, item, "silence"))
            if (overruled := self.overruled.pop((live.id, task, item), None)) is not None:
                outcome = verdict(overruled, handle, options.cleanup_timeout)
        if self.parked or self.open.get(live.id) is not live or not is_current(state, task, item, attempt, at):
            return
        where = node.id if item is None and not node.loops else address_of(state, task, item)
        began = live.row.created_at if handle is None else handle.queued_at
        self.telemetry.attempt_ended(live, where, attempt, outcome, began)
        if isinstance(outcome, bytes):
            grown = outcome.startswith(MARK)
            if options.cache is not None and not grown:
                self.keep_result(live, node, item, outcome)
            made = (
                self._grown(live, where, attempt, outcome)
                if grown
                else _new(ev.TaskCompleted, (where, attempt, outcome))
            )
            self.turn(live, made)
        elif outcome is None:
            self.turn(live, ev.AttemptCancelled(where, attempt, getattr(handle, "abandoned", False)))
        else:
            self.turn(live, self.failed(live, node, item, where, attempt, outcome))

    def _grown(self, live: Live, where: str, attempt: int, outcome: bytes) -> ev.Event:
        """A continuation: its definition goes into the commit of the event that needs it."""
        definition, input_ = self.grow(outcome)
        self.commits.add_definition(live.shard, definition)
        return ev.TaskContinued(where, attempt, definition.hash, input_)

    def grow(self, outcome: bytes) -> tuple[DefinitionRow, bytes]:
        """The definition and the input of a continuation. Set by whoever knows definitions."""
        raise NotImplementedError

    def forget_attempt(self, live: Live, task: int, item: int | None) -> Any:
        """Forget an attempt that is no longer in flight; returns its handle."""
        if live.inflight is None:
            return None
        if self.voices.open:
            self.voices.hush(live, task, item)
        handle = live.inflight.pop((task, item), None)
        if live.state.plan.nodes[task].options.asks:
            self.on_landed(live, task, item)
        if not live.inflight:
            live.inflight = None  # a waiting execution keeps no empty dict
        return handle

    def failed(
        self, live: Live, node: Node, item: int | None, where: str, attempt: int, failure: Failure
    ) -> ev.AttemptFailed | ev.AttemptLost:
        """What the failure of an attempt comes to: another one, the end of the task, or doubt."""
        if node.options.effect == "at_most_once" and failure.type in _UNKNOWN:
            return ev.AttemptLost(where, attempt, failure.message, False)
        failures = task_at(live.state, node.index, item).failures + 1
        now, chance = self.clock.now(), self.entropy.uniform()
        match retry.decide(node.options.retry, failure, failures, now, chance):
            case retry.RetryAt(at):
                return ev.AttemptFailed(where, failure, attempt, at)
            case _:
                return ev.AttemptFailed(where, failure, attempt, self._falls_back_at(live, node, item))

    def _falls_back_at(self, live: Live, node: Node, item: int | None) -> float | None:
        """Now, if the attempts are used up and the task has a fallback that has not had its turn."""
        task = task_at(live.state, node.index, item)
        if node.fallback is None or retry.has_given_up(node.options.retry, task.failures, task.failure):
            return None
        return self.clock.now()

    def lost(
        self,
        live: Live,
        task: int,
        item: int | None,
        attempt: int,
        reason: str,
        *,
        counted: bool = True,
        at: tuple[int, ...] = (),
    ) -> None:
        """The process that ran an attempt died. The brain re-runs it, isolates it, or lets it fail."""
        if at != passes_of(live.state, task):
            return
        self.forget_attempt(live, task, item)
        self.alarms.disarm((live.id, task, item, "timeout"))
        self.alarms.disarm((live.id, task, item, "silence"))
        if self.parked or self.open.get(live.id) is not live or not is_current(live.state, task, item, attempt, at):
            return
        where = address(live, task, item)
        losses = task_at(live.state, task, item).lost + (1 if counted else 0)
        node = live.state.plan.nodes[task]
        asks = node.options.effect == "at_most_once"
        if counted and not asks and retry.after_loss(losses) is retry.AfterLoss.FAIL:
            failure = Failure("raywf.errors.WorkerLost", worker_lost_text(where, losses, reason), "", attempt, False)
            self.turn(live, ev.AttemptFailed(where, failure, attempt, self._falls_back_at(live, node, item)))
        else:
            self.turn(live, ev.AttemptLost(where, attempt, reason, counted))

    def _cancel(self, live: Live, task: int, item: int | None, attempt: int) -> None:
        node = live.state.plan.nodes[task]
        if node.kind is NodeKind.CHILD or task_at(live.state, task, item).grown is not None:
            child = self.open.get(child_of(live.state, live.id, task, item))
            if child is not None:
                child.parent = (live, task, item)  # after a crash nobody has told it yet
                self.cancel(child, "the parent execution is ending")
                return
        elif live.inflight and (task, item) in live.inflight:
            self.work.cancel(live.inflight[(task, item)])
            return
        if is_current(live.state, task, item, attempt, passes_of(live.state, task)):
            self.turn(live, ev.AttemptCancelled(address(live, task, item), attempt))

    def child_input(self, live: Live, node: Node, item: int | None) -> tuple[DefinitionRow, bytes]:
        """The definition and the encoded input of a child. Set by whoever knows definitions."""
        raise NotImplementedError

    # commands

    def signal(self, live: Live, name: str, value: bytes, id_: str, by: str | None) -> None:
        if id_ not in live.state.seen:
            self.turn(live, ev.SignalReceived(name, value, id_), by)

    def accept_update(self, live: Live, name: str, value: bytes, id_: str, by: str | None) -> None:
        if id_ not in live.state.seen:
            self.turn(live, ev.SignalReceived(name, value, id_, True), by)

    def decide_approval(self, live: Live, task: str, approved: bool, comment: str, id_: str, by: str | None) -> None:
        if id_ not in live.state.seen:
            self.turn(live, ev.ApprovalDecided(task, approved, comment, id_, by or ""), by)

    def resolve(
        self, live: Live, task: str, outcome: str, value: bytes | None, comment: str, id_: str, by: str | None
    ) -> None:
        if id_ not in live.state.seen:
            self.turn(live, ev.DoubtResolved(task, outcome, value, comment, id_), by)

    def cancel(self, live: Live, reason: str, by: str | None = None) -> None:
        if live.state.closing is None:
            self.turn(live, ev.CancelRequested(reason), by)

    # time

    def _ring(self, due: list[Key]) -> None:
        for id_, task, item, kind in due:
            live = self.open.get(id_)
            if live is not None:
                self._time_has_come(live, task, item, kind)

    def _time_has_come(self, live: Live, task: int, item: int | None, kind: str) -> None:
        if kind == "deadline":
            if live.state.closing is None and live.row.deadline is not None:
                self.turn(live, ev.DeadlineExceeded(live.row.deadline))
        elif kind == "timeout":
            timed_out(self, live, task, item)
        elif kind == "silence":
            self.voices.silence(live, task, item)
        elif live.state.pause is None and self._is_due(live, task, item):
            self.turn(live, ev.TimerFired(address(live, task, item)))

    def _is_due(self, live: Live, task: int, item: int | None) -> bool:
        due_at = task_at(live.state, task, item).due_at
        return due_at is not None and due_at <= self.clock.now()

    def _disarm_all(self, live: Live) -> None:
        self.alarms.disarm((live.id, -1, None, "deadline"))
        for task, current in enumerate(live.state.tasks):
            for item in (None, *range(0 if current.items is None else len(current.items))):
                for kind in ("wait", "timeout", "silence"):
                    self.alarms.disarm((live.id, task, item, kind))

    @property
    def is_busy(self) -> bool:
        """Whether any attempt runs."""
        return any(live.inflight for live in self.open.values())

    def put_down(self, live: Live, reason: str) -> list[Any]:
        """Record what runs of an execution as lost by nobody's fault; returns its attempts, which are to be stopped."""
        inflight = list((live.inflight or {}).items())
        for (task, item), handle in inflight:
            attempt = task_at(live.state, task, item).attempt
            if is_wanted(live.state, task, item, attempt, passes_of(live.state, task)):
                begun = handle is None or bool(self.work.has_begun(handle))
                self.voices.hush(live, task, item)
                self.turn(live, ev.AttemptLost(address(live, task, item), attempt, reason, False, begun))
        return [handle for _, handle in inflight if handle is not None]

    def park(self) -> list[Live]:
        """Stop in good order: what runs is stopped, and recorded as lost by nobody's fault. Returns what is open."""
        for live in list(self.open.values()):
            for handle in self.put_down(live, "the engine was closed"):
                self.work.cancel(handle)
        self.parked = True
        self.alarms.stop()
        if self._recorder is not None:
            self._recorder.cancel()
        return list(self.open.values())
