"""What every store promises about limits, slots and schedules. Beside ``journal_contract``."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Any

from raywf.core.admission import Blocked, Claim, Rule, Slot
from raywf.ports import DefinitionRow, Journal, LimitRow, ScheduleRow
from raywf.testing.journal_contract import LANE, LEASE_S, SHARDS, ManualClock, StoreTests, an_owner

TWO = LimitRow("default", "gpu", Rule(concurrency=2), None)
PACED = LimitRow("default", "api", Rule(count=2.0, per=10.0, burst=1.0), None)


def an_ask(id: str, owner: str = "a", limit: str = "gpu", **changes: Any) -> Slot:
    return Slot(id, owner, 0, 1_000_000.0, (Claim(limit, "acme", 1.0, "x"),), None, f"e-{id}", "train")._replace(
        **changes
    )


def a_schedule(id: str = "daily", **changes: Any) -> ScheduleRow:
    row = ScheduleRow("default", id, LANE, 7, b'{"cron":"0 7 * * *"}', 1_000_050.5, False, None)
    return row._replace(**changes)


class LimitsContract(StoreTests):
    """Slots are leases, and one transaction decides who holds them."""

    async def test_a_limit_admits_so_many_and_the_next_when_one_is_done(
        self, journal: Journal, epochs: dict[int, int]
    ) -> None:
        asks = [an_ask(str(number), asked_at=1_000_000.0 + number) for number in range(4)]
        first = await journal.admit("default", "a", asks, (), [TWO])
        assert first.held == {"0", "1"}
        assert first.blocked == {"2": Blocked("gpu", "acme"), "3": Blocked("gpu", "acme")}
        second = await journal.admit("default", "a", (), ["0"], ())
        assert second.held == {"1", "2"}
        assert (await journal.admit("default", "a", (), ["1", "2", "3"], ())).held == frozenset()
        assert await journal.slots("default") == []

    async def test_slots_are_read_back_as_they_are(self, journal: Journal, epochs: dict[int, int]) -> None:
        asks = [an_ask(str(number), asked_at=1_000_000.0 + number) for number in range(3)]
        await journal.admit("default", "a", asks, (), [TWO])
        held = [ask._replace(held_at=1_000_000.0) for ask in asks[:2]]
        assert await journal.slots("default") == [*held, asks[2]]
        assert await journal.slots("elsewhere") == []

    async def test_asking_again_changes_nothing(self, journal: Journal, epochs: dict[int, int]) -> None:
        for _ in range(3):
            assert (await journal.admit("default", "a", [an_ask("0")], (), [TWO])).held == {"0"}
        assert len(await journal.slots("default")) == 1

    async def test_the_slots_of_a_dead_owner_lapse(
        self, journal: Journal, clock: ManualClock, epochs: dict[int, int]
    ) -> None:
        await journal.claim(an_owner("b", "lane-2"), [1], LEASE_S)
        await journal.admit("default", "a", [an_ask("0"), an_ask("1")], (), [TWO])
        assert (await journal.admit("default", "b", [an_ask("2", "b")], (), ())).held == frozenset()
        clock.advance(LEASE_S / 2)
        assert await journal.renew("b", LEASE_S)
        clock.advance(LEASE_S / 2 + 0.1)
        assert (await journal.admit("default", "b", (), (), ())).held == {"2"}
        assert [slot.id for slot in await journal.slots("default")] == ["2"]

    async def test_the_slots_of_a_released_owner_are_given_up(self, journal: Journal, epochs: dict[int, int]) -> None:
        await journal.claim(an_owner("b", "lane-2"), [1], LEASE_S)
        await journal.admit("default", "a", [an_ask("0"), an_ask("1")], (), [TWO])
        await journal.release("a")
        assert (await journal.admit("default", "b", [an_ask("2", "b")], (), ())).held == {"2"}

    async def test_a_successor_takes_over_the_slot_it_asks_for(self, journal: Journal, epochs: dict[int, int]) -> None:
        await journal.admit("default", "a", [an_ask("0")], (), [TWO])
        await journal.claim(an_owner("b"), SHARDS, LEASE_S, dead=["a"])
        await journal.admit("default", "b", [an_ask("0", "b")], (), ())
        assert [(slot.id, slot.owner) for slot in await journal.slots("default")] == [("0", "b")]

    async def test_owners_that_ask_at_once_never_hold_more_than_there_is(
        self, open_again: Callable[[], Journal], epochs: dict[int, int]
    ) -> None:
        journals = [open_again() for _ in range(4)]
        for number, each in enumerate(journals):
            await each.claim(an_owner(f"o{number}", f"lane-o{number}"), [1], LEASE_S)
        asked = [
            each.admit("default", f"o{number}", [an_ask(f"{number}-{at}", f"o{number}") for at in range(5)], (), [TWO])
            for number, each in enumerate(journals)
        ]
        await asyncio.gather(*asked)
        held = [slot for slot in await journals[0].slots("default") if slot.held_at is not None]
        assert len(held) == 2

    async def test_a_rate_admits_in_time(self, journal: Journal, clock: ManualClock, epochs: dict[int, int]) -> None:
        asks = [an_ask(str(number), limit="api", asked_at=1_000_000.0 + number) for number in range(3)]
        first = await journal.admit("default", "a", asks, (), [PACED])
        assert first.held == {"0"}
        assert first.look_at == 1_000_005.0
        clock.advance(2.0)
        await journal.renew("a", 100.0)
        clock.advance(3.0)
        second = await journal.admit("default", "a", (), (), ())
        assert second.held == {"0", "1"}
        assert second.look_at == 1_000_010.0

    async def test_what_was_set_by_hand_beats_what_is_declared(self, journal: Journal, epochs: dict[int, int]) -> None:
        by_hand = LimitRow("default", "gpu", Rule(concurrency=1), "ann")
        await journal.set_limit(by_hand)
        asks = [an_ask("0"), an_ask("1", asked_at=1_000_001.0)]
        assert (await journal.admit("default", "a", asks, (), [TWO])).held == {"0"}
        assert await journal.limits("default") == [by_hand]
        assert await journal.drop_limit("default", "gpu")
        assert not await journal.drop_limit("default", "gpu")
        assert (await journal.admit("default", "a", (), (), [TWO])).held == {"0", "1"}
        assert await journal.limits("default") == [TWO]
        wider = TWO._replace(rule=Rule(concurrency=3, count=1.5, per=60.0, burst=2.0))
        await journal.admit("default", "a", (), (), [wider])
        assert await journal.limits("default") == [wider]

    async def test_namespaces_have_limits_of_their_own(self, journal: Journal, epochs: dict[int, int]) -> None:
        one = TWO._replace(rule=Rule(concurrency=1))
        assert (await journal.admit("default", "a", [an_ask("0")], (), [one])).held == {"0"}
        assert (await journal.admit("other", "a", [an_ask("0")], (), [one._replace(namespace="other")])).held == {"0"}


class SchedulesContract(StoreTests):
    """Schedules are rows, and one conditional update moves them on."""

    async def test_a_schedule_is_due_for_who_holds_its_shard(self, journal: Journal, epochs: dict[int, int]) -> None:
        row, paused = a_schedule(), a_schedule("paused", paused=True)
        other = a_schedule("other", next_at=math.inf, last="x")
        for each in (row, paused, other):
            await journal.put_schedule(each)
        assert await journal.schedules("default") == [row, other, paused]
        assert await journal.due_schedules(LANE, SHARDS, 1_000_050.0) == []
        assert await journal.due_schedules(LANE, SHARDS, 1_000_051.0) == [row]
        assert await journal.due_schedules(LANE, [8], 1_000_051.0) == []
        assert await journal.due_schedules("elsewhere", SHARDS, 1_000_051.0) == []

    async def test_a_schedule_moves_on_once(self, journal: Journal, epochs: dict[int, int]) -> None:
        row = a_schedule()
        await journal.put_schedule(row)
        assert await journal.advance_schedule(row, 1_000_100.0, "daily@1")
        assert not await journal.advance_schedule(row, 1_000_200.0, "daily@2")
        assert await journal.schedules("default") == [row._replace(next_at=1_000_100.0, last="daily@1")]

    async def test_a_schedule_that_was_paused_or_dropped_does_not_move(
        self, journal: Journal, epochs: dict[int, int]
    ) -> None:
        row = a_schedule()
        await journal.put_schedule(row._replace(paused=True))
        assert not await journal.advance_schedule(row, 1_000_100.0, None)
        assert await journal.drop_schedule("default", "daily")
        assert not await journal.drop_schedule("default", "daily")
        assert not await journal.advance_schedule(row, 1_000_100.0, None)

    async def test_the_definition_of_a_schedule_is_there_before_any_execution_of_it(
        self, journal: Journal, epochs: dict[int, int]
    ) -> None:
        row = DefinitionRow("hash", "daily", "1", b"{}")
        await journal.put_definition(row)
        await journal.put_definition(row._replace(version="2"))
        assert await journal.definition("hash") == row
