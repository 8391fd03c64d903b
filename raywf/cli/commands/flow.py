"""Commands that look at what holds starts up: limits (which they may change; no engine, no Ray), and pools of workers."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

from raywf.cli.options import AsJson, By, Namespace, Store
from raywf.cli.place import actor_name, place_of
from raywf.config import shown

if TYPE_CHECKING:
    from raywf.client.limits import LimitStatus


def limits(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="The limit to change.", show_default=False)
    ] = None,
    concurrency: Annotated[
        int | None, typer.Option(metavar="N", help="Units held at a time; 0 closes it.", show_default=False)
    ] = None,
    rate: Annotated[
        str | None, typer.Option(metavar="N/SECONDS", help="Units started per time, as in 100/60.", show_default=False)
    ] = None,
    reset: Annotated[bool, typer.Option("--reset", help="Let definitions decide again.")] = False,
    by: By = None,
    as_json: AsJson = False,
    store: Store = None,
    namespace: Namespace = "default",
) -> None:
    """List limits, how they are used and who holds them; or change one, from the next start on."""
    import asyncio

    from raywf.cli.output import say, write_json
    from raywf.client import limits as of
    from raywf.errors import InvalidInput
    from raywf.journal.factory import open_inbox

    place = place_of(store, namespace)
    changes = concurrency is not None or rate is not None or reset
    if name is None and changes:
        raise InvalidInput("which limit? `raywf limits NAME --concurrency 5` changes one")
    if reset and (concurrency is not None or rate is not None):
        raise InvalidInput("--reset lets definitions decide: leave --concurrency and --rate out")

    async def run() -> list[LimitStatus]:
        inbox = open_inbox(place.store)
        try:
            if name is not None and reset:
                await of.reset_limit(inbox, place.namespace, name)
            elif name is not None and changes:
                await of.set_limit(inbox, place.namespace, name, concurrency, _rate(rate), actor_name(by))
            found = await of.limit_statuses(inbox, place.namespace)
            return [each for each in found if name is None or each.name == name]
        finally:
            await inbox.close()

    found = asyncio.run(run())
    if as_json:
        write_json(found)
    elif found:
        say(*(_line(each) for each in found))
    else:
        named = "" if name is None else f" named {name!r}"
        say(f"No limits{named} in namespace {place.namespace!r} of {shown(place.store)}")


def workers(
    as_json: AsJson = False,
    store: Store = None,
    namespace: Namespace = "default",
) -> None:
    """List the worker pools of the engine that holds the store: who is loading, ready, busy, and what waits."""
    import asyncio

    from raywf.cli.output import say, write_json
    from raywf.client.locate import absolute
    from raywf.client.workers import pools_of_store
    from raywf.config import Settings

    place = place_of(store, namespace)
    settings = Settings.from_env(os.environ, place.store)
    found = asyncio.run(pools_of_store(absolute(place.store), place.namespace, settings.lease_s))
    if as_json:
        write_json(found or [])
    elif found is None:
        say(f"No engine holds {shown(place.store)} now, so no workers run")
    elif not found:
        say(f"No pools of workers in namespace {place.namespace!r} of {shown(place.store)}")
    else:
        for each in found:
            say(str(each), *(f"  process {one.pid}: {one.state}, {one.served} run" for one in each.workers if one.pid))


def _rate(text: str | None) -> object:
    from raywf.errors import InvalidInput

    if text is None:
        return None
    count, slash, per = text.partition("/")
    try:
        return {"count": float(count), "per": float(per) if slash else 1.0}
    except ValueError:
        raise InvalidInput(f"--rate {text!r} is not N/SECONDS, as in 100/60: a hundred per minute") from None


def _line(each: LimitStatus) -> str:
    rule = each.rule
    parts = [f"{rule['concurrency']:g} at a time"] if "concurrency" in rule else []
    if "count" in rule:
        parts.append(f"{rule['count']:g} per {rule['per']:g} s")
    who = f"; held by {', '.join(each.holders[:5])}" + ("…" if len(each.holders) > 5 else "") if each.holders else ""
    source = "as declared" if each.set_by is None else f"set by {each.set_by}"
    return f"{each.name}: {' and '.join(parts)} ({source}); {each.held:g} held, {each.waiting} waiting{who}"
