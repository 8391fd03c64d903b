"""The promises of a store, as a suite that each implementation must pass.

To hold a store to them, derive from ``JournalContract`` in a test module and say how to open it::

    class TestMyStore(JournalContract):
        @pytest.fixture
        def opened(self, tmp_path):
            return lambda clock: MyJournal(tmp_path / "store", clock=clock)

``opened(clock)`` opens the same store each time it is called within one test, and a new one in each test. It needs
pytest and pytest-asyncio. One capability at a time: derive from ``LeaseContract``, ``CommitContract``, ``ReadContract``
or ``InboxContract``. Derive from ``sleeping_contract.SleepingContract`` as well: it has the promises about executions
that sleep and about snapshots.
"""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio

from raywf.errors import LeaseLost, StoreUnavailable
from raywf.journal.conflicts import KeysTaken
from raywf.ports import (
    Batch,
    Clock,
    DefinitionRow,
    EventRow,
    ExecutionRow,
    InboxRow,
    Journal,
    OwnerRow,
    StatusChange,
)

LANE = "lane-1"
SHARDS = range(256)
LEASE_S = 3.0


class ManualClock:
    """A clock that moves when told to."""

    def __init__(self, now: float = 1_000_000.0) -> None:
        self.time = now

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time

    def advance(self, seconds: float) -> None:
        self.time += seconds


def an_owner(owner: str, lane: str = LANE) -> OwnerRow:
    return OwnerRow(owner, lane, "host-1", 4711, b'{"bundle":"b"}', 1_000_000.0, 0.0, False)


def an_execution(key: int, **changes: Any) -> ExecutionRow:
    row = ExecutionRow(
        key=key,
        id=f"e-{key}",
        namespace="default",
        lane=LANE,
        shard=key % 256,
        workflow="answer",
        version="1",
        definition="d1",
        fingerprint=f"f-{key}",
        status="running",
        priority=0,
        parent=None,
        tags={},
        created_at=1_000_000.5,
        deadline=None,
        traceparent=None,
    )
    return row._replace(**changes)


def an_event(key: int, seq: int, **changes: Any) -> EventRow:
    row = EventRow(key, seq, 1_000_001.25, None, "task_completed", f"task-{seq}", 1, b'{"n":1}')
    return row._replace(**changes)


def a_command(execution: str, command_id: str, **changes: Any) -> InboxRow:
    row = InboxRow(0, "default", execution, LANE, "signal", b'{"name":"go"}', command_id, "ann", 1_000_002.5)
    return row._replace(**changes)


class StoreTests:
    """What the parts of the suite share: a clock, and journals that are closed when the test ends."""

    pytestmark = pytest.mark.asyncio

    @pytest.fixture
    def opened(self) -> Callable[[Clock], Journal]:
        raise NotImplementedError("override the fixture `opened`: it returns a function from a clock to a Journal")

    @pytest.fixture
    def clock(self) -> ManualClock:
        return ManualClock()

    @pytest_asyncio.fixture
    async def open_again(self, opened: Callable[[Clock], Journal], clock: ManualClock) -> AsyncIterator[Any]:
        journals: list[Journal] = []

        def open_again() -> Journal:
            journals.append(opened(clock))
            return journals[-1]

        yield open_again
        for journal in journals:
            await journal.close()

    @pytest_asyncio.fixture
    async def journal(self, open_again: Callable[[], Journal]) -> Journal:
        return open_again()

    @pytest_asyncio.fixture
    async def epochs(self, journal: Journal) -> dict[int, int]:
        """All shards, held by the owner ``a``."""
        return await journal.claim(an_owner("a"), SHARDS, LEASE_S)


def a_batch(epochs: dict[int, int], *keys: int, owner: str = "a", **parts: Any) -> Batch:
    """A batch that touches the shards of ``keys``."""
    return Batch(LANE, owner, {key % 256: epochs[key % 256] for key in keys}, **parts)


