"""What a store promises to aggregators: evidence is written once, under a lease, and found by number and by item."""

from __future__ import annotations

import pytest

from raywf.errors import LeaseLost
from raywf.ports import AggregatorRow, EvidenceRow, Journal
from raywf.testing.journal_contract import LEASE_S, StoreTests, a_batch, an_event, an_owner


def a_snapshot(name: str = "triage", **changes: object) -> AggregatorRow:
    row = AggregatorRow(2**62 + 7, "default", name, 0, 1_000_000.5, b'{"v":1}')
    return row._replace(**changes)  # type: ignore[arg-type]


def told(seq: int, item: str = "t-1", **changes: object) -> EvidenceRow:
    row = EvidenceRow(2**62 + 7, seq, item, 1_000_001.25, b'[["gpt","yes"]]')
    return row._replace(**changes)  # type: ignore[arg-type]


class EvidenceContract(StoreTests):
    """What aggregators keep. Mix into the suite of a store, after ``JournalContract``."""

    async def test_evidence_is_read_back_in_order(self, journal: Journal, epochs: dict[int, int]) -> None:
        rows = [told(1), told(2, "ä-2", body=b"\x00\xff"), told(3), told(1, aggregator=9)]
        await journal.commit(a_batch(epochs, 5, evidence=rows, aggregators=[a_snapshot()]))
        key = rows[0].aggregator
        assert await journal.evidence(key) == rows[:3]
        assert await journal.evidence(key, 1, 1) == rows[1:2]
        assert await journal.evidence_of(key, ["t-1", "nobody"]) == [rows[0], rows[2]]
        assert await journal.evidence_of(key, []) == []
        assert await journal.evidence(4711) == []

    async def test_many_rows_arrive_whole(self, journal: Journal, epochs: dict[int, int]) -> None:
        rows = [told(seq, f"t-{seq}") for seq in range(1, 2500)]
        await journal.commit(a_batch(epochs, 5, evidence=rows))
        assert await journal.evidence(rows[0].aggregator) == rows
        assert await journal.evidence_of(rows[0].aggregator, [row.item for row in reversed(rows)]) == rows

    async def test_evidence_is_written_once(self, journal: Journal, epochs: dict[int, int]) -> None:
        await journal.commit(a_batch(epochs, 5, evidence=[told(1)]))
        for rows in ([told(1, "other")], [told(2), told(2)]):
            with pytest.raises(LeaseLost):
                await journal.commit(a_batch(epochs, 5, 6, evidence=rows, events=[an_event(6, 1)]))
        assert await journal.evidence(told(1).aggregator) == [told(1)]
        assert await journal.history(6) == [], "a refused batch writes nothing"

    async def test_a_zombie_writes_no_evidence(self, journal: Journal, epochs: dict[int, int]) -> None:
        await journal.claim(an_owner("b"), [5], LEASE_S, dead=["a"])
        with pytest.raises(LeaseLost):
            await journal.commit(a_batch(epochs, 5, evidence=[told(1)], aggregators=[a_snapshot()]))
        assert await journal.evidence(told(1).aggregator) == []
        assert await journal.aggregator("default", "triage") is None

    async def test_the_newest_snapshot_counts(self, journal: Journal, epochs: dict[int, int]) -> None:
        assert await journal.aggregator("default", "triage") is None
        newer = a_snapshot(seq=7, at=1_000_009.0, body=b"{}")
        await journal.commit(a_batch(epochs, 5, aggregators=[a_snapshot()]))
        await journal.commit(a_batch(epochs, 5, aggregators=[newer, a_snapshot("other", key=3)]))
        assert await journal.aggregator("default", "triage") == newer
        assert await journal.aggregator("elsewhere", "triage") is None
        assert await journal.aggregators("default") == ["other", "triage"]
        assert await journal.aggregators("elsewhere") == []
