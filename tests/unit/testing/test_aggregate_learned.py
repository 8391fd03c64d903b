"""A merge in a workflow that goes by a named aggregator: it says what it knows, tells it what was said, and dies harmlessly."""

from __future__ import annotations

from typing import Any

import pytest

import raywf
import raywf.testing
from raywf import task, workflow
from raywf.aggregation import Answer, FactSet, Gold
from raywf.errors import DefinitionError, InvalidInput, RaywfError

SOURCES = ("liar", "fool", "sage")


@task
def liar(question: str) -> str:
    return "no"


@task
def fool(question: str) -> str:
    return "no"


@task
def sage(question: str) -> str:
    return "yes"


def known(golds: int, items: int | None = None) -> FactSet:
    """The sage is right nine times in ten, the others now and then, and not together."""
    facts = FactSet()
    for n in range(golds if items is None else items):
        truth = "yes" if n % 2 else "no"
        other = "no" if n % 2 else "yes"
        for source, right in (("sage", n % 10 != 3), ("liar", n % 3 == 0), ("fool", n % 4 == 0)):
            facts.add(Answer(f"q-{n}", source, truth if right else other))
        if n < golds:
            facts.add(Gold(f"q-{n}", truth))
    return facts


@workflow
def stacked(question: str) -> Any:
    return raywf.aggregate([liar(question), fool(question), sage(question)], strategy="stack", aggregator="triage")


@workflow
def best(question: str) -> Any:
    return raywf.aggregate(
        [liar(question), fool(question), sage(question)], strategy="best_source", aggregator="triage"
    )


@pytest.mark.parametrize("merged", [stacked, best])
def test_with_truths_the_one_who_is_right_outweighs_the_many(merged: Any) -> None:
    result = raywf.testing.run(merged, "q", aggregators={"triage": known(60)})
    assert (result.value, result.calibrated) == ("yes", True)
    assert result.strategy in ("stack", "best_source")
    assert {part.source for part in result.provenance} == set(SOURCES)


@pytest.mark.parametrize(
    ("golds", "items", "rung"), [(0, 0, "votes"), (20, 20, "votes"), (0, 80, "consensus"), (49, 80, "consensus")]
)
def test_without_enough_of_them_it_counts_votes_and_says_so(golds: int, items: int, rung: str) -> None:
    result = raywf.testing.run(stacked, "q", aggregators={"triage": known(golds, items)})
    assert (result.calibrated, result.rung) == (False, rung)
    assert f"{golds} truths" in result.why and "50" in result.why
    assert result.decision in ("accepted", "escalated") and result.value in ("yes", "no")


def test_an_unknown_aggregator_is_a_new_one() -> None:
    result = raywf.testing.run(stacked, "q")
    assert (result.value, result.calibrated, result.rung) == ("no", False, "votes")


@pytest.mark.parametrize("fault", ["crash_before_commit", "crash_after_commit", "fail", "duplicate"])
def test_whoever_dies_the_answer_is_the_same(fault: str) -> None:
    given = {"triage": known(60)}
    assert raywf.testing.run(stacked, "q", aggregators=given, faults={"aggregate": fault}) == raywf.testing.run(
        stacked, "q", aggregators=given
    )


@workflow
def until_two(question: str) -> Any:
    return raywf.aggregate(
        [liar(question), sage(question), slow(question)], strategy="stack", aggregator="triage", quorum=2, timeout=60
    )


@task(timeout=1000)
async def slow(question: str) -> str:
    import asyncio

    await asyncio.sleep(500)
    return "no"


def test_it_need_not_wait_for_everybody() -> None:
    result = raywf.testing.run(until_two, "q", aggregators={"triage": known(60)})
    assert result.value == "yes"
    assert {part.source: part.value for part in result.provenance} == {"liar": "no", "sage": "yes", "slow": None}


@task
def sure(question: str) -> raywf.Candidate:
    return raywf.Candidate("yes", "sage", probs={"yes": 0.9, "no": 0.1})


@task
def unsure(question: str) -> raywf.Candidate:
    return raywf.Candidate("no", "liar", probs={"no": 0.55, "yes": 0.45})


@workflow
def pooled(question: str) -> Any:
    return raywf.aggregate([sure(question), unsure(question)], strategy="log_pool", aggregator="triage", item="it")


def test_distributions_reach_the_aggregator_whole() -> None:
    assert raywf.testing.run(pooled, "q").value == "yes"


@workflow
def collected(question: str) -> Any:
    return raywf.aggregate([liar(question), sage(question)], strategy="candidates")


def test_the_strategy_candidates_gives_what_was_said() -> None:
    assert raywf.testing.run(collected, "q") == [raywf.Candidate("no", "liar"), raywf.Candidate("yes", "sage")]


def test_in_a_loop_each_pass_is_an_item_of_its_own() -> None:
    @workflow
    def twice(question: str) -> Any:
        def ask(state: Any) -> Any:
            asked = [liar(question), sage(question), fool(question)]
            return {"n": counted(state["n"]), "why": raywf.aggregate(asked, aggregator="triage").why}

        return raywf.loop(ask, {"n": 0, "why": ""}, until=lambda state: state["n"] >= 3)

    assert "after 2 items" in raywf.testing.run(twice, "q")["why"], "the third knows of two"


@task
def counted(n: int) -> int:
    return n + 1


def test_an_item_that_cannot_be_one_fails_the_task_at_once() -> None:
    @workflow
    def named(item: str) -> Any:
        return raywf.aggregate([liar(item), sage(item)], aggregator="triage", item=item)

    assert raywf.testing.run(named, "ticket-7").value in ("yes", "no")
    with pytest.raises(RaywfError, match="1 to 500 characters"):
        raywf.testing.run(named, "x" * 501)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"strategy": "stack"}, "name the aggregator whose feedback it learns from"),
        ({"item": "x"}, "none is named"),
        ({"aggregator": "a b"}, "without '/' and white space"),
        ({"aggregator": ""}, "without '/' and white space"),
        ({"aggregator": 7}, "known while the graph is being built"),
        ({"aggregator": "a", "strategy": "stackk"}, "did you mean 'stack'"),
        ({"aggregator": "a", "strategy": "candidates"}, "there is no strategy 'candidates'"),
        ({"aggregator": "a", "strategy": raywf.aggregation.Fields()}, "by the name of a strategy"),
        ({"aggregator": "a", "reconcile": ["format"]}, "leave one of them out"),
        ({"aggregator": "a", "item": 7}, "1 to 500 characters"),
        ({"aggregator": "a", "item": ""}, "1 to 500 characters"),
    ],
)
def test_what_cannot_be_is_refused_while_the_graph_is_built(options: dict[str, Any], says: str) -> None:
    def body(question: str) -> Any:
        return raywf.aggregate([liar(question), sage(question)], **options)

    with pytest.raises(DefinitionError, match=says):
        workflow(body).definition  # noqa: B018


def test_two_merges_by_one_aggregator_need_items_of_their_own() -> None:
    def body(question: str) -> Any:
        first = raywf.aggregate([liar(question), sage(question)], aggregator="a")
        return [first, raywf.aggregate([liar(question), fool(question)], aggregator="a")]

    with pytest.raises(DefinitionError, match="more than once with aggregator 'a'"):
        workflow(body).definition  # noqa: B018


def test_what_is_known_beforehand_has_to_be_facts() -> None:
    with pytest.raises(InvalidInput, match="a FactSet, or a list of Answer and Gold"):
        raywf.testing.run(stacked, "q", aggregators={"triage": 7})  # type: ignore[dict-item]