class LeaseContract(StoreTests):
    """Who may write."""

    async def test_a_free_shard_is_taken_with_epoch_one(self, journal: Journal) -> None:
        assert await journal.claim(an_owner("a"), [0, 7, 255], LEASE_S) == {0: 1, 7: 1, 255: 1}

    async def test_a_live_owner_keeps_its_shards(self, journal: Journal) -> None:
        await journal.claim(an_owner("a"), [1, 2], LEASE_S)
        assert await journal.claim(an_owner("b"), [1, 2, 3], LEASE_S) == {3: 1}

    async def test_two_claimants_never_hold_the_same_shard(self, open_again: Callable[[], Journal]) -> None:
        one, two = open_again(), open_again()
        first = await one.claim(an_owner("a"), range(200), LEASE_S)
        second = await two.claim(an_owner("b"), range(100, 256), LEASE_S)
        assert not first.keys() & second.keys()
        assert first.keys() | second.keys() == set(SHARDS)

    async def test_claiming_what_one_holds_changes_nothing(self, journal: Journal, clock: ManualClock) -> None:
        held = await journal.claim(an_owner("a"), [1, 2], LEASE_S)
        clock.advance(1)
        assert await journal.claim(an_owner("a"), [1, 2], LEASE_S) == held

    async def test_a_lapsed_lease_is_free_and_its_epoch_rises(self, journal: Journal, clock: ManualClock) -> None:
        await journal.claim(an_owner("a"), [1], LEASE_S)
        clock.advance(LEASE_S - 0.01)
        assert await journal.claim(an_owner("b"), [1], LEASE_S) == {}
        clock.advance(0.01)
        assert await journal.claim(an_owner("b"), [1], LEASE_S) == {1: 2}

    async def test_an_owner_that_lapsed_claims_with_a_new_epoch(self, journal: Journal, clock: ManualClock) -> None:
        await journal.claim(an_owner("a"), [1], LEASE_S)
        clock.advance(LEASE_S)
        assert await journal.claim(an_owner("a"), [1], LEASE_S) == {1: 2}

    async def test_renewing_keeps_the_lease(self, journal: Journal, clock: ManualClock) -> None:
        await journal.claim(an_owner("a"), [1], LEASE_S)
        for _ in range(5):
            clock.advance(LEASE_S - 1)
            assert await journal.renew("a", LEASE_S)
        assert await journal.claim(an_owner("b"), [1], LEASE_S) == {}
        assert await journal.claim(an_owner("a"), [1], LEASE_S) == {1: 1}

    async def test_late_renewal_counts_while_nobody_came(self, journal: Journal, clock: ManualClock) -> None:
        await journal.claim(an_owner("a"), [1], LEASE_S)
        clock.advance(LEASE_S * 2)
        assert await journal.renew("a", LEASE_S)
        assert await journal.claim(an_owner("b"), [1], LEASE_S) == {}

    async def test_renewing_fails_for_who_holds_nothing(self, journal: Journal, clock: ManualClock) -> None:
        assert not await journal.renew("nobody", LEASE_S)
        await journal.claim(an_owner("a"), [1, 2], LEASE_S)
        clock.advance(LEASE_S)
        await journal.claim(an_owner("b"), [1], LEASE_S)
        assert await journal.renew("a", LEASE_S), "it still holds shard 2"
        await journal.claim(an_owner("b"), [2], LEASE_S, dead=["a"])
        assert not await journal.renew("a", LEASE_S)

    async def test_what_is_released_may_be_taken_at_once(self, journal: Journal) -> None:
        await journal.claim(an_owner("a"), [1], LEASE_S)
        await journal.release("a")
        assert not await journal.renew("a", LEASE_S)
        assert await journal.claim(an_owner("b"), [1], LEASE_S) == {1: 2}

    async def test_releasing_twice_or_nothing_is_fine(self, journal: Journal) -> None:
        await journal.release("nobody")
        await journal.claim(an_owner("a"), [1], LEASE_S)
        await journal.release("a")
        await journal.release("a")
        assert await journal.claim(an_owner("a"), [1], LEASE_S) == {1: 2}

    async def test_the_dead_lose_their_shards_at_once(self, journal: Journal) -> None:
        await journal.claim(an_owner("a"), [1, 2], LEASE_S)
        await journal.claim(an_owner("b"), [3], LEASE_S)
        assert await journal.claim(an_owner("c"), [1, 2, 3, 4], LEASE_S, dead=["a"]) == {1: 2, 2: 2, 4: 1}

    async def test_lanes_do_not_meet(self, journal: Journal) -> None:
        await journal.claim(an_owner("a", "lane-1"), [1], LEASE_S)
        assert await journal.claim(an_owner("b", "lane-2"), [1], LEASE_S) == {1: 1}

    async def test_owners_are_those_that_hold_something(self, journal: Journal, clock: ManualClock) -> None:
        await journal.claim(an_owner("a"), [1], LEASE_S)
        await journal.claim(an_owner("b"), [2], LEASE_S)
        await journal.claim(an_owner("none"), [1, 2], LEASE_S)
        assert [row.owner for row in await journal.owners()] == ["a", "b"]
        (a, _) = await journal.owners()
        assert a == an_owner("a")._replace(expires_at=clock.now() + LEASE_S)
        await journal.release("b")
        clock.advance(LEASE_S)
        assert [row.owner for row in await journal.owners()] == ["a"], "lapsed, but not released"
        await journal.claim(an_owner("c"), [1], LEASE_S)
        assert [row.owner for row in await journal.owners()] == ["c"]

    async def test_a_former_owner_cannot_write(self, open_again: Callable[[], Journal], clock: ManualClock) -> None:
        old, new = open_again(), open_again()
        before = await old.claim(an_owner("a"), SHARDS, LEASE_S)
        await old.commit(a_batch(before, 5, opened=[an_execution(5)], events=[an_event(5, 1)]))
        after = await new.claim(an_owner("b"), SHARDS, LEASE_S, dead=["a"])
        with pytest.raises(LeaseLost) as lost:
            await old.commit(a_batch(before, 5, 6, events=[an_event(5, 2)]))
        assert lost.value.shards == (5, 6)
        assert await new.history(5) == [an_event(5, 1)]
        await new.commit(a_batch(after, 5, owner="b", events=[an_event(5, 2)]))
        assert len(await old.history(5)) == 2

    async def test_one_lost_shard_refuses_the_whole_batch(self, journal: Journal, epochs: dict[int, int]) -> None:
        await journal.claim(an_owner("b"), [9], LEASE_S, dead=["a"])
        with pytest.raises(LeaseLost) as lost:
            await journal.commit(a_batch(epochs, 8, 9, opened=[an_execution(8), an_execution(9)]))
        assert lost.value.shards == (9,)
        assert await journal.execution("default", "e-8") is None
        await journal.commit(a_batch(epochs, 8, opened=[an_execution(8)]))

    async def test_a_wrong_epoch_of_ones_own_is_refused(self, journal: Journal, clock: ManualClock) -> None:
        stale = await journal.claim(an_owner("a"), [5], LEASE_S)
        clock.advance(LEASE_S)
        fresh = await journal.claim(an_owner("a"), [5], LEASE_S)
        with pytest.raises(LeaseLost):
            await journal.commit(a_batch(stale, 5, events=[an_event(5, 1)]))
        await journal.commit(a_batch(fresh, 5, events=[an_event(5, 1)]))

    async def test_a_lapsed_owner_may_write_until_somebody_claims(
        self, journal: Journal, epochs: dict[int, int], clock: ManualClock
    ) -> None:
        clock.advance(LEASE_S * 10)
        await journal.commit(a_batch(epochs, 5, events=[an_event(5, 1)]))

    async def test_a_shard_nobody_claimed_cannot_be_written(self, journal: Journal) -> None:
        with pytest.raises(LeaseLost):
            await journal.commit(a_batch({5: 1}, 5, events=[an_event(5, 1)]))


