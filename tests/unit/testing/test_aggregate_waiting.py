"""``raywf.aggregate`` that does not wait for everybody: a quorum, a timeout, an early stop, and what becomes of the rest."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import raywf
import raywf.testing
from raywf import DefinitionError, WorkflowFailed, task, workflow

log: list[str] = []


@pytest.fixture(autouse=True)
def _fresh() -> None:
    log.clear()


@task
async def answer(value: Any, after_s: float) -> Any:
    log.append(f"asked {value}")
    try:
        await asyncio.sleep(after_s)
    except asyncio.CancelledError:
        log.append(f"stopped {value}")
        raise
    if isinstance(value, str) and value.startswith("!"):
        raise ValueError(value)
    log.append(f"answered {value}")
    return value


@workflow
def first_two(values: list[Any], seconds: list[float]) -> Any:
    return raywf.aggregate(answer.map(values, seconds), quorum=2, strategy="majority")


def three(**options: Any) -> Any:
    @workflow
    def panel(values: list[Any], seconds: list[float]) -> Any:
        asked = [answer(values[at], seconds[at]) for at in range(3)]
        return raywf.aggregate(asked, strategy="majority", **options)

    return panel


def test_a_quorum_is_enough_and_the_others_are_stopped() -> None:
    merged = raywf.testing.run(three(quorum=2), ["a", "a", "b"], [1, 2, 100])
    assert (merged.value, merged.agreement) == ("a", 1.0)
    assert log[-1] == "stopped b"
    assert [each.agrees for each in merged.provenance] == [True, True, None], (
        "who did not answer is named, and not counted"
    )


def test_a_fan_out_is_stopped_item_by_item() -> None:
    merged = raywf.testing.run(first_two, ["a", "b", "a", "c"], [1, 100, 2, 50])
    assert merged.value == "a"
    assert sorted(log[-2:]) == ["stopped b", "stopped c"]


def test_a_source_that_fails_does_not_answer() -> None:
    merged = raywf.testing.run(three(quorum=2), ["!no", "a", "a"], [1, 2, 3])
    assert merged.value == "a"
    merged = raywf.testing.run(first_two, ["!no", "a", "a"], [1, 2, 3])
    assert merged.value == "a"


def test_too_few_answers_say_who_failed_and_why() -> None:
    with pytest.raises(WorkflowFailed) as caught:
        raywf.testing.run(three(quorum=2), ["!no", "a", "!nor I"], [1, 2, 3])
    failure = caught.value.failure
    assert (caught.value.task_id, failure.type) == ("aggregate", "raywf.errors.TooFewAnswers")
    assert (
        "1 of 3 sources answered, and at_least=2 must: answer failed (ValueError: !no); answer-3 failed"
        in failure.message
    )


def test_at_the_timeout_it_takes_what_there_is() -> None:
    merged = raywf.testing.run(three(timeout=10), ["a", "b", "b"], [1, 60, 60])
    assert (merged.value, merged.confidence) == ("a", 0.75)
    assert log[-2:] == ["stopped b", "stopped b"]
    with pytest.raises(WorkflowFailed, match=r"0 of 3 sources answered, .*answer has not answered in time"):
        raywf.testing.run(three(timeout=10), ["a", "b", "b"], [60, 60, 60])


def test_a_quorum_that_is_not_reached_in_time_may_make_do_with_less() -> None:
    merged = raywf.testing.run(three(quorum=3, at_least=1, timeout=10), ["a", "b", "b"], [1, 2, 60])
    assert len([each for each in merged.provenance if each.share]) == 2
    nothing = raywf.testing.run(three(at_least=0, timeout=10), ["a", "b", "b"], [60, 60, 60])
    assert (nothing.value, nothing.decision) == (None, "abstained")


def test_an_early_stop_waits_while_the_rest_could_change_the_value() -> None:
    merged = raywf.testing.run(three(early_stop=True), ["a", "a", "b"], [1, 2, 100])
    assert merged.value == "a"
    assert log[-1] == "stopped b"
    log.clear()
    merged = raywf.testing.run(three(early_stop=True), ["a", "b", "b"], [1, 2, 100])
    assert merged.value == "b"
    assert log[-1] == "answered b", "the third decided"


def test_the_timeout_counts_from_when_all_sources_may_begin() -> None:
    @workflow
    def after_a_search() -> Any:
        found = answer("document", 500)
        return raywf.aggregate([answer(found, 1), answer("other", 2).after(found)], timeout=5)

    assert len([each for each in raywf.testing.run(after_a_search).provenance if each.share]) == 2


def test_a_person_a_child_and_a_sleep_may_be_sources() -> None:
    @workflow
    def slow(value: str) -> str:
        return answer(value, 1000)

    @workflow
    def panel() -> Any:
        person = raywf.wait_signal("vote")
        later = raywf.sleep(2000, "c")
        merged = raywf.aggregate([answer("a", 1), answer("a", 2), slow("b"), person, later], quorum=2)
        return merged.value, raywf.sleep(5, merged.value)

    assert raywf.testing.run(panel) == ("a", "a")
    assert "stopped b" in log


def test_it_goes_on_in_a_loop_and_in_a_side() -> None:
    @workflow
    def rounds() -> Any:
        def once(state: Any) -> Any:
            merged = raywf.aggregate([answer(state, 1), answer(state, 50)], quorum=1)
            return raywf.when(merged.confidence > 0, then=lambda: bump(merged.value), otherwise=lambda: merged.value)

        return raywf.loop(once, 1, until=lambda state: state > 3)

    @task
    def bump(value: int) -> int:
        return value + 1

    assert raywf.testing.run(rounds) == 4
    assert log.count("stopped 1") == log.count("stopped 2") == log.count("stopped 3") == 1


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"quorum": 4}, "quorum is 4, but there are 3 sources"),
        ({"quorum": 0}, "an integer from 1"),
        ({"quorum": 1, "at_least": 2}, "at_least=2 is more than quorum=1"),
        ({"timeout": -1}, "timeout"),
        ({"early_stop": "yes"}, "True or False"),
        ({"early_stop": True, "strategy": "huber"}, "early_stop needs a strategy that votes"),
    ],
)
def test_what_cannot_be_is_refused_when_it_is_built(options: dict[str, Any], says: str) -> None:
    @workflow
    def panel() -> Any:
        return raywf.aggregate([answer(1, 1), answer(2, 1), answer(3, 1)], **options)

    with pytest.raises(DefinitionError, match=says):
        _ = panel.definition


def test_a_source_is_nobody_elses() -> None:
    @workflow
    def shared() -> Any:
        one = answer("a", 1)
        return raywf.aggregate([one, answer("b", 1)], quorum=1), one

    @workflow
    def nested() -> Any:
        return raywf.aggregate([raywf.aggregate([answer("a", 1)]), answer("b", 1)], quorum=1)

    with pytest.raises(DefinitionError, match="the result of the workflow uses it as well"):
        _ = shared.definition
    with pytest.raises(DefinitionError, match="cannot be stopped as one"):
        _ = nested.definition


def test_the_definition_is_data_and_one_that_waits_for_all_is_what_it_was() -> None:
    data = three(quorum=2, timeout=5, early_stop=True).definition.model_dump()["tasks"][-1]["aggregate"]
    assert {name: data[name] for name in ("quorum", "timeout", "early_stop")} == {
        "quorum": 2, "timeout": 5.0, "early_stop": True,
    }  # fmt: skip
    assert set(three().definition.model_dump()["tasks"][-1]["aggregate"]) == {"results", "strategy"}
