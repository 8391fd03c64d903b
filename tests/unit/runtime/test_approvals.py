"""Approvals: who may answer, how many must, what happens when nobody does, and answers that come twice or late."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

import raywf
import raywf.testing
from raywf.client.commands import Commands
from raywf.client.reading import Readings
from raywf.core.waiting import reasons
from tests.unit.runtime.engines import ID, LANE, Engine, live_through, new_store

DAY = 86400.0


@raywf.workflow
def publish(approvers: list[str], required: int) -> Any:
    return raywf.approval("Publish?", {"x": 1}, approvers=approvers, required=required, id="ask")


@raywf.workflow
def escalating() -> Any:
    return raywf.approval(
        "Pay?", "paid", timeout=3600, assignee="ann", escalate_after=600, escalate_to=["boss", "deputy"], id="ask"
    )


@raywf.workflow
def open_to_all() -> Any:
    return raywf.approval("Go?", "gone", id="ask")


class Person:
    """Answers as a client does, over the store alone."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        readings = Readings("memory://unit", "default", engine.journal)
        self.commands = Commands(readings.url, "default", readings, engine.journal)

    async def says(self, approved: bool, by: str, comment: str = "") -> bool:
        await self.engine.commits.drain()
        new = await self.commands.decide(ID, approved, by, comment, None)
        await self.engine.owner._take_once()
        await self.engine.commits.drain()
        return new


def lives(
    workflow: Any, main: Callable[[Engine, Person], Coroutine[Any, Any, Any]], *args: Any, **settings: Any
) -> Any:
    async def run() -> Any:
        engine = Engine(workflow, new_store(), **settings)
        await engine.claim()
        await engine.submit(*args)
        try:
            return await main(engine, Person(engine))
        finally:
            await engine.close()

    return live_through(run)


def asked(engine: Engine) -> str:
    live = engine.live()
    assert live is not None
    return live.waiting_for or ""


def test_two_of_three_must_approve_and_it_says_who_is_asked() -> None:
    async def main(engine: Engine, person: Person) -> Any:
        await engine.commits.drain()
        assert asked(engine) == "an approval by 2 of ann, bob or cy (ask): Publish?"
        assert await person.says(True, "bob")
        assert asked(engine) == "an approval by 2 of ann, bob or cy; bob approved (ask): Publish?"
        live = engine.live()
        assert live is not None
        (reason,) = reasons(live.state)
        assert reason.who == "ann, cy"
        assert await person.says(True, "ann")
        return await engine.ending()

    assert lives(publish, main, ["ann", "bob", "cy"], 2) == ("execution_completed", {"x": 1})


def test_an_approval_given_twice_by_one_person_counts_once() -> None:
    async def main(engine: Engine, person: Person) -> None:
        assert await person.says(True, "ann")
        assert not await person.says(True, "ann"), "a repeat is a no-op"
        with pytest.raises(raywf.InvalidInput, match="'ann' has approved 'ask' of execution 'x' already"):
            await person.says(False, "ann")
        await engine.send(
            9, "approve", {"task": "ask"}
        )  # and so it is where two answers cross: by "me", who is not asked
        live = engine.live()
        assert live is not None and live.status == "waiting"

    lives(publish, main, ["ann", "bob"], 2)


def test_an_approval_by_the_wrong_person_is_denied_and_nothing_is_stored() -> None:
    async def main(engine: Engine, person: Person) -> None:
        with pytest.raises(raywf.PermissionDenied, match=r"'eve' may not answer 'ask'.*by ann or bob"):
            await person.says(True, "eve")
        with pytest.raises(raywf.InvalidInput, match="has the name of the person"):
            await person.says(True, "  ")
        assert await engine.journal.inbox(LANE, 0) == []
        await engine.send(1, "approve", {"task": "ask"})  # past the client, by "me": the owner looks, too
        live = engine.live()
        assert live is not None and live.state.tasks[0].notes is None

    lives(publish, main, ["ann", "bob"], 1)


def test_an_approval_that_comes_late_is_refused() -> None:
    async def main(engine: Engine, person: Person) -> None:
        assert await person.says(True, "ann")
        with pytest.raises(raywf.ExecutionClosed, match="it takes no approve"):
            await person.says(True, "bob")

    lives(publish, main, ["ann", "bob"], 1)


