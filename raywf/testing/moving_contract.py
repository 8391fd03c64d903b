"""What every store promises about executions that come and go: brought in from elsewhere, and forgotten when they are old."""

from __future__ import annotations

import pytest

from raywf.journal.conflicts import KeysTaken
from raywf.ports import Batch, DefinitionRow, Journal, StatusChange
from raywf.testing.journal_contract import StoreTests, a_batch, a_command, an_event, an_execution
from raywf.testing.sleeping_contract import opened

ENDED_AT = 1_000_009.0


async def ended(journal: Journal, epochs: dict[int, int], *keys: int) -> None:
    changed = [StatusChange(key, "completed", ENDED_AT + key, None) for key in keys]
    await journal.commit(a_batch(epochs, *keys, changed=changed))


class MovingContract(StoreTests):
    """Subclass with the fixture ``opened``, as with ``JournalContract``."""

    async def test_histories_come_in_order_of_key_and_number(self, journal: Journal, epochs: dict[int, int]) -> None:
        await opened(journal, epochs, 1, 2, 3)
        assert await journal.histories([3, 1, 99]) == [an_event(key, seq) for key in (1, 3) for seq in (1, 2)]
        assert await journal.histories([]) == []

    async def test_ended_roots_are_those_without_parent_that_ended_by_then(
        self, journal: Journal, epochs: dict[int, int]
    ) -> None:
        rows = [an_execution(1), an_execution(2), an_execution(3), an_execution(4, parent="e-1", id="e-1/a")]
        await journal.commit(a_batch(epochs, 1, 2, 3, 4, opened=rows))
        await ended(journal, epochs, 1, 3, 4)
        assert [row.key for row in await journal.ended_roots("default", ENDED_AT + 3, 0, 10)] == [1, 3]
        assert [row.key for row in await journal.ended_roots("default", ENDED_AT + 2, 0, 10)] == [1]
        assert [row.key for row in await journal.ended_roots("default", ENDED_AT + 3, 1, 10)] == [3]
        assert len(await journal.ended_roots("default", ENDED_AT + 3, 0, 1)) == 1
        assert await journal.ended_roots("elsewhere", ENDED_AT + 3, 0, 10) == []

    async def test_descendants_are_at_every_depth_and_nobody_elses(
        self, journal: Journal, epochs: dict[int, int]
    ) -> None:
        ids = ["e", "e/a", "e/a/b", "e0", "e-1", "f/a"]
        rows = [an_execution(key, id=id_, parent=None) for key, id_ in enumerate(ids, 1)]
        await journal.commit(a_batch(epochs, *range(1, 7), opened=rows))
        assert [row.id for row in await journal.descendants("default", "e")] == ["e/a", "e/a/b"]
        assert await journal.descendants("elsewhere", "e") == []

    async def test_what_has_ended_is_forgotten_with_all_that_belongs_to_it(
        self, journal: Journal, epochs: dict[int, int]
    ) -> None:
        await opened(journal, epochs, 1, 2, 3)
        await journal.send(a_command("e-1", "once"))
        await journal.send(a_command("e-2", "stays"))
        await ended(journal, epochs, 1, 3)
        assert await journal.forget("elsewhere", [1, 2, 3], ENDED_AT + 3) == 0
        assert await journal.forget("default", [1, 2, 3, 99], ENDED_AT + 2) == 1
        assert sorted(await journal.existing("default", ["e-1", "e-2", "e-3"])) == ["e-2", "e-3"]
        assert await journal.history(1) == []
        assert await journal.history(2) == [an_event(2, 1), an_event(2, 2)]
        assert [row.command_id for row in await journal.inbox("lane-1", 0)] == ["stays"]
        assert await journal.forget("default", [1, 2], ENDED_AT + 9) == 0
        assert await journal.send(a_command("e-1", "once")) is True  # the id is free, with all that was said to it

    async def test_a_history_from_elsewhere_is_brought_in_whole_or_not_at_all(
        self, journal: Journal, epochs: dict[int, int]
    ) -> None:
        await opened(journal, epochs, 1)
        row = an_execution(7, id="far", status="completed", ended_at=ENDED_AT, tags={"team": "blue"}, lane="other")
        definition = DefinitionRow("d9", "answer", "1", b"{}")
        batch = Batch(
            "other", "import", opened=[row], events=[an_event(7, 1), an_event(7, 2)], definitions=[definition]
        )
        await journal.bring_in(batch)
        assert await journal.execution("default", "far") == row
        assert await journal.history(7) == [an_event(7, 1), an_event(7, 2)]
        assert await journal.definition("d9") == definition
        for taken in (an_execution(8, id="far"), an_execution(1, id="new")):
            two = Batch("other", "import", opened=[an_execution(9, id="beside"), taken], events=[an_event(9, 1)])
            with pytest.raises(KeysTaken):
                await journal.bring_in(two)
        assert await journal.existing("default", ["beside", "new"]) == {}
        assert await journal.history(9) == []
