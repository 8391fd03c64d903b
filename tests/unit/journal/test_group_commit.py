"""The commit buffer: events before effects, in groups."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from raywf.errors import LeaseLost, StoreUnavailable
from raywf.journal import GroupCommit, KeysTaken
from raywf.journal.memory import MemoryJournal
from raywf.ports import Batch, DefinitionRow, StatusChange
from raywf.testing.journal_contract import LANE, an_event, an_execution, an_owner


class GatedJournal:
    """Records what is committed. ``hold()`` makes commits wait for ``let_go()``; ``fail``: errors for the next."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self.fail: list[BaseException | None] = []
        self._gate = asyncio.Event()
        self._gate.set()

    def hold(self) -> None:
        self._gate.clear()

    def let_go(self) -> None:
        self._gate.set()

    async def commit(self, batch: Batch) -> None:
        await self._gate.wait()
        error = self.fail.pop(0) if self.fail else None
        if error is not None:
            raise error
        self.batches.append(batch)

    @property
    def events(self) -> list[list[tuple[int, int]]]:
        return [[(row.key, row.seq) for row in batch.events] for batch in self.batches]


@pytest.fixture
def journal() -> GatedJournal:
    return GatedJournal()


@pytest.fixture
def epochs() -> dict[int, int]:
    return dict.fromkeys(range(256), 1)


Buffer = Callable[..., GroupCommit]


@pytest.fixture
def buffer(journal: GatedJournal, epochs: dict[int, int]) -> Buffer:
    def make(**options: Any) -> GroupCommit:
        return GroupCommit(journal, "a", LANE, epochs, **options)  # type: ignore[arg-type]

    return make


async def turns(count: int = 10) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_effects_leave_after_their_commit_and_in_order(journal: GatedJournal, buffer: Buffer) -> None:
    commits, left = buffer(), []
    journal.hold()
    for seq in (1, 2, 3):
        commits.add_events(5, [an_event(5, seq)])
        commits.on_durable(lambda seq=seq: left.append(seq))  # type: ignore[misc]
    await turns()
    assert left == []
    assert commits.waiting_rows == 3
    journal.let_go()
    await commits.drain()
    assert left == [1, 2, 3]
    assert commits.waiting_rows == 0


async def test_what_came_during_a_commit_goes_with_the_next(journal: GatedJournal, buffer: Buffer) -> None:
    commits = buffer()
    journal.hold()
    commits.add_events(5, [an_event(5, 1)])
    await turns()
    for seq in (2, 3, 4):
        commits.add_events(5, [an_event(5, seq)])
        await turns()
    journal.let_go()
    await commits.drain()
    assert journal.events == [[(5, 1)], [(5, 2), (5, 3), (5, 4)]]


async def test_a_callback_may_add_and_is_not_waited_for(journal: GatedJournal, buffer: Buffer) -> None:
    commits, left = buffer(), []

    def next_turn(seq: int) -> None:
        left.append(seq)
        if seq < 6:
            commits.add_events(5, [an_event(5, seq)])
            commits.on_durable(lambda: next_turn(seq + 1))

    next_turn(1)
    await commits.drain()
    assert left == [1, 2], "drain waits for what was there when it was called"
    await commits.close()
    assert left == [1, 2, 3, 4, 5, 6]
    assert journal.events == [[(5, seq)] for seq in range(1, 6)]


async def test_a_commit_has_an_upper_size_and_a_turn_stays_whole(journal: GatedJournal, buffer: Buffer) -> None:
    commits = buffer(rows_per_commit=4)
    for turn in range(4):
        commits.add_events(turn, [an_event(turn, seq) for seq in (1, 2, 3)])
        commits.add_changed(turn, StatusChange(turn, "waiting", None, "x"))
        commits.add_taken(turn)
        commits.on_durable(lambda: None)
    await commits.drain()
    assert [len(batch.events) for batch in journal.batches] == [3, 3, 3, 3]
    assert [batch.taken for batch in journal.batches] == [[0], [1], [2], [3]]
    assert [batch.epochs for batch in journal.batches] == [{0: 1}, {1: 1}, {2: 1}, {3: 1}]


