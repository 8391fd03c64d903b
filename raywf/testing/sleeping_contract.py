"""What every store promises about executions that sleep in it, and about snapshots. Beside ``journal_contract``."""

from __future__ import annotations

import math

import pytest

from raywf.errors import LeaseLost
from raywf.ports import Journal, Loaded, SnapshotRow, StatusChange
from raywf.testing.journal_contract import LANE, SHARDS, StoreTests, a_batch, an_event, an_execution


async def opened(journal: Journal, epochs: dict[int, int], *keys: int) -> None:
    """Executions with two events each."""
    rows, events = [an_execution(key) for key in keys], [an_event(key, seq) for key in keys for seq in (1, 2)]
    await journal.commit(a_batch(epochs, *keys, opened=rows, events=events))


def asleep(key: int, wake_at: float = math.inf) -> StatusChange:
    return StatusChange(key, "waiting", None, "time", wake_at)


class SleepContract(StoreTests):
    """Executions that nobody needs to hold."""

    async def test_what_is_asleep_is_open_and_is_not_loaded(self, journal: Journal, epochs: dict[int, int]) -> None:
        await opened(journal, epochs, 1, 2, 3)
        await journal.commit(a_batch(epochs, 2, 3, changed=[asleep(2, 1_000_050.5), asleep(3)]))
        assert [each.row.key async for each in journal.load_open(LANE, SHARDS)] == [1]
        assert await journal.count_open("default") == 3
        rows = await journal.executions("default", status="waiting")
        assert [(row.key, row.wake_at) for row in rows] == [(3, math.inf), (2, 1_000_050.5)]

    async def test_what_is_asleep_is_loaded_by_key(self, journal: Journal, epochs: dict[int, int]) -> None:
        await opened(journal, epochs, 1, 2, 3)
        changed = [asleep(2), StatusChange(3, "completed", 1_000_009.0, None)]
        await journal.commit(a_batch(epochs, 2, 3, changed=changed))
        row = an_execution(2, status="waiting", waiting_for="time", wake_at=math.inf)
        assert await journal.load([3, 2, 99, 2]) == [Loaded(row, [an_event(2, 1), an_event(2, 2)], None)]
        assert await journal.load([]) == []

    async def test_due_are_those_whose_time_comes_earliest_first(
        self, journal: Journal, epochs: dict[int, int]
    ) -> None:
        await opened(journal, epochs, 1, 2, 3, 4, 5)
        changed = [asleep(1, 30.0), asleep(2, 10.0), asleep(3, 20.0), asleep(4)]
        await journal.commit(a_batch(epochs, 1, 2, 3, 4, changed=changed))
        assert await journal.due(LANE, SHARDS, 25.0, 10) == [(2, 10.0), (3, 20.0)]
        assert await journal.due(LANE, SHARDS, 30.0, 2) == [(2, 10.0), (3, 20.0)]
        assert await journal.due(LANE, [1, 3], 100.0, 10) == [(3, 20.0), (1, 30.0)]
        assert await journal.due("lane-2", SHARDS, 100.0, 10) == []

    async def test_the_next_wake_is_the_earliest(self, journal: Journal, epochs: dict[int, int]) -> None:
        await opened(journal, epochs, 1, 2, 3)
        assert await journal.next_wake(LANE, SHARDS, 0.0) is None
        await journal.commit(a_batch(epochs, 1, 2, changed=[asleep(1), asleep(2, 50.0)]))
        assert await journal.next_wake(LANE, SHARDS, 49.0) == 50.0
        assert await journal.next_wake(LANE, SHARDS, 50.0) == math.inf
        assert await journal.next_wake(LANE, [1, 3], 0.0) == math.inf
        assert await journal.next_wake(LANE, [], 0.0) is None

    @pytest.mark.parametrize(
        "after", [StatusChange(2, "running", None, None), StatusChange(2, "completed", 1_000_009.0, None)]
    )
    async def test_what_goes_on_or_ends_is_not_asleep(
        self, journal: Journal, epochs: dict[int, int], after: StatusChange
    ) -> None:
        await opened(journal, epochs, 2)
        await journal.commit(a_batch(epochs, 2, changed=[asleep(2, 10.0)]))
        await journal.commit(a_batch(epochs, 2, changed=[after]))
        assert await journal.due(LANE, SHARDS, 100.0, 10) == []
        loaded = [each.row.key async for each in journal.load_open(LANE, SHARDS)]
        assert loaded == ([2] if after.ended_at is None else [])


class SnapshotContract(StoreTests):
    """Shortcuts for long histories."""

    async def test_an_execution_is_loaded_with_its_snapshot_and_what_came_after(
        self, journal: Journal, epochs: dict[int, int]
    ) -> None:
        await opened(journal, epochs, 1, 2)
        snapshot = SnapshotRow(1, 2, b"state after 2")
        await journal.commit(a_batch(epochs, 1, events=[an_event(1, 3)], snapshots=[snapshot]))
        first, second = await journal.load([1, 2])
        assert first == Loaded(an_execution(1), [an_event(1, 3)], snapshot)
        assert second == Loaded(an_execution(2), [an_event(2, 1), an_event(2, 2)], None)
        assert [each async for each in journal.load_open(LANE, SHARDS)] == [first, second]
        assert [event.seq for event in await journal.history(1)] == [1, 2, 3]

    async def test_the_last_snapshot_counts_and_one_may_be_dropped(
        self, journal: Journal, epochs: dict[int, int]
    ) -> None:
        await opened(journal, epochs, 1)
        await journal.commit(a_batch(epochs, 1, snapshots=[SnapshotRow(1, 1, b"one"), SnapshotRow(1, 2, b"two")]))
        assert (await journal.load([1]))[0].snapshot == SnapshotRow(1, 2, b"two")
        await journal.commit(a_batch(epochs, 1, snapshots=[SnapshotRow(1, 2, None)]))
        (loaded,) = await journal.load([1])
        assert (loaded.snapshot, [event.seq for event in loaded.events]) == (None, [1, 2])

    async def test_a_former_owner_leaves_no_snapshot(self, journal: Journal, epochs: dict[int, int]) -> None:
        await opened(journal, epochs, 1)
        stale = a_batch({**epochs, 1: epochs[1] - 1}, 1, snapshots=[SnapshotRow(1, 2, b"mine")])
        with pytest.raises(LeaseLost):
            await journal.commit(stale)
        assert (await journal.load([1]))[0].snapshot is None


class SleepingContract(SleepContract, SnapshotContract):
    """Subclass with the fixture ``opened``, as with ``JournalContract``."""
