"""`raywf show`: everything that matters of one execution, and what to type next."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from raywf.cli.following import Ask, asks_of
from raywf.cli.output import duration, json_text, local_time, shortened, with_local_times, zone_name
from raywf.cli.place import Place
from raywf.cli.statuses import status_text
from raywf.cli.tables import tasks_table
from raywf.client.holders import Holder, holders
from raywf.client.reading import ExecutionDescription, Readings
from raywf.client.why import Explanation
from raywf.core.state import CLOSED

_VALUE = 300
_TRACEBACK_LINES = 12


@dataclass(frozen=True, slots=True)
class Shown:
    """What `raywf show` knows. ``result`` is None unless the execution has completed."""

    execution: ExecutionDescription
    asks: tuple[Ask, ...]
    takers: tuple[Holder, ...]
    result: Any = None

    @property
    def closed(self) -> bool:
        return self.execution.status in CLOSED


async def read_shown(readings: Readings, execution_id: str) -> Shown:
    """Raises ``NotFound``, ``StoreUnavailable``."""
    row = await readings.row(execution_id)
    execution = await readings.describe(execution_id)
    if "sealed" in execution.context:
        takers = () if execution.status in CLOSED else await takers_of(readings, row.lane)
        return Shown(execution, (), takers)
    state, _ = await readings.state(row)
    closing = await readings.outcome(row) if execution.status == "completed" else None
    result = None if closing is None or closing.data is None else readings.decode(closing.data)
    takers = () if execution.status in CLOSED else await takers_of(readings, row.lane)
    return Shown(execution, tuple(asks_of(execution_id, state)), takers, result)


async def takers_of(readings: Readings, lane: str) -> tuple[Holder, ...]:
    """The live workflow actors that hold a lane's executions."""
    return tuple(each for each in await holders(readings.url) if each.lane == lane)


def as_json(shown: Shown, place: Place) -> dict[str, Any]:
    data = dict(shown.execution.__dict__)
    if shown.execution.status == "completed":
        data["result"] = shown.result
    return {**data, "next": next_commands(shown, place)}


def next_commands(shown: Shown, place: Place) -> list[str]:
    """What to type next, most useful first."""
    execution = shown.execution
    if execution.status == "completed":
        return [place.command("result", execution.id)]
    if shown.closed:
        again = [] if execution.parent else [place.command("retry", execution.id)]
        return [place.command("history", execution.id), *again]
    commands = ask_commands(shown.asks, place)
    if execution.status == "paused":
        commands.insert(0, place.command("resume", execution.id))
    if not shown.takers:
        return [*commands, place.command("run", "TARGET", "--id", execution.id)]
    return commands or [place.command("watch", execution.id)]


def ask_commands(asks: tuple[Ask, ...] | list[Ask], place: Place) -> list[str]:
    """How to give what is waited for. Approvals name the task only where there is a choice."""
    approvals: dict[str, list[Ask]] = {}
    for ask in asks:
        if ask.kind == "approval":
            approvals.setdefault(ask.execution, []).append(ask)
    commands = []
    for execution, several in approvals.items():
        for ask in several:
            which = ["--task", ask.task] if len(several) > 1 else []
            commands.append(place.command("approve", execution, *which, *_as(ask)))
        which = ["--task", several[0].task] if len(several) > 1 else []
        commands.append(place.command("reject", execution, *which, *_as(several[0])))
    commands += [place.command("resolve", ask.execution, ask.task, "retry") for ask in asks if ask.kind == "doubt"]
    sent = ("signal", "update")
    return commands + [place.command(ask.kind, ask.execution, ask.text, "null") for ask in asks if ask.kind in sent]


def _as(ask: Ask) -> list[str]:
    return ["--by", ask.who] if ask.who else []


def explained(found: Explanation) -> str:
    """`raywf why`: as lines of text, with the times of this machine."""
    return with_local_times(str(found))


def render(shown: Shown, place: Place, console: Console, now: datetime | None = None) -> Group:
    """The page."""
    execution = shown.execution
    head = status_text(execution.status, console)
    head.append(f"  {execution.workflow} (version {execution.version})  {execution.id}", style="default")
    parts: list[RenderableType] = [head, _facts(shown, now or datetime.now(UTC))]
    if execution.tasks:
        parts += [Text(), tasks_table(execution.tasks, console)]
    for task in execution.tasks.values():
        if task.failure and task.status == "failed" and task.failure.get("traceback"):
            lines = str(task.failure["traceback"]).rstrip().splitlines()
            cut = ["…"] if len(lines) > _TRACEBACK_LINES else []
            trace = "\n".join(f"  {line}" for line in [*cut, *lines[-_TRACEBACK_LINES:]])
            parts += [Text(f"\n{task.id}, attempt {task.failure['attempt']}:"), Text(trace)]
    return Group(*parts)


def _facts(shown: Shown, now: datetime) -> Table:
    execution = shown.execution
    facts = Table.grid(padding=(0, 2, 0, 0))
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column(overflow="fold")
    for name, value in _pairs(shown, execution, now):
        facts.add_row(name, Text(value))
    return facts


def _pairs(shown: Shown, execution: ExecutionDescription, now: datetime) -> list[tuple[str, str]]:
    took = duration(max(((execution.ended_at or now) - execution.started_at).total_seconds(), 0))
    started = f"{local_time(execution.started_at, now)} {zone_name(execution.started_at)}"
    pairs = [("started", f"{started}, {f'took {took}' if execution.ended_at else f'{took} so far'}")]
    if execution.parent:
        pairs.append(("parent", execution.parent))
    if execution.tags:
        pairs.append(("tags", " ".join(f"{key}={value}" for key, value in execution.tags.items())))
    if "deadline" in execution.context:
        deadline = execution.context["deadline"]
        pairs.append(("deadline", f"{local_time(deadline, now)} {zone_name(deadline)}"))
    if execution.context.get("priority"):
        pairs.append(("priority", str(execution.context["priority"])))
    if "sealed" in execution.context:
        pairs.append(("values", f"{execution.context['sealed']}"))
    if execution.context.get("input"):
        pairs.append(("input", shortened(json_text(execution.context["input"]), _VALUE)))
    if execution.status == "completed" and "sealed" not in execution.context:
        pairs.append(("result", shortened(json_text(shown.result), _VALUE)))
    if execution.context.get("reason"):
        pairs.append(("because", shortened(str(execution.context["reason"]), _VALUE)))
    if execution.waiting_for and not shown.closed:
        pairs.append(("waits for", with_local_times(execution.waiting_for)))
    if not shown.closed:
        held = str(shown.takers[0]) if shown.takers else "no engine: it goes on when one connects"
        pairs.append(("held by", held))
    return pairs
