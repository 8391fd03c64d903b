"""What every store promises about results that are kept for reuse. Beside ``journal_contract``."""

from __future__ import annotations

import math
from typing import Any

import pytest

from raywf.errors import LeaseLost
from raywf.ports import CachedRow, Journal
from raywf.testing.journal_contract import StoreTests, a_batch, an_event, an_execution


def a_result(key: str = "k", **changes: Any) -> CachedRow:
    row = CachedRow("default", key, "app.tasks:search", "answer", b'"x"', 1_000_000.0, math.inf, "e-7", "search")
    return row._replace(**changes)


class CacheContract(StoreTests):
    """A result is kept with the event that it comes from; the first counts while it lives."""

    async def test_a_result_is_read_back_as_it_is(self, journal: Journal, epochs: dict[int, int]) -> None:
        kept = a_result("k-1", value=b"\x00\xff", expires_at=1_000_060.5)
        await journal.commit(a_batch(epochs, 7, opened=[an_execution(7)], events=[an_event(7, 1)], cached=[kept]))
        assert await journal.find_cached("default", ["k-1", "k-2"]) == {"k-1": kept}
        assert await journal.find_cached("elsewhere", ["k-1"]) == {}
        assert await journal.find_cached("default", []) == {}

    async def test_a_commit_that_is_refused_keeps_no_result(self, journal: Journal, epochs: dict[int, int]) -> None:
        await journal.commit(a_batch(epochs, 7, opened=[an_execution(7)], events=[an_event(7, 1)]))
        with pytest.raises(LeaseLost):
            await journal.commit(a_batch(epochs, 7, events=[an_event(7, 1)], cached=[a_result()]))
        stale = {shard: epoch - 1 for shard, epoch in epochs.items()}
        with pytest.raises(LeaseLost):
            await journal.commit(a_batch(stale, 7, events=[an_event(7, 2)], cached=[a_result()]))
        assert await journal.find_cached("default", ["k"]) == {}

    async def test_the_first_result_counts_while_it_lives(self, journal: Journal, epochs: dict[int, int]) -> None:
        first = a_result(expires_at=1_000_060.0)
        late = a_result(value=b'"late"', stored_at=1_000_059.0, expires_at=1_000_119.0)
        next_ = a_result(value=b'"next"', stored_at=1_000_060.0, expires_at=1_000_120.0)
        for row, counts in ((first, first), (late, first), (next_, next_)):
            await journal.commit(a_batch(epochs, 7, cached=[row]))
            assert await journal.find_cached("default", ["k"]) == {"k": counts}

    async def test_of_two_in_one_commit_the_first_counts(self, journal: Journal, epochs: dict[int, int]) -> None:
        await journal.commit(a_batch(epochs, 7, cached=[a_result(), a_result(value=b"2"), a_result("other")]))
        found = await journal.find_cached("default", ["k", "other"])
        assert found == {"k": a_result(), "other": a_result("other")}

    async def test_a_result_gives_way_to_one_that_may_not_be_so_old(
        self, journal: Journal, epochs: dict[int, int]
    ) -> None:
        """Somebody who wants what is at most ten seconds old has computed it anew."""
        newer = a_result(value=b'"new"', stored_at=1_000_030.0, expires_at=1_000_040.0)
        await journal.commit(a_batch(epochs, 7, cached=[a_result()]))
        await journal.commit(a_batch(epochs, 7, cached=[newer]))
        assert await journal.find_cached("default", ["k"]) == {"k": newer}

    async def test_results_are_listed_newest_first_and_by_task(self, journal: Journal, epochs: dict[int, int]) -> None:
        rows = [
            a_result("a", stored_at=1.0),
            a_result("b", stored_at=3.0, task="app.tasks:write"),
            a_result("c", stored_at=2.0, task="__main__:search"),
            a_result("d", stored_at=4.0, namespace="elsewhere"),
        ]
        await journal.commit(a_batch(epochs, 7, cached=rows))
        listed = {
            None: ["b", "c", "a"],
            "search": ["c", "a"],
            "app.tasks:search": ["a"],
            "app.tasks": [],
        }
        at = {row.stored_at: row.key for row in rows}  # in an encrypted store a key is not what was asked for
        for task, keys in listed.items():
            assert [at[row.stored_at] for row in await journal.list_cached("default", task)] == keys
        assert [at[row.stored_at] for row in await journal.list_cached("default", limit=2)] == ["b", "c"]

    async def test_results_are_cleared_by_task_by_key_and_by_age(
        self, journal: Journal, epochs: dict[int, int]
    ) -> None:
        rows = [
            a_result("a"),
            a_result("b", task="app.tasks:write"),
            a_result("c", expires_at=1_000_001.0),
            a_result("d", namespace="elsewhere"),
        ]
        await journal.commit(a_batch(epochs, 7, cached=rows))
        assert await journal.clear_cached("default", expired_at=1_000_000.5) == 0
        assert await journal.clear_cached("default", expired_at=1_000_001.0) == 1
        assert await journal.clear_cached("default", "write") == 1
        assert await journal.clear_cached("default", key="b") == 0
        assert await journal.clear_cached("default", key="a") == 1
        await journal.commit(a_batch(epochs, 7, cached=[a_result(str(number)) for number in range(5)]))
        assert await journal.clear_cached("default", limit=3) == 3
        assert await journal.clear_cached("default") == 2
        assert set(await journal.find_cached("elsewhere", ["d"])) == {"d"}

    async def test_results_outlive_the_executions_they_come_from(
        self, journal: Journal, epochs: dict[int, int]
    ) -> None:
        closed = an_execution(7, status="completed", ended_at=1_000_001.0)
        await journal.commit(a_batch(epochs, 7, opened=[closed], events=[an_event(7, 1)], cached=[a_result()]))
        assert await journal.forget("default", [7], 1_000_002.0) == 1
        assert await journal.find_cached("default", ["k"]) == {"k": a_result()}
