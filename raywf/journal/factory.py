"""Opens a store by its URL.

=============================  ================================================
``sqlite:///relative/path``    a file, from the working directory
``sqlite:////absolute/path``   a file
``memory://name``              this process only, for tests
``postgresql://…``             its place; not built yet
=============================  ================================================
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote

from raywf.errors import StoreUnavailable
from raywf.journal.memory import MemoryJournal
from raywf.ports import Clock, Inbox, Journal, Reader

_KNOWN = "a store is sqlite:///relative/path, sqlite:////absolute/path or memory://name"


class ReadingInbox(Reader, Inbox, Protocol):
    """What a client needs: to look, and to send commands."""


def open_journal(url: str, *, clock: Clock | None = None, store_id: str | None = None) -> Journal:
    """The whole store, for an engine; made if it is missing. Raises ``StoreUnavailable`` and leaves untouched what is
    not a store of ours or is newer than we are.

    ``store_id`` (from ``facts().details``) makes sure that this host sees the store that is meant: with it nothing is
    made, and another store at the same path is refused.
    """
    scheme, place = parse(url)
    if scheme == "memory":
        return MemoryJournal(place, clock=clock)
    from raywf.journal.sqlite import SqliteJournal

    return SqliteJournal(Path(place), clock=clock, store_id=store_id)


def open_inbox(url: str) -> ReadingInbox:
    """Reading, and sending commands, with or without an engine. Makes nothing: a missing store is refused."""
    scheme, place = parse(url)
    if scheme == "memory":
        return MemoryJournal(place, create=False)
    from raywf.journal.sqlite import SqliteInbox

    return SqliteInbox(Path(place))


def open_reader(url: str) -> Reader:
    """Reading only. Makes nothing and changes nothing: a missing store is refused."""
    scheme, place = parse(url)
    if scheme == "memory":
        return MemoryJournal(place, create=False)
    from raywf.journal.sqlite import SqliteReader

    return SqliteReader(Path(place))


def parse(url: str) -> tuple[str, str]:
    """(scheme, place). SQLite's place is an absolute path, memory's a name."""
    scheme, colon, rest = url.partition("://")
    match scheme:
        case "memory" if colon:
            return "memory", rest
        case "sqlite" if colon and rest.startswith("/") and rest.strip("/"):
            return "sqlite", os.path.abspath(os.path.expanduser(unquote(rest[1:])))
        case "sqlite":
            raise StoreUnavailable(
                f"store {url!r}: the path is missing or has too few slashes: sqlite:///relative/path has three, "
                "sqlite:////absolute/path has four."
            )
        case "postgresql" | "postgres":
            raise StoreUnavailable(f"store {_without_secret(url)}: PostgreSQL comes with a later release; {_KNOWN}.")
        case _:
            raise StoreUnavailable(f"store {url!r}: this is not a store's URL; {_KNOWN}.")


def _without_secret(url: str) -> str:
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"
