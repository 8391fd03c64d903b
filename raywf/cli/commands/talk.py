"""What an execution has recorded and what its tasks emit: read from the store alone."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from raywf.cli.commands.look import reading
from raywf.cli.options import AsJson, By, Execution, Namespace, Store
from raywf.cli.place import place_of

if TYPE_CHECKING:
    from raywf.client.reading import Readings


def query(
    execution: Execution,
    path: Annotated[
        str,
        typer.Argument(
            metavar="PATH", help="input, result or a task, then .name or [3]: write.title", show_default=False
        ),
    ],
    as_json: AsJson = False,
    store: Store = None,
    namespace: Namespace = "default",
) -> None:
    """Print a recorded value by its path, of an open or a closed execution: JSON, text as it is."""
    from raywf.cli.output import write_json, write_text
    from raywf.client import queries

    async def work(readings: Readings) -> Any:
        return await queries.query(readings, execution, path)

    value = reading(place_of(store, namespace), work)
    if isinstance(value, str) and not as_json:
        write_text(value)
    else:
        write_json(value)


def update(
    execution: Execution,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The update's name.", show_default=False)],
    payload: Annotated[str, typer.Argument(metavar="JSON", help="Its payload: JSON, @file, or - for stdin.")] = "null",
    timeout: Annotated[float, typer.Option(min=0, help="So many seconds for its answer.")] = 30.0,
    id: Annotated[
        str | None,
        typer.Option(metavar="KEY", help="Sent twice with the same key, it counts once.", show_default=False),
    ] = None,
    by: By = None,
    store: Store = None,
    namespace: Namespace = "default",
) -> None:
    """Send an update, which the workflow accepts or refuses, and print its answer as JSON."""
    from raywf.cli import sending
    from raywf.cli.arguments import read_value
    from raywf.cli.output import write_json

    value = read_value(payload, "argument JSON")
    write_json(sending.update(place_of(store, namespace), execution, name, value, timeout, id, by))


def stream(
    execution: Execution,
    task: Annotated[str | None, typer.Option(metavar="TASK", help="Only what this task emits.")] = None,
    offset: Annotated[int, typer.Option(min=0, help="From this item on, counted from 0.")] = 0,
    wait: Annotated[bool, typer.Option(help="Follow until the end, or print what is there.")] = True,
    as_json: AsJson = False,
    store: Store = None,
    namespace: Namespace = "default",
) -> None:
    """Print what tasks emit, item by item, while the execution runs and afterwards: text as it is, other values as JSON.
    With --json each line is an object with number, task, attempt, at and value."""
    from raywf.cli.output import json_text, write_text
    from raywf.client import streams

    async def work(readings: Readings) -> None:
        async for item in streams.stream(readings, execution, task, offset, wait):
            if as_json:
                line = json_text({**item._asdict(), "at": item.at.isoformat()})
            else:
                line = item.value if isinstance(item.value, str) else json_text(item.value)
            write_text(line)
            sys.stdout.flush()

    reading(place_of(store, namespace), work)
