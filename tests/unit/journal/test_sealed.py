"""A store behind a codec keeps every promise of a store, and shows whoever looks into it ids, states and times only."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_type_hints

import pytest

from raywf.errors import KeyMissing, SealBroken, StoreUnavailable
from raywf.journal.memory import MemoryJournal
from raywf.journal.places import PLACES
from raywf.journal.sealed import (
    FACT,
    SealedInbox,
    SealedJournal,
    SealedReader,
    behind,
    history_as_far_as_it_opens,
    sealed_journal,
)
from raywf.ports import (
    AggregatorRow,
    Batch,
    CachedRow,
    Clock,
    EvidenceRow,
    Inbox,
    Journal,
    Reader,
    Resealed,
    ScheduleRow,
    SnapshotRow,
    StatusChange,
)
from raywf.sealing import Codec, is_sealed, is_sealed_text
from raywf.sealing.keys import new_key
from raywf.testing.journal_contract import (
    LANE,
    SHARDS,
    a_batch,
    a_command,
    an_event,
    an_execution,
    an_owner,
)
from raywf.testing.store_contract import StoreContract

A, B = new_key("a"), new_key("b")
SECRET = "the patient has measles"


@pytest.fixture
def codec(tmp_path: Path) -> Callable[..., Codec]:
    def codec(*keys: str, compress: str | None = None) -> Codec:
        file = tmp_path / f"keys-{len(list(tmp_path.iterdir()))}"
        file.write_text("\n".join(keys))
        return Codec(compress, f"file:{file}" if keys else ())

    return codec


class TestSealed(StoreContract):
    @pytest.fixture
    def opened(self, codec: Callable[..., Codec]) -> Callable[[Clock], Journal]:
        name, sealer = uuid.uuid4().hex, codec(A, compress="zlib").sealer()
        return lambda clock: sealed_journal(MemoryJournal(name, clock=clock), sealer)


_CARRY_NOTHING = frozenset(
    """definition count_open open_lanes owners aggregators limits slots facts close forget set_limit drop_limit put_definition
    drop_schedule set_fact stored_values reseal claim renew release due next_wake admit versions deployments
    put_deployment""".split()
)


def test_every_call_of_a_store_was_looked_at() -> None:
    """A call that carries values and is not opened here would hand out, or take in, what is not sealed."""
    for protocol, layer in ((Reader, SealedReader), (Inbox, SealedInbox), (Journal, SealedJournal)):
        calls = {name for name in vars(protocol) if not name.startswith("_")}
        undecided = {name for name in calls - _CARRY_NOTHING if not any(name in vars(each) for each in layer.__mro__)}
        assert not undecided, f"does {undecided} carry values of users? Seal them, or say above that it does not"
    assert get_type_hints(Batch).keys() == {
        "lane", "owner", "epochs", "definitions", "opened", "events", "changed", "taken", "snapshots", "evidence", "aggregators",
        "cached", "redefined",
    }, "does the new part of a batch carry values of users?"  # fmt: skip


async def filled(journal: Journal) -> dict[int, int]:
    """A store with something of a user's in each place."""
    epochs = await journal.claim(an_owner("a"), SHARDS, 30.0)
    value = f'"{SECRET}"'.encode()
    batch = a_batch(
        epochs,
        1,
        opened=[an_execution(1, fingerprint=f"hash of {SECRET}")],
        events=[an_event(1, 1, data=value), an_event(1, 2, data=None), an_event(1, 3, data=value)],
        changed=[StatusChange(1, "waiting", None, f"an approval: {SECRET}")],
        snapshots=[SnapshotRow(1, 2, value)],
        evidence=[EvidenceRow(7, 1, "item-1", 1.0, value)],
        aggregators=[AggregatorRow(7, "default", "triage", 1, 1.0, value)],
        cached=[CachedRow("default", "hash of arguments", "app:f", "answer", value, 1.0, 9e9, "e-1", "f")],
    )
    await journal.commit(batch)
    await journal.send(a_command("e-1", "c-1", body=value))
    await journal.put_schedule(ScheduleRow("default", "s", LANE, 1, value, 5.0, False, None))
    return epochs


