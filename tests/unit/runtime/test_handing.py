"""Shards go from one living owner to another: nothing is lost, nothing that runs is run again, and who waits is told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

import raywf
from raywf import task, workflow
from raywf.core.ids import SHARDS, shard_of
from raywf.runtime import handing
from raywf.runtime.bundle import Bundle
from raywf.runtime.handing import Busy
from raywf.runtime.outbox import MOVED
from raywf.runtime.spec import ActorSpec
from tests.unit.runtime.engines import ID, LANE, Engine, Ledger, live_through, new_store

SPEC = ActorSpec("memory://", "default", LANE, Bundle((), "", ""), 0, 1, 3.0, "here", "space")
HERE = shard_of(ID)
ledger = Ledger()


@task
async def work(seconds: float) -> str:
    ledger.note()
    await asyncio.sleep(seconds)
    return "done"


@task
async def then(value: str) -> str:
    ledger.note()
    return value + "!"


@workflow
def busy(seconds: float) -> Any:
    return then(work(seconds))


@workflow
def waiting(seconds: float) -> Any:
    return [then(raywf.sleep(seconds, "slept")), raywf.wait_signal("go")]


def two(wf: Any, story: Callable[[Engine, Engine], Coroutine[Any, Any, Any]]) -> Any:
    """One owner of everything, and one of nothing, in one process and on one store."""
    ledger.began.clear()
    ledger.keys.clear()
    store = new_store()

    async def main() -> Any:
        one, other = Engine(wf, store, 1), Engine(wf, store, 2)
        for engine in (one, other):
            engine.owner.me = engine.me._replace(spec=SPEC.incarnation(engine.me.owner).to_json())
        await one.claim()
        try:
            return await story(one, other)
        finally:
            await one.close()
            await other.close()

    return live_through(main)


async def hand(one: Engine, other: Engine, busy: Busy = Busy.RESUME, patience_s: float = 0.05) -> list[int]:
    given = await handing.give(one.owner, [HERE], patience_s, busy)
    if given:
        assert HERE in await handing.take(other.owner, given, ["owner-1"], True)
    return given


def test_what_waits_goes_on_elsewhere_and_on_time() -> None:
    async def story(one: Engine, other: Engine) -> None:
        began = one.clock.now()
        await one.submit(60.0)
        await one.until(lambda: one.live() is not None and one.live().status == "waiting")
        assert await hand(one, other) == [HERE]
        assert one.live() is None and HERE not in one.owner.epochs and len(one.owner.epochs) == SHARDS - 1
        await other.until(lambda: ledger.began)
        assert 60 <= one.clock.now() - began <= 60.1
        await other.send(1, "signal", {"name": "go", "value": "1"})
        assert await other.to_the_end() == ("execution_completed", ["slept!", 1])
        assert "attempt_lost" not in " ".join(await other.kinds())

    two(waiting, story)


def test_a_command_that_comes_to_the_old_owner_is_left_to_the_new_one() -> None:
    async def story(one: Engine, other: Engine) -> None:
        await one.submit(0.0)
        await one.until(lambda: ledger.began)
        await hand(one, other)
        await one.send(1, "signal", {"name": "go", "value": "1"})  # the old owner looks into the inbox, too
        await other.owner._take_once()
        assert await other.to_the_end() == ("execution_completed", ["slept!", 1])

    two(waiting, story)


def test_a_shard_in_which_something_runs_stays_and_goes_on() -> None:
    async def story(one: Engine, other: Engine) -> None:
        await one.submit(0.2)
        await one.until(lambda: ledger.began)
        assert await hand(one, other) == []
        assert await one.to_the_end() == ("execution_completed", "done!")
        assert not one.host.draining and one.host.held_back is None
        assert await hand(one, other) == [HERE], "now it can"

    two(busy, story)


def test_a_shard_that_is_held_back_accepts_what_comes_and_starts_nothing_until_it_has_moved() -> None:
    async def story(one: Engine, other: Engine) -> None:
        await one.submit(5.0)
        await one.until(lambda: ledger.began)
        assert await hand(one, other, Busy.HOLD, 0.0) == []
        neighbour = next(f"n{n}" for n in range(10_000) if shard_of(f"n{n}") == HERE)
        stranger = next(f"s{n}" for n in range(10_000) if shard_of(f"s{n}") != HERE)
        assert await one.submit(0.0, id=neighbour) == "new"
        await one.submit(0.0, id=stranger)
        await one.to_the_end(id=stranger)
        assert {execution for execution, _, _ in ledger.began} == {ID, stranger}, "others go on"
        await asyncio.sleep(6)
        assert [task for execution, task, _ in ledger.began if execution == ID] == ["work"], "what ran has ended"
        assert await hand(one, other, Busy.HOLD, 0.0) == [HERE]
        assert await other.to_the_end() == ("execution_completed", "done!")
        assert await other.to_the_end(id=neighbour) == ("execution_completed", "done!")
        assert len(ledger.began) == 6, "nothing began twice"

    two(busy, story)


def test_what_runs_when_the_time_is_over_is_stopped_and_runs_again_elsewhere() -> None:
    async def story(one: Engine, other: Engine) -> list[str]:
        await one.submit(5.0)
        await one.until(lambda: ledger.began)
        assert await hand(one, other, Busy.FORCE, 0.0) == [HERE]
        assert await other.to_the_end() == ("execution_completed", "done!")
        assert [(task, attempt) for _, task, attempt in ledger.began] == [("work", 1), ("work", 2), ("then", 1)]
        return await other.kinds()

    kinds = two(busy, story)
    assert kinds.count("attempt_lost work") == 1 and kinds[-1] == "execution_completed"


def test_a_submit_to_the_old_owner_is_told_that_it_moved_and_so_is_who_waits() -> None:
    async def story(one: Engine, other: Engine) -> None:
        await one.submit(60.0)
        await one.until(lambda: one.live() is not None and one.live().status == "waiting")
        await hand(one, other)
        assert await one.submit(60.0) == "moved"
        assert await other.submit(60.0) == "same"
        told = await one.owner.outbox.poll("client", 0, 0.0)
        assert [(kind, data) for _, _, kind, _, data in told] == [(MOVED, bytes([HERE]))]

    two(waiting, story)


def test_who_dies_between_giving_and_taking_leaves_what_the_next_one_needs() -> None:
    async def story(one: Engine, other: Engine) -> None:
        await one.submit(1.0)
        await one.until(lambda: one.live() is not None and one.live().status == "waiting")
        assert await handing.give(one.owner, [HERE], 0.05, Busy.RESUME) == [HERE]
        assert HERE in await handing.take(one.owner, [HERE], ["owner-1"], True), "it may even be the same one"
        assert HERE not in await handing.take(other.owner, [HERE], [], True), "nobody has let it go for this one"
        await one.until(lambda: ledger.began)

    two(waiting, story)


def test_the_store_knows_which_shards_a_successor_takes_up() -> None:
    async def story(one: Engine, other: Engine) -> None:
        await hand(one, other)
        held = {row.owner: ActorSpec.from_json(row.spec).held for row in await one.journal.owners()}
        assert held == {"owner-1": tuple(s for s in range(SHARDS) if s != HERE), "owner-2": (HERE,)}

    two(waiting, story)


@pytest.mark.parametrize("given", [0, -1, 257, "2.5", "many", 1.0, True])
def test_how_many_actors_there_are_is_checked(given: object) -> None:
    from raywf.config import actor_count

    with pytest.raises(raywf.InvalidInput, match="per-node"):
        actor_count("actors", given)
    assert [actor_count("actors", good) for good in (None, 1, "2", 256, "per-node")] == [None, 1, 2, 256, 0]
