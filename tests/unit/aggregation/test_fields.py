"""Records are merged field by field, and a record that no source gave has to make sense."""

from __future__ import annotations

import dataclasses
import random
import statistics
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field, model_validator

from raywf.aggregation import AggregateResult, Candidate, Conflict, Fields, Lists, Part, ResultAggregator
from raywf.aggregation.facts import FactSet
from raywf.errors import InvalidInput

FLAT = st.dictionaries(st.sampled_from(["a", "b", "c"]), st.sampled_from(["x", "y", None, 1]), max_size=3)
RECORDS = st.lists(FLAT | st.builds(lambda inner: {"in": inner}, FLAT), min_size=1, max_size=5)


def ballot(*values: Any) -> list[Candidate]:
    return [Candidate(value, f"s{n}") for n, value in enumerate(values)]


def merge(*values: Any, strategy: Any = "fields") -> AggregateResult:
    return ResultAggregator(strategy).merge(ballot(*values))


def part(result: AggregateResult, path: str) -> Part:
    (found,) = [each for each in result.parts if each.path == path]
    return found


class Invoice(BaseModel):
    net: float
    vat: float
    total: float = Field(alias="Total")
    note: str | None = None

    @model_validator(mode="after")
    def _adds_up(self) -> Invoice:
        if abs(self.net + self.vat - self.total) > 0.01:
            raise ValueError("net and vat are not the total")
        return self


def invoice(net: float, vat: float, note: str | None = None) -> Invoice:
    return Invoice(net=net, vat=vat, Total=net + vat, note=note)


def test_each_field_is_merged_by_the_shape_of_its_values() -> None:
    result = merge(
        {"vendor": "Acme", "total": 10.0, "tags": ["new", "paid"], "at": {"city": "Paris"}},
        {"vendor": "Acme", "total": 10.2, "tags": ["paid"], "at": {"city": "Lyon"}},
        {"vendor": "Apex", "total": 9.9, "tags": ["paid", "new"], "at": {"city": "Paris"}},
        strategy="auto",
    )
    assert result.value["vendor"] == "Acme" and result.value["at"] == {"city": "Paris"}
    assert result.value["total"] == pytest.approx(10.03, abs=0.1)
    assert set(result.value["tags"]) == {"new", "paid"}
    assert (result.strategy, result.rung) == ("fields", "shape")
    assert {each.path: each.strategy for each in result.parts} == {
        "/vendor": "majority", "/total": "huber", "/tags": "list", "/tags/0": "majority", "/tags/1": "majority",
        "/at": "fields", "/at/city": "majority",
    }  # fmt: skip
    assert part(result, "/vendor").sources == ("s0", "s1")
    assert result.confidence == min(each.confidence for each in result.parts)
    assert ("/at/city", "Lyon", ("s1",)) in [(c.path, c.value, c.sources) for c in result.conflicts]


def test_a_field_that_most_leave_out_is_left_out_and_one_that_is_null_for_most_is_null() -> None:
    result = merge({"a": 1, "b": None, "c": 7}, {"a": 1, "b": None}, {"a": 1, "b": "x"})
    assert result.value == {"a": 1, "b": None}
    gone = part(result, "/c")
    assert not gone.kept and gone.confidence == pytest.approx(0.625) and gone.sources == ("s1", "s2")
    assert Conflict(7, ("s0",), pytest.approx(1 / 3), "missing", "/c") in result.conflicts
    assert Conflict("x", ("s2",), pytest.approx(1 / 3), "missing", "/b") in result.conflicts


def test_a_record_that_no_source_gave_must_pass_its_class_or_one_that_was_given_stands_as_a_whole() -> None:
    sound = merge(invoice(100, 20, "x"), invoice(100, 20), invoice(100, 20, "x"))
    assert sound.value == invoice(100, 20, "x") and sound.why == ""
    result = merge(invoice(100, 20), invoice(110, 20), invoice(100, 22))
    assert isinstance(result.value, Invoice)
    assert result.value == invoice(100, 20), "its fields have the most support"
    assert "net and vat are not the total" in result.why and "'s0' stands as a whole" in result.why
    assert result.confidence == part(result, "/total").confidence < 0.5
    assert result.decision == "escalated"


