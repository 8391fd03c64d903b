"""What every store promises about the versions of a workflow: kept when first seen, deployed in order, counted while in use."""

from __future__ import annotations

import pytest

from raywf.errors import LeaseLost
from raywf.ports import DefinitionRow, DeploymentRow, Journal, Redefinition, StatusChange, VersionRow
from raywf.testing.journal_contract import ManualClock, StoreTests, a_batch, an_event, an_execution

ONE, TWO = DefinitionRow("d1", "answer", "1", b"{}"), DefinitionRow("d2", "answer", "2026-11", b'{"id":"answer"}')
OTHER = DefinitionRow("d3", "question", "1", b"[]")


class VersionsContract(StoreTests):
    """Subclass with the fixture ``opened``, as with ``JournalContract``."""

    async def test_a_version_is_listed_with_the_time_when_it_was_first_seen(
        self, journal: Journal, epochs: dict[int, int], clock: ManualClock
    ) -> None:
        first = clock.now()
        await journal.commit(
            a_batch(epochs, 1, definitions=[TWO, OTHER, TWO], opened=[an_execution(1, definition="d2")])
        )
        clock.advance(1.0)
        opened = [an_execution(2), an_execution(3), an_execution(4, namespace="elsewhere")]
        await journal.commit(a_batch(epochs, 2, 3, 4, definitions=[TWO, ONE], opened=opened))
        await journal.commit(a_batch(epochs, 3, changed=[StatusChange(3, "completed", first + 2, None)]))
        found = await journal.versions("default", "answer")
        assert found == [
            VersionRow("d2", "answer", "2026-11", first, 1),
            VersionRow("d1", "answer", "1", first + 1.0, 1),
        ]
        assert [row.open for row in await journal.versions("elsewhere", "answer")] == [0, 1]
        assert await journal.versions("default", "unknown") == []

    async def test_a_definition_that_is_put_by_hand_is_a_version(self, journal: Journal) -> None:
        await journal.put_definition(ONE)
        await journal.put_definition(ONE._replace(version="other"))
        (found,) = await journal.versions("default", "answer")
        assert (found.hash, found.label, found.open) == ("d1", "1", 0)
        assert found.seen_at is not None

    async def test_deployments_are_kept_in_order_and_each_number_once(self, journal: Journal) -> None:
        assert await journal.deployments("default") == []
        rows = [
            DeploymentRow("default", "answer", 1, "d1", 1.0, "ann"),
            DeploymentRow("default", "answer", 2, "d2", 2.0, None),
            DeploymentRow("default", "question", 1, "d3", 3.0, "ann"),
            DeploymentRow("elsewhere", "answer", 1, "d2", 4.0, "ann"),
        ]
        for row in rows:
            assert await journal.put_deployment(row)
        assert not await journal.put_deployment(rows[1]._replace(hash="d9"))
        assert await journal.deployments("default") == rows[:3]
        assert await journal.deployments("default", "answer") == rows[:2]
        assert await journal.deployments("default", "unknown") == []

    async def test_an_execution_goes_on_under_another_definition(
        self, journal: Journal, epochs: dict[int, int]
    ) -> None:
        await journal.commit(a_batch(epochs, 5, definitions=[ONE], opened=[an_execution(5)]))
        moved = a_batch(
            epochs, 5, definitions=[TWO], events=[an_event(5, 1)], redefined=[Redefinition(5, "d2", "2026-11")]
        )
        await journal.commit(moved)
        assert await journal.execution("default", "e-5") == an_execution(5, definition="d2", version="2026-11")
        (loaded,) = await journal.load([5])
        assert loaded.row.definition == "d2"

    async def test_a_writer_that_lost_its_lease_moves_nothing(self, journal: Journal, epochs: dict[int, int]) -> None:
        await journal.commit(a_batch(epochs, 5, opened=[an_execution(5)]))
        stale = {shard: epoch - 1 for shard, epoch in epochs.items()}
        with pytest.raises(LeaseLost):
            await journal.commit(a_batch(stale, 5, redefined=[Redefinition(5, "d2", "2")]))
        assert await journal.execution("default", "e-5") == an_execution(5)
