"""`raywf doctor`: what raywf stands on here, line by line, and what to do about what is wrong."""

from __future__ import annotations

import asyncio
import os
import platform
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.text import Text

from raywf.cli.disk import fsync_p50_ms, nearest_folder
from raywf.cli.laptop.record import read_record
from raywf.cli.net import answers
from raywf.cli.output import glyphs_fit, show_on
from raywf.cli.place import Place
from raywf.cli.tables import plain_table
from raywf.cli.versions import version_of
from raywf.client.holders import holders
from raywf.client.keys import KeyUse, key_uses
from raywf.client.reading import blobs_of
from raywf.config import shown
from raywf.errors import RaywfError
from raywf.journal.factory import open_inbox, parse
from raywf.journal.missing import StoreMissing
from raywf.journal.sealed import ENCRYPTED, FACT, sealer_of
from raywf.sealing import Codec

_LOOKS = {"ok": ("✔", "+", "green"), "warn": ("▲", "!", "yellow"), "bad": ("✖", "x", "bold red")}
_PYTHONS = ((3, 11), (3, 14))
_MB = 2**20


class Check(NamedTuple):
    """``state`` is ``ok``, ``warn`` or ``bad``; ``todo`` says what to do unless it is ok."""

    name: str
    state: str
    found: str
    todo: str = ""


def examine(place: Place, env: Mapping[str, str] | None = None) -> list[Check]:
    """All checks. Starts nothing; beside the store it writes a file of 4 KB for a moment, to time the disk."""
    env = os.environ if env is None else env
    checks = [check_python(sys.version_info[:2]), check_ray(version_of("ray")), *check_store(place)]
    checks += check_keys(place, env)
    return [
        *checks,
        check_engine(place),
        *check_waiting(place),
        check_up(),
        check_shared_memory(),
        *check_environment(env),
    ]


def check_python(version: tuple[int, int]) -> Check:
    low, high = _PYTHONS
    found = f"{platform.python_version()} ({sys.executable})"
    if low <= version < high:
        return Check("python", "ok", found)
    return Check("python", "bad", found, "raywf runs on Python 3.11, 3.12 and 3.13: make the environment anew with one")


def check_ray(version: str | None) -> Check:
    if version is None:
        return Check("ray", "bad", "not installed", "pip install 'ray>=2.60,<3'")
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if (2, 60) <= numbers < (3, 0):
        return Check("ray", "ok", version)
    return Check("ray", "warn", version, "raywf is tested with 2.60 and later 2.x: pip install 'ray>=2.60,<3'")


def check_store(place: Place) -> Iterator[Check]:
    try:
        scheme, path = parse(place.store)
    except RaywfError as error:
        yield Check("store", "bad", shown(place.store), str(error))
        return
    if scheme == "postgresql":
        yield _check_server(place)
        return
    if scheme != "sqlite":
        yield Check("store", "ok", place.store)
        return
    if not os.path.exists(path):
        yield Check("store", "ok", f"none yet at {path}: the first engine makes it")
    else:
        try:
            yield Check("store", "ok", asyncio.run(_facts(place)))
        except RaywfError as error:
            yield Check("store", "bad", path, str(error))
    yield from check_disk(Path(path).parent)


def _check_server(place: Place) -> Check:
    try:
        return Check("store", "ok", asyncio.run(_facts(place)))
    except StoreMissing:
        return Check("store", "ok", f"none yet at {shown(place.store)}: the first engine makes it")
    except RaywfError as error:
        return Check("store", "bad", shown(place.store), str(error))


async def _facts(place: Place) -> str:
    inbox = open_inbox(place.store, Codec())  # opened for writing, so a store that can only be read is found out
    try:
        facts = await inbox.facts()
        still_open = await inbox.count_open(place.namespace)
    finally:
        await inbox.close()
    on = facts.details.get("filesystem") or f"schema {facts.details.get('schema', 'unknown')!r}"
    path = facts.details.get("path", facts.url)
    return f"{path}: format {facts.format}, {facts.driver}, on {on}; {still_open} open in {place.namespace!r}"


def check_keys(place: Place, env: Mapping[str, str]) -> Iterator[Check]:
    """Whether what the store's values are encrypted with is given here; nothing where there is nothing to say."""
    try:
        codec = Codec.from_env(env)
        given = codec.sealer().ids
    except RaywfError as error:
        yield Check(
            "keys",
            "bad",
            f"RAYWF_KEYS={env.get('RAYWF_KEYS', '')}, RAYWF_COMPRESS={env.get('RAYWF_COMPRESS', '')}",
            str(error),
        )
        return
    try:
        uses = asyncio.run(_uses(place, codec))
    except RaywfError:
        return  # the store's own line says it
    encrypted = [use for use in uses if use.key]
    if not encrypted and not given:
        return
    found = ", ".join(f"{use.key or 'plain'}: {use.values:,}" for use in uses) or "no values yet"
    missing = [use.key for use in encrypted if not use.is_given]
    if missing:
        yield Check("keys", "bad", found, f"values need {', '.join(missing)}: add to RAYWF_KEYS where it is")
    elif any(not use.seals for use in uses):
        yield Check("keys", "warn", found, f"not all is under {given[0]}: `raywf keys rotate` brings it there")
    else:
        yield Check("keys", "ok", found)


async def _uses(place: Place, codec: Codec) -> list[KeyUse]:
    inbox = open_inbox(place.store, codec)
    blobs = blobs_of(place.store, sealer_of(inbox))
    try:
        if not codec.keys and (await inbox.facts()).details.get(FACT) != ENCRYPTED:
            return []
        return await key_uses(inbox, blobs)
    finally:
        blobs.close()
        await inbox.close()


