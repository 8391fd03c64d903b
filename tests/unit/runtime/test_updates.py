"""Updates: accepted or refused before they are recorded, answered by a task's result, once, whatever happens in between."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

import raywf
from raywf.client.commands import Commands
from raywf.client.reading import Readings
from raywf.client.updates import answer
from raywf.core.waiting import reasons
from raywf.runtime import updates
from tests.unit.runtime.engines import ID, LANE, Engine, live_through, new_store

ASKED: list[Any] = []


@pytest.fixture(autouse=True)
def _nothing_asked() -> None:
    ASKED.clear()


def is_a_street(change: dict[str, Any]) -> None:
    ASKED.append(change)
    if not change.get("street"):
        raise ValueError("a street is needed")


async def is_short(word: str) -> bool:
    await asyncio.sleep(0.01)
    return len(word) < 5


@raywf.task
async def moves(order: str, change: dict[str, Any]) -> dict[str, Any]:
    await asyncio.sleep(1)
    return {"order": order, "to": change["street"]}


@raywf.workflow
def shipping(order: str) -> Any:
    return raywf.wait_update("address", validator=is_a_street, answer=lambda change: moves(order, change), id="ask")


@raywf.task
def adds(state: dict[str, Any], word: str) -> dict[str, Any]:
    words = [*state["words"], word]
    return {"words": words, "full": len(words) == 3}


@raywf.workflow
def collecting(first: str) -> Any:
    def one_more(state: Any) -> Any:
        return raywf.wait_update("word", validator=is_short, answer=lambda word: adds(state, word))

    return raywf.loop(one_more, {"words": [], "full": False}, until=lambda state: state["full"])


class Caller:
    """Sends updates as a client does, over the store alone."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.readings = Readings("memory://unit", "default", engine.journal)
        self.commands = Commands(self.readings.url, "default", self.readings, engine.journal)

    async def send(self, name: str, payload: Any, id: str | None = None) -> str:
        await self.engine.commits.drain()
        sent = await self.commands.update(ID, name, payload, id)
        await self.engine.owner._take_once()
        return sent

    async def __call__(self, name: str, payload: Any, id: str | None = None, timeout: float | None = 60) -> Any:
        return await answer(self.readings, ID, name, await self.send(name, payload, id), timeout)


def lives(workflow: Any, main: Callable[[Engine, Caller], Coroutine[Any, Any, Any]], *args: Any) -> Any:
    async def run() -> Any:
        engine = Engine(workflow, new_store())
        await engine.claim()
        await engine.submit(*args)
        serving = asyncio.ensure_future(engine.owner.take_commands())
        try:
            return await main(engine, Caller(engine))
        finally:
            serving.cancel()
            await engine.close()

    return live_through(run)


def test_an_update_is_answered_by_the_result_of_a_task() -> None:
    async def main(engine: Engine, update: Caller) -> None:
        live = engine.live()
        assert live is not None
        (reason,) = reasons(live.state)
        assert (reason.kind, reason.text) == ("update", "an update 'address' (ask)")
        assert await update("address", {"street": "Elm"}) == {"order": "17", "to": "Elm"}
        assert await engine.to_the_end() == ("execution_completed", {"order": "17", "to": "Elm"})

    lives(shipping, main, "17")


def test_one_that_is_refused_is_not_recorded_and_its_caller_learns_why() -> None:
    async def main(engine: Engine, update: Caller) -> None:
        with pytest.raises(
            raywf.InvalidInput, match="update 'address' of execution 'x' was refused: ValueError: a street is needed"
        ):
            await update("address", {"street": ""}, "u-1")
        with pytest.raises(raywf.InvalidInput, match="a street is needed"):
            await update("address", {"street": ""}, "u-1")
        assert len(ASKED) == 1, "a repeat is answered from the record"
        assert "signal_received" not in await engine.kinds()
        live = engine.live()
        assert live is not None and live.status == "waiting"

    lives(shipping, main, "17")


def test_the_same_id_counts_once_and_gets_the_same_answer_also_afterwards() -> None:
    async def main(engine: Engine, update: Caller) -> None:
        both = await asyncio.gather(
            update("address", {"street": "Elm"}, "u-1"), update("address", {"street": "Oak"}, "u-1")
        )
        assert both == [{"order": "17", "to": "Elm"}] * 2
        await engine.to_the_end()
        assert await update("address", {"street": "Elm"}, "u-1") == both[0]
        with pytest.raises(raywf.ExecutionClosed, match="takes no update 'address'"):
            await update("address", {"street": "Elm"})

    lives(shipping, main, "17")


def test_each_pass_of_a_loop_takes_one_and_answers_it_and_those_that_come_early_wait_in_order() -> None:
    async def main(engine: Engine, update: Caller) -> None:
        answers = await asyncio.gather(*(update("word", word) for word in ("a", "b", "c")))
        assert [each["words"] for each in answers] == [["a"], ["a", "b"], ["a", "b", "c"]]
        assert (await engine.to_the_end())[1] == {"words": ["a", "b", "c"], "full": True}

    lives(collecting, main, "")