async def test_all_kinds_of_rows_travel(journal: GatedJournal, buffer: Buffer) -> None:
    commits = buffer()
    definition = DefinitionRow("h", "answer", "1", b"{}")
    change = StatusChange(5, "completed", 1.0, None)
    commits.add_opened(an_execution(5), definition)
    commits.add_opened(an_execution(6))
    commits.add_events(5, iter([an_event(5, 1)]))
    commits.add_changed(5, change)
    commits.add_taken(7)
    await commits.close()
    expected = Batch(
        LANE, "a", {5: 1, 6: 1}, [definition], [an_execution(5), an_execution(6)], [an_event(5, 1)], [change], [7]
    )
    assert journal.batches == [expected]


async def test_a_callback_without_rows_waits_for_those_before_it(journal: GatedJournal, buffer: Buffer) -> None:
    commits, left = buffer(), []
    commits.on_durable(lambda: left.append("alone"))
    await commits.drain()
    assert left == ["alone"]
    assert journal.batches == [], "nothing to write, nothing written"
    journal.hold()
    commits.add_events(5, [an_event(5, 1)])
    await turns()
    commits.on_durable(lambda: left.append("after"))
    await turns()
    assert left == ["alone"]
    journal.let_go()
    await commits.drain()
    assert left == ["alone", "after"]


async def test_rows_keep_the_epoch_they_were_made_under(
    journal: GatedJournal, buffer: Buffer, epochs: dict[int, int]
) -> None:
    commits = buffer()
    journal.hold()
    commits.add_events(1, [an_event(1, 1)])
    await turns()
    commits.add_events(5, [an_event(5, 1)])
    epochs[5] = 9
    commits.add_events(5, [an_event(5, 2)])
    journal.let_go()
    await commits.drain()
    assert journal.batches[1].epochs == {5: 1}


async def test_a_shard_that_is_not_held_is_refused_at_once(buffer: Buffer, epochs: dict[int, int]) -> None:
    del epochs[5]
    with pytest.raises(LeaseLost) as lost:
        buffer().add_events(5, [an_event(5, 1)])
    assert lost.value.shards == (5,)


async def test_who_lost_a_shard_stops_for_good(journal: GatedJournal, buffer: Buffer, epochs: dict[int, int]) -> None:
    lost: list[tuple[int, ...]] = []
    left: list[int] = []
    commits = buffer(on_lost=lost.append)
    journal.fail.append(LeaseLost("taken", (5,)))
    commits.add_events(5, [an_event(5, 1)])
    commits.on_durable(lambda: left.append(1))
    with pytest.raises(LeaseLost):
        await commits.drain()
    assert lost == [tuple(range(256))]
    assert left == []
    assert isinstance(commits.stopped, LeaseLost)
    for add in (lambda: commits.add_events(6, [an_event(6, 1)]), lambda: commits.on_durable(lambda: None)):
        with pytest.raises(LeaseLost):
            add()
    await commits.close()
    assert journal.batches == []


async def test_a_store_out_of_reach_is_tried_again_for_as_long_as_it_takes(
    journal: GatedJournal, buffer: Buffer
) -> None:
    troubles: list[str | None] = []
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    commits = buffer(on_trouble=lambda error: troubles.append(error and str(error)), sleep=sleep)
    journal.fail += [StoreUnavailable(f"full {n}") for n in range(8)]
    left: list[int] = []
    commits.add_events(5, [an_event(5, 1)])
    commits.on_durable(lambda: left.append(1))
    await commits.drain()
    assert left == [1]
    assert journal.events == [[(5, 1)]]
    assert troubles == [*(f"full {n}" for n in range(8)), None]
    assert pauses == sorted(pauses)
    assert pauses[0] < 0.1
    assert pauses[-1] == 2.0


async def test_closing_while_the_store_is_out_of_reach_can_be_given_up(journal: GatedJournal, buffer: Buffer) -> None:
    async def forever(seconds: float) -> None:
        await asyncio.Event().wait()

    commits, left = buffer(sleep=forever), []
    journal.fail.append(StoreUnavailable("full"))
    commits.add_events(5, [an_event(5, 1)])
    commits.on_durable(lambda: left.append(1))
    closing = asyncio.create_task(commits.close())
    await turns()
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    assert left == []
    with pytest.raises(StoreUnavailable, match="closed"):
        commits.add_events(5, [an_event(5, 2)])


