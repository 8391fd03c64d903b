"""Results and sources as Arrow tables, and one merged record beside what each source said."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

from raywf.aggregation import AggregateResult, Candidate, ResultAggregator, tables
from raywf.aggregation.evidence import Dossier, Said, Standing, Truth, fields_of, part_at
from raywf.aggregation.pages import parts_svg, result_html


def merged() -> AggregateResult:
    said = [
        Candidate({"vendor": "<Acme>", "total": 10.0, "tags": ["a", "b"]}, "one"),
        Candidate({"vendor": "<Acme>", "total": 10.2, "tags": ["b"]}, "two"),
        Candidate({"vendor": "Apex", "total": 99.0, "tags": ["b", "c"], "note": "x"}, "three"),
    ]
    return ResultAggregator().merge(said)


def test_parts_and_conflicts_are_rows() -> None:
    found = {"i-1": merged(), "i-2": ResultAggregator().merge([Candidate("x", "a"), Candidate("y", "b")])}
    parts = tables.parts(found)
    rows = {row["path"]: row for row in parts.to_pylist()}
    assert rows["/vendor"] == {
        "item": "i-1", "path": "/vendor", "value": '"<Acme>"', "confidence": 0.625, "agreement": rows["/vendor"]["agreement"],
        "sources": ["one", "two"], "strategy": "majority", "calibrated": False, "kept": True,
    }  # fmt: skip
    assert not rows["/note"]["kept"]
    conflicts = tables.conflicts(found)
    assert {(row["item"], row["path"], row["value"]) for row in conflicts.to_pylist()} >= {
        ("i-1", "/vendor", '"Apex"'),
        ("i-2", "", '"y"'),
    }
    assert tables.parts({}).schema == parts.schema and tables.conflicts({}).num_rows == 0


def test_what_is_known_of_sources_is_rows() -> None:
    standing = Standing()
    for n in range(10):
        said = {"good": Said("x", 0.9, None, 1.0, 0.0), "poor": Said("y" if n % 2 else "x", None, None, 1.0, 0.0)}
        standing.exchange(None, Dossier(said, Truth("x", 1.0)))
    assert tables.sources(standing).column("right").to_pylist() == [10, 5]
    assert tables.disagreement(standing).to_pylist() == [
        {"source": "good", "other": "poor", "both": 10, "differ": 5, "share": 0.5}
    ]
    assert tables.calibration(standing).column("gold").to_pylist() == [10]
    assert tables.right_by_truth(standing).to_pylist()[1] == {"truth": '"x"', "source": "poor", "right": 5, "gold": 10}
    for table in (tables.sources, tables.disagreement, tables.calibration, tables.right_by_truth):
        assert table(Standing()).schema == table(standing).schema


def test_a_page_has_the_merged_record_beside_what_each_source_said() -> None:
    page = result_html(merged(), "Invoice <17>")
    assert page.startswith("<!doctype html>") and "Invoice &lt;17&gt;" in page and "<Acme>" not in page
    assert '<td class="other">Apex</td>' in page and "left out" in page
    drawn = ElementTree.fromstring(parts_svg(merged()))
    assert len([each for each in drawn.iter() if each.tag.endswith("rect")]) == len(merged().parts)
    plain = ResultAggregator("majority").merge([Candidate("x", "a"), Candidate("y", "b"), Candidate(None, "c")])
    assert "y</td>" in result_html(plain, "label") and "<svg" not in result_html(plain, "label")
    assert "</html>" in result_html(ResultAggregator().merge([]), "nothing")


def test_a_part_of_what_was_said() -> None:
    one = Dossier({"a": Said({"x": {"y": 1}, "p/q": 2}, 0.5, None, 1.0, 0.0), "b": Said("text", None, None, 1.0, 0.0)})
    assert one.at("/x/y").said == {"a": Said(1, 0.5, None, 1.0, 0.0)}
    assert part_at({"p/q": 2}, "/p~1q") == 2 and part_at({"x": 1}, "") == {"x": 1} and part_at([1], "/0") is None
    assert fields_of([one]) == ["/p~1q", "/x", "/x/y"]
    assert fields_of([Dossier({"a": Said({"$t": "model", "c": "m:C", "v": {"x": 1}}, None, None, 1.0, 0.0)})]) == ["/x"]


def test_a_result_merges_again_with_more() -> None:
    again = ResultAggregator().merge(
        [*merged().candidates(), Candidate({"vendor": "<Acme>", "total": 10.1, "tags": ["b"]}, "four", weight=1 / 3)]
    )
    assert again.value["vendor"] == "<Acme>" and again.parts[0].confidence > merged().parts[0].confidence
