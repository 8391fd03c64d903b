"""Facts merge in any order; what they amount to is a function of the set; and what is said of it has its evidence."""

from __future__ import annotations

import random
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raywf.aggregation.analytics import cheapest_panel, cost_curve
from raywf.aggregation.evidence import Dossier, Said, Standing, Truth
from raywf.aggregation.insights import calibration_table, disagreement, insights, right_when, source_table
from raywf.aggregation.views import calibration_svg, comparison_html, disagreement_svg
from raywf.errors import InvalidInput

VALUES = st.one_of(st.sampled_from(["x", "y"]), st.integers(0, 2), st.none(), st.just({"k": [1.0, True]}))
SAID = st.builds(Said, VALUES, st.none() | st.floats(0, 1), st.none(), st.just(1.0), st.integers(0, 3).map(float))
DOSSIERS = st.builds(
    Dossier,
    st.dictionaries(st.sampled_from("abcd"), SAID),
    st.none() | st.builds(Truth, st.sampled_from(["x", "y", 1]), st.integers(0, 3).map(float)),
)


@given(DOSSIERS, DOSSIERS, DOSSIERS)
def test_merging_dossiers_commutes_associates_and_repeats_without_effect(
    one: Dossier, two: Dossier, three: Dossier
) -> None:
    assert one.merged(two) == two.merged(one)
    assert one.merged(two).merged(three) == one.merged(two.merged(three))
    assert one.merged(one) == one
    assert Dossier.from_data(one.to_data()) == one


@given(st.lists(DOSSIERS, max_size=6), st.randoms(use_true_random=False))
def test_a_standing_is_a_function_of_the_set(dossiers: list[Dossier], chance: random.Random) -> None:
    whole, piecemeal = Standing(), Standing()
    for dossier in dossiers:
        whole.exchange(None, dossier)
    order = list(enumerate(dossiers))
    chance.shuffle(order)
    for _, dossier in order:  # first what each source said, one after the other, then the truth
        before = None
        for source in chance.sample(sorted(dossier.said), len(dossier.said)):
            after = Dossier({source: dossier.said[source]}).merged(before or Dossier())
            piecemeal.exchange(before, after)
            before = after
        piecemeal.exchange(before, dossier)
    assert piecemeal == whole
    assert piecemeal.to_data() == whole.to_data()
    assert Standing.from_data(whole.to_data()) == whole
    assert piecemeal.trust(7.0) == whole.trust(7.0)


def panel(items: int = 600, gold: int = 300, seed: int = 5) -> dict[str, Dossier]:
    """Experts of different skill, two copies of the worst, and one that claims too much."""
    chance = random.Random(seed)
    skills = {"strong": 0.9, "fair": 0.75, "boaster": 0.6, "poor": 0.4}
    found = {}
    for n in range(items):
        truth = chance.choice("pqrs")
        said = {}
        for name, skill in skills.items():
            value = truth if chance.random() < skill else chance.choice([each for each in "pqrs" if each != truth])
            said[name] = Said(value, 0.95 if name == "boaster" else skill, None, 1.0, 100.0 + n)
        said["copy"] = said["poor"]
        found[f"i-{n}"] = Dossier(said, Truth(truth, 900.0 + n) if n < gold else None)
    return found


@pytest.fixture(scope="module")
def standing() -> Standing:
    found = Standing()
    for dossier in panel().values():
        found.exchange(None, dossier)
    return found


def test_copies_are_found_by_their_common_errors_and_share_one_vote(standing: Standing) -> None:
    assert standing.clones() == [("copy", "poor")]
    trust = standing.trust()
    assert trust["copy"].copies == 2
    assert trust["copy"].weight == trust["copy"].mean / 2
    assert trust["strong"].copies == 1


def test_two_good_sources_that_agree_are_no_copies() -> None:
    found = Standing()
    for n in range(500):
        said = {name: Said("p" if n % 50 else f"wrong of {name}", None, None, 1.0, 1.0) for name in ("a", "b")}
        found.exchange(None, Dossier(said, Truth("p", 2.0)))
    assert found.clones() == []


def test_insights_have_their_evidence(standing: Standing) -> None:
    found = {each.kind: each for each in insights(standing)}
    assert set(found) == {"clones", "dominant", "overconfident"}
    assert found["clones"].sources == ("copy", "poor")
    assert found["dominant"].sources == ("strong",)
    assert found["dominant"].evidence["gold"] == 300
    assert found["overconfident"].sources == ("boaster",)
    assert found["overconfident"].evidence["claimed"] == pytest.approx(0.9)