async def test_an_execution_whose_id_is_taken_does_not_hold_up_the_rest(journal: GatedJournal, buffer: Buffer) -> None:
    refused: list[tuple[int, ...]] = []
    left: list[int] = []
    commits = buffer(on_refused=refused.append, rows_per_commit=12)
    journal.fail.append(KeysTaken((6,), "the store"))
    for key in (5, 6, 7):
        commits.add_opened(an_execution(key))
        commits.add_events(key, [an_event(key, 1)])
        commits.add_changed(key, StatusChange(key, "waiting", None, "x"))
        commits.on_durable(lambda key=key: left.append(key))  # type: ignore[misc]
    for key in (5, 6):
        commits.add_events(key, [an_event(key, 2)])
    await commits.close()
    assert refused == [(6,)]
    assert [row.key for row in journal.batches[0].opened] == [5, 7]
    assert [row.key for row in journal.batches[0].changed] == [5, 7]
    assert journal.events == [[(5, 1), (7, 1)], [(5, 2)]]
    assert left == [5, 6, 7], "all callers are told; on_refused says first who was refused"


async def test_a_defect_stops_the_buffer_and_is_not_hidden(
    journal: GatedJournal, buffer: Buffer, caplog: pytest.LogCaptureFixture
) -> None:
    lost: list[tuple[int, ...]] = []
    commits = buffer(on_lost=lost.append)
    journal.fail.append(TypeError("a row of the wrong shape"))
    commits.add_events(5, [an_event(5, 1)])
    with pytest.raises(TypeError):
        await commits.drain()
    assert len(lost) == 1
    assert "defect" in caplog.text
    with pytest.raises(TypeError):
        await commits.close()


async def test_an_unused_buffer_closes(buffer: Buffer) -> None:
    commits = buffer()
    await commits.drain()
    await commits.close()
    with pytest.raises(StoreUnavailable, match="closed"):
        await commits.drain()


class ForgetfulJournal(MemoryJournal):
    """Writes, and then says that it could not be reached: the answer was lost."""

    lost = 0

    async def commit(self, batch: Batch) -> None:
        await super().commit(batch)
        if self.lost:
            self.lost -= 1
            raise StoreUnavailable("the connection was lost")


@pytest.mark.parametrize("opens", [True, False])
@pytest.mark.parametrize("times", [1, 2, 3])
async def test_a_commit_whose_answer_was_lost_is_recognised(opens: bool, times: int) -> None:
    """Found by simulation (seeds 15, 103947): the second try met its own rows, and the client was told that its id is
    taken; the store was out of reach again while it looked, and the buffer stopped."""
    journal = ForgetfulJournal()
    held = await journal.claim(an_owner("a"), range(256), 60.0)
    refused: list[tuple[int, ...]] = []
    lost: list[tuple[int, ...]] = []
    commits = GroupCommit(journal, "a", LANE, held, on_refused=refused.append, on_lost=lost.append, sleep=_at_once)
    journal.lost = times if opens else 0
    commits.add_opened(an_execution(5))
    commits.add_events(5, [an_event(5, 1)])
    await commits.drain()
    journal.lost = 0 if opens else times
    commits.add_events(5, [an_event(5, 2)])
    await commits.drain()
    assert (refused, lost) == ([], [])
    assert [row.seq for row in await journal.history(5)] == [1, 2]


async def test_a_commit_whose_answer_was_lost_with_the_lease_stays_unanswered() -> None:
    """Who lost the shards meanwhile does not act on what it wrote: its successor does."""
    journal = ForgetfulJournal()
    held = await journal.claim(an_owner("a"), range(256), 60.0)

    async def taken_over(seconds: float) -> None:
        await journal.claim(an_owner("b"), range(256), 60.0, dead=["a"])

    journal.lost = 1
    commits = GroupCommit(journal, "a", LANE, held, sleep=taken_over)
    left: list[int] = []
    commits.add_opened(an_execution(5))
    commits.add_events(5, [an_event(5, 1)])
    commits.on_durable(lambda: left.append(1))
    with pytest.raises(LeaseLost):
        await commits.drain()
    assert left == []


async def _at_once(seconds: float) -> None:
    await asyncio.sleep(0)