def test_a_validator_may_be_async_and_say_no_by_false() -> None:
    async def main(engine: Engine, update: Caller) -> None:
        with pytest.raises(raywf.InvalidInput, match="the validator of update 'word' gave False"):
            await update("word", "far too long")

    lives(collecting, main, "")


def test_after_a_crash_an_update_that_was_not_decided_is_validated_again() -> None:
    store = new_store()

    async def first() -> None:
        engine = Engine(shipping, store)
        await engine.claim()
        await engine.submit("17")
        await engine.commits.drain()
        await Caller(engine).commands.update(ID, "address", {"street": "Elm"}, "u-1")

    async def second() -> Any:
        engine = Engine(shipping, store, 2)
        await engine.claim()
        caller = Caller(engine)
        assert len(await engine.journal.inbox(LANE, 0)) == 1
        found = await caller("address", {"street": "Elm"}, "u-1")
        await engine.close()
        return found

    live_through(first)
    assert live_through(second) == {"order": "17", "to": "Elm"}


def test_a_validator_that_does_not_decide_refuses_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    async def ponders(payload: Any) -> None:
        await asyncio.sleep(1e9)

    @raywf.workflow
    def flow() -> Any:
        return raywf.wait_update("x", validator=ponders)

    async def main(engine: Engine, update: Caller) -> None:
        with pytest.raises(raywf.InvalidInput, match=f"did not decide within {updates.VALIDATION_S:g} s"):
            await update("x", 1, timeout=None)

    lives(flow, main)


def test_an_update_may_take_too_long_and_be_asked_for_again() -> None:
    @raywf.workflow
    def flow() -> Any:
        later = raywf.sleep(5, "now", id="later")
        return raywf.wait_update("x").after(later)

    async def main(engine: Engine, update: Caller) -> None:
        with pytest.raises(raywf.ResultTimeout, match=r"update\(…, id='u-1'\) waits for its answer again"):
            await update("x", 1, "u-1", timeout=0)
        assert await update("x", 1, "u-1", timeout=None) is None
        assert await engine.to_the_end() == ("execution_completed", 1)

    lives(flow, main)


def test_an_execution_that_ends_first_says_so() -> None:
    async def main(engine: Engine, update: Caller) -> None:
        waiting = asyncio.ensure_future(update("address", {"street": "Elm"}))
        await engine.until(lambda: (live := engine.live()) is not None and live.status == "running" and ASKED)
        await engine.send(1, "cancel", {"reason": "changed my mind"})
        with pytest.raises(raywf.WorkflowCancelled, match="changed my mind"):
            await waiting

    lives(shipping, main, "17")


def test_what_cannot_be_meant_is_refused_before_anything_is_stored() -> None:
    @raywf.workflow
    def flow() -> Any:
        return raywf.wait_update("count", schema=int), raywf.wait_signal("go")

    async def main(engine: Engine, update: Caller) -> None:
        with pytest.raises(raywf.InvalidInput, match=r"takes no update 'cont': it takes count.*Did you mean 'count'"):
            await update("cont", 1)
        with pytest.raises(raywf.InvalidInput, match="takes no update 'go'"):
            await update("go", 1)
        with pytest.raises(raywf.InvalidInput, match="the payload of update 'count' does not fit"):
            await update("count", "many")
        assert await engine.journal.inbox(LANE, 0) == []

    lives(flow, main)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: raywf.wait_update(""), "the name of an update is text"),
        (lambda: raywf.wait_update("x", validator=7), "validator is 7"),
        (lambda: raywf.wait_update("x", validator=lambda: None), "it is called with the payload"),
        (
            lambda: raywf.wait_update("x", answer=lambda payload: payload),
            "the answer of an update is what a task gives",
        ),
        (
            lambda: raywf.wait_update("x", answer=lambda payload: {"a": 1}),
            "the answer of an update is what a task gives",
        ),
        (lambda: raywf.wait_update("x", answer=3), "answer= takes a callable of the payload"),
    ],
)
def test_a_wait_that_makes_no_sense_is_refused_when_the_workflow_is_built(call: Any, says: str) -> None:
    @raywf.workflow
    def flow() -> Any:
        return call()

    with pytest.raises(raywf.DefinitionError, match=says):
        _ = flow.definition


def test_an_update_says_the_same_in_yaml() -> None:
    text = shipping.definition.to_yaml()
    assert raywf.WorkflowDefinition.from_yaml(text) == shipping.definition
    with pytest.raises(raywf.DefinitionError, match=r"its answer is that of 'movez'.*Did you mean 'moves'"):
        raywf.WorkflowDefinition.from_yaml(text.replace("answer: {$ref: moves}", "answer: {$ref: movez}"))
