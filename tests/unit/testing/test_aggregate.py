"""``raywf.aggregate``: what several tasks say, merged into one answer as a task of the workflow."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

import raywf
import raywf.testing
from raywf import AggregateResult, Candidate, ResultAggregator, task, workflow
from raywf.core.plan import NodeKind
from raywf.definition.model import WorkflowDefinition
from raywf.definition.values import decode, encode
from raywf.errors import DefinitionError, WorkflowFailed

GOLDEN = Path(__file__).parents[2] / "golden" / "aggregate.1.json"


@task
def north(question: str) -> str:
    return "left"


@task
def south(question: str) -> str:
    return "right"


@task
async def west(question: str) -> str:
    return "left"


@task
def say(value: Any) -> Any:
    return value


@workflow
def panel(question: str) -> Any:
    return raywf.aggregate([north(question), south(question), west(question)], strategy="majority")


def shares(result: AggregateResult) -> dict[str, Any]:
    return {each.source: each.value for each in result.provenance}


def merged(values: Any, **options: Any) -> AggregateResult:
    """What ``raywf.aggregate`` gives for the values that tasks give."""

    @workflow(id="merged")
    def flow(values: Any) -> Any:
        return raywf.aggregate(say(values), **options)

    found = raywf.testing.run(flow, values)
    assert isinstance(found, AggregateResult)
    return found


def test_it_merges_once_all_results_are_there_and_sources_are_the_tasks() -> None:
    found = raywf.testing.run(panel, "which way?")
    assert (found.value, found.strategy, found.decision) == ("left", "majority", "escalated")
    assert shares(found) == {"north": "left", "south": "right", "west": "left"}
    assert found == ResultAggregator("majority").merge(
        [Candidate("left", "north"), Candidate("right", "south"), Candidate("left", "west")]
    )


def test_the_merged_answer_goes_on_as_a_reference() -> None:
    @workflow
    def onward() -> Any:
        best = raywf.aggregate([north("?"), west("?")])
        return raywf.when(best.decision == "accepted", then=lambda: say(best.value), otherwise=lambda: say("ask"))

    assert raywf.testing.run(onward) == "left"


def test_items_of_a_fan_out_are_sources_by_their_address_and_a_gather_is_looked_through() -> None:
    @workflow
    def fanned() -> Any:
        asked = say.map(["a", "b", "a"])
        return [raywf.aggregate(asked), raywf.aggregate(raywf.gather(north("?"), south("?")))]

    one, two = raywf.testing.run(fanned)
    assert shares(one) == {"say[0]": "a", "say[1]": "b", "say[2]": "a"}
    assert shares(two) == {"north": "left", "south": "right"}


def test_two_parts_of_one_result_are_two_sources() -> None:
    @workflow
    def parts() -> Any:
        both = say({"a": 1, "b": 2})
        return raywf.aggregate([both["a"], both["b"], both["a"]])

    assert shares(raywf.testing.run(parts)) == {"say": 1, "say-2": 2, "say-3": 1}


def test_a_dict_says_confidence_weight_probs_and_source() -> None:
    @workflow
    def told() -> Any:
        return raywf.aggregate(
            [
                {"source": "careful", "value": north("?"), "confidence": 0.9, "weight": 3},
                {"value": south("?"), "probs": {"right": 0.6, "left": 0.4}},
            ],
            strategy="weighted_vote",
        )

    found = raywf.testing.run(told)
    assert found.value == "left"
    assert [(each.source, each.confidence, each.share) for each in found.provenance] == [
        ("careful", 0.9, 0.75),
        ("south", None, 0.25),
    ]


def test_a_dict_with_other_keys_is_an_answer() -> None:
    record = {"value": 3, "unit": "kg"}
    assert merged([record, record, {"value": 3, "unit": "g"}]).value == record


def test_candidates_and_merged_answers_are_taken_as_they_are() -> None:
    before = ResultAggregator("linear_pool").merge([Candidate("x", "a", probs={"x": 0.8, "y": 0.2})])
    found = merged([Candidate("y", "b", probs={"x": 0.3, "y": 0.7}), before], strategy="linear_pool")
    assert found.value == "x"
    assert dict(found.probs) == pytest.approx({"x": 0.55, "y": 0.45})
    assert [each.source for each in found.provenance] == ["b", "say[1]"]


@pytest.mark.parametrize("values", [[], [None, None]])
def test_nobody_who_answers_is_an_abstention(values: list[Any]) -> None:
    found = merged(values)
    assert (found.value, found.confidence, found.decision) == (None, 0.0, "abstained")


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        ("left", {}, "a merge needs a list of results, got str: 'left'"),
        (["a", {"value": "b", "confidence": 90}], {}, "divide a percentage by 100"),
        (["a", {"value": "b", "weight": -1}], {}, r"the weight of source 'say\[1\]' is -1"),
        (["a", {"value": "b", "probs": 0.5}], {}, "are 0.5: give a mapping"),
        ([{"value": "a", "source": "x"}, {"value": "b", "source": "x"}], {}, "'x'"),
        ([1.0, math.nan], {}, "NaN"),
        ([1.0, "many"], {"strategy": "median"}, "'many'"),
    ],
)
def test_what_cannot_be_merged_fails_the_task_and_says_why(values: Any, options: Any, message: str) -> None:
    with pytest.raises(WorkflowFailed, match=message) as caught:
        merged(values, **options)
    assert caught.value.task_id == "aggregate"
    assert caught.value.failure.type.endswith("InvalidInput")
    assert "aggregate: " in caught.value.failure.message


def test_strategy_and_accept_at_may_be_known_only_at_run_time() -> None:
    @workflow
    def chosen(how: str, bar: float) -> Any:
        return raywf.aggregate([north("?"), south("?"), west("?")], strategy=how, accept_at=bar)

    assert raywf.testing.run(chosen, "majority", 0.5).decision == "accepted"
    assert raywf.testing.run(chosen, "majority", 0.99).decision == "escalated"
    with pytest.raises(WorkflowFailed, match="did you mean 'majority'"):
        raywf.testing.run(chosen, "majorty", 0.5)
    with pytest.raises(WorkflowFailed, match="learns from gold answers and needs 30"):
        raywf.testing.run(chosen, "stack", 0.5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"strategy": "majorty"}, "did you mean 'majority'"),
        ({"strategy": "stack"}, "a merge in a workflow has none"),
        ({"accept_at": 70}, "divide a percentage by 100"),
    ],
)
def test_a_mistake_in_a_merge_is_a_definition_error_with_its_line(options: Any, message: str) -> None:
    @workflow
    def wrong() -> Any:
        return raywf.aggregate([north("?"), south("?")], **options)

    with pytest.raises(DefinitionError, match=message) as caught:
        _ = wrong.definition
    assert "test_aggregate.py" in str(caught.value)


def test_it_takes_a_list_and_belongs_into_a_body() -> None:
    @workflow
    def named() -> Any:
        return raywf.aggregate({"n": north("?")})

    with pytest.raises(DefinitionError, match="takes a list of what tasks give"):
        _ = named.definition
    with pytest.raises(DefinitionError, match=r"raywf\.aggregate"):
        raywf.aggregate([1])


def test_a_task_that_was_not_called_is_named() -> None:
    @workflow
    def forgotten() -> Any:
        return raywf.aggregate([north("?"), south])

    with pytest.raises(DefinitionError, match="south was not called"):
        _ = forgotten.definition


def test_a_merge_is_data_both_ways_and_is_drawn() -> None:
    definition = panel.definition
    assert WorkflowDefinition.from_yaml(definition.to_yaml()) == definition
    assert WorkflowDefinition.from_json(definition.to_json()) == definition
    assert definition.dependencies["aggregate"] == ["north", "south", "west"]
    assert "aggregate (merge)" in definition.to_mermaid()
    assert [node.kind for node in panel.plan.nodes][-1] is NodeKind.AGGREGATE


WRITTEN = """
id: written
tasks:
  - {id: north, function: "tests.unit.testing.test_aggregate:north", args: ["?"]}
  - {id: south, function: "tests.unit.testing.test_aggregate:south", args: ["?"]}
  - id: verdict
    aggregate:
      results: [{$ref: north}, {source: old, value: {$ref: south}, weight: 2}]
      strategy: weighted_vote