def test_without_gold_trust_says_what_it_rests_on() -> None:
    found = Standing()
    for dossier in panel(gold=0).values():
        found.exchange(None, dossier)
    assert [each.kind for each in insights(found)] == ["unproven"]
    assert all(line.accuracy is None and line.agreement is not None for line in source_table(found))


def test_tables(standing: Standing) -> None:
    lines = source_table(standing)
    assert lines[0].source == "strong"
    assert all(line.answers == 600 and line.gold == 300 for line in lines)
    names, table = disagreement(standing)
    a, b = names.index("poor"), names.index("copy")
    assert table[a][b] == 0.0
    assert table[names.index("strong")][a] == table[a][names.index("strong")] > 0.4  # type: ignore[operator]
    assert {line.source for line in calibration_table(standing)} == set(names)
    assert set(right_when(standing)) == {'"p', '"q', '"r', '"s'}
    assert disagreement(Standing()) == ([], [])


def test_old_evidence_weighs_less_where_it_is_asked_to() -> None:
    found = Standing()
    for n in range(40):
        right = n >= 20  # wrong long ago, right of late
        dossier = Dossier(
            {"a": Said("p" if right else "q", None, None, 1.0, 1.0)}, Truth("p", 86_400.0 * (n if right else 0))
        )
        found.exchange(None, dossier)
    assert found.trust()["a"].mean == pytest.approx(0.5)
    assert found.trust(half_life_days=5)["a"].mean > 0.8


def test_the_cheapest_panel_that_reaches_a_target() -> None:
    gold = panel(2000, 2000)
    prices = {"strong": 10.0, "fair": 1.0, "boaster": 1.0, "poor": 1.0, "copy": 1.0}
    cheap = cheapest_panel(gold, prices, 0.70)
    assert cheap is not None and cheap.sources == ("fair",)
    dear = cheapest_panel(gold, prices, 0.88)
    assert dear is not None and "strong" in dear.sources
    assert cheapest_panel(gold, prices, 0.999) is None
    curve = cost_curve(gold, prices)
    assert [len(each.sources) for each in curve] == [1, 2, 3, 4, 5]
    with pytest.raises(InvalidInput, match="price of 'fair' is -1"):
        cost_curve(gold, prices | {"fair": -1})
    with pytest.raises(InvalidInput, match="too few to learn"):
        cheapest_panel({}, prices, 0.5)


def test_views_are_whole_documents_and_escape_what_sources_are_called(standing: Standing) -> None:
    odd = Standing()
    odd.exchange(
        None, Dossier({"<b>&": Said("x", 0.5, None, 1.0, 1.0), "c": Said("y", 0.5, None, 1.0, 1.0)}, Truth("x", 2.0))
    )
    for each in (standing, odd, Standing()):
        ET.fromstring(disagreement_svg(each))
        lines = calibration_table(each)
        for name in each.sources():
            ET.fromstring(calibration_svg(lines, name))
        page = comparison_html(each, "A & B")
        assert "A &amp; B" in page and "<b>" not in page
        assert "http" not in page.replace('xmlns="http://www.w3.org/2000/svg"', ""), "nothing is loaded from elsewhere"


def test_no_panel_is_cheaper_even_one_of_three() -> None:
    """Three cheap sources reach together what no pair of them does; pairs and steps alone would pay for the dear one."""
    chance, gold = random.Random(2), {}
    for n in range(600):
        truth = chance.choice("ab")
        said = {f"cheap-{s}": truth if chance.random() < 0.8 else "ab"[truth == "a"] for s in range(3)}
        said["dear"] = truth if chance.random() < 0.9 else "ab"[truth == "a"]
        gold[f"i{n}"] = Dossier(
            {name: Said(value, None, None, 1.0, 0.0) for name, value in said.items()}, Truth(truth, 0.0)
        )
    prices = {"cheap-0": 1.0, "cheap-1": 1.0, "cheap-2": 1.0, "dear": 10.0}
    found = cheapest_panel(gold, prices, 0.86)
    assert found is not None
    assert found.sources == ("cheap-0", "cheap-1", "cheap-2")
