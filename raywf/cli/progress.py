"""Progress of one execution: a live picture on a terminal, one line per transition elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from raywf.cli.following import Change, Follower, asks_of
from raywf.cli.output import duration, glyphs_fit, shortened, with_local_times
from raywf.cli.place import Place
from raywf.cli.showing import ask_commands
from raywf.cli.statuses import glyph, status_text, style
from raywf.cli.tables import task_note
from raywf.client.reading import TaskDescription, instant, task_descriptions

ROWS = 18
"""Tasks on screen at once; the rest is counted."""

_NOTE = 200
_URGENCY = ("failed", "retrying", "waiting", "running", "ready", "completed", "pending", "cancelled", "skipped")


class View(Protocol):
    """Shows how an execution gets on."""

    def show(self, follower: Follower, changes: Sequence[Change]) -> None: ...


class NoView:
    def show(self, follower: Follower, changes: Sequence[Change]) -> None:
        pass


class LineView:
    """One line per transition: for logs."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def show(self, follower: Follower, changes: Sequence[Change]) -> None:
        for change in changes:
            self._console.print(change_line(change, follower.id, self._console), soft_wrap=True)


def change_line(change: Change, execution_id: str, console: Console) -> Text:
    """``07:15:41  ✔ completed  search``."""
    line = Text(change.at.astimezone().strftime("%H:%M:%S  "))
    mark = glyph(change.status, ascii_only=not glyphs_fit(console))
    line.append(f"{mark} {change.status:<10}", style=style(change.status))
    line.append(f"  {change.task or f'execution {execution_id}'}")
    if change.detail:
        line.append(f"  {shortened(with_local_times(change.detail), _NOTE)}")
    return line


class LiveView:
    """A picture that is drawn again with every look. What it ends with stays on the screen."""

    def __init__(self, live: Live, place: Place) -> None:
        self._live = live
        self._place = place

    def show(self, follower: Follower, changes: Sequence[Change]) -> None:
        self._live.update(picture(follower, self._place, self._live.console), refresh=True)


def picture(follower: Follower, place: Place, console: Console, now: datetime | None = None) -> Group:
    """The execution and its tasks, at most ``ROWS`` of them, and the commands that it waits for."""
    row, state = follower.row, follower.state
    started = instant(row.created_at)
    ended = None if row.ended_at is None else instant(row.ended_at)
    took = duration(max(((ended or now or datetime.now(UTC)) - started).total_seconds(), 0))
    head = status_text(follower.status, console)
    head.append(f"  {row.workflow}  {row.id}  {took}", style="default")
    descriptions = list(task_descriptions(state).values())
    parts: list[RenderableType] = [head, _task_rows(chosen(descriptions), console)]
    rest = counted(descriptions)
    if rest:
        parts.append(Text(f"  and {rest}", style="dim"))
    commands = ask_commands(list(asks_of(follower.id, state)), place)
    if commands:
        parts.append(Text("in another terminal: " + "\n                     ".join(commands), overflow="fold"))
    return Group(*parts)


def chosen(tasks: Sequence[TaskDescription], rows: int = ROWS) -> list[TaskDescription]:
    """The tasks to show, in their order: all, or those that say most."""
    if len(tasks) <= rows:
        return list(tasks)
    urgent = sorted(tasks, key=lambda task: _rank(task.status))[:rows]
    ids = {task.id for task in urgent}
    return [task for task in tasks if task.id in ids]


def counted(tasks: Sequence[TaskDescription], rows: int = ROWS) -> str:
    """What ``chosen`` left out, by status."""
    ids = {task.id for task in chosen(tasks, rows)}
    counts: dict[str, int] = {}
    for task in tasks:
        if task.id not in ids:
            counts[task.status] = counts.get(task.status, 0) + 1
    return ", ".join(f"{counts[status]} {status}" for status in sorted(counts, key=_rank))


def _rank(status: str) -> int:
    return _URGENCY.index(status) if status in _URGENCY else len(_URGENCY)


def _task_rows(tasks: Sequence[TaskDescription], console: Console) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, overflow="ellipsis")
    table.add_column(no_wrap=True, overflow="ellipsis")
    for task in tasks:
        table.add_row(
            Text("  ") + status_text(task.status, console), Text(task.id), Text(shortened(task_note(task), _NOTE))
        )
    return table


@contextmanager
def view_for(console: Console, place: Place, *, quiet: bool = False) -> Iterator[View]:
    """The view that suits a stream."""
    if quiet:
        yield NoView()
    elif console.is_terminal and not console.is_dumb_terminal:
        with Live(console=console, auto_refresh=False, vertical_overflow="crop") as live:
            yield LiveView(live, place)
    else:
        yield LineView(console)


@contextmanager
def busy(console: Console, text: str, *, quiet: bool = False) -> Iterator[None]:
    """Something takes seconds: a spinner on a terminal, one line elsewhere."""
    if quiet:
        yield
    elif console.is_terminal and not console.is_dumb_terminal:
        with console.status(text):
            yield
    else:
        console.print(f"{text} …", soft_wrap=True)
        yield