def test_dicts_are_validated_by_a_model_or_a_function_that_is_given() -> None:
    raw = [
        {"net": 1.0, "vat": 0.2, "total": 1.2},
        {"net": 1.0, "vat": 0.3, "total": 1.3},
        {"net": 2.0, "vat": 0.2, "total": 2.2},
    ]
    fixed = dict.fromkeys(("/net", "/vat", "/total"), "majority")
    by_model = merge(*raw, strategy=Fields(by=fixed, validate=Invoice))
    assert isinstance(by_model.value, Invoice) and by_model.value.net in (1.0, 2.0)
    by_function = merge(*raw, strategy=Fields(validate=lambda record: record in raw))
    assert by_function.value in raw and "validate returned False" in by_function.why
    nothing = merge(*raw, strategy=Fields(validate=lambda record: False))
    assert (nothing.value, nothing.confidence, nothing.decision) == (None, 0.0, "abstained")
    assert "neither does any record" in nothing.why


def test_a_field_has_the_strategy_it_is_given_at_any_depth() -> None:
    how = Fields(by={"/at/x": "median", "/tags": Lists(keep=1.0)})
    result = merge(
        {"at": {"x": 1}, "tags": ["a", "b"]},
        {"at": {"x": 2}, "tags": ["b"]},
        {"at": {"x": 50}, "tags": ["b"]},
        strategy=how,
    )
    assert result.value == {"at": {"x": 2}, "tags": ["b"]}
    assert part(result, "/at/x").strategy == "median"


def test_dataclasses_and_tuples_with_names_come_back_as_what_they_were() -> None:
    @dataclasses.dataclass
    class Spot:
        x: int
        name: str

    assert merge(Spot(1, "a"), Spot(1, "b"), Spot(2, "a"), strategy="auto").value == Spot(1, "a")


def test_gold_teaches_each_field_by_itself() -> None:
    """One source knows cities and not years, the other the reverse; as a whole both are mostly wrong."""
    aggregator = ResultAggregator("fields")
    for n in range(60):
        said = [
            Candidate({"city": f"c{n}", "year": f"wrong{n}"}, "places"),
            Candidate({"city": f"other{n}", "year": f"y{n}"}, "dates"),
            Candidate({"city": f"far{n}", "year": f"off{n}"}, "neither"),
        ]
        aggregator.feedback(said, {"city": f"c{n}", "year": f"y{n}"}, item=f"i{n}")
    new = [Candidate({"city": "A", "year": "1"}, "places"), Candidate({"city": "B", "year": "2"}, "dates")]
    result = aggregator.merge(new)
    assert result.value == {"city": "A", "year": "2"}
    assert part(result, "/city").calibrated and part(result, "/city").confidence > 0.9
    assert not result.calibrated, "that the fields belong together was hardly compared with anything"


def test_a_whole_record_is_as_sure_as_whole_records_were_right() -> None:
    """Five fields, each of them nearly always right by itself, are right together far less often than the least sure of them."""
    chance = random.Random(5)
    names = ("a", "b", "c", "d", "e")

    def item() -> tuple[list[Candidate], dict[str, str]]:
        truth = {name: chance.choice("pqrs") for name in names}
        said = [{k: v if chance.random() < 0.8 else chance.choice("pqrs") for k, v in truth.items()} for _ in range(3)]
        return [Candidate(record, f"s{at}") for at, record in enumerate(said)], truth

    aggregator = ResultAggregator(Fields(by={f"/{name}": "majority" for name in names}))
    for n in range(100):
        said, truth = item()
        aggregator.feedback(said, truth, item=f"i{n}")
    fresh = [item() for _ in range(200)]
    results = [aggregator.merge(said) for said, _ in fresh]
    right = statistics.fmean(result.value == truth for result, (_, truth) in zip(results, fresh, strict=True))
    claimed = statistics.fmean(result.confidence for result in results)
    alone = ResultAggregator(aggregator.settings, facts=FactSet(aggregator.facts.answers, {}))
    least = statistics.fmean(alone.merge(said).confidence for said, _ in fresh)
    assert all(result.calibrated for result in results) and not alone.merge(fresh[0][0]).calibrated
    assert abs(claimed - right) < 0.1
    assert abs(claimed - right) < abs(least - right)


