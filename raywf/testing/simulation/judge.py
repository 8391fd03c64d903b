"""What must always be true, checked at every commit, every claim, every attempt that begins and every answer.

The judge sees what no process sees: the store, true time, and the outside world. It keeps a fold of its own of what is on
disk, and compares.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from raywf.core import events as ev
from raywf.core.codec import from_record
from raywf.core.execution import IllegalTransition, evolve, initial, is_current, task_at
from raywf.core.ids import split_address, split_passes
from raywf.core.state import ExecutionState, ExecutionStatus, TaskStatus, key_of, passes_of
from raywf.definition.context import TaskContext
from raywf.journal.memory import MemoryStore
from raywf.ports import Batch, EventRow, OwnerRow
from raywf.runtime.definitions import Definitions
from raywf.testing.simulation.loop import EPOCH, Process, World
from raywf.testing.simulation.outside import Deed, Outside
from raywf.testing.simulation.store import Watch

GRACE_S = 1.0
"""For how long one that was just woken or fenced may still begin what it had decided before."""
LATE_S = 1.0
FORGOTTEN_S = 10.0
"""A command that came too late leaves the inbox when somebody has found that out."""


class Violation(Exception):
    """Something that must always be true is not. ``invariant`` names it."""

    def __init__(self, invariant: str, text: str) -> None:
        self.invariant = invariant
        super().__init__(f"{invariant}: {text}")


class Judge(Watch):
    """Looks on. The first violation is kept in ``violation`` and ends the run."""

    def __init__(self, world: World, store: MemoryStore, outside: Outside, definitions: Definitions) -> None:
        self.world = world
        self.store = store
        self.outside = outside
        self.definitions = definitions
        self.violation: Violation | None = None
        self.states: dict[int, tuple[ExecutionState, int]] = {}
        self.held: dict[tuple[str, int, int], str] = {}
        self.processes: dict[str, Process] = {}
        self.accepted: dict[str, str] = {}
        self.commands: dict[str, float] = {}
        self.taken_up_at = 0.0
        self.troubled_until = 0.0
        self.clocks_are_right = True
        self.live_of: Callable[[Process, int], Any] = lambda process, key: None
        self.running: dict[tuple[str, str, int], Process] = {}
        self.kinds: Counter[str] = Counter()
        self._sent_bodies: dict[int, tuple[str, str, str]] = {}
        outside.witness = self._began

    def fail(self, invariant: str, text: str) -> None:
        if self.violation is None:
            self.violation = Violation(invariant, f"{text} (at {self.world.now:.3f} s)")

    # the store

    def about_to_commit(self, process: Process, batch: Batch) -> None:
        self._inbox_before = {row.id: row for row in self.store.inbox}

    def claimed(self, process: Process, owner: OwnerRow, held: Mapping[int, int]) -> None:
        self.processes[owner.owner] = process
        for shard, epoch in held.items():
            before = self.held.setdefault((owner.lane, shard, epoch), owner.owner)
            if before != owner.owner:
                self.fail("one owner", f"shard {shard} epoch {epoch} belongs to {before} and to {owner.owner}")
        self.taken_up_at = self.world.now

    def committed(self, process: Process, batch: Batch) -> None:
        for shard, epoch in batch.epochs.items():
            now = self.store.leases.get((batch.lane, shard))
            if now != (batch.owner, epoch):
                self.fail("one owner", f"{batch.owner} wrote to shard {shard} under epoch {epoch}, and it is {now}")
        for definition in batch.definitions:
            self.definitions.add(definition)
        for row in batch.opened:
            if row.key in self.states:
                self.fail("executions start once", f"{row.id} was opened twice")
            self.states[row.key] = (initial(self.definitions.plan(row.definition)), 0)
            self._check_parent(row.id, row.parent)
        for event in batch.events:
            self._event(process, event)
        touched = {event.key for event in batch.events}
        for key in touched:
            self._compare(process, key)
        for taken in batch.taken:
            self._command_taken(taken)

    def _check_parent(self, id_: str, parent: str | None) -> None:
        if parent is None:
            return
        key = self.store.keys.get(("default", parent))
        if key is None:
            self.fail("no orphans", f"{id_} was opened and its parent {parent} is not in the store")
        elif self.states[key][0].closed is not None:
            self.fail("no orphans", f"{id_} was opened after its parent {parent} had ended")

    def _event(self, process: Process, row: EventRow) -> None:
        found = self.states.get(row.key)
        if found is None:
            self.fail("events follow", f"event {row.seq} of an execution that is not in the store ({row.key})")
            return
        state, seq = found
        event = from_record(row.kind, row.task, row.attempt, row.data)
        self.kinds[row.kind] += 1
        if row.seq != seq + 1:
            self.fail("histories have no gaps", f"event {row.seq} of {row.key} follows event {seq}")
        if isinstance(event, ev.TimerFired):
            self._timer(process, state, row, event)
        if isinstance(event, ev.ResumeRequested):
            self.taken_up_at = self.world.now  # what fell due during a pause fires now
        if isinstance(event, ev.DeadlineExceeded) and row.at < event.deadline - 1e-6:
            self.fail("timers are not early", f"a deadline was {event.deadline - row.at:.3f} s early")
        if isinstance(event, ev.SignalReceived | ev.ApprovalDecided) and event.id in state.seen:
            self.fail("commands count once", f"{event.id} is in the history of {self._name(row.key)} twice")
        if isinstance(event, ev.ResultReused):
            self._reused(row, event)
        if isinstance(event, ev.ExecutionMigrated):
            state = initial(self.definitions.plan(event.definition))
        try:
            self.states[row.key] = (evolve(state, event), row.seq)
        except IllegalTransition as error:
            self.fail("histories fold", f"{self._name(row.key)}, event {row.seq}: {error}")

    def _reused(self, row: EventRow, event: ev.ResultReused) -> None:
        """Whatever is reused is what the history of its source says that it computed."""
        key = self.store.keys.get(("default", event.source))
        computed = ("task_completed", event.source_task, event.value)
        events = [] if key is None else self.store.events[key].values()
        if computed not in [(each.kind, each.task, each.data) for each in events]:
            name = self._name(row.key)
            self.fail(
                "what is reused was computed", f"{event.task} of {name} has a result that {event.source} never had"
            )

    def _timer(self, process: Process, state: ExecutionState, row: EventRow, event: ev.TimerFired) -> None:
        task, item, _ = _place(state, event.task)
        due = task_at(state, task, item).due_at
        if due is None:
            return
        if row.at < due - 1e-6:
            self.fail("timers are not early", f"{event.task} of {self._name(row.key)} fired {due - row.at:.3f} s early")
        if self.clocks_are_right:
            right = max(due - EPOCH - process.host.ahead, self.taken_up_at, self.troubled_until)
            if row.at - EPOCH - process.host.ahead > right + LATE_S:
                late = row.at - due
                self.fail("timers keep their times", f"{event.task} of {self._name(row.key)} fired {late:.3f} s late")

    def _compare(self, process: Process, key: int) -> None:
        """What is on disk amounts to what the owner has in memory, as far as it is on disk."""
        live = self.live_of(process, key)
        state, seq = self.states[key]
        if live is not None and live.seq == seq and live.state != state:
            self.fail(
                "history folds to the live state", f"{live.id} at event {seq}: {live.state!r:.300} != {state!r:.300}"
            )

    def _command_taken(self, number: int) -> None:
        row = self._inbox_before.get(number)
        if row is None:
            return
        key = self.store.keys.get((row.namespace, row.execution))
        state = None if key is None else self.states[key][0]
        if row.kind == "fork" and state is None:
            self.fail("nothing accepted is lost", f"the fork {row.execution} was taken and is not in the store")
        ended = state is not None and state.closed in (ExecutionStatus.FAILED, ExecutionStatus.CANCELLED)
        if row.kind == "retry" and state is not None and ended and row.command_id not in state.seen:
            self.fail("nothing accepted is lost", f"a retry of {row.execution} was taken and is not in the history")
        if state is None or state.closed is not None or state.closing is not None:
            return
        if row.kind == "signal" and row.command_id not in state.seen:
            self.fail("nothing accepted is lost", f"{row.kind} {row.command_id} was taken and is not in the history")
        if row.kind == "cancel":
            self.fail("nothing accepted is lost", f"a cancel of {row.execution} was taken and is not in the history")

    # the outside

    def _began(self, here: TaskContext) -> None:
        key = self.store.keys.get(("default", here.execution_id))
        state = None if key is None else self.states[key][0]
        place = (here.execution_id, here.task_id, here.attempt)
        round_ = 1 if state is None else state.round
        what = f"attempt {here.attempt} of {here.task_id} of {here.execution_id}"
        self.outside.deeds.append(Deed(*place, here.idempotency_key, self.world.now, round_))
        if any(deed[:3] == place and deed.round == round_ for deed in self.outside.deeds[:-1]):
            self.fail("attempts begin once", f"{what} began twice")
        if key is None or state is None:
            self.fail("events before effects", f"{what} began and its execution is not in the store")
            return
        if here.idempotency_key != key_of(state, here.execution_id, here.task_id):
            self.fail("one key per task", f"{what} has the key {here.idempotency_key}")
        row = self.store.executions[key]
        task, item, passes = _place(state, here.task_id)
        if state.plan.nodes[task].options.effect == "at_most_once":
            self._check_once(here, what)
        if self._may_be_a_ghost(row.lane, row.shard):
            return
        if passes != passes_of(state, task) or state.tasks[task].status is TaskStatus.PENDING:
            self.fail("events before effects", f"{what} began, and on disk its turn has not come, or is over")
            return
        now = task_at(state, task, item)
        if now.status is TaskStatus.COMPLETED:
            self.fail("no committed result is computed again", f"{what} began, and its result is on disk")
        elif not is_current(state, task, item, here.attempt, passes):
            self.fail("events before effects", f"{what} began, and on disk it is {now.status}, attempt {now.attempt}")

    def _check_once(self, here: TaskContext, what: str) -> None:
        before = [deed for deed in self.outside.deeds[:-1] if deed.key == here.idempotency_key]
        if before:
            self.fail("at most once", f"{what} began, and attempt {before[0].attempt} had begun before")

    def _may_be_a_ghost(self, lane: str, shard: int) -> bool:
        """Whether whoever runs this was woken, or lost its shard, a moment ago, and had decided before."""
        process = self.current_process()
        if process is None:
            return False
        holder, _ = self.store.leases.get((lane, shard), ("", 0))
        if process is self.processes.get(holder) or holder == "":
            return False
        return self.world.now - max(self.taken_up_at, process.awake_since) <= GRACE_S or process.is_helper

    def current_process(self) -> Process | None:
        import asyncio

        loop = asyncio._get_running_loop()
        return getattr(loop, "process", None)

    # answers

    def accept(self, id_: str, answer: str) -> None:
        """A client was told that this execution is accepted."""
        if answer in ("new", "same", "closed"):
            self.accepted[id_] = answer
            if ("default", id_) not in self.store.keys:
                self.fail("accepted is on disk", f"{id_} was answered {answer!r} and is not in the store")

    def sent(self, execution: str, command: str, kind: str) -> None:
        """A client was told that its command is stored."""
        self.commands.setdefault(command, self.world.now)

    # the end

    def at_the_end(self) -> None:
        """Once faults have stopped and time enough has passed."""
        for id_ in self.accepted:
            if ("default", id_) not in self.store.keys:
                self.fail("accepted is on disk", f"{id_} was accepted and is not in the store")
        for key, row in self.store.executions.items():
            if row.ended_at is None:
                state = self.states[key][0]
                tasks = ", ".join(
                    f"{node.id} {task.status}" for node, task in zip(state.plan.nodes, state.tasks, strict=True)
                )
                self.fail("every execution ends", f"{row.id} is {row.status} for ever: {tasks}")
        for command in self.store.inbox:
            since = max(self.commands.get(command.command_id, self.world.now), self.taken_up_at)
            if self.world.now - since < FORGOTTEN_S:  # somebody must have been there to find it out
                continue
            self.fail("commands are taken", f"{command.kind} to {command.execution} is in the inbox for ever")

    def ending(self, id_: str) -> tuple[str, Any] | None:
        """How an execution ended, so that two ends can be compared."""
        key = self.store.keys.get(("default", id_))
        if key is None or self.store.executions[key].ended_at is None:
            return None
        seq = self.states[key][1]
        last = self.store.events[key][seq]
        if last.kind == "execution_completed":
            return "completed", last.data
        failure = json.loads(last.data or b"{}").get("failure")
        return last.kind.removeprefix("execution_"), (failure or {}).get("type")

    def _name(self, key: int) -> str:
        return self.store.executions[key].id


def _place(state: ExecutionState, address: str) -> tuple[int, int | None, tuple[int, ...]]:
    """The task of an address, the item, and the passes of the loops around it."""
    name, item = (address, None) if address in state.plan.index else split_address(address)
    name, passes = split_passes(name)
    return state.plan.index[name], item, passes
