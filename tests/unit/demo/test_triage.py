"""The tasks of the triage as the plain functions they are, and the graph they make."""

from typing import Any

import pytest

from raywf.demo.identifiers import IDENTIFIERS
from raywf.demo.triage import ACCEPT_AT, merge_language, record, triage

AGREE = {"py3langid": {"da": 0.9, "no": 0.1}, "lingua": {"da": 0.8, "no": 0.2}}


def test_sources_that_agree_are_believed() -> None:
    merged = merge_language({**AGREE, "langdetect": {"da": 1.0}, "pycld2": {}})
    assert merged["language"] == "da"
    assert merged["confidence"] > ACCEPT_AT
    assert merged["decision"] == "accepted"
    assert merged["votes"] == {"py3langid": "da", "lingua": "da", "langdetect": "da", "pycld2": None}
    assert list(merged["candidates"]) == ["da", "no"]


def test_sources_that_disagree_are_asked_about() -> None:
    merged = merge_language({"py3langid": {"da": 0.6, "no": 0.4}, "lingua": {"no": 0.6, "da": 0.4}})
    assert merged["confidence"] < ACCEPT_AT
    assert merged["decision"] == "escalated"


def test_nothing_recognised_is_no_language() -> None:
    merged = merge_language({name: {} for name in IDENTIFIERS})
    assert (merged["language"], merged["confidence"], merged["decision"]) == (None, 0.0, "abstained")


@pytest.mark.parametrize(("checked", "language"), [({"language": "da"}, "da"), ({"language": None}, None)])
def test_the_row_keeps_what_was_merged_beside_what_stands(checked: dict[str, Any], language: str | None) -> None:
    merged = merge_language({"py3langid": {"da": 0.6, "no": 0.4}, "lingua": {"no": 0.6, "da": 0.4}})
    row = record("hej", merged, checked, "other", "normal")
    assert (row["language"], row["merged_language"], row["asked"]) == (language, merged["language"], True)


def test_the_four_identifiers_run_side_by_side() -> None:
    definition = triage.definition
    names = {task.id for task in definition.tasks}
    assert definition.id == "triage"
    assert {f"identify_{name}" for name in IDENTIFIERS} | {"merge_language", "record"} <= names
    assert "merge_language" in definition.to_mermaid()
