"""Waiting for the answer of an update: whether it was accepted, which task took it, and what answered it. Reads only."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from raywf.client.reading import Readings
from raywf.core import events as ev
from raywf.core.bindings import Ref, follow
from raywf.core.codec import began_under, from_record
from raywf.core.execution import evolve, initial
from raywf.core.plan import Node
from raywf.core.state import ExecutionState, TaskStatus, passes_of, result_bytes
from raywf.definition.compile import compile_plan
from raywf.definition.expressions import read_value
from raywf.definition.model import WorkflowDefinition
from raywf.definition.reads import resolver
from raywf.errors import ExecutionClosed, InvalidInput, ResultTimeout

POLL_S = 0.05


class Answer:
    """What became of one update, as far as the history says."""

    def __init__(self, definition: WorkflowDefinition, execution_id: str, name: str, id: str) -> None:
        self.state: ExecutionState = initial(compile_plan(definition))
        self._definition, self._execution_id, self._name, self._id = definition, execution_id, name, id
        self._taken: tuple[Ref | None, tuple[int, ...]] | None = None
        self._taker: str | None = None
        self.value: bytes | None = None
        self.path: tuple[str | int, ...] = ()

    def moved(self, definition: WorkflowDefinition, event: ev.ExecutionMigrated) -> None:
        """The execution goes on under another version: who took the update is looked up by its name there."""
        taken = None if self._taken is None or self._taker is None else self._taker
        self._definition = definition
        self.state = evolve(initial(compile_plan(definition)), event)
        if taken is not None and self._taken is not None:
            at = self.state.plan.index.get(taken)
            node = None if at is None else self.state.plan.nodes[at]
            self._taken = (None if node is None or not node.update else self._answer_of(node)), self._taken[1]

    def see(self, event: ev.Event) -> bool:
        """One more event. True: the answer is there. Raises ``InvalidInput`` where the update was refused."""
        before, self.state = self.state, evolve(self.state, event)
        if isinstance(event, ev.UpdateRefused) and event.id == self._id:
            said = f"{event.failure.type}: {event.failure.message}"
            raise InvalidInput(f"update {self._name!r} of execution {self._execution_id!r} was refused: {said}")
        if self._taken is None and self._id in self.state.seen:
            self._look_who_took(before, event)
        return self._taken is not None and self._is_answered(*self._taken)

    def _look_who_took(self, before: ExecutionState, event: ev.Event) -> None:
        if any(signal.id == self._id for signal in self.state.signals):
            return
        done = TaskStatus.COMPLETED
        for node in self.state.plan.nodes:
            was, now = before.tasks[node.index], self.state.tasks[node.index]
            if node.update and now.status is done and was.status in (TaskStatus.READY, TaskStatus.WAITING):
                self._taker = node.id
                self._taken = self._answer_of(node), passes_of(self.state, node.index)
                return

    def _answer_of(self, node: Node) -> Ref | None:
        signal = next(task.signal for task in self._definition.tasks if task.id == node.id)
        answer = None if signal is None or signal.update is None else signal.update.get("answer")
        if answer is None:
            return None
        binding = read_value(answer, resolver(self._definition, self.state.plan.index), ("answer",))
        assert isinstance(binding, Ref)
        return binding

    def _is_answered(self, answer: Ref | None, passes: tuple[int, ...]) -> bool:
        if answer is None:
            return True
        if (
            passes_of(self.state, answer.task) != passes
            or self.state.tasks[answer.task].status is not TaskStatus.COMPLETED
        ):
            return False
        self.value, self.path = result_bytes(self.state, answer.task), answer.path
        return True


async def answer(readings: Readings, execution_id: str, name: str, id: str, timeout: float | None) -> Any:
    """The answer of an update that was sent under ``id``; None where nothing answers it but its acceptance. Raises
    ``InvalidInput`` (refused), ``ResultTimeout``, ``ExecutionClosed``, ``WorkflowFailed``, ``WorkflowCancelled``."""
    row = await readings.row(execution_id)
    began = began_under(await readings.reader.history(row.key), row.definition)
    found = Answer(await readings.definition(began), execution_id, name, id)
    give_up_at = None if timeout is None else time.monotonic() + timeout
    seq = 0
    while True:
        rows = await readings.reader.history(row.key, seq)
        for each in rows:
            seq = each.seq
            event = from_record(*each[4:])
            if isinstance(event, ev.ExecutionMigrated):
                found.moved(await readings.definition(event.definition), event)
            elif found.see(event):
                return None if found.value is None else follow(readings.decode(found.value), found.path)
        if found.state.closed is not None:
            closing = rows[-1] if rows else await readings.outcome(row)
            if closing is not None:
                readings.settle(execution_id, closing.kind, closing.task, closing.data)
            raise ExecutionClosed(f"execution {execution_id!r} completed and did not take update {name!r}")
        if give_up_at is not None and time.monotonic() >= give_up_at:
            raise ResultTimeout(
                f"update {name!r} of execution {execution_id!r} was not answered within {timeout:g} s. It is sent and counts once: "
                f"update(…, id={id!r}) waits for its answer again"
            )
        await asyncio.sleep(POLL_S)
