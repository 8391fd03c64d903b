"""Histories as Arrow tables: one row per event, for whatever reads Arrow or Parquet."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from raywf.client.checks import check_status
from raywf.errors import InvalidInput
from raywf.ports import EventRow, ExecutionRow, Reader

if TYPE_CHECKING:
    import pyarrow as pa

PAGE = 500
"""Executions that are read at a time."""


def event_schema() -> pa.Schema:
    """The columns of a history table. Instants are UTC, in microseconds; ``data`` is the event's stored JSON."""
    import pyarrow as pa

    at = pa.timestamp("us", tz="UTC")
    return pa.schema(
        [
            pa.field("execution", pa.string(), nullable=False),
            pa.field("workflow", pa.string(), nullable=False),
            pa.field("version", pa.string(), nullable=False),
            pa.field("status", pa.string(), nullable=False),
            pa.field("parent", pa.string()),
            pa.field("tags", pa.map_(pa.string(), pa.string()), nullable=False),
            pa.field("seq", pa.int64(), nullable=False),
            pa.field("at", at, nullable=False),
            pa.field("kind", pa.string(), nullable=False),
            pa.field("task", pa.string()),
            pa.field("attempt", pa.int32()),
            pa.field("by", pa.string()),
            pa.field("data", pa.string()),
        ]
    )


def events_as_arrow(executions: Sequence[ExecutionRow], events: Sequence[EventRow]) -> pa.Table:
    """One row per event, in the order given."""
    import pyarrow as pa

    of = {row.key: row for row in executions}
    rows = [of[event.key] for event in events]
    columns = {
        "execution": [row.id for row in rows],
        "workflow": [row.workflow for row in rows],
        "version": [row.version for row in rows],
        "status": [row.status for row in rows],
        "parent": [row.parent for row in rows],
        "tags": [list(row.tags.items()) for row in rows],
        "seq": [event.seq for event in events],
        "at": [micros(event.at) for event in events],
        "kind": [event.kind for event in events],
        "task": [event.task for event in events],
        "attempt": [event.attempt for event in events],
        "by": [event.by for event in events],
        "data": [None if event.data is None else event.data.decode() for event in events],
    }
    return pa.Table.from_pydict(columns, schema=event_schema())


def micros(seconds: float) -> int:
    """An instant as whole microseconds since the epoch."""
    return round(seconds * 1e6)


async def history_table(
    reader: Reader,
    namespace: str,
    *,
    status: str | None = None,
    workflow: str | None = None,
    tags: Mapping[str, str] | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    limit: int | None = None,
) -> pa.Table:
    """The events of executions that started in [since, until), the newest ``limit`` of them; in order of execution, oldest
    first, and of ``seq``. Raises ``InvalidInput``."""
    import pyarrow as pa

    check_status(status)
    for name, instant in (("since", since), ("until", until)):
        if instant is not None and instant.tzinfo is None:
            raise InvalidInput(f"{name}={instant!r}: an instant needs its time zone, such as tzinfo=timezone.utc")
    if limit is not None and limit < 0:
        raise InvalidInput(f"limit={limit!r}: a number of executions is not negative")
    span = (since.timestamp() if since else 0.0, until.timestamp() if until else float("inf"))
    pages = _pages(reader, namespace, span, limit, status=status, workflow=workflow, tags=tags)
    parts = [events_as_arrow(rows, await reader.histories([row.key for row in rows])) async for rows in pages]
    return pa.concat_tables(reversed(parts)) if parts else event_schema().empty_table()


async def _pages(
    reader: Reader, namespace: str, span: tuple[float, float], limit: int | None, **like: Any
) -> AsyncIterator[list[ExecutionRow]]:
    """Executions that started within the span, newest page first."""
    after, left = None, limit
    while left is None or left > 0:
        page = await reader.executions(namespace, limit=PAGE, after=after, **like)
        rows = [row for row in page if span[0] <= row.created_at < span[1]]
        if left is not None:
            rows = rows[:left]
            left -= len(rows)
        if rows:
            yield rows
        # keys are made when executions are: an hour of clocks that disagree is more than enough
        if len(page) < PAGE or page[-1].created_at < span[0] - 3600:
            return
        after = page[-1].id


def older_than(text: str, now: float | None = None) -> float:
    """``30d`` -> the epoch second that is 30 days ago. Units: s, m, h, d, w. Raises ``InvalidInput``."""
    units = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
    try:
        seconds = float(text[:-1]) * units[text[-1:]]
    except (ValueError, KeyError):
        raise InvalidInput(f"{text!r} is not an age: write a number with a unit, as in 30d, 12h or 90m") from None
    if not 0.0 <= seconds < float("inf"):
        raise InvalidInput(f"{text!r} is not an age: it is negative or has no end")
    return (time.time() if now is None else now) - seconds