async def looked_at(journal: Journal) -> list[Any]:
    return [
        await journal.execution("default", "e-1"),
        await journal.history(1),
        await journal.load([1]),
        await journal.inbox(LANE, 0),
        await journal.schedules("default"),
        await journal.evidence(7),
        await journal.aggregator("default", "triage"),
        await journal.find_cached("default", ["hash of arguments"]),
        await journal.list_cached("default"),
    ]


async def stored(journal: Any) -> list[bytes | str]:
    return [each.data for name in PLACES for each in await journal.stored_values(name, None, 100)]


async def test_nothing_of_a_users_is_in_the_store(codec: Callable[..., Codec]) -> None:
    bare = MemoryJournal("")
    journal = await behind(bare, codec(A))
    await filled(journal)
    values = await stored(bare)
    assert len(values) == 10 and all(is_sealed(v) if isinstance(v, bytes) else is_sealed_text(v) for v in values)
    assert str(await looked_at(journal)).count(SECRET) == 14
    assert SECRET not in str(await looked_at(bare))
    row = await bare.execution("default", "e-1")
    assert row is not None and (row.workflow, row.status, row.tags) == ("answer", "waiting", {})


async def test_without_a_codec_there_is_no_layer() -> None:
    bare = MemoryJournal("")
    assert await behind(bare, Codec()) is bare


async def test_a_store_that_is_encrypted_is_never_written_without_keys(codec: Callable[..., Codec]) -> None:
    bare = MemoryJournal("")
    await filled(await behind(bare, codec(A)))
    for without in (Codec(), codec(compress="zlib")):
        with pytest.raises(KeyMissing, match="values are encrypted"):
            await behind(bare, without)
    inbox = SealedInbox(bare, Codec().sealer())
    with pytest.raises(KeyMissing, match="nothing was sent"):
        await inbox.send(a_command("e-1", "c-2"))
    assert len(await bare.inbox(LANE, 0)) == 1


async def test_a_codec_may_be_turned_on_later_and_compression_off_again(codec: Callable[..., Codec]) -> None:
    bare = MemoryJournal("")
    epochs = await filled(bare)
    journal = await behind(bare, codec(compress="zlib"))
    await journal.commit(a_batch(epochs, 1, events=[an_event(1, 4, data=b'"' + b"a" * 1000 + b'"')]))
    assert [is_sealed(row.data) for row in await bare.history(1)] == [False, False, False, True]
    off = await behind(bare, Codec())
    assert [len(row.data or b"") for row in await off.history(1)] == [25, 0, 25, 1002]
    on = await behind(bare, codec(A))
    await on.commit(a_batch(epochs, 1, events=[an_event(1, 5, data=b"1")]))
    assert [row.data for row in await on.history(1, 3)] == [b'"' + b"a" * 1000 + b'"', b"1"]
    assert (await bare.facts()).details[FACT] == "encrypted"


async def test_keys_that_cannot_be_read_change_nothing(tmp_path: Path) -> None:
    bare = MemoryJournal("")
    with pytest.raises(KeyMissing, match="cannot be read"):
        await behind(bare, Codec(keys=f"file:{tmp_path}/none"))
    assert FACT not in (await bare.facts()).details


async def test_who_has_no_key_sees_kinds_tasks_and_times(codec: Callable[..., Codec]) -> None:
    bare = MemoryJournal("")
    await filled(await behind(bare, codec(A)))
    reader: Any = SealedReader(bare, Codec().sealer())
    row = await reader.execution("default", "e-1")
    assert row.waiting_for == "encrypted with key 'a'" and row.status == "waiting"
    with pytest.raises(KeyMissing, match="'a'") as caught:
        await reader.history(1)
    assert caught.value.key == "a"
    seen = await history_as_far_as_it_opens(reader, 1)
    assert [(each.seq, each.kind, each.task, is_sealed(each.data)) for each in seen] == [
        (1, "task_completed", "task-1", True), (2, "task_completed", "task-2", False), (3, "task_completed", "task-3", True),
    ]  # fmt: skip