@settings(deadline=None)
@given(RECORDS, st.randoms())
def test_the_order_of_sources_changes_nothing(records: list[dict[str, Any]], chance: Any) -> None:
    said = ballot(*records)
    shuffled = list(said)
    chance.shuffle(shuffled)
    assert ResultAggregator("fields").merge(shuffled) == ResultAggregator("fields").merge(said)


@settings(deadline=None)
@given(FLAT, st.integers(1, 4))
def test_what_all_say_is_what_comes_out(record: dict[str, Any], times: int) -> None:
    result = merge(*[record] * times)
    assert result.value == record and result.agreement == pytest.approx(1.0)
    assert result.confidence >= 0.75 and not result.conflicts


@settings(deadline=None)
@given(RECORDS)
def test_one_more_vote_for_the_merged_record_keeps_it_and_makes_it_no_less_sure(records: list[dict[str, Any]]) -> None:
    before = merge(*records)
    after = ResultAggregator("fields").merge([*ballot(*records), Candidate(before.value, "one more")])
    assert after.value == before.value
    assert after.confidence >= before.confidence - 1e-9


def test_odd_records() -> None:
    with pytest.raises(InvalidInput, match="'s1' says 3, which has no named fields"):
        merge({"a": 1}, 3)
    with pytest.raises(InvalidInput, match="not 'total'"):
        Fields(by={"total": "median"})
    with pytest.raises(InvalidInput, match=r"field '/total': there is no strategy 'medain'.*'median'"):
        ResultAggregator(Fields(by={"/total": "medain"}))
    with pytest.raises(InvalidInput, match="a strategy is a name"):
        ResultAggregator(3)
    circle: list[Any] = []
    circle.append(circle)
    with pytest.raises(InvalidInput, match="contains itself"):
        Candidate(circle, "s")
    assert merge({}, {}).value == {}
    assert merge({"a/b": 1, "~": 2}).parts[0].path == "/a~1b"
    mixed = merge({"a": 1}, ["a"], {"a": 1}, strategy="auto")
    assert (mixed.value, mixed.strategy) == ({"a": 1}, "majority"), "a mixture is compared as a whole"
    assert merge({"a": [1]}, {"a": {"b": 1}}, {"a": [1]}).value == {"a": [1]}
    assert merge({1: "a"}, {1: "a"}, strategy="auto").strategy == "majority", "keys that are no texts name no fields"


@pytest.mark.parametrize("strategy", ["auto", "list", "set", "kemeny", "borda", "rrf"])
def test_ten_thousand_sources_of_lists(strategy: str) -> None:
    crowd = [Candidate(["x", "y"] if n % 3 else ["y", "x"], f"s{n}") for n in range(10_000)]
    result = ResultAggregator(strategy).merge(crowd)
    assert list(result.value) == ["x", "y"] and 0.5 < result.confidence < 1
    assert len(result.provenance) == 10_000


def test_ten_thousand_sources_of_records_and_a_text_of_five_megabytes() -> None:
    crowd = [Candidate({"a": n % 3 == 0, "b": 2.5}, f"s{n}") for n in range(10_000)]
    assert ResultAggregator().merge(crowd).value == {"a": False, "b": 2.5}
    long = "a b " * 1_250_000
    assert merge({"text": long}, {"text": long}, {"text": long + "!"}).value == {"text": long}


def test_what_is_no_number_inside_a_record_is_refused() -> None:
    with pytest.raises(InvalidInput, match="NaN is equal to nothing"):
        Candidate({"total": float("nan")}, "gpt")
    with pytest.raises(InvalidInput, match="'s1' says inf, which is no finite number"):
        merge({"total": 1.5}, {"total": float("inf")})
