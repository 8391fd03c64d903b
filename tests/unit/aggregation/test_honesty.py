"""Never surer than the evidence, and odd input has one documented answer each."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raywf.aggregation import Answer, Candidate, FactSet, ResultAggregator
from raywf.aggregation.numeric import NUMERIC
from raywf.aggregation.strategies import STRATEGIES, evidence, unanimous
from raywf.errors import InvalidInput

VOTING = ("auto", "majority", "weighted_vote", "confidence_weighted", "linear_pool", "wawa", "dawid_skene", "one_coin")
WEIGHTS = st.lists(st.sampled_from([1e-9, 0.1, 0.5, 1.0, 1.0, 3.0, 100.0]), min_size=1, max_size=7)


def bare(weights: list[float], value: object = "a", prefix: str = "s") -> list[Candidate]:
    return [Candidate(value, f"{prefix}{i}", weight=w) for i, w in enumerate(weights)]


@pytest.mark.parametrize("strategy", VOTING)
@given(WEIGHTS)
def test_unanimous_votes_are_worth_what_so_many_are(strategy: str, weights: list[float]) -> None:
    confidence = ResultAggregator(strategy).merge(bare(weights)).confidence
    assert 0.75 - 1e-9 <= confidence <= unanimous(len(weights)) + 1e-9


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
def test_nobody_makes_a_few_sources_certain_by_claiming_it(strategy: str) -> None:
    for n in (1, 2, 5):
        sure = [Candidate("a", f"s{i}", 1.0, {"a": 1.0}) for i in range(n)]
        assert 0.5 < ResultAggregator(strategy).merge(sure).confidence < 1


@pytest.mark.parametrize("strategy", sorted(NUMERIC))
@given(WEIGHTS)
def test_numbers_that_agree_are_worth_what_so_many_are(strategy: str, weights: list[float]) -> None:
    confidence = ResultAggregator(strategy).merge(bare(weights, 7.5)).confidence
    assert 0.5 - 1e-9 <= confidence <= len(weights) / (len(weights) + 1) + 1e-9


@pytest.mark.parametrize("strategy", ["auto", "majority", "weighted_vote"])
@given(WEIGHTS, WEIGHTS, st.sampled_from([1e-9, 0.3, 1.0, 50.0]))
def test_more_evidence_for_the_winner_never_makes_it_less_sure(
    strategy: str, for_: list[float], against: list[float], more: float
) -> None:
    ballot = [*bare(for_), *bare(against, "b", "t")]
    merger = ResultAggregator(strategy)
    before = merger.merge(ballot)
    seconded = merger.merge([*ballot, Candidate(before.value, "one more", weight=more)])
    assert seconded.value == before.value
    assert seconded.confidence >= before.confidence - 1e-9
    contradicted = merger.merge([*ballot, Candidate("c", "one more", weight=more)])
    assert contradicted.value != before.value or contradicted.confidence <= before.confidence + 1e-9


@pytest.mark.parametrize("strategy", ["linear_pool", "log_pool", "confidence_weighted"])
@given(st.lists(st.floats(0, 1), min_size=2, max_size=5), st.integers(0, 4), st.floats(0, 1))
def test_a_claim_that_rises_never_makes_its_value_less_likely(
    strategy: str, claims: list[float], which: int, raised: float
) -> None:
    which %= len(claims)

    def score(stated: list[float]) -> float:
        result = ResultAggregator(strategy).merge([Candidate("a", f"s{i}", c) for i, c in enumerate(stated)])
        return result.confidence if result.value == "a" else 0.0

    higher = [max(c, raised) if i == which else c for i, c in enumerate(claims)]
    assert score(higher) >= score(claims) - 1e-9


@given(st.lists(st.floats(0, 1), min_size=1, max_size=5))
def test_agreeing_on_unsure_answers_is_never_surer_than_the_surest(claims: list[float]) -> None:
    stated = [Candidate("a", f"s{i}", c) for i, c in enumerate(claims)]
    for strategy in ("confidence_weighted", "linear_pool"):
        assert ResultAggregator(strategy).merge(stated).confidence <= max(claims) + 1e-9


@given(WEIGHTS, st.sampled_from([1e-6, 1.0, 20.0]))
def test_more_votes_are_never_less_evidence(weights: list[float], more: float) -> None:
    assert 1 - 1e-6 <= evidence(weights) <= evidence([*weights, more]) + 1e-9 <= len(weights) + 1 + 1e-9
    assert evidence([2.5] * len(weights)) == pytest.approx(len(weights))


def test_a_heavy_source_beside_light_ones_is_one_voice() -> None:
    heavy = [*bare([0.01] * 9, "b", "light"), Candidate("a", "heavy", weight=100)]
    for strategy in ("majority", "weighted_vote"):
        result = ResultAggregator(strategy).merge(heavy)
        assert result.value == "a" and result.confidence <= 0.75


# the table "Odd input" of docs/aggregation.md

ALL = sorted({*VOTING, *STRATEGIES, *NUMERIC, "text"})


@pytest.mark.parametrize("strategy", ALL)
def test_nothing_said_is_no_answer_and_no_confidence(strategy: str) -> None:
    silent = [Candidate(None, "a"), Candidate(None, "b", 0.9)]
    for nothing in ([], silent, [Candidate("x", "a", weight=0)] if strategy not in NUMERIC else silent):
        result = ResultAggregator(strategy).merge(nothing)
        assert (result.value, result.confidence, result.decision) == (None, 0.0, "abstained")
        assert len(result.provenance) == len(nothing)


@pytest.mark.parametrize("strategy", ALL)
def test_one_voice_is_no_agreement(strategy: str) -> None:
    said = {"text": "the answer is x"}.get(strategy, 4.0 if strategy in NUMERIC else "x")
    candidate = Candidate(said, "a", 0.7) if strategy == "log_pool" else Candidate(said, "a")
    result = ResultAggregator(strategy).merge([candidate])
    assert result.value == said
    assert result.confidence == pytest.approx(
        {"log_pool": 0.7}.get(strategy, 0.5 if strategy in NUMERIC else 0.75), abs=1e-3
    )


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_refused_with_its_source(number: float) -> None:
    for field in ("confidence", "weight"):
        with pytest.raises(InvalidInput, match="'gpt'"):
            Candidate("x", "gpt", **{field: number})
    with pytest.raises(InvalidInput):
        ResultAggregator("mean").merge([Candidate(number, "gpt")])
    with pytest.raises(InvalidInput, match="'gpt'"):
        Candidate("x", "gpt", probs={"x": number})


def test_a_negative_weight_is_refused_and_zero_is_listed_but_not_counted() -> None:
    with pytest.raises(InvalidInput, match=r"'gpt' is -0.5.*use 0"):
        Candidate("x", "gpt", weight=-0.5)
    result = ResultAggregator().merge([Candidate("x", "a"), Candidate("y", "b", weight=0)])
    assert result.value == "x" and result.conflicts == ()
    assert [(c.source, c.share, c.agrees) for c in result.provenance] == [("a", 1.0, True), ("b", 0.0, None)]


def test_mixed_types_are_compared_as_json() -> None:
    mixed = [1, 1.0, True, "1", [1]]
    result = ResultAggregator("majority").merge([Candidate(v, f"s{i}") for i, v in enumerate(mixed)])
    assert result.value == 1 and result.agreement == pytest.approx(0.4)
    assert len(result.conflicts) == 3


@pytest.mark.parametrize("strategy", ["auto", "weighted_vote", "linear_pool", "huber", "median"])
def test_ten_thousand_sources(strategy: str) -> None:
    crowd = [Candidate(1 if i % 3 else 2, f"s{i}") for i in range(10_000)]
    result = ResultAggregator(strategy).merge(crowd)
    assert result.value == pytest.approx(1, abs=0.4) and result.confidence < 1
    assert len(result.provenance) == 10_000


@pytest.mark.parametrize("strategy", ["auto", "weighted_vote", "text"])
def test_texts_of_five_megabytes(strategy: str) -> None:
    long = "a b " * 1_250_000
    texts = [Candidate(long, "1"), Candidate(long, "2"), Candidate(long + "!", "3")]
    assert ResultAggregator(strategy).merge(texts).value == long


def test_a_source_that_changes_its_mind_counts_once_as_it_spoke_last() -> None:
    facts = [Answer("i", "a", "y", at=2.0), Answer("i", "a", "x", at=1.0), Answer("i", "b", "y", at=1.0)]
    (answers,) = FactSet.of(facts).by_item().values()
    result = ResultAggregator("majority").merge([answer.candidate() for answer in answers])
    assert result.value == "y" and result.agreement == 1.0 and len(result.provenance) == 2
    with pytest.raises(InvalidInput, match="'a' answers twice"):
        ResultAggregator().merge([Candidate("x", "a"), Candidate("y", "a")])


@pytest.mark.parametrize("strategy", ["text", "mbr"])
def test_a_lone_text_is_one_voice_and_not_a_silent_zero(strategy: str) -> None:
    result = ResultAggregator(strategy).merge([Candidate("a few words", "a"), Candidate(None, "b")])
    assert (result.value, result.confidence, result.quality) == ("a few words", 0.5, 0.5)
    assert result.why.endswith("no other to compare it with")
    agreed = ResultAggregator(strategy).merge([Candidate("a few words", "a"), Candidate("a few words", "b")])
    assert agreed.confidence > result.confidence


@pytest.mark.parametrize("value", ["no", 3, {"k": 1}])
def test_what_is_no_list_of_numbers_is_refused_by_name(value: object) -> None:
    with pytest.raises(InvalidInput, match=r"source 'b' says .* no list of numbers"):
        ResultAggregator("vector").merge([Candidate([1.0, 2.0], "a"), Candidate(value, "b")])


@pytest.mark.parametrize("given", [None, 7, Candidate("x", "a")])
def test_what_is_no_list_of_candidates_is_refused(given: object) -> None:
    with pytest.raises(InvalidInput, match="a list of Candidates, not"):
        ResultAggregator().merge(given)  # type: ignore[arg-type]


@pytest.mark.parametrize("probs", [0.5, "high", 7])
def test_probs_that_are_one_number_are_refused_by_name(probs: object) -> None:
    with pytest.raises(InvalidInput, match=r"probs of source 'a' .* is its confidence"):
        Candidate("x", "a", probs=probs)  # type: ignore[arg-type]
