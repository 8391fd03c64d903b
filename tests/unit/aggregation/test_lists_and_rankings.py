"""Lists keep what most have, one thing once; rankings find the order that most agree with; words are put together by vote."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raywf.aggregation import AggregateResult, Candidate, Lists, ResultAggregator
from raywf.aggregation.identity import identity
from raywf.aggregation.matching import matched
from raywf.aggregation.rankings import KEMENY_UP_TO, borda, kemeny, rrf
from raywf.aggregation.shapes import shape_of
from raywf.errors import InvalidInput

WORDS = st.lists(st.sampled_from(["ant", "bee", "cat", "dog", "eel"]), max_size=4)


def ballot(*values: Any) -> list[Candidate]:
    return [Candidate(value, f"s{n}") for n, value in enumerate(values)]


def merge(strategy: Any, *values: Any) -> AggregateResult:
    return ResultAggregator(strategy).merge(ballot(*values))


@pytest.mark.parametrize(
    ("values", "shape"),
    [
        (["a", "b"], "label"),
        ([1, 2, 99], "label"),
        ([1, 2.0], "number"),
        ([100, 101], "number"),
        ([1234567890123456789, 5], "label"),
        ([10**400, 2.5], "label"),
        ([True, False], "label"),
        ([1, "a"], "label"),
        (["x" * 101, "y"], "text"),
        (["Because of this the answer is (B)", "Answer: B"], "text"),
        ([{"a": 1}, {}], "object"),
        ([{1: 1}], "label"),
        ([["a", "b"], ["b", "a"]], "ranking"),
        ([["a", "b"], ["b"]], "list"),
        ([["a", "a"], ["a", "a"]], "list"),
        ([[1.5, 2], [1, 3]], "vector"),
        ([[1, 2], [3, 4]], "list"),
        ([(1.5,), [1, 2]], "list"),
        ([{1, 2}, frozenset()], "set"),
        ([b"x", b"y"], "label"),
        ([{"$t": "date", "v": "2020-01-01"}], "label"),
        ([{"$t": "set", "v": [1]}, {"$t": "set", "v": [2]}], "set"),
    ],
)
def test_the_shape_is_that_of_all_values(values: list[Any], shape: str) -> None:
    assert shape_of(values) == shape


def test_the_same_thing_is_found_under_other_spellings_once_per_list() -> None:
    result = merge("list", ["Smith, John", "Jane Doe"], ["John Smith", "Jane Doe", "Bob"], ["jane  doe", "John Smith"])
    assert result.value == ["John Smith", "Jane Doe"]
    (extra,) = [part for part in result.parts if not part.kept]
    assert (extra.value, extra.sources, extra.confidence) == ("Bob", ("s1",), pytest.approx(0.625))
    assert {(c.value, c.kind) for c in result.conflicts} == {
        ("Bob", "missing"),
        ("Smith, John", "format"),
        ("jane  doe", "format"),
    }
    assert merge("list", ["invoice 1"], ["invoice 2"], ["invoice 1"]).value == ["invoice 1"]
    assert merge("list", ["a", "a", "b"], ["a", "a"], ["a", "a", "a"]).value == ["a", "a"], (
        "repeats are things of their own"
    )
    assert merge(Lists(like=1), ["colour"], ["color"]).value == ["color", "colour"]
    assert merge("list", ["colour"], ["color"], ["color"]).value == ["color"]


def test_where_several_are_alike_the_best_assignment_is_taken_and_not_the_first() -> None:
    left, right = ["john smith jr", "john smith"], ["john smith", "jon smith"]
    assert matched(left, right, 0.7) == [(0, 1), (1, 0)], "0.82 + 1 is more than 0.87 + 0.95"
    assert matched(["a b c d"], ["a b c e", "a b c d"], 0.5) == [(0, 1)]


def test_records_in_lists_are_one_by_their_key_and_merged_field_by_field() -> None:
    result = merge(
        "auto",
        [{"sku": "1", "q": 2}, {"sku": "2", "q": 3}],
        [{"sku": "2", "q": 3}, {"sku": "1", "q": 2}],
        [{"sku": "1", "q": 5}],
    )
    assert result.value == [{"sku": "1", "q": 2}, {"sku": "2", "q": 3}]
    assert [(c.path, c.value) for c in result.conflicts] == [("/0/q", 5)]
    loose = merge(
        "list", [{"who": "x", "y": 1, "z": 2}], [{"who": "x", "y": 1, "z": 3}], [{"who": "x", "y": 1, "z": 2}]
    )
    assert loose.value == [{"who": "x", "y": 1, "z": 2}], "without a key, half of the fields must agree"


def test_keep_is_between_the_intersection_and_the_union() -> None:
    said = ({"a", "b"}, {"a", "c"}, {"a", "c"})
    assert merge("set", *said).value == {"a", "c"}
    assert merge(Lists(as_set=True, keep=1.0), *said).value == {"a"}
    assert merge(Lists(as_set=True, keep=0.0), *said).value == {"a", "b", "c"}
    assert merge("set", ["b", "a", "b"], ("a", "b")).value == ["a", "b"]
    assert merge("auto", frozenset("ab"), frozenset("ab")).value == frozenset("ab")


def test_numbers_of_one_length_are_merged_place_by_place() -> None:
    result = merge("auto", [1.0, 2.0], [1.2, 2.2], [1.1, 90.0])
    assert result.strategy == "vector"
    assert result.value == pytest.approx([1.1, 2.2], abs=0.2)
    with pytest.raises(InvalidInput, match=r"lists of \[1, 2\] numbers"):
        merge("vector", [1.0], [1.0, 2.0])


@pytest.mark.parametrize("strategy", ["list", "set"])
@settings(deadline=None)
@given(st.lists(WORDS, min_size=1, max_size=4), st.randoms())
def test_order_of_sources_changes_nothing_and_one_more_vote_never_harms(
    strategy: str, lists: list[list[str]], chance: Any
) -> None:
    said = ballot(*lists)
    before = ResultAggregator(strategy).merge(said)
    shuffled = list(said)
    chance.shuffle(shuffled)
    assert ResultAggregator(strategy).merge(shuffled) == before
    after = ResultAggregator(strategy).merge([*said, Candidate(before.value, "one more")])
    assert sorted(after.value) == sorted(before.value)
    assert after.confidence >= before.confidence - 1e-9
    assert ResultAggregator(strategy).merge([Candidate(before.value, "s")]).value == before.value


def ranked(*orders: str) -> list[tuple[float, dict[Any, int]]]:
    return [(1 / len(orders), {identity(thing): at for at, thing in enumerate(order)}) for order in orders]


def text_of(keys: list[Any]) -> str:
    return "".join(str(key[1]) for key in keys)


@settings(deadline=None)
@given(st.lists(st.permutations("abcde"), min_size=1, max_size=5))
def test_kemeny_gives_an_order_that_no_other_beats(orders: list[list[str]]) -> None:
    rankings = ranked(*("".join(order) for order in orders))
    things = [identity(thing) for thing in "abcde"]

    def against(order: Any) -> float:
        return sum(w for w, at in rankings for i, a in enumerate(order) for b in order[i + 1 :] if at[a] > at[b])

    best = kemeny(rankings, things)
    assert against(best) == pytest.approx(min(against(order) for order in permutations(things)))


def test_kemeny_keeps_the_majority_where_borda_is_moved_by_one_source() -> None:
    rankings = ranked("abcd", "abcd", "abcd", "bcda", "bcda")
    things = [identity(thing) for thing in "abcd"]
    assert text_of(kemeny(rankings, things)) == "abcd", "a is before b for three of five"
    assert text_of(borda(rankings, things)) == "bacd"


def test_long_rankings_follow_every_majority_of_neighbours() -> None:
    letters = "abcdefghijklmnop"
    assert len(letters) > KEMENY_UP_TO
    rankings = ranked(letters, letters[1] + letters[0] + letters[2:], letters)
    assert text_of(kemeny(rankings, [identity(thing) for thing in letters])) == letters


def test_reciprocal_ranks_fuse_lists_that_share_only_some() -> None:
    rankings = ranked("xab", "ycad", "azq")
    assert text_of(rrf(rankings, sorted({k for _, places in rankings for k in places})))[0] == "a"
    result = merge("rrf", ["x", "a", "b"], ["y", "c", "a", "d"], ["a", "z", "q"])
    assert result.value[0] == "a" and len(result.value) == 8
    score = {"a": 1 / 62 + 1 / 63 + 1 / 61, "x": 1 / 61, "c": 1 / 62}
    assert result.value.index("x") < result.value.index("c") and score["a"] > score["x"] > score["c"]


@pytest.mark.parametrize("strategy", ["borda", "kemeny", "rrf"])
@settings(deadline=None)
@given(st.lists(st.permutations("abc"), min_size=1, max_size=5), st.randoms())
def test_rankings_do_not_care_who_comes_first(strategy: str, orders: list[list[str]], chance: Any) -> None:
    said = ballot(*orders)
    result = ResultAggregator(strategy).merge(said)
    shuffled = list(said)
    chance.shuffle(shuffled)
    assert ResultAggregator(strategy).merge(shuffled) == result
    assert ResultAggregator(strategy).merge([Candidate(result.value, "s")]).value == result.value
    seconded = ResultAggregator(strategy).merge([*said, Candidate(result.value, "one more")])
    assert seconded.value == result.value
    assert seconded.confidence >= result.confidence - 1e-9


def test_three_that_rank_alike_are_as_sure_as_three_that_say_one_label() -> None:
    assert merge("auto", ["a", "b"], ["a", "b"], ["a", "b"]).confidence == pytest.approx(0.875)
    assert merge("kemeny", ["a", "b"]).confidence == pytest.approx(0.75)
    with pytest.raises(InvalidInput, match="'s0' ranks 'a' twice, at places 1 and 2"):
        merge("kemeny", ["a", "a"])
    with pytest.raises(InvalidInput, match="'s0' says 'ab', which is no ranking"):
        merge("borda", "ab")


def test_words_are_put_together_by_vote() -> None:
    result = merge("rover", "the quick brown fox jumps", "the quick fox jumps over", "a quick brown fox jumped over")
    assert result.value == "the quick brown fox jumps over", "no source said it so"
    assert 0.4 < result.confidence < 0.75 and result.agreement == 0
    same = merge("rover", *["a b c"] * 3)
    assert (same.value, same.confidence) == ("a b c", 0.75)
    assert merge("rover", "", "").value == ""
    with pytest.raises(InvalidInput, match=r"2,001 words.*up to 2,000"):
        merge("rover", "a " * 2001)
    with pytest.raises(InvalidInput, match="'s0' says 3"):
        merge("rover", 3)


@settings(deadline=None)
@given(
    st.lists(st.lists(st.sampled_from("abc"), min_size=1, max_size=6).map(" ".join), min_size=1, max_size=4),
    st.randoms(),
)
def test_word_votes_do_not_care_about_order_and_keep_what_all_say(texts: list[str], chance: Any) -> None:
    said = ballot(*texts)
    shuffled = list(said)
    chance.shuffle(shuffled)
    result = ResultAggregator("rover").merge(said)
    assert ResultAggregator("rover").merge(shuffled) == result
    assert merge("rover", *[texts[0]] * len(texts)).value == texts[0]


def test_the_most_central_text_by_name() -> None:
    result = merge("mbr", "the cat sat", "the cat sat down", "dogs")
    assert result.value in ("the cat sat", "the cat sat down") and result.decision == "escalated"
    assert result.strategy == "mbr" and result.probs == () == result.conflicts


def test_odd_lists() -> None:
    assert merge("list", [], []).value == []
    assert merge("list", ["a"], []).value == ["a"], "half of the weight has it"
    assert merge("list", [None, "a"], ["a", None]).value in ([None, "a"], ["a", None])
    with pytest.raises(InvalidInput, match="'s0' says 'abc', which is no list"):
        merge("list", "abc")
    with pytest.raises(InvalidInput, match=r"keep.*from 0 to 1"):
        Lists(keep=2)
    long = [f"element {n}" for n in range(3000)]
    assert merge("list", long, long[::-1], long).value == long


@pytest.mark.parametrize("strategy", ["fields", "list", "set", "vector", "borda", "kemeny", "rrf", "rover", "mbr"])
def test_nobody_says_anything(strategy: str) -> None:
    for nothing in ([], [Candidate(None, "a")], [Candidate("x", "a", weight=0)]):
        result = ResultAggregator(strategy).merge(nothing)
        assert (result.value, result.confidence, result.decision) == (None, 0.0, "abstained")
