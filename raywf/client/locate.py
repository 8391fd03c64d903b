"""Which Ray to use, in the order that the contract gives:

the address given, RAY_ADDRESS, a Ray initialised in this process, the live engine recorded in the store, the Ray of
``raywf up``, and else a private one that ends with this process.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raywf.config import shown, up_record
from raywf.errors import RaywfError, StoreUnavailable
from raywf.journal.factory import open_reader, parse
from raywf.journal.missing import StoreMissing
from raywf.ports import OwnerRow
from raywf.runtime.spec import ActorSpec
from raywf.sealing import Codec


@dataclass(frozen=True, slots=True)
class Place:
    """The Ray that was found or started. ``private``: it ends with this process. ``ours``: we connected to it."""

    address: str
    namespace: str
    private: bool
    ours: bool
    how: str


def absolute(url: str) -> str:
    """The store's URL with an absolute path, so that actors elsewhere mean the same file."""
    scheme, place = parse(url)
    if scheme != "sqlite":
        return url
    Path(place).parent.mkdir(parents=True, exist_ok=True)
    return f"sqlite:///{os.path.realpath(place)}"


def home_of(url: str) -> str | None:
    """The host whose file a store is: only actors there can open it. None: it is a server's."""
    import socket

    return socket.gethostname() if parse(url)[0] == "sqlite" else None


def ray_namespace(url: str, namespace: str) -> str:
    """The Ray namespace of the actors of one store and namespace."""
    return f"raywf-{hashlib.sha256(shown(url).encode()).hexdigest()[:10]}-{namespace}"


async def live_engine(url: str, lease_s: float) -> ActorSpec | None:
    """The engine that holds the store now, if any; waits for one whose Ray is gone until its lease lapses.

    Raises ``StoreUnavailable`` when a holder goes on renewing and cannot be joined.
    """
    from raywf.runtime import ray as adapter

    give_up_at = time.monotonic() + 2 * lease_s + 1
    while True:
        held = await _live_owners(url)
        for row in held:
            spec = _spec(row)
            if spec is not None and not _is_dying(spec, row) and adapter.answers(spec.ray_address):
                return spec
        if not held:
            return None
        if time.monotonic() > give_up_at:
            raise StoreUnavailable(held_by(url, held))
        await _pause(0.1)


async def _pause(seconds: float) -> None:
    import asyncio

    await asyncio.sleep(seconds)


async def _live_owners(url: str) -> list[OwnerRow]:
    scheme, place = parse(url)
    if scheme == "sqlite" and not os.path.exists(place):  # noqa: ASYNC240 - a stat is no wait
        return []
    reader = open_reader(url, Codec())  # owners are no secret
    try:
        now = time.time()
        return [row for row in await reader.owners() if row.expires_at > now and not _process_is_gone(row)]
    except StoreMissing:
        return []
    finally:
        await reader.close()


def _is_dying(spec: ActorSpec, row: OwnerRow) -> bool:
    """Whether the holder lives in a private Ray whose driver has gone: it will be gone within seconds, so wait."""
    return spec.driver is not None and _is_gone(row.host, spec.driver)


def _process_is_gone(row: OwnerRow) -> bool:
    """Whether the holder ran on this host and has no process any more."""
    return _is_gone(row.host, row.pid)


def _is_gone(host: str, pid: int) -> bool:
    import socket

    if host != socket.gethostname():
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return _is_zombie(pid)


def _is_zombie(pid: int) -> bool:
    """Whether a process has ended and nobody has asked how: in a container often nobody ever does."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return False


def _spec(row: OwnerRow) -> ActorSpec | None:
    try:
        return ActorSpec.from_json(row.spec)
    except (ValueError, KeyError, TypeError):
        return None


def held_by(url: str, rows: list[OwnerRow]) -> str:
    """Who holds a store, in words."""
    row = rows[0]
    since = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(row.started_at))
    spec = _spec(row)
    where = f", Ray at {spec.ray_address}" if spec else ""
    return (
        f"the store {shown(url)} is held by the engine of process {row.pid} on {row.host} (since {since}{where}): "
        "a store has one engine. Connect to that Ray, end that engine, or use another store."
    )


def recorded_up() -> str | None:
    """The address of the Ray of ``raywf up``, if it still answers."""
    from raywf.runtime import ray as adapter

    try:
        record: dict[str, Any] = json.loads(up_record().read_text())
        address = str(record["address"])
    except (OSError, ValueError, KeyError):
        return None
    return address if adapter.answers(address) else None


async def locate(address: str | None, url: str, namespace: str, lease_s: float) -> Place:
    """Find or start a Ray, and connect this process to it. Blocks for seconds when one must be started."""
    from raywf.runtime import ray as adapter

    space = ray_namespace(url, namespace)
    given = address or os.environ.get("RAY_ADDRESS")
    if address == "local":
        given = None
    if adapter.is_initialized():
        here = adapter.current_address()
        if given and given not in (here, "auto") and address:
            raise RaywfError(
                f"this process is connected to the Ray at {here} and cannot connect to {given} as well: "
                "call ray.shutdown() first, or leave the address out"
            )
        return await _checked(Place(here, space, False, False, "the Ray of this process"), url, lease_s)
    if given:
        if ":" in given and "://" not in given and not adapter.answers(given):  # Ray would try for minutes
            raise StoreUnavailable(
                f"nothing listens at {given!r}: start a Ray with `raywf up`, or correct the address (the argument, or "
                "RAY_ADDRESS)"
            )
        here = adapter.join(given, space)
        return await _checked(Place(here, space, False, True, "the address given"), url, lease_s)
    engine = None if address == "local" else await live_engine(url, lease_s)
    if engine is not None:
        try:
            return Place(adapter.join(engine.ray_address, space), space, False, True, "the live engine of the store")
        except StoreUnavailable:  # its control store answers and nothing else of it: gone, if its leases lapse as well
            if await live_engine(url, lease_s) is not None:
                raise
    up = None if address == "local" else recorded_up()
    if up is not None:
        return Place(adapter.join(up, space), space, False, True, "the Ray of `raywf up`")
    return Place(adapter.start_private(space), space, True, True, "a private Ray")


async def _checked(place: Place, url: str, lease_s: float) -> Place:
    """Refuse a Ray other than the one whose engine holds the store."""
    from raywf.runtime import ray as adapter

    engine = await live_engine(url, lease_s)
    if engine is not None and engine.ray_address != place.address:
        held = await _live_owners(url)
        if held:
            if place.ours:
                adapter.shutdown()
            raise StoreUnavailable(held_by(url, held))
    return place
