"""Doing it again: the retry of what ended badly, and forks. Rows in the inbox, checked before they are sent."""

from __future__ import annotations

import asyncio
import secrets
import time
from typing import Any, NamedTuple

from raywf.client.commands import Commands
from raywf.client.fingerprints import fingerprint
from raywf.client.handle import AsyncExecutionHandle
from raywf.client.of_engine import OfEngine
from raywf.client.reading import instant
from raywf.core.ids import RANDOM_BITS, new_execution_id, split_address
from raywf.core.state import CLOSED, ExecutionState, TaskStatus
from raywf.definition.inputs import bind_input, call_of
from raywf.definition.lines import did_you_mean
from raywf.errors import ExecutionClosed, InvalidInput, NotConnected
from raywf.ports import ExecutionRow
from raywf.runtime.spec import isolated_execution

PATIENCE_S = 60.0
"""How long a fork waits for its engine to take it."""


class Retry(NamedTuple):
    """What became of a retry. ``new`` False: this end has been retried before. ``end`` is the number of the event that the
    execution had ended with."""

    new: bool
    end: int


async def retry(commands: Commands, execution_id: str, by: str | None = None) -> Retry:
    """Open a failed or cancelled execution again. One end is retried once, however often that is asked for.

    Raises ``NotFound``, ``ExecutionClosed`` for one that has completed, ``InvalidInput`` for one that has not ended, for a
    child, and where the deadline has passed.
    """
    row = await commands.readings.row(execution_id)
    check_retry(row, time.time())
    ending = await commands.readings.outcome(row)
    if ending is None:
        raise InvalidInput(_open(row._replace(status="running")))
    return Retry(await commands.send(row, "retry", {}, f"retry-{ending.seq}", by), ending.seq)


def check_retry(row: ExecutionRow, now: float) -> None:
    """Refuse a retry that cannot be meant."""
    if row.status == "completed":
        raise ExecutionClosed(
            f"execution {row.id!r} is completed: nothing in it failed. To do a part of it once more, fork it from there: "
            f"`raywf fork {row.id} --from TASK`"
        )
    if row.status not in CLOSED:
        raise InvalidInput(_open(row))
    if row.parent is not None:
        raise InvalidInput(
            f"execution {row.id!r} is a child of {row.parent!r}, which would not hear of its end: retry "
            f"{row.id.partition('/')[0]!r}, and what failed in its children is retried with it"
        )
    if row.deadline is not None and row.deadline <= now:
        raise InvalidInput(
            f"execution {row.id!r} had a deadline, {instant(row.deadline).isoformat()}, which has passed: opened again it "
            f"would fail at once. A fork has none: `raywf fork {row.id} --from TASK`"
        )


def _open(row: ExecutionRow) -> str:
    then = {
        "compensating": "it is taking back what it did; retry it when that has ended",
        "paused": f"`raywf resume {row.id}` lets it go on",
    }.get(row.status, "it goes on by itself; a retry is for what has failed or was cancelled")
    return f"execution {row.id!r} is {row.status}, and only what has ended can be retried: {then}"


async def fork(
    commands: Commands, execution_id: str, from_task: str, args: Any = None, by: str | None = None
) -> tuple[str, str]:
    """Ask for a new execution that begins with what of another one is not downstream of ``from_task``. Gives its id, and
    the lane whose owner starts it. ``args`` takes the place of the input; None keeps it.

    Raises ``NotFound``, and ``InvalidInput`` for a task that cannot be forked from and for arguments that do not fit.
    """
    row = await commands.readings.row(execution_id)
    definition = await commands.readings.definition(row.definition)
    state, _ = await commands.readings.state(row)
    check_place(execution_id, state, from_task)
    input_ = None
    if args is not None:
        positional, named = call_of(definition, args)
        input_ = bind_input(definition, positional, named)
    new = new_execution_id(int(time.time() * 1000), secrets.randbits(RANDOM_BITS))
    body = {
        "source": row.id,
        "from_task": from_task,
        "input": None if input_ is None else input_.decode(),
        "fingerprint": fingerprint(definition, input_ if input_ is not None else state.input),
    }
    lane = row.lane if isolated_execution(row.lane) is None else "/".join(row.lane.split("/", 2)[:2])
    await commands.send(row._replace(id=new, lane=lane), "fork", body, "fork", by)
    return new, lane


def check_place(execution_id: str, state: ExecutionState, from_task: object) -> None:
    """Refuse a task that an execution cannot be forked from."""
    nodes = state.plan.nodes
    known = [node.id for node in nodes if node.undoes is None]
    who = f"execution {execution_id!r} cannot be forked from {from_task!r}"
    try:
        name, item = split_address(str(from_task)) if from_task not in known else (str(from_task), None)
    except ValueError:
        name, item = str(from_task), None
    name, _, in_pass = name.partition("@")
    if name not in known:
        raise InvalidInput(f"{who}: it has no such task.{did_you_mean(name, known)} Its tasks: {', '.join(known)}")
    node, current = nodes[state.plan.index[name]], state.tasks[state.plan.index[name]]
    if node.loops or in_pass:
        loop = nodes[node.loops[0]].id if node.loops else name
        raise InvalidInput(
            f"{who}: of a loop only the pass that it is in is kept, so it is begun anew as a whole: fork from {loop!r}"
        )
    if item is not None and (current.items is None or not 0 <= item < len(current.items)):
        has = "it is no fan-out that has begun" if current.items is None else f"it has {len(current.items)} items"
        raise InvalidInput(f"{who}: {has}. Fork from {name!r}")
    if current.status is TaskStatus.SKIPPED:
        around = node
        while around.guard is not None and state.tasks[around.index].status is TaskStatus.SKIPPED:
            around = nodes[around.guard[0]]
        raise InvalidInput(
            f"{who}: it was skipped, because {around.id!r} chose the other side: fork from {around.id!r}"
        )


class RerunsOfEngine(OfEngine):
    """What an engine offers about doing it again."""

    async def fork(self, execution_id: str, from_task: str, args: Any = None) -> AsyncExecutionHandle:
        """A new execution, with an id and keys of its own, that keeps the results of another one which are not downstream
        of ``from_task``; returns when it is on disk. ``args`` takes the place of the input: one value stands for the
        arguments.

        ``from_task`` may be one item, ``"parse[3]"``. The other one may be open, closed, or a fork. Raises ``NotFound`` and
        ``InvalidInput``.
        """
        commands = self._commands()
        new, lane = await fork(commands, execution_id, from_task, args)
        give_up_at = time.monotonic() + PATIENCE_S
        while await commands.readings.reader.execution(self.namespace, new) is None:
            if time.monotonic() > give_up_at:
                raise NotConnected(
                    f"the fork {new!r} of {execution_id!r} was accepted, and no engine of its project ({lane}) takes it: "
                    "it waits in the store for the next one"
                )
            self._poke(new)
            await asyncio.sleep(0.01)
        return AsyncExecutionHandle(self, new)  # type: ignore[arg-type]
