"""Following what tasks emit: numbered items from any offset, while the execution runs and afterwards. Reads only."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any, NamedTuple

from raywf.client.reading import Readings, instant
from raywf.core.codec import from_record
from raywf.core.events import ItemsEmitted, ResultReused, TaskCompleted
from raywf.core.ids import split_address, split_passes
from raywf.definition.lines import did_you_mean
from raywf.errors import InvalidInput, NotFound
from raywf.ports import EventRow

POLL_S = 0.1
_ROWS = 1000
_CLOSING = ("execution_completed", "execution_failed", "execution_cancelled")


class StreamItem(NamedTuple):
    """``number`` is the item's place in what is followed, from 0: of one task's stream that is the number it was emitted
    under. ``attempt`` is the attempt that emitted it, ``at`` when it was on its way to disk."""

    number: int
    value: Any
    task: str
    attempt: int
    at: datetime


async def stream(
    readings: Readings, execution_id: str, task: str | None = None, offset: int = 0, wait: bool = True
) -> AsyncIterator[StreamItem]:
    """The items from number ``offset`` on, of one task (or of all, in the order in which they were recorded), until the
    task or the execution has ended; with ``wait=False`` those that are there. Raises ``NotFound``, ``InvalidInput``."""
    if type(offset) is not int or offset < 0:
        raise InvalidInput(f"offset={offset!r}: it is the number of the first item wanted, an integer from 0")
    row = await readings.row(execution_id)
    if task is not None:
        name = split_passes(_base(task))[0]
        known = [each.id for each in (await readings.definition(row.definition)).tasks]
        if name not in known:
            raise NotFound(f"execution {execution_id!r} has no task {task!r}.{did_you_mean(name, known)}")
    seq = number = 0
    seen: dict[str, int] = {}
    while True:
        rows = await readings.reader.history(row.key, seq, _ROWS)
        over = False
        for each in rows:
            seq, over = each.seq, _is_end(each, task) or (over and each.kind != "execution_retried")
            if each.kind != "items_emitted" or not _is_of(each, task):
                continue
            event = from_record(*each[4:])
            assert isinstance(event, ItemsEmitted)
            there = seen.get(event.task, 0)
            # After a retry of the execution a task may begin its stream again: a number that is taken stays as it is.
            for value in event.items[max(0, there - event.first) :]:
                if number >= offset:
                    yield StreamItem(number, readings.decode(value), event.task, event.attempt, instant(each.at))
                number += 1
            seen[event.task] = max(there, event.first + len(event.items))
        if over or (not wait and len(rows) < _ROWS):
            return
        if len(rows) < _ROWS:
            await asyncio.sleep(POLL_S)


def _base(address: str) -> str:
    try:
        return split_address(address)[0]
    except ValueError:
        return address


def _is_of(row: EventRow, task: str | None) -> bool:
    """Whether items are of the task that is followed: of it, or of an item or a pass of it."""
    if task is None or row.task == task:
        return True
    base = _base(row.task or "")
    return base == task or split_passes(base)[0] == task


def _is_end(row: EventRow, task: str | None) -> bool:
    """Whether nothing of what is followed can come any more."""
    if row.kind in _CLOSING:
        return True
    return row.task == task and task is not None and isinstance(from_record(*row[4:]), TaskCompleted | ResultReused)