class CommitContract(StoreTests):
    """What a commit writes."""

    async def test_what_was_committed_is_read_back_as_it_was(self, journal: Journal, epochs: dict[int, int]) -> None:
        full = an_execution(
            2**62 + 5,
            parent="e-1",
            tags={"team": "ä", "n": "1"},
            deadline=1_000_100.75,
            traceparent="00-ab-cd-01",
            waiting_for="approval of 'ask'",
            priority=-3,
            status="waiting",
        )
        bare = an_execution(6)
        events = [
            an_event(full.key, 1, by="ann", data=b"\x00\xff"),
            an_event(full.key, 2, task=None, attempt=None, data=None),
            an_event(full.key, 3, task="äö[3]", data=b""),
        ]
        definition = DefinitionRow("h" * 64, "answer", "1", b'{"id":"answer"}')
        await journal.commit(a_batch(epochs, full.key, 6, definitions=[definition], opened=[full, bare], events=events))
        assert await journal.execution("default", full.id) == full
        assert await journal.execution("default", "e-6") == bare
        assert await journal.history(full.key) == events
        assert await journal.definition("h" * 64) == definition
        assert await journal.definition("unknown") is None

    async def test_a_batch_of_many_rows_arrives_whole(self, journal: Journal, epochs: dict[int, int]) -> None:
        opened = [an_execution(key) for key in range(1, 1500)]
        events = [an_event(key, seq) for seq in (1, 2, 3) for key in range(1, 1500)]
        await journal.commit(a_batch(epochs, *range(256), opened=opened, events=events))
        assert await journal.count_open("default") == 1499
        assert await journal.open_lanes("default") == sorted({row.lane for row in await journal.executions("default")})
        assert await journal.open_lanes("nobody") == []
        loaded = [item async for item in journal.load_open(LANE, SHARDS)]
        assert [each.row for each in loaded] == opened
        assert all([event.seq for event in each.events] == [1, 2, 3] for each in loaded)
        closed = [StatusChange(key, "completed", 1_000_009.0, None) for key in range(1, 1400)]
        await journal.commit(a_batch(epochs, *range(256), changed=closed))
        assert await journal.count_open("default") == 100

    async def test_a_lane_with_a_command_is_open(self, journal: Journal, epochs: dict[int, int]) -> None:
        """What has ended may be opened again by it."""
        row = InboxRow(0, "default", "e-1", "default/other/e-1", "retry", b"{}", "retry-3", None, 1.0)
        await journal.send(row)
        assert await journal.open_lanes("default") == ["default/other/e-1"]
        assert await journal.open_lanes("nobody") == []

    async def test_a_definition_that_is_there_is_no_conflict(self, journal: Journal, epochs: dict[int, int]) -> None:
        definition = DefinitionRow("h1", "answer", "1", b"{}")
        for key in (1, 2):
            await journal.commit(a_batch(epochs, key, definitions=[definition, definition], opened=[an_execution(key)]))
        assert await journal.definition("h1") == definition

    async def test_an_event_is_written_once(self, journal: Journal, epochs: dict[int, int]) -> None:
        await journal.commit(a_batch(epochs, 5, opened=[an_execution(5)], events=[an_event(5, 1)]))
        for events in ([an_event(5, 1, kind="other")], [an_event(5, 2), an_event(5, 2)]):
            with pytest.raises(LeaseLost):
                await journal.commit(a_batch(epochs, 5, 6, opened=[an_execution(6)], events=events))
        assert await journal.history(5) == [an_event(5, 1)]
        assert await journal.execution("default", "e-6") is None, "a refused batch writes nothing"

    async def test_an_execution_id_is_given_once(self, journal: Journal, epochs: dict[int, int]) -> None:
        await journal.commit(a_batch(epochs, 5, opened=[an_execution(5)], events=[an_event(5, 1)]))
        again = an_execution(6, id="e-5", shard=6)
        elsewhere = an_execution(7, id="e-5", namespace="other")
        opened = [again, elsewhere, an_execution(8)]
        with pytest.raises(KeysTaken) as taken:
            await journal.commit(a_batch(epochs, 6, 7, 8, opened=opened, events=[an_event(8, 1)]))
        assert taken.value.keys == (6,)
        assert await journal.execution("default", "e-8") is None, "a refused batch writes nothing"
        await journal.commit(a_batch(epochs, 7, 8, opened=opened[1:], events=[an_event(8, 1)]))
        assert await journal.execution("other", "e-5") == elsewhere

    async def test_a_key_is_given_once(self, journal: Journal, epochs: dict[int, int]) -> None:
        await journal.commit(a_batch(epochs, 5, opened=[an_execution(5)]))
        with pytest.raises(KeysTaken) as taken:
            await journal.commit(a_batch(epochs, 5, opened=[an_execution(5, id="x")]))
        assert taken.value.keys == (5,)

    async def test_the_second_of_two_in_one_batch_is_refused(self, journal: Journal, epochs: dict[int, int]) -> None:
        with pytest.raises(KeysTaken) as taken:
            await journal.commit(a_batch(epochs, 5, 6, opened=[an_execution(5), an_execution(6, id="e-5")]))
        assert taken.value.keys == (6,)

    async def test_the_last_status_counts(self, journal: Journal, epochs: dict[int, int]) -> None:
        await journal.commit(a_batch(epochs, 5, opened=[an_execution(5)]))
        waiting = StatusChange(5, "waiting", None, "signal 'go'")
        closed = StatusChange(5, "completed", 1_000_009.5, None)
        unknown = StatusChange(99, "failed", 1.0, None)
        await journal.commit(a_batch(epochs, 5, changed=[waiting, unknown]))
        row = await journal.execution("default", "e-5")
        assert row == an_execution(5, status="waiting", waiting_for="signal 'go'")
        await journal.commit(a_batch(epochs, 5, changed=[waiting, closed]))
        row = await journal.execution("default", "e-5")
        assert row == an_execution(5, status="completed", ended_at=1_000_009.5)

    async def test_opened_and_closed_in_one_commit(self, journal: Journal, epochs: dict[int, int]) -> None:
        closed = StatusChange(5, "completed", 1_000_009.5, None)
        await journal.commit(a_batch(epochs, 5, opened=[an_execution(5)], changed=[closed]))
        assert await journal.count_open("default") == 0

    async def test_an_empty_batch_is_nothing(self, journal: Journal) -> None:
        await journal.commit(Batch(LANE, "a"))
        assert await journal.executions("default") == []

    async def test_what_is_handed_out_does_not_change(self, journal: Journal, epochs: dict[int, int]) -> None:
        row = an_execution(5, tags={"team": "a"})
        batch = a_batch(epochs, 5, opened=[row], events=[an_event(5, 1)])
        written = copy.deepcopy(batch)
        await journal.commit(batch)
        assert batch == written, "a commit leaves the batch as it was"
        batch.events.append(an_event(5, 2))
        row.tags["team"] = "b"  # type: ignore[index]
        found = await journal.execution("default", "e-5")
        assert found is not None
        assert found.tags == {"team": "a"}
        found.tags["team"] = "c"  # type: ignore[index]
        history = await journal.history(5)
        await journal.commit(a_batch(epochs, 5, events=[an_event(5, 2)]))
        assert history == [an_event(5, 1)]
        assert (await journal.executions("default"))[0].tags == {"team": "a"}

    async def test_another_connection_sees_it(
        self, journal: Journal, epochs: dict[int, int], open_again: Callable[[], Journal]
    ) -> None:
        other = open_again()
        await journal.commit(a_batch(epochs, 5, opened=[an_execution(5)], events=[an_event(5, 1)]))
        assert await other.history(5) == [an_event(5, 1)]

    async def test_a_closed_journal_says_so(self, open_again: Callable[[], Journal]) -> None:
        journal = open_again()
        await journal.close()
        await journal.close()
        with pytest.raises(StoreUnavailable):
            await journal.execution("default", "e-1")
        with pytest.raises(StoreUnavailable):
            await journal.renew("a", LEASE_S)


