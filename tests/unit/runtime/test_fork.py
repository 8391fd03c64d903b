"""A fork begins with what another execution has done, and is an execution of its own."""

from __future__ import annotations

from typing import Any

import pytest

from raywf.journal import memory
from tests.unit.runtime.engines import ID, Engine, live_through, new_store
from tests.unit.runtime.test_retry import (
    BROKEN,
    CALLS,
    KEYS,
    alone,
    chain,
    closed,
    fan,
    first_life,
    nothing_happened,
    outer,
    saga,
)

__all__ = ["first_life", "nothing_happened"]


def fork(source: str, from_task: str, input: str | None = None) -> tuple[str, dict[str, Any]]:
    return "fork", {"source": source, "from_task": from_task, "input": input, "fingerprint": "g"}


async def forked(engine: Engine, source: str, from_task: str, id: str, input: str | None = None) -> tuple[str, Any]:
    await engine.send(1, *fork(source, from_task, input), id=id)
    await engine.until(lambda: not engine.owner._taking)
    return await engine.to_the_end(id=id)


def test_a_fork_keeps_what_is_not_downstream_and_has_keys_of_its_own() -> None:
    async def main(engine: Engine) -> None:
        await engine.submit(1)
        await closed(engine)
        assert await forked(engine, ID, "second", "y") == ("execution_completed", 20)
        assert KEYS == ["x/first", "x/second", "y/second"]
        assert (await engine.kinds("y"))[0] == "execution_forked"
        assert await engine.ending() == ("execution_completed", 20)

    alone(main)


def test_a_fork_with_other_arguments_keeps_results_of_the_old_ones_where_they_are_not_downstream() -> None:
    async def main(engine: Engine) -> None:
        await engine.submit(1)
        await closed(engine)
        assert await forked(engine, ID, "second", "y", '{"x":7}') == ("execution_completed", 20)
        assert await forked(engine, ID, "first", "z", '{"x":7}') == ("execution_completed", 80)

    alone(main)


def test_a_fork_of_a_fork() -> None:
    async def main(engine: Engine) -> None:
        await engine.submit(1)
        await closed(engine)
        await forked(engine, ID, "first", "y", '{"x":7}')
        assert await forked(engine, "y", "second", "z") == ("execution_completed", 80)
        assert KEYS[-1] == "z/second" and CALLS == {"first": 2, "second": 3}

    alone(main)


def test_a_fork_of_an_open_execution_and_of_a_failed_one() -> None:
    async def main(engine: Engine) -> None:
        BROKEN.add("second")
        await engine.submit(1)
        await closed(engine)
        BROKEN.clear()
        assert await forked(engine, ID, "second", "y") == ("execution_completed", 20)
        assert CALLS["first"] == 1

    alone(main)


def test_a_fork_of_what_was_taken_back_does_it_again_and_takes_back_only_that() -> None:
    async def main(engine: Engine) -> None:
        await engine.submit(1)
        await closed(engine)
        BROKEN.add("ship")
        assert (await forked(engine, ID, "ship", "y"))[0] == "execution_failed"
        assert "y/undo:pay" not in KEYS, "the payment is that of x"
        BROKEN.clear()
        BROKEN.add("ship")
        await forked(engine, ID, "pay", "z")
        assert "z/undo:pay" in KEYS
        BROKEN.clear()
        assert (await forked(engine, "z", "ship", "a"))[0] == "execution_completed"
        assert "a/pay" in KEYS, "z took its payment back, so a pays"

    alone(main, saga)


def test_a_fork_starts_children_of_its_own() -> None:
    async def main(engine: Engine) -> None:
        await engine.submit(1)
        await closed(engine)
        assert await forked(engine, ID, "chain", "y") == ("execution_completed", 300)
        row = await engine.journal.execution("default", "y/chain")
        assert row is not None and row.parent == "y"

    alone(main, outer)


def test_a_fork_from_one_item() -> None:
    async def main(engine: Engine) -> None:
        await engine.submit([1, 2, 3])
        await closed(engine)
        assert await forked(engine, ID, "item[1]", "y") == ("execution_completed", [1, 2, 3])
        assert CALLS == {"item 1": 1, "item 2": 2, "item 3": 1}

    alone(main, fan)


def test_a_fork_given_twice_is_one() -> None:
    async def main(engine: Engine) -> None:
        await engine.submit(1)
        await closed(engine)
        await engine.send(1, *fork(ID, "second"), id="y")
        await engine.send(2, *fork(ID, "second"), id="y")
        await engine.until(lambda: not engine.owner._taking)
        await engine.to_the_end(id="y")
        await engine.send(3, *fork(ID, "second"), id="y")
        await engine.until(lambda: not engine.owner._taking)
        assert (await engine.kinds("y")).count("execution_forked") == 1 and CALLS["second"] == 2

    alone(main)


@pytest.mark.parametrize("writing", [False, True], ids=["before writing", "after writing"])
def test_an_owner_that_dies_at_any_commit_of_a_fork_loses_nothing(writing: bool) -> None:
    for die_at in range(1, 20):
        store, died = new_store(), False

        async def first_owner(store: str = store, die_at: int = die_at) -> bool:
            import asyncio

            engine = Engine(chain, store)
            await engine.claim()
            await engine.submit(1)
            await closed(engine)
            engine.journal.die_at, engine.journal.die_after_writing = engine.journal.commits + die_at, writing
            dead = asyncio.ensure_future(engine.journal.died.wait())
            ended = asyncio.ensure_future(forked(engine, ID, "second", "y"))
            await asyncio.wait([dead, ended], return_when=asyncio.FIRST_COMPLETED)
            await engine.close()
            return dead.done()

        async def second_owner(store: str = store) -> None:
            engine = Engine(chain, store, 2)
            await engine.claim()
            await engine.owner._take_once()
            await engine.until(lambda: not engine.owner._taking)
            assert await engine.to_the_end(id="y") == ("execution_completed", 20)
            assert CALLS["first"] == 1
            await engine.close()

        CALLS.clear()
        died = bool(live_through(first_owner))
        if died:
            live_through(second_owner)
        memory.forget(store)
        if not died:
            return
    raise AssertionError("a fork never comes to its end")
