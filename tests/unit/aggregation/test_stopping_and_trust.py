"""Ask while it is worth the price; trust by gold first, by context, and never by one's own copies."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raywf.aggregation import Answer, Candidate, EarlyStop, FactSet, Gold, ResultAggregator
from raywf.aggregation.ballot import collect
from raywf.aggregation.identity import identity
from raywf.aggregation.learning import learn_from
from raywf.aggregation.reliability import dossiers, standing
from raywf.errors import InvalidInput

SKILLS = {"a": 0.85, "b": 0.75, "c": 0.7, "d": 0.65, "e": 0.6, "f": 0.55}
PRICES = dict.fromkeys(SKILLS, 1.0)


def panel(items: int, gold: int, seed: int = 3) -> list:
    chance, facts = random.Random(seed), []
    for i in range(items):
        truth = chance.choice("uvwxyz")
        for name, q in SKILLS.items():
            value = truth if chance.random() < q else chance.choice("uvwxyz")
            facts.append(Answer(f"i{i:04}", name, value, at=float(i)))
        if i < gold:
            facts.append(Gold(f"i{i:04}", truth, at=float(i)))
    return facts


def asked(policy: EarlyStop, answers: dict[str, str]) -> list[Candidate]:
    heard: list[Candidate] = []
    while (source := policy.next_source(heard).source) is not None:
        heard.append(Candidate(answers[source], source))
    return heard


def test_early_stop_saves_calls_and_hardly_any_answers() -> None:
    known = ResultAggregator.from_facts(panel(200, 200))
    policy, fresh = known.early_stop(PRICES), FactSet.of(panel(400, 400, seed=9))
    calls, early, late = 0, 0, 0
    for item, answers in fresh.by_item().items():
        said = {answer.source: answer.value for answer in answers}
        heard = asked(policy, said)
        calls += len(heard)
        truth = fresh.golds[item].truth
        early += known.merge(heard).value == truth
        late += known.merge([Candidate(v, s) for s, v in said.items()]).value == truth
    assert calls <= 0.75 * 400 * len(SKILLS)
    assert early >= late - 0.02 * 400


@given(st.dictionaries(st.sampled_from(sorted(SKILLS)), st.sampled_from("xyz"), min_size=6))
@settings(deadline=None)
def test_without_gold_it_stops_only_when_nothing_can_change(answers: dict[str, str]) -> None:
    heard = asked(EarlyStop.of(FactSet(), PRICES), answers)
    whole = ResultAggregator("majority").merge([Candidate(v, s) for s, v in answers.items()])
    if len(heard) < len(SKILLS):
        assert ResultAggregator("majority").merge(heard).value == whole.value
    assert len(heard) >= 4  # of six equal votes three may still be overtaken


def test_the_dearer_the_rest_the_sooner_it_stops() -> None:
    known = ResultAggregator.from_facts(panel(200, 200))
    divided = [Candidate("u", "a"), Candidate("v", "b")]
    assert known.early_stop(PRICES, worth=1e6).next_source(divided).source is not None
    stop = known.early_stop(PRICES, worth=0.5).next_source(divided)
    assert stop.source is None and "worth" in stop.why
    dear = known.early_stop(PRICES | {"a": 1e6}).next_source([])
    assert dear.source not in (None, "a")  # the best source is not the best buy
    assert known.early_stop(PRICES).next_source([]).source in ("a", "b")


def test_whoever_abstained_is_not_asked_again() -> None:
    policy = EarlyStop.of(FactSet(), {"a": 1.0, "b": 1.0})
    assert policy.next_source([Candidate(None, "a")]).source == "b"
    end = policy.next_source([Candidate(None, "a"), Candidate(None, "b")])
    assert end.source is None and end.why == "everybody was asked"


@pytest.mark.parametrize(
    ("prices", "worth", "says"),
    [
        ({}, None, "nobody to ask"),
        ({"a": -1.0}, None, "the price of source 'a' is -1"),
        ({"a": float("nan")}, None, "'a' is nan"),
        ({"a": 1.0}, float("inf"), "worth.*inf"),
    ],
)
def test_prices_that_are_none_are_refused(prices: dict, worth: float | None, says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        EarlyStop.of(FactSet(), prices, worth=worth)


def test_trust_follows_gold_and_context() -> None:
    facts = []
    for i in range(60):
        context = "law" if i % 2 else "maths"
        value = "x" if context == "law" else "y"
        facts += [Answer(f"i{i}", "a", value, context=context), Answer(f"i{i}", "b", "x", context=context)]
        facts.append(Gold(f"i{i}", "x"))
    found = ResultAggregator.from_facts(facts).trust()
    assert found["a", "law"].mean > 0.85 > 0.55 > found["a", None].mean > 0.2 > found["a", "maths"].mean
    assert found["b", None].low > 0.9 and found["b", None].gold == 60
    assert found["a", "law"].low < found["a", "law"].mean


def test_agreement_counts_little_and_gold_ends_it() -> None:
    agreed = [Answer(f"i{i}", s, "x") for i in range(10) for s in "abc"]
    found = ResultAggregator.from_facts(agreed).trust()["a", None]
    assert found.mean == pytest.approx((1 + 3) / (2 + 3)) and found.gold == 0
    gold = [f for i in range(20) for f in (Answer(f"g{i}", "a", "y"), Gold(f"g{i}", "z"))]
    assert ResultAggregator.from_facts([*agreed, *gold]).trust()["a", None].mean == pytest.approx(1 / 22)


def test_copies_do_not_praise_one_another() -> None:
    chance, facts = random.Random(6), []
    for i in range(300):
        truth = chance.choice("uvwxyz")
        says = {f"honest{k}": truth if chance.random() < 0.7 else chance.choice("uvwxyz") for k in range(4)}
        poor = chance.choice("uvwxyz")
        facts += [Answer(f"i{i}", s, v) for s, v in (says | {f"copy{k}": poor for k in range(6)}).items()]
    found = ResultAggregator.from_facts(facts).trust()
    assert found["copy0", None].mean < 0.35 < 0.6 < found["honest0", None].mean
    assert found["copy0", None].copies == 6 and found["copy0", None].weight < 0.06


def test_what_is_old_weighs_less_where_it_is_asked_to() -> None:
    facts = [
        f for i in range(40) for f in (Answer(f"i{i}", "a", "x" if i >= 20 else "y"), Gold(f"i{i}", "x", float(i)))
    ]
    known = ResultAggregator.from_facts(facts)
    assert known.trust()["a", None].mean == pytest.approx(0.5)
    assert known.trust(half_life_s=4)["a", None].mean > 0.75
    with pytest.raises(InvalidInput, match="half_life_s is 0"):
        known.trust(half_life_s=0)


@settings(max_examples=10, deadline=None)
@given(st.randoms(use_true_random=False))
def test_trust_is_a_function_of_the_set_bit_for_bit(chance: random.Random) -> None:
    facts = panel(60, 30)
    shuffled = [*facts, *facts[:50]]
    chance.shuffle(shuffled)
    one, other = ResultAggregator.from_facts(shuffled), ResultAggregator.from_facts(facts)
    assert one.trust(half_life_s=7.0) == other.trust(half_life_s=7.0)
    assert one.calibration() == other.calibration()


def test_the_two_sets_of_facts_say_the_same_of_their_gold() -> None:
    facts = FactSet.of(panel(80, 80))
    ours, theirs = ResultAggregator(facts=facts).trust(), standing(facts).trust()
    assert {s: (t.mean, t.low, t.gold) for s, t in theirs.items()} == {
        s: (t.mean, t.low, t.gold) for (s, c), t in ours.items() if c is None
    }
    assert len(dossiers(facts)) == 80 and all(d.truth and len(d.said) == 6 for d in dossiers(facts).values())


def two_good_among_poor(copy: bool) -> list[list[Candidate]]:
    """Two sources that are right nine times in ten, or one and its copy, beside four that mostly guess."""
    chance = random.Random(5)
    batch = []
    for _ in range(300):
        truth = chance.choice("abcdef")
        good = [truth if chance.random() < 0.9 else chance.choice("abcdef") for _ in range(2)]
        said = {"good": good[0], "other": good[0] if copy else good[1]}
        said |= {f"poor{n}": truth if chance.random() < 0.3 else chance.choice("abcdef") for n in range(4)}
        batch.append(
            [Candidate(value, source) for source, value in said.items()] + [Candidate(truth, "truth", weight=0)]
        )
    return batch


@pytest.mark.parametrize("copy", [False, True])
def test_a_few_truths_tell_two_good_sources_from_copies(copy: bool) -> None:
    batch = two_good_among_poor(copy)
    ballots = [collect(each[:-1]) for each in batch]
    truths = [identity(each[-1].value) for each in batch]
    blind = learn_from(ballots, [None] * len(ballots))
    assert blind.clusters == (("good", "other"),), "without gold they look alike"
    some = learn_from(ballots, [truth if at < 45 else None for at, truth in enumerate(truths)])
    assert some.clusters == ((("good", "other"),) if copy else ())
