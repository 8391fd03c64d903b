"""Commands to executions: rows in the store's inbox. They need no engine and no Ray."""

from __future__ import annotations

from typing import Annotated

import typer

from raywf.cli.options import By, DryRun, Execution, Namespace, Several, Store, Where, Yes
from raywf.cli.place import place_of

Comment = Annotated[str, typer.Option(metavar="TEXT", help="Why, for the history.")]
Task = Annotated[
    str | None, typer.Option(metavar="TASK", help="Which approval, where it waits for several.", show_default=False)
]


def cancel(
    execution: Several = None,
    where: Where = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why, for the history and for whoever waits.")] = "",
    by: By = None,
    store: Store = None,
    namespace: Namespace = "default",
) -> None:
    """Ask an execution to end. Does nothing to one that has ended."""
    from raywf.cli import bulk, sending

    place = place_of(store, namespace)
    if execution is None or where or dry_run:
        bulk.to_many(place, "cancel", execution, where, dry_run=dry_run, yes=yes, reason=reason, by=by)
    else:
        sending.cancel(place, execution, reason, by)


def pause(
    execution: Several = None,
    where: Where = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why, for the history.")] = "",
    by: By = None,
    store: Store = None,
    namespace: Namespace = "default",
) -> None:
    """Let nothing new start in an execution: what runs ends and is kept, signals are kept, no timer fires."""
    from raywf.cli import bulk, sending

    place = place_of(store, namespace)
    if execution is None or where or dry_run:
        bulk.to_many(place, "pause", execution, where, dry_run=dry_run, yes=yes, reason=reason, by=by)
    else:
        sending.pause(place, execution, reason, by)


def resume(
    execution: Several = None,
    where: Where = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    by: By = None,
    store: Store = None,
    namespace: Namespace = "default",
) -> None:
    """Let a paused execution go on."""
    from raywf.cli import bulk, sending

    place = place_of(store, namespace)
    if execution is None or where or dry_run:
        bulk.to_many(place, "resume", execution, where, dry_run=dry_run, yes=yes, reason="", by=by)
    else:
        sending.resume(place, execution, by)


def retry(
    execution: Several = None,
    where: Where = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    by: By = None,
    store: Store = None,
    namespace: Namespace = "default",
) -> None:
    """Open a failed or cancelled execution again: what completed is kept, what did not is run."""
    from raywf.cli import bulk, sending

    place = place_of(store, namespace)
    if execution is None or where or dry_run:
        bulk.to_many(place, "retry", execution, where, dry_run=dry_run, yes=yes, reason="", by=by)
    else:
        sending.retry(place, execution, by)


def fork(
    execution: Execution,
    from_task: Annotated[
        str, typer.Option("--from", metavar="TASK", help="This task and all that uses it is run.", show_default=False)
    ],
    input: Annotated[
        str | None,
        typer.Option(
            metavar="JSON",
            help="Another input: JSON, @file, or - for stdin, as `raywf run` takes it.",
            show_default="the same",
        ),
    ] = None,
    by: By = None,
    store: Store = None,
    namespace: Namespace = "default",
) -> None:
    """Begin a new execution with the results of another one, from a task on. Prints its id."""
    from raywf.cli import sending
    from raywf.cli.arguments import read_value

    given = None if input is None else read_value(input, "--input")
    sending.fork(place_of(store, namespace), execution, from_task, given, by)


def resolve(
    execution: Execution,
    task: Annotated[str, typer.Argument(metavar="TASK", help="The task that is in doubt.", show_default=False)],
    outcome: Annotated[str, typer.Argument(metavar="OUTCOME", help="retry, completed or failed.", show_default=False)],
    value: Annotated[
        str | None,
        typer.Option(
            metavar="JSON", help="Its result, if it completed: JSON, @file, or - for stdin.", show_default=False
        ),
    ] = None,
    comment: Comment = "",
    by: By = None,
    store: Store = None,
    namespace: Namespace = "default",
) -> None:
    """Say what became of an at-most-once task of which nobody knows whether it happened."""
    from raywf.cli import sending
    from raywf.cli.arguments import read_value

    given = None if value is None else read_value(value, "--value")
    sending.resolve(place_of(store, namespace), execution, task, outcome, given, comment, by)


def signal(
    execution: Execution,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The signal's name.", show_default=False)],
    payload: Annotated[str, typer.Argument(metavar="JSON", help="Its payload: JSON, @file, or - for stdin.")] = "null",
    id: Annotated[
        str | None,
        typer.Option(metavar="KEY", help="Sent twice with the same key, it counts once.", show_default=False),
    ] = None,
    by: By = None,
    store: Store = None,
    namespace: Namespace = "default",
) -> None:
    """Send a signal to an execution. Signals are kept in order, and each is taken once."""
    from raywf.cli import sending
    from raywf.cli.arguments import read_value

    value = read_value(payload, "argument JSON")
    sending.signal(place_of(store, namespace), execution, name, value, id, by)


def approve(
    execution: Execution,
    by: By = None,
    comment: Comment = "",
    task: Task = None,
    store: Store = None,
    namespace: Namespace = "default",
) -> None:
    """Approve what an execution waits for. The first answer counts."""
    from raywf.cli import sending

    sending.decide(place_of(store, namespace), execution, True, by, comment, task)


def reject(
    execution: Execution,
    by: By = None,
    comment: Comment = "",
    task: Task = None,
    store: Store = None,
    namespace: Namespace = "default",
) -> None:
    """Reject what an execution waits for: it fails, unless the workflow says what to do then."""
    from raywf.cli import sending

    sending.decide(place_of(store, namespace), execution, False, by, comment, task)
