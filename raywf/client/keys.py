"""Which keys a store's values are encrypted with, and bringing them all under the newest one.

Rotation reads every place of ``journal.places`` page by page, opens what is not under the first key and writes it back sealed anew,
each value only where it is still the one that was read. **Authority.** The rows themselves: a value's envelope names its key, so
there is no list of what was done. **Failure.** Whoever dies leaves some values under the old key and the others under the new one, which
all open while both keys are given; the next run does the rest. What does not open stays as it is, and is counted.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

from raywf.client.locate import _spec
from raywf.errors import InvalidInput, KeyMissing, SealBroken
from raywf.journal.factory import ReadingInbox
from raywf.journal.places import PLACES, Place
from raywf.journal.sealed import ENCRYPTED, FACT, sealer_of
from raywf.ports import Resealed, StoredValue
from raywf.runtime.data import Blobs
from raywf.runtime.sealed import SealedBlobs
from raywf.sealing import Codec, Sealer, key_of, key_of_text

PAGE = 500
_PASSES = 5

PLAIN = ""
"""In the place of a key's id: values that are not encrypted."""


@dataclass(frozen=True, slots=True)
class KeyUse:
    """How many values a key has, by place; ``key`` is empty for those that are not encrypted. ``is_given``: it is among the keys of
    this process; ``seals``: it is the first of them."""

    key: str
    values: int
    places: dict[str, int]
    is_given: bool
    seals: bool


@dataclass(slots=True)
class Rotated:
    """What a rotation did: ``values`` and ``large`` values were sealed anew; ``left`` counts, by key, those that are not under the new
    one: ``missing`` of them want a key that is not given, ``broken`` do not open with theirs."""

    key: str
    values: int = 0
    large: int = 0
    missing: dict[str, int] = field(default_factory=dict)
    broken: int = 0
    left: dict[str, int] = field(default_factory=dict)


async def key_uses(store: ReadingInbox, blobs: Blobs) -> list[KeyUse]:
    """Every key that some value of the store is encrypted with. Reads the store once through."""
    sealer = sealer_of(store)
    given = [] if sealer is None else sealer.ids
    found: dict[str, Counter[str]] = {}
    for place in PLACES.values():
        async for page in _pages(store, place):
            for value in page:
                found.setdefault(_key(value), Counter())[place.name] += 1
    if isinstance(blobs, SealedBlobs):
        for key, count in (await asyncio.to_thread(_of_blobs, blobs)).items():
            found.setdefault(key, Counter())["large value"] += count
    uses = [
        KeyUse(key, counts.total(), dict(counts), not key or key in given, key in given[:1])
        for key, counts in found.items()
    ]
    return sorted(uses, key=lambda use: (not use.seals, use.key))


async def rotate(store: ReadingInbox, blobs: Blobs, said: Callable[[Rotated], None] = lambda so_far: None) -> Rotated:
    """Bring every value of the store under the first key given, plain ones too. Beside a running engine, if that has the key.

    Raises ``InvalidInput`` without keys, and where an engine runs that was given none: it would write plainly on, and read nothing.
    """
    sealer = sealer_of(store)
    if sealer is None or sealer.key is None:
        raise InvalidInput(
            "rotate needs keys, the new one first: RAYWF_KEYS=file:/path/to/keys (`raywf keys new ID` makes one)"
        )
    await _refuse_without_keys(store)
    await store.set_fact(FACT, ENCRYPTED)
    done = Rotated(sealer.key)
    for _ in range(_PASSES):  # what is written meanwhile by who has not read the new key yet comes with the next
        before = done.values
        done.missing, done.broken = {}, 0
        for place in PLACES.values():
            async for page in _pages(store, place):
                changes = [change for value in page if (change := _resealed(place, value, sealer, done)) is not None]
                done.values += await store.reseal(place.name, changes) if changes else 0
                said(done)
        if done.values == before:
            break
    if isinstance(blobs, SealedBlobs):
        await asyncio.to_thread(_renew, blobs, done)
    done.left = {use.key: use.values for use in await key_uses(store, blobs) if use.key != sealer.key}
    return done


def _resealed(place: Place, value: StoredValue, sealer: Sealer, done: Rotated) -> Resealed | None:
    if _key(value) == done.key:
        return None
    words, data = place.words_of(value.of_row), value.data
    try:
        new: bytes | str
        if isinstance(data, str):
            new = sealer.seal_text(sealer.open_text(data, words), words)
        else:
            new = sealer.seal(sealer.open(data, words), words)
    except KeyMissing as error:
        done.missing[error.key] = done.missing.get(error.key, 0) + 1
        return None
    except SealBroken:
        done.broken += 1
        return None
    return Resealed(value.of_row[: len(place.identity)], data, new)


def _renew(blobs: SealedBlobs, done: Rotated) -> None:
    for name in blobs.inner.names():
        try:
            done.large += blobs.renew(name)
        except KeyMissing as error:
            done.missing[error.key] = done.missing.get(error.key, 0) + 1
        except SealBroken:
            done.broken += 1


def _of_blobs(blobs: SealedBlobs) -> Counter[str]:
    return Counter(key_of(blobs.inner.read(name) or b"") or PLAIN for name in blobs.inner.names())


async def _refuse_without_keys(store: ReadingInbox) -> None:
    now = time.time()
    for row in await store.owners():
        spec = _spec(row)
        if spec is not None and row.expires_at > now and not Codec.from_text(spec.codec).keys:
            raise InvalidInput(
                f"the engine of process {row.pid} on {row.host} holds this store and was given no keys: it could read nothing any more. "
                "Start it anew with RAYWF_KEYS (or raywf.Codec) first"
            )


async def _pages(store: ReadingInbox, place: Place) -> AsyncIterator[list[StoredValue]]:
    after: tuple[Any, ...] | None = None
    while True:
        page = await store.stored_values(place.name, after, PAGE)
        yield [value for value in page if value.data]
        if len(page) < PAGE:
            return
        after = page[-1].of_row[: len(place.identity)]


def _key(value: StoredValue) -> str:
    found = key_of_text(value.data) if isinstance(value.data, str) else key_of(value.data)
    return found or PLAIN
