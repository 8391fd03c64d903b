"""Tables that line up, and a JSON file that has every sample."""

import json

from benchmarks.bars import Verdict
from benchmarks.catalogue import Row
from benchmarks.report import as_json, rows_table, table, verdicts_table, write
from benchmarks.sample import Sample

ROW = Row("bare", "throughput", "bare group commit", "per_s", "executions/s", ["true"])


def test_columns_are_as_wide_as_their_widest_cell():
    text = table(["a", "number"], [["long one", "1"], ["b", "1,000"]], right=frozenset({1}))
    assert text.splitlines() == ["a         number", "--------  ------", "long one       1", "b          1,000"]


def test_a_row_shows_each_round_and_says_where_one_failed():
    samples = [
        Sample("bare", 1, {"per_s": 9000.0}),
        Sample("bare", 2, error="exit 1"),
        Sample("bare", 3, {"per_s": 8000.0}),
    ]
    line = rows_table([ROW], samples, 3).splitlines()[-1]
    assert line.split() == [
        "bare", "bare", "group", "commit", "executions/s", "9,000", "failed", "8,000", "8,500", "[8,000-9,000]",
    ]  # fmt: skip


def test_rows_that_were_not_taken_are_not_shown():
    assert len(rows_table([ROW], [], 3).splitlines()) == 2


def test_a_quick_run_is_not_judged():
    verdicts = [Verdict("a", "1", "≥ 4", False), Verdict("never measured", "", "≥ 1", None)]
    assert "NOT MET" in verdicts_table(verdicts, judged=True)
    assert "NOT MET" not in verdicts_table(verdicts, judged=False)
    assert "never measured" not in verdicts_table(verdicts, judged=True)


def test_the_json_has_every_sample_with_all_it_said(tmp_path):
    samples = [
        Sample("bare", 1, {"per_s": 9000.0, "commit_p50_ms": 0.3}, {"n": 5000}),
        Sample("bare", 2, error="exit 1"),
    ]
    document = as_json(
        {"cpu": "x"}, [ROW], samples, [Verdict("a", "1", "≥ 4", False, [1.0])], {"dbos": "no"}, {"rounds": 2}
    )
    path = tmp_path / "deep" / "out.json"
    write(path, document)
    read = json.loads(path.read_text())
    assert read["samples"][0]["figures"]["commit_p50_ms"] == 0.3
    assert read["samples"][1]["error"] == "exit 1"
    assert read["verdicts"][0]["verdict"] == "NOT MET"
    assert read["skipped"] == {"dbos": "no"}
    assert list(path.parent.iterdir()) == [path]
