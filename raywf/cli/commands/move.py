"""Commands that take executions out of a store, and bring them into one. No engine, no Ray."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from raywf.cli.commands.look import reading
from raywf.cli.options import AsJson, By, Execution, Namespace, Store
from raywf.cli.place import actor_name, place_of

if TYPE_CHECKING:
    from raywf.client.archive import Archived
    from raywf.client.exporting import ExportedExecution
    from raywf.client.replay import Replay


def export(
    execution: Execution,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write there.", show_default="stdout")
    ] = None,
    archive: Annotated[
        Path | None,
        typer.Option("--archive", metavar="DIR", help="Out of an archive, not of the store.", show_default=False),
    ] = None,
    store: Store = None,
    namespace: Namespace = "default",
) -> None:
    """Write one execution as JSON: its history and those of its children, definitions, large values."""
    from raywf.cli.output import note, write_text
    from raywf.client.archive import Archive
    from raywf.client.exporting import export_execution

    if archive is not None:
        found = Archive(archive).export(execution)
    else:
        found = reading(place_of(store, namespace), lambda readings: export_execution(readings, execution))
    if found.missing:
        note(
            f"{len(found.missing)} large values are not in the store and not in the export: {', '.join(found.missing)}"
        )
    if output is None:
        write_text(found.to_json())
    else:
        found.save(output)
        note(f"exported to {output}: {_executions(len(found.executions))}")


def _executions(count: int) -> str:
    return f"{count:,} execution{'' if count == 1 else 's'}"


def import_(
    file: Annotated[str, typer.Argument(metavar="FILE", help="What `raywf export` wrote.", show_default=False)],
    go_on: Annotated[bool, typer.Option("--go-on", help="Let an open one go on at once.")] = False,
    by: By = None,
    store: Store = None,
    namespace: Namespace = "default",
) -> None:
    """Bring an exported execution into this store, under its id.

    A closed one is there to be read. An open one comes paused: `raywf resume ID` lets it go on, or --go-on at once. See to it
    that it does not go on in both stores, because both would use the same idempotency keys.
    """
    import asyncio

    from raywf.cli.output import note, write_text
    from raywf.client.exporting import ExportedExecution, import_execution
    from raywf.client.reading import blobs_of
    from raywf.journal.factory import make, open_inbox
    from raywf.journal.sealed import sealer_of

    place = place_of(store, namespace)
    exported = ExportedExecution.load(file)

    async def run() -> str:
        await make(place.store)
        inbox = open_inbox(place.store)
        blobs = blobs_of(place.store, sealer_of(inbox))
        try:
            return await import_execution(exported, inbox, blobs, place.namespace, go_on=go_on, by=actor_name(by))
        finally:
            blobs.close()
            await inbox.close()

    status = asyncio.run(run())
    write_text(exported.id)
    note(f"imported {_executions(len(exported.executions))}: {exported.root.workflow}, {status}")
    if status == "paused" and not go_on:
        note(f"let it go on: {place.command('resume', exported.id)}")


def archive(
    older_than: Annotated[
        str, typer.Option("--older-than", metavar="AGE", help="Ended so long ago: 30d, 12h, 90m.", show_default=False)
    ],
    to: Annotated[Path, typer.Option("--to", metavar="DIR", help="The folder of the archive.", show_default=False)],
    workflow: Annotated[str | None, typer.Option(metavar="NAME", help="Only those of this workflow.")] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Write, and delete nothing from the store.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say how many, and do nothing.")] = False,
    as_json: AsJson = False,
    store: Store = None,
    namespace: Namespace = "default",
) -> None:
    """Move executions that ended long ago out of the store, into Parquet files.

    A part is on disk before its rows leave the store; whatever dies, an execution is in the store or in the archive. Run it from
    cron, beside a running engine if you like.
    """
    import asyncio

    from raywf.cli.output import say, write_json
    from raywf.client.archive import archive as move
    from raywf.client.archive import count_archivable
    from raywf.client.reading import blobs_of
    from raywf.client.tabular import older_than as instant
    from raywf.journal.factory import open_inbox
    from raywf.journal.sealed import sealer_of

    place = place_of(store, namespace)
    until = instant(older_than)

    async def run() -> Archived | int:
        inbox = open_inbox(place.store)
        blobs = blobs_of(place.store, sealer_of(inbox))
        try:
            if dry_run:
                return await count_archivable(inbox, place.namespace, until, workflow)
            return await move(inbox, blobs, place.namespace, to, until, workflow=workflow, delete=not keep)
        finally:
            blobs.close()
            await inbox.close()

    done = asyncio.run(run())
    if isinstance(done, int):
        write_json({"would_archive": done}) if as_json else say(f"{_executions(done)} would be archived")
    elif as_json:
        write_json({name: getattr(done, name) for name in type(done).__slots__})
    else:
        say(
            f"{_executions(done.executions)} with {done.events:,} events archived to {to}, {done.removed:,} removed from the store"
        )
        if done.missing:
            say(f"{done.missing:,} large values could not be read and are not in the archive")


def replay(
    file: Annotated[str, typer.Argument(metavar="FILE", help="What `raywf export` wrote.", show_default=False)],
    target: Annotated[
        str | None,
        typer.Argument(
            metavar="[TARGET]", help="Today's workflow; else the code of its functions is compared.", show_default=False
        ),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit code 1 also when a recorded result would not be kept.")
    ] = False,
    as_json: AsJson = False,
    store: Store = None,
    namespace: Namespace = "default",
) -> None:
    """Hold an exported history against today's definition. Nothing runs and nothing is stored.

    Says which recorded results would be kept, where the definition differs, and whether the history still folds. Exit
    code 1 if it does not.
    """
    from raywf.cli.exits import ExitCode
    from raywf.cli.output import write_json
    from raywf.cli.targets import load
    from raywf.client.exporting import ExportedExecution
    from raywf.client.replay import replay as compare

    del store, namespace  # every command takes them; what this one reads is in the file
    exported: ExportedExecution = ExportedExecution.load(file)
    found = compare(exported, None if target is None else load(target).definition)
    if as_json:
        write_json({**found.model_dump(), "ok": found.ok})
    else:
        _show(found)
    lost = strict and any(task.verdict in ("runs again", "gone") for task in found.tasks)
    raise typer.Exit(ExitCode.FAILED if lost or not found.ok else ExitCode.DONE)


def _show(found: Replay) -> None:
    from rich.text import Text

    from raywf.cli.output import say, show_on, stdout_console
    from raywf.cli.tables import plain_table

    console = stdout_console()
    table = plain_table()
    for head in ("TASK", "WAS", "TODAY", "DIFFERS"):
        table.add_column(head)
    for task in found.tasks:
        table.add_row(*map(Text, (task.task, task.status or "–", task.verdict, "; ".join(task.differs))))
    show_on(console, table)
    same = "the definition is the same" if found.same_definition else "the definition is another one"
    kept = sum(task.verdict == "kept" for task in found.tasks)
    again = sum(task.verdict == "runs again" for task in found.tasks)
    folds = "the history folds" if found.ok else f"the history does not fold: {found.folds}"
    say("", f"{found.id} ({found.workflow}, {found.status}): {same}; {folds}.", console=console)
    say(f"{kept} result{'' if kept == 1 else 's'} kept, {again} would run again.", console=console)
