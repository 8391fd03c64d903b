"""Commands to executions: rows in the store's inbox. They need no engine and no Ray."""

from __future__ import annotations

from typing import Annotated

import typer

from raywf.cli.options import By, Execution, Namespace, Store
from raywf.cli.place import place_of

Comment = Annotated[str, typer.Option(metavar="TEXT", help="Why, for the history.")]
Task = Annotated[
    str | None, typer.Option(metavar="TASK", help="Which approval, where it waits for several.", show_default=False)
]


def cancel(
    execution: Execution,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why, for the history and for whoever waits.")] = "",
    by: By = None,
    store: Store = None,
    namespace: Namespace = "default",
) -> None:
    """Ask an execution to end. Does nothing to one that has ended."""
    from raywf.cli import sending

    sending.cancel(place_of(store, namespace), execution, reason, by)


def pause(
    execution: Execution,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why, for the history.")] = "",
    by: By = None,
    store: Store = None,
    namespace: Namespace = "default",
) -> None:
    """Let nothing new start in an execution: what runs ends and is kept, signals are kept, no timer fires."""
    from raywf.cli import sending

    sending.pause(place_of(store, namespace), execution, reason, by)


def resume(
    execution: Execution,
    by: By = None,
    store: Store = None,
    namespace: Namespace = "default",
) -> None:
    """Let a paused execution go on."""
    from raywf.cli import sending

    sending.resume(place_of(store, namespace), execution, by)


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
