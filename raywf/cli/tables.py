"""Listings as tables without frames, that stay readable at 80 columns and in a pipe."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from raywf.cli.output import duration, json_text, local_time, shortened, with_local_times, zone_name
from raywf.cli.statuses import counts_text, status_text
from raywf.client.reading import ExecutionSummary, HistoryEvent, TaskDescription

_SHOWN = 400
_LEAST = 12


def plain_table() -> Table:
    return Table(box=None, pad_edge=False, header_style="bold", show_edge=False, padding=(0, 2, 0, 0))


def executions_table(rows: Sequence[ExecutionSummary], console: Console, now: datetime | None = None) -> Table:
    """What `raywf ls` prints. Ids are never cut, because they are copied; what is waited for is."""
    now = now or datetime.now(UTC)
    table = plain_table()
    heads = ("ID", "STATUS", "WORKFLOW", f"STARTED ({zone_name(now)})")
    for head in heads:
        table.add_column(head, no_wrap=True)
    table.add_column("TOOK, OR WAITS FOR", overflow="fold")
    cells = [(row.id, f"x {row.status}", row.workflow, local_time(row.started_at, now)) for row in rows]
    widths = [max(cell_len(cell) for cell in column) for column in zip(heads, *cells, strict=True)]
    room = max(console.width - sum(widths) - 2 * len(widths), _LEAST)
    for row, (id_, _, workflow, started) in zip(rows, cells, strict=True):
        took = Text(shortened(_took(row, now), room))
        table.add_row(Text(id_), status_text(row.status, console), Text(workflow), started, took)
    return table


def _took(row: ExecutionSummary, now: datetime) -> str:
    if row.ended_at is not None:
        return duration((row.ended_at - row.started_at).total_seconds())
    if row.waiting_for:
        return with_local_times(row.waiting_for)
    return f"{duration(max((now - row.started_at).total_seconds(), 0))} so far"


def tasks_table(tasks: Mapping[str, TaskDescription], console: Console) -> Table:
    """The tasks of `raywf show`."""
    table = plain_table()
    table.add_column("TASK", overflow="fold")
    table.add_column("KIND", no_wrap=True)
    table.add_column("STATUS", no_wrap=True)
    table.add_column("ATTEMPT", justify="right", no_wrap=True)
    table.add_column("NOTE", overflow="fold")
    for task in tasks.values():
        attempt = str(task.attempt) if task.kind in ("call", "child") and task.attempt and task.items is None else ""
        note = Text(shortened(task_note(task), _SHOWN))
        table.add_row(Text(task.id), task.kind, status_text(task.status, console), attempt, note)
    return table


def task_note(task: TaskDescription) -> str:
    """What there is to say of a task beside its status."""
    said = []
    if task.items is not None:
        said.append(counts_text(task.items))
    if task.waiting_for:
        said.append(with_local_times(task.waiting_for))
    if task.progress is not None and task.status not in ("completed", "skipped"):
        said.append(f"progress {json_text(task.progress)}")
    if task.reused:
        how_many = "" if task.items is None else f"{task.reused:,} results "
        said.append(f"{how_many}reused from {task.reused_from}")
    if task.emitted:
        said.append(f"{task.emitted:,} items emitted")
    if task.failure:
        said.append(failure_text(task.failure))
    return "; ".join(said)


def failure_text(failure: Mapping[str, Any]) -> str:
    return " ".join(f"{failure['type']}: {failure['message']}".split())


def history_table(events: Iterable[HistoryEvent], now: datetime | None = None) -> Table:
    """What `raywf history` prints."""
    now = now or datetime.now(UTC)
    table = plain_table()
    table.add_column("#", justify="right", no_wrap=True)
    table.add_column(f"TIME ({zone_name(now)})", no_wrap=True)
    table.add_column("EVENT", no_wrap=True)
    table.add_column("TASK", overflow="fold")
    table.add_column("WHAT", overflow="fold")
    for event in events:
        kind = event.kind.partition("@")[0].replace("_", " ")
        at = local_time(event.at, now)
        what = with_local_times(event_text(event)) + (f" (by {event.by})" if event.by else "")
        table.add_row(str(event.seq), at, kind, Text(event.task or ""), Text(shortened(what, _SHOWN)))
    return table


def event_text(event: HistoryEvent) -> str:
    """What an event carries, in few words."""
    data = event.data
    if not isinstance(data, dict):
        return _attempt(event) if data is None else json_text(data)
    match event.kind.partition("@")[0]:
        case "attempt_failed":
            again = f"; again at {_iso(data['retry_at'])}" if data["retry_at"] is not None else ""
            return f"{_attempt(event)}: {failure_text(data['failure'])}{again}"
        case "execution_failed":
            return failure_text(data["failure"])
        case "attempt_cancelled":
            return f"{_attempt(event)}, which did not end in time and was given up on"
        case "result_reused":
            return f"{json_text(data['value'])}, from {data['source']} ({data['source_task']}) at {_iso(data['computed_at'])}"
        case "items_emitted":
            return f"{_attempt(event)}: {len(data['items'])} items from {data['first']}"
        case "attempt_lost":
            return f"{_attempt(event)}: {data['reason']}"
        case "branch_taken":
            return "then" if data["side"] else "otherwise"
        case "map_started":
            return f"{data['width']} items"
        case "timer_started":
            return f"until {_iso(data['due_at'])}"
        case "signal_awaited" | "approval_requested":
            until = "" if data["due_at"] is None else f", until {_iso(data['due_at'])}"
            return f"{data.get('prompt') or data.get('name')}{until}"
        case "signal_received":
            return f"{data['name']} = {data['value']}"
        case "approval_decided":
            comment = f": {data['comment']}" if data["comment"] else ""
            return ("approved" if data["approved"] else "rejected") + comment
        case "child_started":
            return str(data["child"])
        case "execution_migrated":
            return f"to version {data['definition'][:12]} from {data['source'][:12]}; kept: {', '.join(data['kept']) or 'nothing'}"
        case "migration_refused":
            return f"to version {data['definition'][:12]}: {data['reason']}"
        case "cancel_requested" | "execution_cancelled":
            return str(data["reason"])
        case _:
            return json_text(data)


def _attempt(event: HistoryEvent) -> str:
    return "" if event.attempt is None else f"attempt {event.attempt}"


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