def test_it_is_rejected_once_too_few_are_left_who_could_approve() -> None:
    async def main(engine: Engine, person: Person) -> Any:
        assert await person.says(False, "ann", "not today")
        assert engine.live() is not None, "bob and cy can still approve it"
        assert await person.says(False, "bob", "nor me")
        return await engine.ending()

    kind, failed = lives(publish, main, ["ann", "bob", "cy"], 2)
    assert (kind, failed) == ("execution_failed", ("ask", "ApprovalRejected", "Publish? was rejected: nor me"))


def test_after_some_time_others_are_asked_as_well() -> None:
    async def main(engine: Engine, person: Person) -> Any:
        with pytest.raises(raywf.PermissionDenied, match="wait for the escalation"):
            await person.says(True, "boss")
        await asyncio.sleep(700)
        assert asked(engine) == "an approval by ann, boss or deputy; escalated to boss and deputy (ask): Pay?"
        assert await person.says(True, "deputy")
        return await engine.ending()

    assert lives(escalating, main) == ("execution_completed", "paid")


def test_a_deadline_that_nobody_meets_says_who_was_asked() -> None:
    with pytest.raises(raywf.WorkflowFailed) as caught:
        raywf.testing.run(escalating)
    message = caught.value.failure.message
    assert message.startswith("nobody answered in time: Pay? (it waited for an approval by ann, boss or deputy")


def test_an_approval_that_nobody_answers_ends_after_thirty_days_or_as_configured() -> None:
    async def main(engine: Engine, person: Person) -> float:
        began = engine.clock.now()
        assert (await engine.to_the_end())[1][1:] == ("TimeoutError", "nobody answered in time: Go?")
        return engine.clock.now() - began

    assert lives(open_to_all, main) == pytest.approx(30 * DAY, abs=60)
    assert lives(open_to_all, main, approval_timeout_s=DAY) == pytest.approx(DAY, abs=60)


def test_an_escalation_and_its_answers_survive_a_crash() -> None:
    store = new_store()

    async def first() -> None:
        engine = Engine(escalating, store)
        await engine.claim()
        await engine.submit()
        await asyncio.sleep(700)
        await engine.commits.drain()

    async def second() -> Any:
        engine = Engine(escalating, store, 2, now=1_700_000_000.0 + 800)
        await engine.claim()
        await Person(engine).says(True, "boss")
        ended = await engine.ending()
        await engine.close()
        return ended

    live_through(first)
    assert live_through(second) == ("execution_completed", "paid")


def test_in_tests_everybody_who_must_approves() -> None:
    assert raywf.testing.run(publish, ["ann", "bob", "cy"], 3, approve=True) == {"x": 1}
    with pytest.raises(raywf.WorkflowFailed, match="was rejected"):
        raywf.testing.run(publish, ["ann", "bob", "cy"], 3, approve=False)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"approvers": ["ann"], "required": 2}, "required is 2, and only 1 may approve"),
        ({"required": 0}, "an integer from 1"),
        ({"approvers": ["ann", "ann"]}, "has 'ann' twice"),
        ({"approvers": []}, "is a list of names"),
        ({"assignee": ""}, "assignee is ''"),
        ({"escalate_after": 60}, "given without escalate_to"),
        ({"escalate_to": ["boss"]}, "given without escalate_after"),
        ({"escalate_after": 60, "escalate_to": "boss", "timeout": 60}, "nobody could answer after the escalation"),
    ],
)
def test_who_is_asked_is_checked_when_the_workflow_is_built(options: Any, says: str) -> None:
    @raywf.workflow
    def flow() -> Any:
        return raywf.approval("Go?", **options)

    with pytest.raises(raywf.DefinitionError, match=says):
        _ = flow.definition


def test_and_what_is_known_only_at_run_time_then() -> None:
    with pytest.raises(raywf.WorkflowFailed, match="approval ask: required is 3, and only 1 may approve"):
        raywf.testing.run(publish, ["ann"], 3)


def test_an_approval_says_the_same_in_yaml() -> None:
    text = escalating.definition.to_yaml()
    again = raywf.WorkflowDefinition.from_yaml(text)
    assert again == escalating.definition and "escalate_after: 600" in text
    wrong = text.replace("assignee: ann", "assignee: 7")
    with pytest.raises(raywf.DefinitionError, match="assignee is 7"):
        raywf.WorkflowDefinition.from_yaml(wrong)
