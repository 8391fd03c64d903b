"""What is done about a difference: nothing where it is none, else the steps of a policy, in order, until the answer is accepted."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raywf.aggregation import (
    Abstain,
    AggregateResult,
    AskJudge,
    AskPerson,
    Candidate,
    Judge,
    MoreSamples,
    Policy,
    ResultAggregator,
    Step,
    TieBreak,
)  # fmt: skip
from raywf.errors import InvalidInput

AGGREGATOR = ResultAggregator("majority")
SPLIT = [Candidate("x", "a"), Candidate("y", "b")]


def never(step: Step) -> None:
    pytest.fail(f"nobody should be asked: {step}")


def merge(*values: Any, reconcile: tuple[Any, ...] = ("format", "unit", "granularity")) -> AggregateResult:
    said = [Candidate(value, f"s{n}") for n, value in enumerate(values)]
    return ResultAggregator("majority", reconcile=reconcile).merge(said)


def test_an_accepted_answer_is_left_alone() -> None:
    same = [Candidate("x", "a"), Candidate("x", "b")]
    policy = Policy(MoreSamples("c"), AskPerson())
    assert AGGREGATOR.resolve(same, policy, never) == AGGREGATOR.merge(same)


def test_samples_are_asked_one_by_one_until_the_answer_is_accepted() -> None:
    asked: list[str] = []

    def ask(step: Step) -> str:
        asked.append(step.source)
        return "x"

    result = AGGREGATOR.resolve(SPLIT, Policy(MoreSamples("c", "d", "e", "f")), ask)
    assert (result.value, result.decision) == ("x", "accepted")
    assert asked == ["c", "d"], "4 votes of which 3 agree are enough"
    assert [part.source for part in result.provenance] == ["a", "b", "c", "d"]
    assert result.insights[0].endswith("ask 'c' too")


def test_the_steps_come_in_order_and_a_person_has_the_last_word() -> None:
    taken: list[tuple[str, str]] = []

    def ask(step: Step) -> Any:
        taken.append((step.kind, step.source))
        return {"sample": None, "tie_break": "z", "person": "y"}[step.kind]

    policy = Policy(
        MoreSamples("a#2"),
        TieBreak("large", weight=2.0),
        AskJudge(lambda answers: "tie"),
        AskPerson("Which?"),
        Abstain(),
    )
    result = AGGREGATOR.resolve(SPLIT, policy, ask)
    assert taken == [("sample", "a#2"), ("tie_break", "large"), ("person", "person")]
    assert (result.value, result.decision, result.why) == ("y", "accepted", "a person decided")
    assert result.confidence < 0.5, "that somebody decided makes the sources no surer"
    assert [part.agrees for part in result.provenance] == [False, None, True, False]


def test_a_judge_settles_it_and_without_anybody_there_is_no_answer_or_an_escalated_one() -> None:
    judged = AGGREGATOR.resolve(SPLIT, Policy(AskJudge(lambda answers: answers.index("y"))), never)
    assert (judged.value, judged.strategy, judged.decision) == ("y", "judge", "accepted")
    none = AGGREGATOR.resolve(SPLIT, Policy(Abstain()), never)
    assert (none.value, none.confidence, none.decision) == (None, 0.0, "abstained")
    assert AGGREGATOR.resolve(SPLIT, Policy(), never).decision == "escalated"


async def test_sources_judges_and_persons_are_awaited() -> None:
    async def ask(step: Step) -> Any:
        return "y" if step.kind == "sample" else None

    async def judge(answers: list[str]) -> str:
        return "y"

    result = await AGGREGATOR.resolve_async(SPLIT, Policy(MoreSamples("c"), AskJudge(Judge(judge))), ask)
    assert (result.value, result.strategy) == ("y", "judge")


def test_more_samples_are_not_asked_about_a_spelling() -> None:
    spelled = AGGREGATOR.merge([Candidate("1,000", "a"), Candidate(1000, "b")])
    assert [c.kind for c in spelled.conflicts] == ["format"]
    assert Policy(MoreSamples("c"), AskPerson()).next(spelled).kind == "person"
    assert Policy(MoreSamples("c")).next(AGGREGATOR.merge([])).kind == "sample", "missing answers are asked for"


@settings(deadline=None)
@given(st.lists(st.sampled_from(["c", "d", "judge", "person"]), unique=True))
def test_what_is_next_is_a_function_and_nobody_is_asked_twice(asked: list[str]) -> None:
    policy = Policy(MoreSamples("a", "c", "d"), AskJudge(lambda answers: 0), AskPerson(), Abstain())
    result = AGGREGATOR.merge(SPLIT)
    step = policy.next(result, asked)
    assert step == policy.next(result, asked)
    assert step.source not in {*asked, "a", "b"}


def test_differences_that_are_none_are_counted_together_and_stay_visible() -> None:
    result = merge("1,000", 1000, "1000", "7")
    assert result.agreement == pytest.approx(0.75) and result.value in ("1,000", 1000, "1000")
    assert {c.kind for c in result.conflicts} == {"format", "contradiction"}
    assert {part.value for part in result.provenance} == {"1,000", 1000, "1000", "7"}, "what was really said"
    assert merge("5 kg", "5000 g", "6 kg").agreement == pytest.approx(2 / 3)
    place = merge("Paris", "Paris, France", "Lyon")
    assert (place.value, place.agreement) == ("Paris, France", pytest.approx(2 / 3))
    assert merge("Paris", "Paris, France", "Paris, Texas").agreement == pytest.approx(1 / 3), "which Paris is not known"
    assert merge("1,000", 1000, "7", "7", reconcile=()).value == "7"


def test_fields_are_reconciled_each() -> None:
    said = [{"to": "New York", "kg": "5 kg"}, {"to": "new-york", "kg": "5000 g"}, {"to": "Boston", "kg": "5 kg"}]
    result = ResultAggregator("auto", reconcile=("format", "unit")).merge(
        [Candidate(v, f"s{n}") for n, v in enumerate(said)]
    )
    assert result.value["kg"] == "5 kg" and result.value["to"] in ("New York", "new-york")
    assert {part.path: part.confidence for part in result.parts}["/kg"] == pytest.approx(0.875)


@settings(deadline=None)
@given(
    st.lists(st.sampled_from(["a b", "A-B", "a b c", "d", "1 m", "100 cm", "3"]), min_size=1, max_size=6), st.randoms()
)
def test_the_order_of_sources_changes_nothing(values: list[str], chance: Any) -> None:
    said = [Candidate(value, f"s{n}") for n, value in enumerate(values)]
    shuffled = list(said)
    chance.shuffle(shuffled)
    aggregator = ResultAggregator("majority", reconcile=("format", "unit", "granularity"))
    assert aggregator.merge(shuffled) == aggregator.merge(said)


def test_odd_policies() -> None:
    with pytest.raises(InvalidInput, match="not of str 'ask somebody'"):
        Policy("ask somebody")
    with pytest.raises(InvalidInput, match="the names of sources"):
        MoreSamples()
    with pytest.raises(InvalidInput, match="not 'contradiction'"):
        ResultAggregator(reconcile=("contradiction",))
