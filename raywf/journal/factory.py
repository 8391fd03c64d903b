"""Opens a store by its URL.

=============================  ================================================
``sqlite:///relative/path``    a file, from the working directory
``sqlite:////absolute/path``   a file
``memory://name``              this process only, for tests
``postgresql://…``             a schema of a PostgreSQL database, for many hosts
=============================  ================================================

A file is opened at once; a server is connected to by the first call, so its errors come from there.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, cast
from urllib.parse import unquote

from raywf.config import shown
from raywf.errors import StoreUnavailable
from raywf.journal.addresses import take_apart
from raywf.journal.memory import MemoryJournal
from raywf.journal.sealed import SealedInbox, SealedReader, behind
from raywf.ports import Bell, Clock, Inbox, Journal, Reader
from raywf.sealing import Codec, Sealer

_KNOWN = "a store is sqlite:///relative/path, sqlite:////absolute/path, postgresql://user:password@host/database or memory://name"


class ReadingInbox(Reader, Inbox, Protocol):
    """What a client needs: to look, and to send commands."""


def open_journal(url: str, *, clock: Clock | None = None, store_id: str | None = None) -> Journal:
    """The whole store, for an engine; made if it is missing. Raises ``StoreUnavailable`` and leaves untouched what is
    not a store of ours or is newer than we are.

    ``store_id`` (from ``facts().details``) makes sure that this host sees the store that is meant: with it nothing is
    made, and another store at the same path is refused. Values are as they are stored: ``behind`` opens and seals them.
    """
    scheme, place = parse(url)
    if scheme == "memory":
        return MemoryJournal(place, clock=clock)
    if scheme == "postgresql":  # its leases follow the server's clock, which all hosts share
        journal: Journal = _postgres().PostgresJournal(place, store_id=store_id)
        return journal
    from raywf.journal.sqlite import SqliteJournal

    return SqliteJournal(Path(place), clock=clock, store_id=store_id)


async def make(url: str, codec: Codec | None = None) -> None:
    """Make the store unless it is there, and find out now what is wrong with it. Raises ``StoreUnavailable``, and
    ``KeyMissing`` where it is encrypted and ``codec`` (None: of the environment) has no keys."""
    journal = open_journal(url)
    try:
        await behind(journal, Codec.from_env(os.environ) if codec is None else codec)
    finally:
        await journal.close()


def open_inbox(url: str, codec: Codec | None = None) -> ReadingInbox:
    """Reading, and sending commands, with or without an engine. Makes nothing: a missing store is refused. ``codec`` (None: of
    the environment) opens what is sealed and seals what is sent."""
    return cast(ReadingInbox, SealedInbox(_inbox(url), _sealer(codec)))


def _inbox(url: str) -> Any:
    scheme, place = parse(url)
    if scheme == "memory":
        return MemoryJournal(place, create=False)
    if scheme == "postgresql":
        return _postgres().PostgresInbox(place)
    from raywf.journal.sqlite import SqliteInbox

    return SqliteInbox(Path(place))


def open_reader(url: str, codec: Codec | None = None) -> Reader:
    """Reading only. Makes nothing and changes nothing: a missing store is refused. ``codec`` as above."""
    return cast(Reader, SealedReader(_reader(url), _sealer(codec)))


def _reader(url: str) -> Any:
    scheme, place = parse(url)
    if scheme == "memory":
        return MemoryJournal(place, create=False)
    if scheme == "postgresql":
        return _postgres().PostgresReader(place)
    from raywf.journal.sqlite import SqliteReader

    return SqliteReader(Path(place))


def _sealer(codec: Codec | None) -> Sealer:
    """The environment is read here, so that no door is opened without its codec by whoever forgets one."""
    return (Codec.from_env(os.environ) if codec is None else codec).sealer()


def parse(url: str) -> tuple[str, str]:
    """(scheme, place). SQLite's place is an absolute path, memory's a name, PostgreSQL's the URL itself."""
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
            if not colon:
                raise StoreUnavailable(f"store {shown(url)}: the slashes are missing; {_KNOWN}.")
            take_apart(url)
            return "postgresql", url
        case _:
            raise StoreUnavailable(f"store {shown(url)!r}: this is not a store's URL; {_KNOWN}.")


def open_bell(url: str, lanes: Sequence[str]) -> Bell | None:
    """What rings when somebody writes to the inbox of one of ``lanes``; None where a look costs next to nothing."""
    scheme, place = parse(url)
    if scheme != "postgresql":
        return None
    bell: Bell = _postgres().PostgresBell(place, lanes)
    return bell


def open_blobs(url: str) -> Any:
    """Large values of a PostgreSQL store: ``put``, ``get`` and ``close``, from any thread."""
    return _postgres().PostgresBlobs(parse(url)[1])


def _postgres() -> Any:
    try:
        import raywf.journal.postgres as postgres
    except ModuleNotFoundError as error:
        if error.name != "asyncpg":
            raise
        raise StoreUnavailable(
            "a postgresql:// store needs the package asyncpg, which is not installed here: pip install 'raywf[postgres]'"
        ) from None
    return postgres
