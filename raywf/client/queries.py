"""Reading what an execution has recorded by a path, open or closed: ``input.user``, ``write.title``, ``score[3]``, ``result``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from raywf.client.reading import Readings
from raywf.core.bindings import follow
from raywf.core.codec import from_record
from raywf.core.events import ResultReused, TaskCompleted
from raywf.core.ids import split_passes
from raywf.core.state import ExecutionState, TaskStatus, result_bytes
from raywf.definition.lines import did_you_mean
from raywf.errors import InvalidInput, NotFound
from raywf.ports import EventRow

_HEAD = re.compile(r"[A-Za-z_][\w-]*(?:@\d+(?:\.\d+)*)?")
_STEP = re.compile(r"\.([^.\[\]]+)|\[(-?\d+)\]|\[\"([^\"]*)\"\]")


def read_path(path: object) -> tuple[str, tuple[str | int, ...]]:
    """A path as its head (``input``, ``result`` or a task) and the keys to follow. Raises ``InvalidInput``."""
    head = _HEAD.match(path) if isinstance(path, str) else None
    if not isinstance(path, str) or head is None:
        raise InvalidInput(
            f"path {path!r:.100} cannot be read: it begins with input, result or a task, and goes on with .name, [3] or "
            '["any key"], as in write.title or score[3].value'
        )
    keys: list[str | int] = []
    at = head.end()
    while at < len(path):
        step = _STEP.match(path, at)
        if step is None:
            raise InvalidInput(
                f'path {path!r:.100} cannot be read at {path[at:]!r:.40}: keys are .name, [3] or ["any key"]'
            )
        name, number, quoted = step.groups()
        keys.append(int(number) if number is not None else name if name is not None else quoted)
        at = step.end()
    return head[0], tuple(keys)


async def query(readings: Readings, execution_id: str, path: str) -> Any:
    """The recorded value at a path. Raises ``NotFound`` where there is none (yet), and ``InvalidInput``."""
    head, keys = read_path(path)
    row = await readings.row(execution_id)
    state, history = await readings.state(row)
    value = readings.decode(_recorded(execution_id, state, history, head))
    for at, key in enumerate(keys):
        try:
            value = follow(value, (key,))
        except LookupError:
            where = path if not at else f"{head} and the first {at} keys of {path}"
            known = sorted(map(str, value)) if isinstance(value, Mapping) else []
            there = f"; it has {', '.join(known[:10])}" if known else ""
            raise NotFound(
                f"execution {execution_id!r}: {key!r} is not in the {type(value).__name__} at {where}"
                f"{there}.{did_you_mean(key, known)}"
            ) from None
    return value


def _recorded(execution_id: str, state: ExecutionState, history: list[EventRow], head: str) -> bytes:
    if head == "input":
        return state.input
    name, passes = split_passes(head)
    if head == "result" and "result" not in state.plan.index:
        if state.value is None:
            raise NotFound(
                f"execution {execution_id!r} has no result{' yet' if not state.closed else ''}: it is {state.status}"
            )
        return state.value
    task = state.plan.index.get(name)
    if task is None:
        known = ["input", "result", *(node.id for node in state.plan.nodes if node.undoes is None)]
        raise NotFound(f"execution {execution_id!r} has no task {name!r}.{did_you_mean(name, known)}")
    if passes:
        for row in reversed(history):
            if row.task == head and isinstance(event := from_record(*row[4:]), TaskCompleted | ResultReused):
                return event.value
        raise NotFound(f"execution {execution_id!r}: there is no result of {head!r}: that pass of its loop gave none")
    current = state.tasks[task]
    if current.status is not TaskStatus.COMPLETED:
        yet = "" if state.closed or current.status in (TaskStatus.SKIPPED, TaskStatus.FAILED) else " yet"
        raise NotFound(f"task {name!r} of execution {execution_id!r} has no result{yet}: it is {current.status}")
    return result_bytes(state, task)
