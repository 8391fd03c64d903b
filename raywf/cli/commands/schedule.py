"""``raywf schedule``: schedules are rows in the store. No engine and no Ray is needed; an engine of the project fires them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from raywf.cli.options import AsJson, By, Namespace, Store, Tags, Target
from raywf.cli.place import Place, actor_name, place_of

if TYPE_CHECKING:
    from raywf.client.schedules import ScheduleDescription, Schedules

T = TypeVar("T")

schedule = typer.Typer(
    name="schedule",
    help="Start workflows by the clock: cron lines with time zones.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)

Id = Annotated[str, typer.Argument(metavar="SCHEDULE", help="The id of a schedule.", show_default=False)]
Zone = Annotated[str, typer.Option(metavar="ZONE", help="As in Europe/Berlin; daylight saving is that zone's.")]
Instant = Annotated[str, typer.Argument(metavar="INSTANT", help="As in 2026-03-29T00:00:00Z.", show_default=False)]


def _with(place: Place, work: Callable[[Schedules], Awaitable[T]]) -> T:
    import asyncio

    from raywf.client.schedules import Schedules
    from raywf.journal.factory import open_inbox

    async def run() -> T:
        inbox = open_inbox(place.store)
        try:
            return await work(Schedules(inbox, place.namespace, place.store))
        finally:
            await inbox.close()

    return asyncio.run(run())


@schedule.command()
def add(
    target: Target,
    cron: Annotated[
        str | None, typer.Option(metavar="LINE", help="Five fields, as in '0 7 * * *'.", show_default=False)
    ] = None,
    every: Annotated[
        float | None,
        typer.Option(metavar="S", help="Instead of a cron line: every so many seconds.", show_default=False),
    ] = None,
    timezone: Zone = "UTC",
    input: Annotated[
        str | None,
        typer.Option(metavar="JSON", help="One value that stands for the arguments, or @file.", show_default=False),
    ] = None,
    id: Annotated[
        str | None, typer.Option(metavar="SCHEDULE", help="Its name.", show_default="the workflow's id")
    ] = None,
    overlap: Annotated[
        str,
        typer.Option(
            metavar="POLICY", help="While the last execution runs: skip, allow, buffer_one or cancel_previous."
        ),
    ] = "skip",
    jitter: Annotated[float, typer.Option(metavar="S", help="Fire a constant part of this later.")] = 0.0,
    catch_up: Annotated[
        float, typer.Option(metavar="S", help="How late what was missed without an engine may start.")
    ] = 3600.0,
    start: Annotated[str | None, typer.Option(metavar="INSTANT", show_default=False)] = None,
    end: Annotated[str | None, typer.Option(metavar="INSTANT", show_default=False)] = None,
    priority: Annotated[int, typer.Option(metavar="N", help="Larger first.")] = 0,
    tag: Tags = None,
    by: By = None,
    store: Store = None,
    namespace: Namespace = "default",
) -> None:
    """Make a schedule, or change the one with the same id. Without `--cron` and `--every`: the triggers that the workflow
    declares itself."""
    import asyncio

    from raywf.cli.arguments import parse_tags, read_value
    from raywf.cli.output import say
    from raywf.cli.targets import load
    from raywf.client import schedules as of
    from raywf.client.registering import register
    from raywf.journal.factory import make

    place, workflow = place_of(store, namespace), load(target)
    lane = of.lane_here(place.namespace)
    if cron is None and every is None and _declares(workflow):
        asyncio.run(make(place.store))
        for made in _with(place, lambda them: register(them, workflow, lane)):
            say(f"{made}: as {workflow.id} declares it")
        return
    when = {
        "cron": cron,
        "every": every,
        "timezone": timezone,
        "overlap": overlap,
        "jitter": jitter,
        "start": start,
        "end": end,
        "catch_up": catch_up,
    }
    args = of.ABSENT if input is None else read_value(input, "--input")
    spec = of.spec_of(workflow, args, when, priority, parse_tags(tag), actor_name(by))
    workflow.check()
    asyncio.run(make(place.store))
    found = _with(place, lambda them: them.put(workflow, spec, lane, id, False))
    say(_line(found))
    _say_who_fires(place, lane)
    say(f"next: {place.command('schedule', 'show', found.id)}")


def _declares(workflow: Any) -> bool:
    return any(each["type"] != "manual" for each in workflow.definition.triggers)


def _say_who_fires(place: Place, lane: str) -> None:
    import asyncio
    import time

    from raywf.cli.output import note
    from raywf.journal.factory import open_reader

    async def holders() -> bool:
        reader = open_reader(place.store)
        try:
            return any(row.lane == lane and row.expires_at > time.time() for row in await reader.owners())
        finally:
            await reader.close()

    if not asyncio.run(holders()):
        note("No engine of this project runs now: it fires from when one does (a program with raywf.connect())")


@schedule.command()
def ls(as_json: AsJson = False, store: Store = None, namespace: Namespace = "default") -> None:
    """List schedules, with when they fire next."""
    from raywf.cli.output import say, write_json
    from raywf.config import shown

    place = place_of(store, namespace)
    found = _with(place, lambda them: them.all())
    if as_json:
        write_json(found)
    elif found:
        say(*map(_line, found))
    else:
        say(f"No schedules in namespace {place.namespace!r} of {shown(place.store)}")


@schedule.command()
def show(id: Id, as_json: AsJson = False, store: Store = None, namespace: Namespace = "default") -> None:
    """Show one schedule: when it fires, what it starts, and what it started last."""
    from raywf.cli.output import say, write_json

    place = place_of(store, namespace)
    found = _with(place, lambda them: them.get(id))
    if as_json:
        write_json(found)
        return
    lines = [_line(found), f"  overlap {found.overlap}; what was missed starts up to {found.catch_up:g} s late"]
    lines += [f"  jitter up to {found.jitter:g} s"] if found.jitter else []
    lines += [f"  input {found.input}"] if found.input else []
    lines += [f"  last: {found.last}" if found.last else "  nothing started yet"]
    say(*lines)
    if found.last:
        say(f"next: {place.command('show', found.last)}")


@schedule.command()
def pause(id: Id, store: Store = None, namespace: Namespace = "default") -> None:
    """Let it fire no more; what it has started goes on."""
    from raywf.cli.output import say

    place = place_of(store, namespace)
    done = _with(place, lambda them: them.pause(id))
    say(f"{id} is paused" if done else f"{id} is paused already")


@schedule.command()
def resume(id: Id, store: Store = None, namespace: Namespace = "default") -> None:
    """Let it fire again, from the next instant on; what fell into the pause is not made up for (see backfill)."""
    from raywf.cli.output import say

    place = place_of(store, namespace)
    if _with(place, lambda them: them.resume(id)):
        say(_line(_with(place, lambda them: them.get(id))))
    else:
        say(f"{id} is not paused")


@schedule.command()
def delete(id: Id, store: Store = None, namespace: Namespace = "default") -> None:
    """Forget it; executions that it has started go on."""
    from raywf.cli.output import say

    _with(place_of(store, namespace), lambda them: them.delete(id))
    say(f"{id} is deleted")


@schedule.command()
def backfill(
    id: Id, start: Instant, end: Instant, as_json: AsJson = False, store: Store = None, namespace: Namespace = "default"
) -> None:
    """Start the executions of its instants from INSTANT to INSTANT; those that are there already stay the ones."""
    from raywf.cli.output import say, write_json

    found = _with(place_of(store, namespace), lambda them: them.backfill(id, start, end))
    if as_json:
        write_json(found)
    elif found:
        say(f"{len(found)} instant{'s' if len(found) != 1 else ''}: {found[0]} to {found[-1]}")
    else:
        say(f"{id} has no instant from {start} to {end}")


@schedule.command(name="next")
def next_(
    id: Annotated[str, typer.Argument(metavar="SCHEDULE|LINE", help="A schedule, or a cron line.", show_default=False)],
    count: Annotated[int, typer.Option("-n", "--count", min=1, max=1000, metavar="N")] = 5,
    timezone: Zone = "UTC",
    as_json: AsJson = False,
    store: Store = None,
    namespace: Namespace = "default",
) -> None:
    """Print the next instants of a schedule, or of a cron line in a zone."""
    from raywf.cli.output import say, write_json
    from raywf.client.schedules import instants_of_line

    if " " in id or id.startswith("@"):
        found = instants_of_line(id, timezone, count)
    else:
        found = _with(place_of(store, namespace), lambda them: them.next(id, count))
    if as_json:
        write_json([each.isoformat() for each in found])
    else:
        say(*(f"{each:%a %Y-%m-%d %H:%M:%S %Z}" for each in found))


def _line(each: ScheduleDescription) -> str:
    if each.paused:
        then = "paused"
    elif each.next_at is None:
        then = "has ended"
    else:
        then = f"next {each.next_at:%a %Y-%m-%d %H:%M:%S %Z}"
    return f"{each.id}: {each.workflow}, {each.when}; {then}"
