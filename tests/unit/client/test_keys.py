"""Rotation brings every value under the new key, from wherever it stopped."""

from __future__ import annotations

import hashlib
import time
import uuid
from pathlib import Path
from typing import Any, cast

import pytest

from raywf.client.keys import key_uses, rotate
from raywf.errors import InvalidInput, KeyMissing
from raywf.journal.factory import ReadingInbox
from raywf.journal.memory import MemoryJournal
from raywf.journal.places import PLACES
from raywf.journal.sealed import SealedInbox, behind
from raywf.ports import Journal
from raywf.runtime.bundle import Bundle
from raywf.runtime.data import MemoryBlobs
from raywf.runtime.sealed import SealedBlobs
from raywf.runtime.spec import ActorSpec
from raywf.sealing import Codec
from raywf.sealing.keys import new_key
from raywf.testing.journal_contract import LANE, a_batch, an_event, an_owner
from tests.unit.journal.test_sealed import filled, looked_at

A, B, C = new_key("a"), new_key("b"), new_key("c")
BIG = b"a large value " * 10_000


class Shop:
    """A store in memory with something everywhere, and its large values."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bare = MemoryJournal(uuid.uuid4().hex)
        self.large = MemoryBlobs()

    def codec(self, *keys: str) -> Codec:
        file = self.folder / uuid.uuid4().hex
        file.write_text("\n".join(keys))
        return Codec(keys=f"file:{file}" if keys else ())

    async def fill(self, *keys: str) -> None:
        journal = await behind(self.bare, self.codec(*keys))
        await filled(journal)
        await journal.release("a")
        (SealedBlobs(self.large, self.codec(*keys).sealer()) if keys else self.large).put(BIG)

    def opened(self, *keys: str, store: Any = None) -> tuple[ReadingInbox, SealedBlobs]:
        sealer = self.codec(*keys).sealer()
        return cast(ReadingInbox, SealedInbox(store or self.bare, sealer)), SealedBlobs(self.large, sealer)

    async def contents(self, *keys: str) -> str:
        journal: Journal = await behind(self.bare, self.codec(*keys))
        return str(
            (await looked_at(journal))[:7]
        )  # a reused result is found by its key's name: without that it is computed anew


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


async def test_the_keys_in_use_are_counted_by_place_and_need_no_key(shop: Shop) -> None:
    await shop.fill(A)
    (use,) = await key_uses(*shop.opened())
    assert (use.key, use.values, use.is_given, use.seals) == ("a", 11, False, False)
    assert use.places == {"event": 2, "large value": 1} | {name: 1 for name in PLACES if name != "event"}


@pytest.mark.parametrize("before", [(), (A,), (B, A)])
async def test_every_value_is_brought_under_the_first_key_and_the_old_one_may_go(
    shop: Shop, before: tuple[str, ...]
) -> None:
    await shop.fill(*before)
    was = await shop.contents(*before)
    done = await rotate(*shop.opened(C, B, A))
    assert (done.key, done.values, done.large, done.left) == ("c", 10, 1, {})
    assert await shop.contents(C) == was
    assert shop.opened(C)[1].get(hashlib.sha256(BIG).hexdigest()) == BIG
    again = await rotate(*shop.opened(C))
    assert (again.values, again.large, again.left) == (0, 0, {})
    with pytest.raises(KeyMissing):
        await behind(shop.bare, Codec())


async def test_whoever_dies_anywhere_leaves_a_store_that_opens_and_the_next_does_the_rest(shop: Shop) -> None:
    class Dies(Exception):
        pass

    class Mortal:
        """The store, for a process that dies at its n-th write: before it, or when it is on disk."""

        def __init__(self, at: int, after: bool) -> None:
            self.left, self.after = at, after

        def __getattr__(self, name: str) -> Any:
            return getattr(shop.bare, name)

        async def reseal(self, place: str, changes: Any) -> int:
            self.left -= 1
            if self.left < 0 and not self.after:
                raise Dies
            done = await shop.bare.reseal(place, changes)
            if self.left < 0:
                raise Dies
            return done

    await shop.fill(A)
    was, deaths = await shop.contents(A), 0
    for at in range(12):
        for after in (False, True):
            store, blobs = shop.opened(B, A, store=Mortal(at % 3, after))
            try:
                await rotate(store, blobs)
            except Dies:
                deaths += 1
            assert await shop.contents(B, A) == was
    assert deaths >= 3 and await shop.contents(B) == was


async def test_what_wants_another_key_or_was_changed_stays_and_is_counted(shop: Shop) -> None:
    await shop.fill(A)
    assert shop.bare._store is not None
    events = shop.bare._store.events[1]
    events[1] = events[1]._replace(data=(events[1].data or b"")[:-1] + b"?")
    done = await rotate(*shop.opened(B))
    assert (done.values, done.missing, done.broken) == (0, {"a": 11}, 0)
    done = await rotate(*shop.opened(B, A))
    assert (done.values, done.large, done.missing, done.broken, done.left) == (9, 1, {}, 1, {"a": 1})


async def test_what_an_owner_writes_meanwhile_is_its_own(shop: Shop) -> None:
    """A snapshot that is replaced between reading and writing back stays the newer one."""
    await shop.fill(A)
    journal = await behind(shop.bare, shop.codec(A, B))  # it knows the new key, and writes with the old one still
    epochs = await journal.claim(an_owner("b"), range(256), 30.0, dead=["a"])

    class Beside:
        def __getattr__(self, name: str) -> Any:
            return getattr(shop.bare, name)

        async def reseal(self, place: str, changes: Any) -> int:
            if place == "snapshot" and changes[0].identity == (1,) and not done:
                done.append(1)
                batch = a_batch(epochs, 1, owner="b", events=[an_event(1, 4, data=b'"new"')])
                batch.snapshots = [(await journal.load([1]))[0].snapshot._replace(seq=4, data=b"newer")]  # type: ignore[union-attr]
                await journal.commit(batch)
            return await shop.bare.reseal(place, changes)

    done: list[int] = []
    rotated = await rotate(*shop.opened(B, A, store=Beside()))
    assert rotated.left == {}, "what came meanwhile came with the next pass"
    (loaded,) = await (await behind(shop.bare, shop.codec(B))).load([1])
    assert loaded.snapshot is not None and (loaded.snapshot.seq, loaded.snapshot.data) == (4, b"newer")


async def test_rotation_without_keys_or_beside_an_engine_without_keys_is_refused(shop: Shop) -> None:
    await shop.fill()
    with pytest.raises(InvalidInput, match="rotate needs keys"):
        await rotate(*shop.opened())
    now = time.time()
    spec = ActorSpec("memory://", "default", LANE, Bundle((), "h", "p"), 0, 1, 3.0, "here", "space")
    bare = MemoryJournal(shop.bare._url.removeprefix("memory://"))
    await bare.claim(an_owner("e")._replace(spec=spec.to_json(), expires_at=now + 60), [1], 60.0)
    with pytest.raises(InvalidInput, match="was given no keys: it could read nothing any more"):
        await rotate(*shop.opened(A))
    assert [use.key for use in await key_uses(*shop.opened())] == [""]
