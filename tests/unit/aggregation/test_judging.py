"""A judge chooses, a jury votes, a writer writes; what stands first gains nothing, and a judge that fails is one voice less."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raywf import task
from raywf.aggregation import AggregateResult, Candidate, Judge, Jury, ResultAggregator, Synthesis
from raywf.aggregation.judging import Failed, read
from raywf.errors import InvalidInput

SAID = [Candidate("Paris", "a"), Candidate("Lyon", "b"), Candidate("Lyon", "c")]


def knows(answers: list[str]) -> int:
    return answers.index("Paris")


def first(answers: list[str]) -> int:
    return 0


def broken(answers: list[str]) -> str:
    raise TimeoutError("no answer in 3 s")


def rambles(answers: list[str]) -> str:
    return "as a large language model I like them all"


def merge(strategy: Any, said: Sequence[Candidate] = SAID) -> AggregateResult:
    return ResultAggregator(strategy).merge(said)


def test_a_judge_chooses_against_the_vote_and_one_judge_is_one_voice() -> None:
    result = merge(Judge(knows))
    assert (result.value, result.strategy, result.calibrated) == ("Paris", "judge", False)
    assert result.confidence == pytest.approx(0.75)
    assert result.agreement == pytest.approx(1 / 3) and [part.agrees for part in result.provenance] == [
        True,
        False,
        False,
    ]
    assert [(c.value, c.sources) for c in result.conflicts] == [("Lyon", ("b", "c"))]
    assert merge(Judge(lambda answers: {"choice": knows(answers), "confidence": 0.6})).confidence <= 0.6


def test_a_judge_that_takes_what_stands_first_decides_nothing() -> None:
    result = merge(Judge(first))
    assert result.value == "Lyon", "half a vote for each, so the sources settle it"
    assert result.confidence == pytest.approx(0.5) and result.decision == "escalated"
    assert any("reverse order" in each for each in result.insights) and "a tie" in result.why
    both = merge(Jury(first, knows))
    assert both.value == "Paris" and both.confidence == pytest.approx((1.5 + 0.5) / 3)


def test_no_place_is_favoured_and_sources_are_not_told() -> None:
    seen: list[list[str]] = []

    def watch(answers: list[str]) -> int:
        seen.append(answers)
        return 0

    for n in range(40):
        merge(Judge(watch), [Candidate("x", f"a{n}"), Candidate("y", f"b{n}")])
    assert seen[0::2] == [answers[::-1] for answers in seen[1::2]]
    assert 5 < sum(answers[0] == "x" for answers in seen[0::2]) < 35


@pytest.mark.parametrize("judge", [broken, rambles])
def test_a_judge_that_fails_or_talks_nonsense_is_one_voice_less_and_is_named(judge: Any) -> None:
    jury = merge(Jury(knows, judge))
    assert jury.value == "Paris" and jury.why.startswith("1 of 2 judges")
    assert any(each.startswith(f"{judge.__name__}: ") for each in jury.insights)
    alone = merge(Judge(judge))
    assert (alone.value, alone.decision) == ("Lyon", "escalated"), "the vote of the sources stands"
    assert "no judge gave a reply that can be read" in alone.why


def test_a_judge_may_find_none_right() -> None:
    result = merge(Judge(lambda answers: None))
    assert (result.value, result.confidence, result.decision) == (None, 0.0, "abstained")
    assert merge(Jury(knows, Judge(lambda answers: "none", "no"), Judge(knows, "yes"))).value == "Paris"


def test_where_all_agree_nobody_is_asked() -> None:
    result = merge(Judge(broken), [Candidate("x", "a"), Candidate("x", "b")])
    assert (result.value, result.decision) == ("x", "accepted") and "no judge was asked" in result.why
    assert merge(Judge(broken), [Candidate(None, "a")]).decision == "abstained"


@pytest.mark.parametrize(
    ("reply", "places"),
    [
        (1, [1]), ("B", [1]), ("(b)", [1]), ("I compared them. The answer is (B).", [1]), ("two", [1]), ([0.1, 0.9, 0.2], [1]),
        ([1, 1, 0], [0, 1]), ("tie", [0, 1, 2]), (None, []), ("None", []), ({"choice": "b", "confidence": 0.5}, [1]),
        ({"choice": 2}, [2]),
    ],
)  # fmt: skip
def test_what_a_judge_may_reply(reply: Any, places: list[int]) -> None:
    assert read(reply, ["one", "two", "three"])[0] == places


@pytest.mark.parametrize(
    "reply",
    [3, -1, True, "D", "", "A and B", [0.1], {"choice": 7}, object(), Failed("x"), {"choice": 0, "confidence": 2}],
)
def test_what_is_nonsense(reply: Any) -> None:
    with pytest.raises(InvalidInput):
        read(reply, ["one", "two", "three"])


async def test_judges_are_awaited_and_a_task_is_a_judge() -> None:
    @task
    async def large(answers: list[str]) -> str:
        return "Paris"

    async def together(*work: Any) -> list[Any]:
        return [await each for each in work]

    for gather in (None, together):
        result = await ResultAggregator(Jury(large, knows)).merge_async(SAID, gather=gather)
        assert result.value == "Paris" and result.confidence == pytest.approx(2.5 / 3)
    with pytest.raises(InvalidInput, match=r"'large' has to be awaited: write await aggregator.merge_async"):
        merge(Judge(large))
    assert (await ResultAggregator("majority").merge_async(SAID)).value == "Lyon"


def test_what_was_written_stands_only_if_a_judge_prefers_it() -> None:
    def write(answers: list[str]) -> str:
        return " or ".join(sorted(answers))

    alone = merge(Synthesis(write))
    assert (alone.value, alone.decision, alone.strategy) == ("Lyon or Paris", "escalated", "synthesis")
    assert 0 < alone.confidence < 0.5 and "compared with nothing" in alone.why
    liked = merge(Synthesis(write, lambda answers: answers.index("Lyon or Paris")))
    assert liked.value == "Lyon or Paris" and liked.confidence == pytest.approx(0.75) and liked.agreement == 0
    assert merge(Synthesis(write, lambda answers: answers.index("Lyon"))).value == "Lyon"
    failed = merge(Synthesis(broken))
    assert (failed.value, failed.decision) == ("Lyon", "escalated") and "no answer in 3 s" in failed.why


@settings(deadline=None)
@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=5), st.sampled_from("abc"), st.randoms())
def test_the_order_of_sources_changes_nothing(values: list[str], liked: str, chance: Any) -> None:
    said = [Candidate(value, f"s{n}") for n, value in enumerate(values)]
    jury = Jury(Judge(lambda answers: answers.index(liked) if liked in answers else None, "likes"), Judge(first))
    shuffled = list(said)
    chance.shuffle(shuffled)
    assert ResultAggregator(jury).merge(shuffled) == ResultAggregator(jury).merge(said)


def test_odd_judges() -> None:
    with pytest.raises(InvalidInput, match="a judge is a function or a task"):
        Judge("gpt")  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="two judges are called 'first'"):
        Jury(first, first)
    with pytest.raises(InvalidInput, match="without judges"):
        Jury()
    with pytest.raises(InvalidInput, match=r"has to know whom to ask.*Judge\(ask\)"):
        ResultAggregator("judge")
    crowd = [Candidate(f"v{n}", f"s{n}") for n in range(100)]
    assert merge(Judge(lambda answers: len(answers) - 1, swap=False), crowd).value in {f"v{n}" for n in range(100)}
