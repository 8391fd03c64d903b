"""``raywf cache``: results that tasks with ``cache=`` left for reuse. No engine, no Ray."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from raywf.cli.options import AsJson, Namespace, Store
from raywf.cli.place import Place, place_of
from raywf.config import shown

if TYPE_CHECKING:
    from raywf.client.caching import CachedResult
    from raywf.journal.factory import ReadingInbox

T = TypeVar("T")

cache = typer.Typer(
    name="cache",
    help="Results that tasks with `cache=` left for reuse.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)

OfTask = Annotated[
    str | None,
    typer.Option("--task", metavar="NAME", help="Only of this task: its function, or module:function.", show_default=False),
]  # fmt: skip


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


@cache.command()
def ls(
    task: OfTask = None,
    limit: Annotated[int, typer.Option(metavar="N", help="Print at most this many.")] = 100,
    as_json: AsJson = False,
    store: Store = None,
    namespace: Namespace = "default",
) -> None:
    """List kept results, newest first: of which task, from which execution, and until when they count."""
    from raywf.cli.output import say, write_json
    from raywf.client.caching import cached_results

    place = place_of(store, namespace)
    found = _with(place, lambda inbox: cached_results(inbox, place.namespace, task, limit))
    if as_json:
        write_json(found)
    elif found:
        say(*(_line(each) for each in found))
    else:
        of = "" if task is None else f" of {task!r}"
        say(f"No kept results{of} in namespace {place.namespace!r} of {shown(place.store)}")


@cache.command()
def clear(
    task: OfTask = None,
    key: Annotated[str | None, typer.Option(metavar="KEY", help="Only this one, as `ls --json` shows it.", show_default=False)] = None,
    expired: Annotated[bool, typer.Option("--expired", help="Only what has expired.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="All of the namespace.")] = False,
    store: Store = None,
    namespace: Namespace = "default",
) -> None:  # fmt: skip
    """Forget kept results, so that the next call of the task runs. Executions keep what they have."""
    from raywf.cli.output import say
    from raywf.client.caching import clear_cache
    from raywf.errors import InvalidInput

    if not (task or key or expired or everything):
        raise InvalidInput("clear what? --task NAME, --key KEY, --expired, or --all of the namespace")
    if everything and (task or key or expired):
        raise InvalidInput("--all clears everything: leave --task, --key and --expired out")
    place, until = place_of(store, namespace), time.time() if expired else None
    gone = _with(place, lambda inbox: clear_cache(inbox, place.namespace, task, key, until))
    say(f"{gone} kept result{'' if gone == 1 else 's'} cleared")


def _line(each: CachedResult) -> str:
    until = "until cleared" if each.expires_at is None else f"until {each.expires_at:%Y-%m-%d %H:%M:%S}"
    return (
        f"{each.task}  {each.size} bytes  from {each.source} ({each.source_task}) at "
        f"{each.stored_at:%Y-%m-%d %H:%M:%S}, {until}"
    )
