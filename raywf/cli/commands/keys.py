"""``raywf keys``: the keys that a store's values are encrypted with. No engine and no Ray is needed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from raywf.cli.options import AsJson, Namespace, Store
from raywf.cli.place import Place, place_of

if TYPE_CHECKING:
    from raywf.client.keys import KeyUse, Rotated
    from raywf.journal.factory import ReadingInbox

T = TypeVar("T")

keys = typer.Typer(
    name="keys",
    help="Keys of encrypted values: which are in use, a new one, bringing all values under it.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)


def _with(place: Place, work: Callable[[ReadingInbox, Any], Awaitable[T]]) -> T:
    import asyncio

    from raywf.client.reading import blobs_of
    from raywf.journal.factory import open_inbox
    from raywf.journal.sealed import sealer_of

    async def run() -> T:
        inbox = open_inbox(place.store)
        blobs = blobs_of(place.store, sealer_of(inbox))
        try:
            return await work(inbox, blobs)
        finally:
            blobs.close()
            await inbox.close()

    return asyncio.run(run())


@keys.command()
def ls(as_json: AsJson = False, store: Store = None, namespace: Namespace = "default") -> None:
    """List the keys that values of this store are encrypted with, and how many each has. Reads the store once through; needs no key."""
    from raywf.cli.output import say, write_json
    from raywf.client.keys import key_uses
    from raywf.config import shown

    place = place_of(store, namespace)
    found = _with(place, key_uses)
    if as_json:
        write_json([{name: getattr(use, name) for name in type(use).__slots__} for use in found])
    elif found:
        say(*map(_line, found))
    else:
        say(f"No values in {shown(place.store)}")


def _line(use: KeyUse) -> str:
    where = ", ".join(f"{count:,} {name}" for name, count in use.places.items())
    if not use.key:
        return f"not encrypted: {use.values:,} values ({where})"
    state = "it seals what is new" if use.seals else "given" if use.is_given else "NOT given here"
    return f"{use.key}: {use.values:,} values ({where}); {state}"


@keys.command()
def new(id: Annotated[str, typer.Argument(metavar="ID", help="Its name, as in 2026-11.", show_default=False)]) -> None:
    """Make a random key and print it as ID:BASE64, the line that a file of keys has. It is stored nowhere else."""
    from raywf.cli.output import write_text
    from raywf.sealing.keys import new_key

    write_text(new_key(id))


@keys.command()
def rotate(as_json: AsJson = False, store: Store = None, namespace: Namespace = "default") -> None:
    """Encrypt every value of this store with the first key of RAYWF_KEYS, whatever it was written with, or plainly.

    May be ended at any time and run again; runs beside an engine that has the key. When nothing is left under the old one it may go
    from RAYWF_KEYS, unless backups, exports or archives need it.
    """
    from raywf.cli.exits import ExitCode
    from raywf.cli.output import note, say, write_json
    from raywf.client.keys import rotate as run

    place = place_of(store, namespace)
    done: Rotated = _with(place, run)
    if as_json:
        write_json({name: getattr(done, name) for name in type(done).__slots__})
    else:
        say(f"{done.values:,} values and {done.large:,} large values are now encrypted with {done.key!r}")
    for key, count in done.missing.items():
        note(f"{count:,} stay under key {key!r}, which was not given: add it to RAYWF_KEYS and run this again")
    if done.broken:
        note(
            f"{done.broken:,} do not open with the key they name: they were changed, or that id means another key. They stay as they are"
        )
    if done.left:
        raise typer.Exit(ExitCode.FAILED)
