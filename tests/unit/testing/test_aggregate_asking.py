"""``raywf.aggregate`` with what asks somebody: judges, juries, writers, and a policy for results that are not accepted."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest
from pydantic import BaseModel

import raywf
import raywf.testing
from raywf import AggregateResult, Candidate, ResultAggregator, task, workflow
from raywf.aggregation import (
    Abstain,
    AskJudge,
    AskPerson,
    Fields,
    Judge,
    Jury,
    Lists,
    MoreSamples,
    Policy,
    Synthesis,
    TieBreak,
)
from raywf.definition.model import WorkflowDefinition
from raywf.errors import DefinitionError, WorkflowFailed

asked: list[Any] = []


@pytest.fixture(autouse=True)
def nobody_was_asked() -> None:
    asked.clear()


class Invoice(BaseModel):
    vendor: str
    total: float


@dataclass
class Not:
    vendor: str


@task
def say(value: Any) -> Any:
    return value


@task
def again(value: Any) -> Any:
    asked.append(value)
    return value


@task
async def for_b(answers: list[Any]) -> dict[str, Any]:
    asked.append(list(answers))
    return {"choice": "b", "confidence": 0.9}


@task
async def for_first(answers: list[Any]) -> int:
    return 0


@task
def broken(answers: list[Any]) -> Any:
    raise ConnectionError("nobody is at home")


@task
def joined(answers: list[Any]) -> str:
    return " and ".join(sorted(answers))


def result_of(results: list[Any], **how: Any) -> AggregateResult:
    @workflow(id="merged")
    def flow() -> Any:
        return raywf.aggregate([say(each) for each in results], **how)

    loaded = WorkflowDefinition.model_validate_json(flow.definition.model_dump_json())
    assert loaded == flow.definition, "what a body says is said by its JSON too"
    found = raywf.testing.run(flow)
    assert isinstance(found, AggregateResult)
    return found


def in_one_breath(results: list[Any], strategy: Any) -> AggregateResult:
    names = ["say", *(f"say-{n}" for n in range(2, len(results) + 1))]
    merge = ResultAggregator(strategy).merge_async([Candidate(*each) for each in zip(results, names, strict=True)])
    return asyncio.run(merge)


@pytest.mark.parametrize(
    "strategy",
    [
        Judge(for_b), Judge(for_b, name="b", swap=False), Jury(for_b, for_first), Synthesis(joined),
        Synthesis(joined, Judge(for_b)), Synthesis(joined, Jury(for_b, for_first)),
    ],
    ids=["judge", "asked once", "jury", "writer", "writer and judge", "writer and jury"],
)  # fmt: skip
def test_a_merge_that_asks_gives_what_it_gives_in_one_breath(strategy: Any) -> None:
    found = result_of(["a", "b", "a"], strategy=strategy)
    assert found == in_one_breath(["a", "b", "a"], strategy)


def test_a_judge_is_asked_in_both_orders_each_a_task_of_its_own() -> None:
    assert result_of(["a", "b"], strategy=Judge(for_b)).value == "b"
    assert sorted(asked) == [["a", "b"], ["b", "a"]]


def test_where_all_agree_nobody_is_asked() -> None:
    found = result_of(["a", "a"], strategy=Jury(for_b, broken))
    assert (found.value, found.why, asked) == ("a", "all say the same, so no judge was asked", [])
    assert result_of([None, None], strategy=Judge(for_b)).decision == "abstained"


def test_a_judge_that_fails_is_a_voice_less_and_fails_no_workflow() -> None:
    found = result_of(["a", "b", "a"], strategy=Jury(for_b, broken))
    assert (found.value, found.why) == ("b", "1 of 2 judges for it")
    assert found.insights[0].startswith("broken: failed (its attempts are used up")
    alone = result_of(["a", "b", "a"], strategy=Judge(broken))
    assert (alone.value, alone.decision) == ("a", "escalated")


def test_the_fallback_of_a_judge_is_asked_before_it_is_given_up() -> None:
    @task(fallback=lambda answers: "b")
    def weak(answers: list[Any]) -> Any:
        raise ConnectionError("down")

    assert result_of(["a", "b", "a"], strategy=Judge(weak)).value == "b"


def test_records_are_merged_by_their_own_settings() -> None:
    records = [{"vendor": "Acme", "total": 1.0}, {"vendor": "Acme", "total": 3.0}, {"vendor": "Apex", "total": 99.0}]
    found = result_of(records, strategy=Fields(by={"/total": "median"}, validate=Invoice))
    assert found.value == Invoice(vendor="Acme", total=3.0)
    lists = [[{"sku": 1, "n": 2}], [{"sku": 1, "n": 2}, {"sku": 2, "n": 9}], [{"sku": 1, "n": 3}]]
    assert result_of(lists, strategy=Lists(key="sku")).value == [{"sku": 1, "n": 2}]


def test_settings_are_written_in_yaml_as_well() -> None:
    flow = WorkflowDefinition.from_yaml(
        """
        id: records
        tasks:
          - {id: one, function: "tests.unit.testing.test_aggregate_asking:say", args: [{total: 1}]}
          - {id: two, function: "tests.unit.testing.test_aggregate_asking:say", args: [{total: 3}]}
          - {id: all, aggregate: {results: [{$ref: one}, {$ref: two}], strategy: {fields: {by: {/total: mean}}}}}
        result: {$ref: all.value}
        """
    )
    assert raywf.testing.run(flow) == {"total": 2.0}
    with pytest.raises(DefinitionError, match=r"no setting 'bye'. Did you mean 'by'"):
        WorkflowDefinition.model_validate(
            flow.model_dump() | {"tasks": [
                {"id": "all", "aggregate": {"results": [1], "strategy": {"fields": {"bye": {}}}}},
            ], "result": {"$ref": "all"}}
        )  # fmt: skip


def test_differences_that_are_none_are_counted_together() -> None:
    found = result_of(["5 kg", "5000 g", "7 kg"], reconcile="unit")
    assert found.value in ("5 kg", "5000 g")
    assert found.agreement == pytest.approx(2 / 3)


def test_samples_are_asked_one_after_another_until_it_is_accepted() -> None:
    policy = Policy(MoreSamples(*[lambda: again("a")] * 4))
    found = result_of(["a", "b"], policy=policy)
    assert (found.value, found.decision, asked) == ("a", "accepted", ["a", "a"])
    assert {each.source for each in found.provenance} == {"say", "say-2", "again", "again-2"}


def test_an_accepted_answer_asks_nobody() -> None:
    policy = Policy(
        MoreSamples(lambda: again("b")), TieBreak(lambda: again("b")), AskJudge(for_b), AskPerson(), Abstain()
    )
    found = result_of(["a", "a", "a"], policy=policy)
    assert (found.value, found.decision, asked) == ("a", "accepted", [])


def test_a_tie_is_broken_by_a_source_of_more_weight() -> None:
    found = result_of(["a", "b"], policy=Policy(TieBreak(lambda: again("b"), weight=6.0)))
    assert (found.value, found.decision) == ("b", "accepted")
    assert next(each.share for each in found.provenance if each.source == "again") == 0.75


def test_nobody_samples_where_only_the_spelling_differs() -> None:
    policy = Policy(MoreSamples(lambda: again("new york")), AskJudge(for_first), Abstain())
    result_of(["New-York", "new york"], policy=policy)
    assert asked == []


def test_steps_are_taken_in_order_and_the_last_word_is_no_answer() -> None:
    steps = Policy(MoreSamples(lambda: again("c")), AskJudge(broken), AskPerson(timeout=60), Abstain())
    found = result_of(["a", "b"], policy=steps)
    assert (found.value, found.decision, asked) == (None, "abstained", ["c"])


def test_a_person_lets_the_answer_stand_or_does_not() -> None:
    @workflow
    def flow() -> Any:
        return raywf.aggregate([say("a"), say("b"), say("a")], policy=Policy(AskPerson("Right?")))

    yes = raywf.testing.run(flow, approve=True)
    assert (yes.value, yes.decision, yes.why) == ("a", "accepted", "a person decided")
    no = raywf.testing.run(flow, approve=False)
    assert (no.value, no.decision, no.why) == ("a", "escalated", "a person said no")


def test_a_merge_that_did_not_wait_for_all_goes_on_from_what_it_has() -> None:
    found = result_of(["a", "b", "c"], quorum=3, policy=Policy(MoreSamples(lambda: again("a"), lambda: again("a"))))
    assert (found.value, asked) == ("a", ["a", "a"])
    assert len(found.provenance) == 5


def test_a_task_may_speak_for_several_sources() -> None:
    @workflow
    def flow() -> Any:
        return raywf.aggregate([say([Candidate("a", "x"), Candidate("a", "y")]), say("b")], strategy="majority")

    found = raywf.testing.run(flow)
    assert found.value == "a"
    assert [each.source for each in found.provenance] == ["say-2", "x", "y"]


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"policy": Policy(MoreSamples("small#2"))}, r"MoreSamples\('small#2'\) names a source.*lambda"),
        ({"policy": Policy(TieBreak(lambda: "large"))}, "calls a task"),
        ({"policy": AskJudge(for_b)}, "it is a raywf.aggregation.Policy"),
        ({"strategy": Judge(for_b), "policy": Policy(MoreSamples(lambda: again("a")))}, "put AskJudge behind MoreSamples"),
        ({"strategy": Fields(validate=lambda record: True)}, "give a class"),
        ({"strategy": Fields(by={"/a": Judge(for_b)})}, "by name, Fields or Lists"),
        ({"strategy": Fields(), "early_stop": True}, "early_stop needs a strategy that votes"),
        ({"strategy": Fields(by={"/a": "medain"})}, "did you mean 'median'"),
        ({"reconcile": "spelling"}, "reconcile takes format, unit, granularity"),
        ({"strategy": 7}, "int cannot stand"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_when_the_workflow_is_built(how: dict[str, Any], said: str) -> None:
    @workflow
    def flow() -> Any:
        return raywf.aggregate([say("a"), say("b")], **how)

    with pytest.raises(DefinitionError, match=said):
        flow.definition  # noqa: B018


def test_a_record_that_no_class_takes_stands_as_one_that_was_given_or_not_at_all() -> None:
    found = result_of([{"vendor": "A"}, {"vendor": "A"}], strategy=Fields(validate=Invoice))
    assert (found.value, found.decision) == (None, "abstained")


def test_a_further_source_that_fails_fails_the_workflow_as_any_task_does() -> None:
    @workflow
    def flow() -> Any:
        policy = Policy(MoreSamples(lambda: broken(["x"])))
        return raywf.aggregate([say("a"), say("b")], policy=policy)

    with pytest.raises(WorkflowFailed, match="nobody is at home"):
        raywf.testing.run(flow)


def test_a_policy_with_callables_belongs_into_a_workflow() -> None:
    with pytest.raises(raywf.InvalidInput, match=r"only raywf\.aggregate"):
        ResultAggregator().resolve(
            [Candidate("a", "x"), Candidate("b", "y")], Policy(MoreSamples(lambda: again("a"))), lambda step: None
        )