class ReadContract(StoreTests):
    """What a reader finds."""

    @pytest_asyncio.fixture
    async def filled(self, journal: Journal, epochs: dict[int, int]) -> Journal:
        """Keys 1 to 20. Odd ones are closed; 4, 8, … are of workflow ``other``; 11 to 13 are children of e-2."""
        opened = [
            an_execution(
                key,
                workflow="answer" if key % 4 else "other",
                tags={"team": "red" if key <= 10 else "blue", "n": str(key)},
                parent="e-2" if key in (11, 12, 13) else None,
                created_at=1_000_000.0 + key,
            )
            for key in range(1, 21)
        ]
        events = [an_event(key, seq) for key in range(1, 21) for seq in (1, 2, 3)]
        closed = [StatusChange(key, "completed", 1_000_009.0, None) for key in range(1, 21, 2)]
        await journal.commit(a_batch(epochs, *range(1, 21), opened=opened, events=events, changed=closed))
        return journal

    @pytest.mark.parametrize(
        ("filters", "keys"),
        [
            ({}, list(range(20, 0, -1))),
            ({"limit": 3}, [20, 19, 18]),
            ({"limit": 3, "after": "e-18"}, [17, 16, 15]),
            ({"after": "e-1"}, []),
            ({"status": "completed", "limit": 2}, [19, 17]),
            ({"status": "running", "after": "e-5"}, [4, 2]),
            ({"workflow": "other"}, [20, 16, 12, 8, 4]),
            ({"tags": {"team": "red"}, "workflow": "other"}, [8, 4]),
            ({"tags": {"team": "blue", "n": "11"}}, [11]),
            ({"tags": {"team": "red", "n": "11"}}, []),
            ({"tags": {"unknown": "red"}}, []),
            ({"tags": {}}, list(range(20, 0, -1))),
            ({"parent": "e-2"}, [13, 12, 11]),
            ({"parent": "e-2", "status": "completed", "after": "e-13"}, [11]),
            ({"parent": "e-3"}, []),
            ({"started_after": 1_000_018.0}, [20, 19, 18]),
            ({"started_before": 1_000_003.0}, [2, 1]),
            ({"started_after": 1_000_004.0, "started_before": 1_000_008.0, "status": "completed"}, [7, 5]),
            ({"started_after": 1_000_011.5, "parent": "e-2", "tags": {"team": "blue"}}, [13, 12]),
            ({"started_after": 1_000_018.0, "after": "e-20", "limit": 1}, [19]),
            ({"started_after": 2_000_000.0}, []),
        ],
        ids=repr,
    )
    async def test_a_list_is_newest_first(self, filled: Journal, filters: dict[str, Any], keys: list[int]) -> None:
        assert [row.key for row in await filled.executions("default", **filters)] == keys

    async def test_pages_together_are_everything(self, filled: Journal) -> None:
        seen: list[int] = []
        after: str | None = None
        while page := await filled.executions("default", limit=7, after=after):
            seen += [row.key for row in page]
            after = page[-1].id
        assert seen == list(range(20, 0, -1))

    async def test_namespaces_do_not_meet(self, filled: Journal) -> None:
        assert await filled.executions("other") == []
        assert await filled.execution("other", "e-1") is None
        assert await filled.existing("other", ["e-1"]) == {}
        assert await filled.count_open("other") == 0

    async def test_existing_finds_those_that_are_there(self, filled: Journal) -> None:
        found = await filled.existing("default", ["e-3", "nowhere", "e-4", "e-3", "it's"])
        assert {id_: row.key for id_, row in found.items()} == {"e-3": 3, "e-4": 4}
        assert found["e-3"] == await filled.execution("default", "e-3")
        assert await filled.existing("default", []) == {}

    async def test_history_in_parts(self, filled: Journal) -> None:
        assert [row.seq for row in await filled.history(5)] == [1, 2, 3]
        assert [row.seq for row in await filled.history(5, 1)] == [2, 3]
        assert [row.seq for row in await filled.history(5, 0, 2)] == [1, 2]
        assert await filled.history(5, 3) == []
        assert await filled.history(99) == []

    async def test_history_is_in_order_of_sequence(self, journal: Journal, epochs: dict[int, int]) -> None:
        await journal.commit(a_batch(epochs, 5, events=[an_event(5, seq) for seq in (3, 1, 2)]))
        assert [row.seq for row in await journal.history(5)] == [1, 2, 3]

    async def test_closings_are_the_last_events_of_the_closed(self, filled: Journal) -> None:
        assert await filled.closings([3, 4, 5, 99]) == {3: an_event(3, 3), 5: an_event(5, 3)}
        assert await filled.closings([]) == {}

    async def test_open_ones_are_counted_by_lane(self, filled: Journal, epochs: dict[int, int]) -> None:
        await filled.claim(an_owner("z", "lane-2"), [1], LEASE_S)
        await filled.commit(Batch("lane-2", "z", {1: 1}, opened=[an_execution(100, lane="lane-2", shard=1)]))
        assert await filled.count_open("default") == 11
        assert await filled.count_open("default", LANE) == 10
        assert await filled.count_open("default", "lane-2") == 1
        assert await filled.open_lanes("default") == [LANE, "lane-2"]

    async def test_open_ones_are_loaded_with_their_history(self, filled: Journal) -> None:
        loaded = [item async for item in filled.load_open(LANE, [2, 4, 5, 6])]
        assert [each.row.key for each in loaded] == [2, 4, 6]
        assert [each.events for each in loaded] == [[an_event(k, s) for s in (1, 2, 3)] for k in (2, 4, 6)]
        assert [item async for item in filled.load_open("lane-2", SHARDS)] == []
        assert [item async for item in filled.load_open(LANE, [])] == []

    async def test_a_reopened_execution_is_open(self, filled: Journal, epochs: dict[int, int]) -> None:
        await filled.commit(a_batch(epochs, 3, changed=[StatusChange(3, "running", None, None)]))
        assert [each.row.key async for each in filled.load_open(LANE, [3])] == [3]
        assert await filled.closings([3]) == {}

    async def test_facts_say_what_it_is(self, journal: Journal) -> None:
        facts = await journal.facts()
        assert facts.details["shards"] == "256"
        assert facts.driver


