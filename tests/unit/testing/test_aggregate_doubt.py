"""What a policy does at once, a workflow does in steps that outlive a crash: another source, a judge, a person."""

from __future__ import annotations

from typing import Any

import pytest

import raywf
import raywf.testing
from raywf import task, workflow
from raywf.aggregation import Judge, ResultAggregator

ASKED: list[str] = []


@pytest.fixture(autouse=True)
def nobody_asked() -> None:
    ASKED.clear()


@task
def small(question: str) -> dict[str, Any]:
    return {"city": "Paris", "country": "France"}


@task
def tiny(question: str) -> dict[str, Any]:
    return {"city": "Paris" if question == "easy" else "Lyon", "country": "France"}


@task
def large(question: str) -> dict[str, Any]:
    ASKED.append("large")
    return {"city": "Paris", "country": "France"} if question == "hard" else {"city": "Nice", "country": "France"}


@task
async def judged(merged: raywf.AggregateResult) -> raywf.AggregateResult:
    async def likes_paris(answers: list[dict[str, Any]]) -> int:
        ASKED.append("judge")
        return next(at for at, answer in enumerate(answers) if answer["city"] == "Paris")

    return await ResultAggregator(Judge(likes_paris)).merge_async(merged.candidates())


@workflow
def with_a_tie_break(question: str) -> Any:
    answers = [small(question), tiny(question)]
    first = raywf.aggregate(answers, accept_at=0.6)
    return raywf.when(
        first.decision == "accepted",
        then=lambda: first,
        otherwise=lambda: raywf.aggregate([*answers, large(question)], accept_at=0.6),
    )


@workflow
def with_a_judge_and_a_person(question: str) -> Any:
    first = raywf.aggregate([small(question), tiny(question)])
    return raywf.when(
        first.decision == "accepted",
        then=lambda: first.value,
        otherwise=lambda: raywf.approval("Is this right?", data=judged(first).value, on_reject=None),
    )


def test_another_source_is_asked_only_where_the_first_two_differ() -> None:
    easy = raywf.testing.run(with_a_tie_break, "easy")
    assert (easy.value["city"], easy.decision, ASKED) == ("Paris", "accepted", [])
    hard = raywf.testing.run(with_a_tie_break, "hard")
    assert (hard.value["city"], hard.decision, ASKED) == ("Paris", "accepted", ["large"])
    assert [part.source for part in hard.provenance] == ["large", "small", "tiny"]
    (city,) = [part for part in hard.parts if part.path == "/city"]
    assert city.sources == ("large", "small")
    assert raywf.testing.run(with_a_tie_break, "harder").decision == "escalated"


def test_a_judge_chooses_inside_a_task_and_a_person_has_the_last_word() -> None:
    assert raywf.testing.run(with_a_judge_and_a_person, "easy") == {"city": "Paris", "country": "France"}
    assert ASKED == []
    assert raywf.testing.run(with_a_judge_and_a_person, "hard", approve=True) == {"city": "Paris", "country": "France"}
    assert ASKED == ["judge", "judge"], "in both orders"
    assert raywf.testing.run(with_a_judge_and_a_person, "hard", approve=False) is None