result: {$ref: verdict.value}
"""


def test_a_merge_written_as_yaml_runs() -> None:
    assert raywf.testing.run(WorkflowDefinition.from_yaml(WRITTEN)) == "right"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("strategy: weighted_vote", "strategy: weighted_vot"), "did you mean 'weighted_vote'"),
        (("strategy: weighted_vote", "strategy: 7"), "there is no strategy 7"),
        (("strategy: weighted_vote", "strategie: auto"), "Did you mean 'strategy'"),
        (("strategy: weighted_vote", "accept_at: 7"), "must be from 0 to 1"),
        (("results: [", "results: north #"), "results is 'north': it must be a list"),
        (("$ref: north}, ", "$ref: noth}, "), "Did you mean 'north'"),
    ],
)
def test_a_flaw_in_a_written_merge_is_named_with_its_place(change: tuple[str, str], message: str) -> None:
    text = WRITTEN.replace(*change)
    assert text != WRITTEN
    with pytest.raises(DefinitionError, match=message):
        WorkflowDefinition.from_yaml(text)


def test_it_runs_in_every_pass_of_a_loop() -> None:
    @workflow
    def rounds() -> Any:
        def body(state: int) -> Any:
            return say(raywf.aggregate([state, 4, 5], strategy="median").value)

        return raywf.loop(body, 9, until=lambda state: state <= 5)

    assert raywf.testing.run(rounds) == 5


def test_a_merged_answer_is_stored_exactly() -> None:
    result = ResultAggregator().merge(
        [Candidate(("x", 1), "a", 0.5, {("x", 1): 0.7}), Candidate({"k": b"\0"}, "b"), Candidate(None, "c")]
    )
    assert decode(encode(result)) == result
    candidate = Candidate(3, "a", 0.5, {3: 0.5, 4: 0.25}, 2.0)
    assert decode(encode(candidate)) == candidate


def test_a_merged_answer_of_an_earlier_version_is_still_one() -> None:
    rows = json.loads(GOLDEN.read_text(encoding="utf-8"))["rows"]
    (row,) = [row for row in rows if row["kind"] == "task_completed" and row["task"] == "aggregate"]
    found = decode(row["data"].encode())
    assert found == ResultAggregator("majority").merge(
        [Candidate("left", "north"), Candidate("right", "south"), Candidate("left", "west")]
    )
    assert "provenance" in repr(found), "no field is missing"