def check_disk(folder: Path) -> Iterator[Check]:
    """Space and speed of the disk below the store."""
    there = nearest_folder(folder)
    if not os.access(there, os.W_OK):
        yield Check("disk", "bad", f"{there} cannot be written", "give this user the right, or set RAYWF_STORE")
        return
    free = shutil.disk_usage(there).free
    state = "ok" if free > 1024 * _MB else "warn" if free > 100 * _MB else "bad"
    yield Check("disk", state, f"{free / 2**30:.1f} GB free at {there}", "" if state == "ok" else "free some space")
    took = fsync_p50_ms(there)
    if took is None:
        yield Check("fsync", "warn", f"{there} could not be timed", "look at the disk's health")
    elif took <= 10:
        yield Check("fsync", "ok", f"{took:.2f} ms")
    else:
        todo = "every step waits for one: put the store on a faster disk (RAYWF_STORE)"
        yield Check("fsync", "warn", f"{took:.1f} ms", todo)


def check_engine(place: Place) -> Check:
    try:
        held = asyncio.run(holders(place.store))
    except RaywfError as error:
        return Check("engine", "warn", "unknown", str(error))
    if not held:
        return Check("engine", "ok", "none holds the store now: the next `raywf run` or connect() starts one")
    more = f" and {len(held) - 1} more workflow actors" if len(held) > 1 else ""
    return Check("engine", "ok", f"{held[0]}{more}, since {held[0].since.isoformat(timespec='seconds')}")


def check_waiting(place: Place) -> Iterator[Check]:
    """What executions wait for that this cluster may never have. Of a store that is out of reach another line has told."""
    try:
        waiting = asyncio.run(_waiting(place))
    except RaywfError:
        return
    for text, count in sorted(waiting.items()):
        noun = "execution waits" if count == 1 else "executions wait"
        yield Check(
            "waiting",
            "warn",
            f"{count} {noun} for {text}",
            "give the cluster such a node, or ask for less: `raywf workers`",
        )


async def _waiting(place: Place) -> dict[str, int]:
    """How many wait for a worker or a Ray task that has no place, by what they say."""
    inbox = open_inbox(place.store)
    try:
        rows = await inbox.executions(place.namespace, status="waiting", limit=1000)
    finally:
        await inbox.close()
    found: dict[str, int] = {}
    for row in rows:
        kind, _, text = (row.waiting_for or "").partition(": ")
        if kind in ("resources", "pool") and "no node" in text:
            found[text] = found.get(text, 0) + 1
    return found


def check_up() -> Check:
    record = read_record()
    if record is None:
        return Check("up", "ok", "no Ray stays here: each run starts a private one (`raywf up` keeps one)")
    alive = record.alive()
    if alive and answers(record.address):
        return Check("up", "ok", f"Ray at {record.address}, {len(alive)} processes, since {record.started_at}")
    found = f"recorded at {record.address}, but {'it does not answer' if alive else 'its processes are gone'}"
    return Check("up", "warn", found, "raywf down, then raywf up")


def check_shared_memory(place: Path = Path("/dev/shm")) -> Check:
    if not place.is_dir():
        return Check("shared memory", "ok", "Ray uses files here")
    total = shutil.disk_usage(place).total
    if total >= 256 * _MB:
        return Check("shared memory", "ok", f"{total / 2**30:.1f} GB at {place}")
    todo = "Ray's objects go to the disk: give the container more (docker run --shm-size=1g)"
    return Check("shared memory", "warn", f"{total / _MB:.0f} MB at {place}", todo)


_TRAPS = {
    "RAY_ADDRESS": "every connect goes there, not to the Ray of `raywf up`: unset it if that is not meant",
    "RAY_NAMESPACE": "raywf chooses Ray's namespace itself: unset it",
    "RAY_RUNTIME_ENV_HOOK": "a hook changes how tasks find their code: unset it if tasks miss modules",
    "RAY_JOB_CONFIG_JSON_ENV_VAR": "left over from a Ray job: unset it outside of jobs",
}


def check_environment(env: Mapping[str, str]) -> Iterator[Check]:
    """Variables that send Ray elsewhere than one expects."""
    warned = False
    for name, todo in _TRAPS.items():
        if env.get(name):
            warned = True
            address = env[name]
            silent = name == "RAY_ADDRESS" and ":" in address and not answers(address)
            found = f"{name}={address}{', where nobody answers' if silent else ''}"
            yield Check("environment", "bad" if silent else "warn", found, todo)
    if env.get("RAY_AUTH_MODE") == "token" and not (env.get("RAY_AUTH_TOKEN") or env.get("RAY_AUTH_TOKEN_PATH")):
        warned = True
        yield Check("environment", "warn", "RAY_AUTH_MODE=token", "set RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH as well")
    if env.get("RAY_ENABLE_UV_RUN_RUNTIME_ENV") == "1":
        warned = True
        todo = "under `uv run` Ray uploads the whole folder: unset it"
        yield Check("environment", "warn", "RAY_ENABLE_UV_RUN_RUNTIME_ENV=1", todo)
    if len(env.get("RAY_TMPDIR", "")) > 60:
        warned = True
        yield Check("environment", "warn", f"RAY_TMPDIR={env['RAY_TMPDIR']}", "too long for Ray's sockets: at most 60")
    if not warned:
        yield Check("environment", "ok", "no RAY_* variable in the way")


def show(checks: Sequence[Check], console: Console) -> None:
    """One line per check, with what to do below it."""
    table = plain_table()
    table.show_header = False
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for check in checks:
        mark, plain, style = _LOOKS[check.state]
        state = Text(f"{mark if glyphs_fit(console) else plain} {check.state}", style=style)
        table.add_row(state, check.name, Text(check.found + (f"\n→ {check.todo}" if check.todo else "")))
    show_on(console, table)
