"""Commands about the nodes of a running engine's cluster."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from raywf.cli.options import AsJson, Namespace, Store
from raywf.cli.place import place_of

if TYPE_CHECKING:
    from rich.table import Table

    from raywf.client.nodes import Bystander, NodeStatus


T = TypeVar("T")


def nodes(as_json: AsJson = False, store: Store = None, namespace: Namespace = "default") -> None:
    """List the nodes, with the workflow actors, shards and open executions on each."""
    from raywf.cli.output import stdout_console, write_json
    from raywf.client.nodes import node_statuses

    async def look() -> list[NodeStatus]:
        async with _engine(store, namespace) as supervisor:
            return await node_statuses(supervisor)

    found = _beside(look())
    if as_json:
        write_json([{**each.model_dump(), "shards": each.shards, "open": each.open} for each in found])
    else:
        stdout_console().print(_table(found))


def drain(
    node: Annotated[str, typer.Argument(metavar="NODE", help="Its id, the beginning of one, or its address.")],
    deadline: Annotated[
        float, typer.Option(metavar="S", help="For how long what runs there may end, in seconds.")
    ] = 60.0,
    store: Store = None,
    namespace: Namespace = "default",
) -> None:
    """Prepare the removal of a node: its shards move to others. Returns when it can be ended."""
    from raywf.cli.output import note, say
    from raywf.client import nodes as of

    place = place_of(store, namespace)
    said: list[int] = []

    def tell(left: NodeStatus) -> None:
        if said[-1:] != [left.shards]:
            said.append(left.shards)
            note(f"node {left.id[:12]} ({left.address}): {left.shards} shards left, {left.open} open executions")

    async def run() -> None:
        async with _engine(store, namespace) as supervisor:
            await of.drain(supervisor, place.store, node, deadline, tell)

    _beside(run())
    say(f"node {node} is drained: nothing of this engine is on it, and it can be ended")


def _beside(work: Coroutine[Any, Any, T]) -> T:
    """Run it while connected to Ray, which prints its own warnings to stdout, where only data belongs."""
    import asyncio

    with contextlib.redirect_stdout(sys.stderr):
        return asyncio.run(work)


def _engine(store: str | None, namespace: str) -> Bystander:
    from raywf.client.locate import absolute
    from raywf.client.nodes import Bystander
    from raywf.config import Settings

    place = place_of(store, namespace)
    return Bystander(absolute(place.store), place.namespace, Settings().lease_s)


def _table(found: list[NodeStatus]) -> Table:
    from raywf.cli.tables import plain_table

    table = plain_table()
    for head in ("NODE", "ADDRESS", "STATE"):
        table.add_column(head, no_wrap=True)
    for head in ("CPUS", "ACTORS", "SHARDS", "OPEN"):
        table.add_column(head, justify="right", no_wrap=True)
    for each in found:
        id_ = each.id[:12] + (" (head)" if each.head else "")
        figures = (f"{each.cpus:g}", str(len(each.actors)), str(each.shards), str(each.open))
        table.add_row(id_, each.address, each.state, *figures)
    return table