async def test_a_value_that_was_moved_to_another_row_keeps_only_its_execution_from_going_on(
    codec: Callable[..., Codec], caplog: pytest.LogCaptureFixture
) -> None:
    bare = MemoryJournal("")
    journal = await behind(bare, codec(A))
    epochs = await filled(journal)
    await journal.commit(a_batch(epochs, 2, opened=[an_execution(2)], events=[an_event(2, 1)]))
    assert bare._store is not None
    events = bare._store.events[1]
    events[1], events[3] = events[1]._replace(data=events[3].data), events[3]._replace(data=events[1].data)
    bare._store.snapshots.clear()
    bare._store.inbox[0] = bare._store.inbox[0]._replace(execution="e-2")
    broken, whole = await journal.load([1, 2])
    assert isinstance(broken.trouble, SealBroken) and broken.events == []
    assert whole.trouble is None and [each.data for each in whole.events] == [b'{"n":1}']
    with caplog.at_level(logging.ERROR):
        assert await journal.inbox(LANE, 0) == []
    assert "stays in the inbox" in caplog.text and len(await bare.inbox(LANE, 0)) == 1
    with pytest.raises(SealBroken, match="event 1 1 task_completed task-1"):
        await journal.history(1)


async def test_a_snapshot_that_does_not_open_costs_the_longer_way(codec: Callable[..., Codec]) -> None:
    bare = MemoryJournal("")
    journal = await behind(bare, codec(A))
    await filled(journal)
    assert bare._store is not None
    shot = bare._store.snapshots[1]
    bare._store.snapshots[1] = shot._replace(data=(shot.data or b"")[:-1] + b"\0")
    (loaded,) = await journal.load([1])
    assert loaded.trouble is None and loaded.snapshot is not None and is_sealed(loaded.snapshot.data)


async def test_a_batch_that_is_tried_again_is_the_same_sealed_batch(codec: Callable[..., Codec]) -> None:
    """PostgreSQL knows a commit whose answer was lost by the batch it was given."""

    seen: list[Batch] = []

    class Full(MemoryJournal):
        async def commit(self, batch: Batch) -> None:
            seen.append(batch)
            if len(seen) < 3:
                raise StoreUnavailable("full")
            await super().commit(batch)

    bare = Full("")
    journal = sealed_journal(bare, codec(A).sealer())
    epochs = await journal.claim(an_owner("a"), SHARDS, 30.0)
    batch = a_batch(epochs, 1, 2, opened=[an_execution(1), an_execution(2)], events=[an_event(1, 1), an_event(2, 1)])
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            await journal.commit(batch)
    assert seen[0] is seen[1]
    batch.opened, batch.events = batch.opened[:1], batch.events[:1]  # what was refused is taken out
    await journal.commit(batch)
    assert [row.key for row in seen[2].opened] == [1]


async def test_a_schedule_advances_although_its_key_was_rotated_meanwhile(codec: Callable[..., Codec]) -> None:
    bare = MemoryJournal("")
    journal = await behind(bare, codec(A))
    await filled(journal)
    (row,) = await journal.due_schedules(LANE, [1], 10.0)
    assert row.spec == f'"{SECRET}"'.encode()
    assert await journal.advance_schedule(row, 6.0, "x")
    (row,) = await journal.due_schedules(LANE, [1], 10.0)
    both = codec(B, A).sealer()
    (old,) = await bare.stored_values("schedule", None, 10)
    words = PLACES["schedule"].words_of(old.of_row)
    new = both.seal_text(both.open_text(str(old.data), words), words)
    assert await bare.reseal("schedule", [Resealed(old.of_row, old.data, new)]) == 1
    assert not await journal.advance_schedule(row, 7.0, "y"), "as it was read it is no more: it is read again"
    rotated = await behind(bare, codec(A, B))
    (row,) = await rotated.due_schedules(LANE, [1], 10.0)
    assert await rotated.advance_schedule(row, 7.0, "y")
