"""Commands that read: no engine, no Ray, nothing is started and nothing written."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from raywf.cli.options import AsJson, Execution, Namespace, Store, Tags
from raywf.cli.place import Place, place_of
from raywf.config import shown

if TYPE_CHECKING:
    from raywf.client.reading import Readings

T = TypeVar("T")


def reading(place: Place, work: Callable[[Readings], Awaitable[T]]) -> T:
    """Open the store for reading, do the work, close it."""
    import asyncio

    from raywf.client.reading import Readings

    async def run() -> T:
        readings = Readings(place.store, place.namespace)
        try:
            return await work(readings)
        finally:
            await readings.close()

    return asyncio.run(run())


def ls(
    status: Annotated[
        str | None, typer.Option(metavar="STATUS", help="Only those: running, waiting, failed, …")
    ] = None,
    workflow: Annotated[str | None, typer.Option(metavar="NAME", help="Only those of this workflow.")] = None,
    tag: Tags = None,
    started_after: Annotated[
        str | None,
        typer.Option(metavar="WHEN", help="From then on: 2024-05-01, 2024-05-01T14:30, or 2h for two hours ago."),
    ] = None,
    started_before: Annotated[str | None, typer.Option(metavar="WHEN", help="Before then.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 20,
    after: Annotated[str | None, typer.Option(metavar="ID", help="Those that come after this one in the list.")] = None,
    as_json: AsJson = False,
    store: Store = None,
    namespace: Namespace = "default",
) -> None:
    """List executions, newest first."""
    import time

    from raywf.cli.arguments import check_status, parse_started, parse_tags
    from raywf.cli.output import note, show_on, stdout_console, write_json
    from raywf.cli.tables import executions_table

    place = place_of(store, namespace)
    chosen, tags, now = check_status(status), parse_tags(tag), time.time()
    since = parse_started("--started-after", started_after, now)
    until = parse_started("--started-before", started_before, now)

    async def work(readings: Readings) -> list[object]:
        if after is not None:
            await readings.row(after)
        rows = await readings.list(
            status=chosen,
            workflow=workflow,
            tags=tags,
            started_after=since,
            started_before=until,
            limit=limit + 1,
            after=after,
        )
        return list(rows)

    rows = reading(place, work)
    more, rows = len(rows) > limit, rows[:limit]
    if as_json:
        write_json(rows)
        return
    console = stdout_console()
    if rows:
        show_on(console, executions_table(rows, console))  # type: ignore[arg-type]
    else:
        like = " like that" if status or workflow or tags or after or since or until else ""
        note(f"No executions{like} in namespace {place.namespace!r} of {shown(place.store)}")
    if more:
        last = rows[-1].id  # type: ignore[attr-defined]
        note(
            f"More: {place.command('ls', *_filters(status, workflow, tag, limit, started_after, started_before), '--after', last)}"
        )


def _filters(
    status: str | None, workflow: str | None, tag: list[str] | None, limit: int, since: str | None, until: str | None
) -> list[str]:
    words = []
    given = {"--status": status, "--workflow": workflow, "--started-after": since, "--started-before": until}
    for name, value in given.items():
        words += [] if value is None else [name, value]
    for each in tag or ():
        words += ["--tag", each]
    return words + ([] if limit == 20 else ["--limit", str(limit)])


def show(
    execution: Execution,
    as_json: AsJson = False,
    store: Store = None,
    namespace: Namespace = "default",
) -> None:
    """Show one execution: its tasks, why it stands where it stands, and what to type next."""
    from raywf.cli import showing
    from raywf.cli.output import say, show_on, stdout_console, write_json

    place = place_of(store, namespace)
    shown = reading(place, lambda readings: showing.read_shown(readings, execution))
    if as_json:
        write_json(showing.as_json(shown, place))
        return
    console = stdout_console()
    show_on(console, showing.render(shown, place, console))
    say("", "next:", *(f"  {each}" for each in showing.next_commands(shown, place)), console=console)


def why(
    execution: Execution,
    as_json: AsJson = False,
    store: Store = None,
    namespace: Namespace = "default",
) -> None:
    """Say in words what an execution waits for, who has to act, and who holds it."""
    from raywf.cli.output import write_json, write_text
    from raywf.cli.showing import explained
    from raywf.client.why import explain

    found = reading(place_of(store, namespace), lambda readings: explain(readings, execution))
    if as_json:
        write_json(found)
        return
    write_text(explained(found))


def history(
    execution: Execution,
    after: Annotated[int, typer.Option(min=0, metavar="SEQ", help="Only events after this number.")] = 0,
    as_json: AsJson = False,
    store: Store = None,
    namespace: Namespace = "default",
) -> None:
    """Print the history of an execution: every event, with its time and who acted."""
    from raywf.cli.output import show_on, stdout_console, write_json
    from raywf.cli.tables import history_table

    events = reading(place_of(store, namespace), lambda readings: readings.history(execution, after))
    if as_json:
        write_json(events)
        return
    show_on(stdout_console(), history_table(events))


def watch(
    execution: Execution,
    timeout: Annotated[
        float | None, typer.Option(min=0, metavar="SECONDS", help="Stop looking after so long, with exit code 5.")
    ] = None,
    as_json: AsJson = False,
    store: Store = None,
    namespace: Namespace = "default",
) -> None:
    """Follow an execution until it ends. Reads only: leaving it changes nothing.

    With --json, one line per event. Exit code 0 if it completed, 1 if it failed or was cancelled.
    """
    from raywf.cli.watching import watch_execution

    place = place_of(store, namespace)
    raise typer.Exit(
        reading(place, lambda readings: watch_execution(readings, execution, place, timeout, as_json=as_json))
    )


def result(
    execution: Execution,
    timeout: Annotated[
        float | None, typer.Option(min=0, metavar="SECONDS", help="Wait so long, whatever it waits for.")
    ] = None,
    raw: Annotated[bool, typer.Option("--raw", help="Print a result that is a string as it is, not as JSON.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON: the usual way, here for completeness.")] = False,
    store: Store = None,
    namespace: Namespace = "default",
) -> None:
    """Print the result of an execution as JSON, waiting for it as long as that makes sense.

    Exit code 1 if it failed or was cancelled. Without --timeout it waits until the execution has ended, but not where
    only a person can go on, or where no engine holds it: then it says so, with exit code 5.
    """
    from raywf.cli.watching import print_result

    place = place_of(store, namespace)
    raw = raw and not as_json
    raise typer.Exit(reading(place, lambda readings: print_result(readings, execution, place, timeout, raw=raw)))