class InboxContract(StoreTests):
    """Commands wait in order, and each counts once."""

    async def test_commands_come_in_the_order_they_were_sent(self, journal: Journal) -> None:
        for number in range(5):
            assert await journal.send(a_command(f"e-{number % 2}", f"c-{number}", id=99 - number))
        rows = await journal.inbox(LANE, 0)
        assert [row.command_id for row in rows] == ["c-0", "c-1", "c-2", "c-3", "c-4"]
        assert [row.id for row in rows] == sorted({row.id for row in rows})
        assert rows[0] == a_command("e-0", "c-0", id=rows[0].id)

    async def test_a_repeat_is_no_second_command(self, journal: Journal) -> None:
        assert await journal.send(a_command("e-1", "c-1"))
        assert not await journal.send(a_command("e-1", "c-1", kind="cancel"))
        assert await journal.send(a_command("e-2", "c-1")), "an id counts within its execution"
        assert await journal.send(a_command("e-1", "c-1", namespace="other"))
        assert [row.execution for row in await journal.inbox(LANE, 0)] == ["e-1", "e-2", "e-1"]

    async def test_a_command_stays_until_it_is_taken(self, journal: Journal, epochs: dict[int, int]) -> None:
        for number in range(3):
            await journal.send(a_command("e-5", f"c-{number}"))
        first, second, third = await journal.inbox(LANE, 0)
        assert await journal.inbox(LANE, 0) == [first, second, third]
        await journal.commit(a_batch(epochs, 5, events=[an_event(5, 1)], taken=[first.id, third.id]))
        assert await journal.inbox(LANE, 0) == [second]

    async def test_a_repeat_of_a_taken_command_is_still_a_repeat(self, journal: Journal) -> None:
        await journal.send(a_command("e-5", "c-1"))
        (row,) = await journal.inbox(LANE, 0)
        await journal.commit(Batch(LANE, "a", taken=[row.id]))
        assert not await journal.send(a_command("e-5", "c-1"))
        assert await journal.inbox(LANE, 0) == []
        await journal.send(a_command("e-5", "c-2"))
        (later,) = await journal.inbox(LANE, 0)
        assert later.id > row.id, "ids are never used again"

    async def test_a_refused_batch_takes_nothing(self, journal: Journal) -> None:
        await journal.send(a_command("e-5", "c-1"))
        (row,) = await journal.inbox(LANE, 0)
        with pytest.raises(LeaseLost):
            await journal.commit(a_batch({5: 1}, 5, taken=[row.id]))
        assert await journal.inbox(LANE, 0) == [row]

    async def test_parts_and_lanes(self, journal: Journal) -> None:
        for number in range(6):
            await journal.send(a_command("e-1", f"c-{number}", lane=f"lane-{number % 2 + 1}"))
        rows = await journal.inbox(LANE, 0)
        assert [row.command_id for row in rows] == ["c-0", "c-2", "c-4"]
        assert await journal.inbox(LANE, 0, 2) == rows[:2]
        assert await journal.inbox(LANE, rows[0].id) == rows[1:]
        assert await journal.inbox("lane-9", 0) == []


class JournalContract(LeaseContract, CommitContract, ReadContract, InboxContract):
    """All of it."""
