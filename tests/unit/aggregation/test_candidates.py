"""What a source may say, and what is refused with a sentence."""

import math
import pickle
from dataclasses import dataclass

import pytest

from raywf.aggregation import Candidate, ResultAggregator
from raywf.aggregation.identity import identity, spelling
from raywf.errors import InvalidInput


@dataclass(frozen=True)
class Point:
    x: int


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"confidence": 1.5}, ["1.5", "0 to 1"]),
        ({"confidence": 90}, ["90", "divide a percentage by 100"]),
        ({"confidence": -0.1}, ["-0.1"]),
        ({"confidence": math.nan}, ["nan"]),
        ({"confidence": "high"}, ["'high'", "not a number"]),
        ({"confidence": True}, ["True", "not a number"]),
        ({"probs": {"yes": 0.8, "no": 0.5}}, ["'gpt'", "1.3", "divide each by the sum"]),
        ({"probs": {"yes": -0.2}}, ["-0.2", "'yes'"]),
        ({"probs": {"yes": math.nan}}, ["nan"]),
        ({"probs": {"yes": 0.0}}, ["all 0", "value=None"]),
        ({"probs": [("yes", 0.5), ("yes", 0.2)]}, ["twice"]),
        ({"probs": ["yes", "no"]}, ["pairs"]),
        ({"value": None, "probs": {"yes": 0.5}}, ["abstains"]),
        ({"weight": -1}, ["-1", "not negative", "use 0"]),
        ({"weight": math.inf}, ["inf"]),
        ({"weight": math.nan}, ["nan"]),
        ({"source": ""}, ["source", "not empty"]),
        ({"value": math.nan}, ["NaN", "None"]),
        ({"value": [1, bytearray(b"x")]}, ["bytearray", "hashable"]),
    ],
)
def test_a_bad_candidate_is_refused_with_the_value_and_what_to_do(fields: dict, says: list[str]) -> None:
    with pytest.raises(InvalidInput) as refused:
        Candidate(**{"value": "yes", "source": "gpt", **fields})
    for words in says:
        assert words in str(refused.value)


def test_rounded_probabilities_may_sum_to_a_hair_above_one() -> None:
    assert Candidate("a", "s", probs={"a": 0.3334, "b": 0.3334, "c": 0.3334}).distribution()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, 1.0),
        ((1, 2), [1, 2]),
        ({"a": 1, "b": [2]}, {"b": (2,), "a": 1.0}),
        ({1, 2}, frozenset([2, 1])),
        (Point(1), Point(1)),
        (-0.0, 0),
    ],
)
def test_values_that_say_the_same_are_one_answer(one: object, other: object) -> None:
    assert identity(one) == identity(other)
    assert spelling(identity(one)) == spelling(identity(other))
    result = ResultAggregator("majority").merge([Candidate(one, "a"), Candidate(other, "b"), Candidate("else", "c")])
    assert result.agreement == pytest.approx(2 / 3)


@pytest.mark.parametrize(("one", "other"), [(1, True), (1, "1"), (0, False), ([1], {1}), ("", None), ({}, [])])
def test_values_that_only_look_alike_stay_apart(one: object, other: object) -> None:
    assert identity(one) != identity(other)


def test_a_candidate_keeps_its_own_copy_of_probs() -> None:
    probs = {"a": 1.0}
    candidate = Candidate("a", "s", probs=probs)
    probs["a"] = 7.0
    assert candidate.distribution() == {identity("a"): 1.0}


def test_probs_may_be_pairs_where_values_are_not_hashable() -> None:
    candidate = Candidate({"k": 1}, "s", probs=[({"k": 1}, 0.75), ({"k": 2}, 0.25)])
    assert ResultAggregator().merge([candidate]).value == {"k": 1}


def test_a_candidate_pickles() -> None:
    candidate = Candidate({"k": [1]}, "s", 0.5, {"a": 0.5}, 2.0)
    assert pickle.loads(pickle.dumps(candidate)) == candidate
