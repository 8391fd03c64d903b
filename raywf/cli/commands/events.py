"""Events and the triggers that wait for them. No engine, no Ray: what an event starts is a row that the next owner takes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from raywf.cli.options import AsJson, By, Namespace, Store
from raywf.cli.place import Place, actor_name, place_of

if TYPE_CHECKING:
    from raywf.journal.factory import ReadingInbox

T = TypeVar("T")


def _with(place: Place, work: Callable[[ReadingInbox], Awaitable[T]]) -> T:
    import asyncio

    from raywf.journal.factory import open_inbox

    async def run() -> T:
        inbox = open_inbox(place.store)
        try:
            return await work(inbox)
        finally:
            await inbox.close()

    return asyncio.run(run())


def emit(
    name: Annotated[str, typer.Argument(metavar="NAME", help="As in order.created.", show_default=False)],
    payload: Annotated[str, typer.Argument(metavar="JSON", help="The event: JSON, @file, or - for stdin.")] = "null",
    id: Annotated[
        str | None,
        typer.Option(
            metavar="KEY", help="Emitted twice with the same key, it starts nothing again.", show_default=False
        ),
    ] = None,
    by: By = None,
    as_json: AsJson = False,
    store: Store = None,
    namespace: Namespace = "default",
) -> None:
    """Emit an event: start every workflow that waits for one of this name (see `raywf triggers`)."""
    from raywf.cli.arguments import read_value
    from raywf.cli.output import say, write_json
    from raywf.client import events as of

    place, value = place_of(store, namespace), read_value(payload, "argument JSON")
    found = _with(place, lambda inbox: of.emit(inbox, place.namespace, name, value, id, actor_name(by)))
    if as_json:
        write_json(found)
        return
    for trigger, execution in found.started.items():
        again = " (the same event had started it before)" if execution in found.repeated else ""
        say(f"{trigger}: starts {execution}{again}")
    for trigger, why in found.passed.items():
        say(f"{trigger}: no, {why}")
    if not found.started and not found.passed:
        say(f"No trigger waits for {name!r} in namespace {place.namespace!r}. {found.hint}".rstrip())


def triggers(
    delete: Annotated[
        str | None, typer.Option(metavar="TRIGGER", help="Let events start this one no more.", show_default=False)
    ] = None,
    as_json: AsJson = False,
    store: Store = None,
    namespace: Namespace = "default",
) -> None:
    """List the triggers by event that are in effect (`raywf schedule add TARGET` puts a workflow's own into effect)."""
    import json

    from raywf.cli.output import say, write_json
    from raywf.client import events as of

    place = place_of(store, namespace)
    if delete is not None:
        _with(place, lambda inbox: of.drop_trigger(inbox, place.namespace, delete))
        say(f"{delete} is deleted")
        return
    found = _with(place, lambda inbox: of.triggers(inbox, place.namespace))
    if as_json:
        write_json(found)
    elif found:
        for each in found:
            where = "" if each.where is None else f" where {json.dumps(each.where, ensure_ascii=False)}"
            say(f"{each.id}: {each.workflow} on {each.event}{where}")
    else:
        say(f"No triggers by event in namespace {place.namespace!r}")
