"""Texts are voted on by the answer they state."""

import pytest

from raywf.aggregation import Candidate, ResultAggregator
from raywf.aggregation.text import extract_answer
from raywf.errors import InvalidInput


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("First B. No, the answer is (C).", "C"),
        ("Answer: 42", "42"),
        ("so \\boxed{x+1}", "x+1"),
        ("thus\n#### 17\n", "17"),
        ("The answer is A. Wait: the final answer is **D**", "D"),
        ("Final answer: New  York.", "new york"),
        ("Final answer: the answer is B.", "B"),
        ("Answer: Let's think. So the answer is (A).\n\nQuestion: what next? The answer is (C).", "A"),
        ("I do not know", None),
        ("x" * 5_000_000 + " answer: b", "B"),
    ],
)
def test_the_last_stated_answer_is_found(text: str, answer: str | None) -> None:
    assert extract_answer(text) == answer


def test_the_vote_is_on_answers_and_the_value_is_a_whole_text() -> None:
    said = [
        Candidate("Because of gravity the answer is (B).", "1"),
        Candidate("Answer: b", "2", weight=2.0),
        Candidate("Because of gravity the answer is (C).", "3"),
        Candidate("Because of gravity, no idea.", "4"),
    ]
    result = ResultAggregator("text").merge(said)
    assert (result.value, result.probs[0][0]) == ("Answer: b", "B")
    assert result == ResultAggregator("text").merge(said[::-1])


def test_without_answers_the_most_central_text_stands_and_is_escalated() -> None:
    said = [Candidate("the cat sat", "1"), Candidate("the cat sat down", "2"), Candidate("dogs", "3")]
    result = ResultAggregator("text").merge(said)
    assert result.value in ("the cat sat", "the cat sat down") and result.decision == "escalated"
    assert result.confidence < 0.5 and "no text states an answer" in result.why


def test_a_number_among_texts_is_named() -> None:
    with pytest.raises(InvalidInput, match="'1' says 3"):
        ResultAggregator("text").merge([Candidate(3, "1")])


def test_a_text_that_breaks_off_stated_its_answer_before() -> None:
    assert extract_answer("So the answer is (A).\n\nAll in all, the final answer is:") == "A"
    assert extract_answer("The answer is (D).\nThe answer is (") == "D"
    assert extract_answer("The answer is (") is None
