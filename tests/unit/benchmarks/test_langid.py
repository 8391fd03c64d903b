"""The sample that is drawn, and what an identifier's answer counts as."""

from collections import Counter

from benchmarks.langid import candidate, draw, score

ROWS = [
    {"kind": kind, "lang": lang, "text": f"{kind} {lang} {i}"} for kind in "ab" for lang in "xyz" for i in range(10)
]


def test_every_kind_and_language_has_the_same_share_and_the_draw_repeats_itself():
    drawn = draw(ROWS, 12)
    assert Counter(lang for lang, _ in drawn) == {"x": 4, "y": 4, "z": 4}
    assert drawn == draw(iter(ROWS), 12)
    assert len(set(drawn)) == len(drawn)


def test_a_sample_larger_than_the_data_is_all_of_it():
    assert len(draw(ROWS, 10_000)) == len(ROWS)
    assert draw([], 5) == []


def test_an_empty_distribution_abstains_and_counts_as_not_right():
    assert candidate("a", {}).abstains
    assert score([(0.0, False), (1.0, True)]) == {"accuracy": 0.5, "ece": 0.0}


def test_the_likeliest_language_is_the_vote():
    one = candidate("a", {"da": 0.3, "no": 0.6})
    assert (one.value, one.confidence) == ("no", 0.6)
