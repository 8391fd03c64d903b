"""What there is to know of sources and results, as Arrow tables: one row per fact, the same columns whether there are rows or none.

For notebooks, dashboards and files: `pyarrow.parquet.write_table(sources(standing), "sources.parquet")`. Values, which may be anything, are
columns of JSON text. Needs pyarrow, which comes with raywf.
"""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from raywf.aggregation.evidence import Standing
from raywf.aggregation.insights import calibration_table, right_when, said_as, source_table
from raywf.aggregation.result import AggregateResult
from raywf.aggregation.shapes import is_model, record_of

if TYPE_CHECKING:
    import pyarrow as pa


def sources(standing: Standing) -> "pa.Table":
    """One row per source, the most trusted first: source, answers, gold, right, accuracy, agreement, trust, low, copies."""
    kinds = "string int64 int64 int64 float64 float64 float64 float64 int64"
    names = "source answers gold right accuracy agreement trust low copies"
    return _table(names, kinds, source_table(standing))


def disagreement(standing: Standing) -> "pa.Table":
    """One row per pair of sources that answered common items: source, other, both, differ (items), share."""
    rows = []
    for key, both in standing.sums.items():
        if key[0] == "pair" and key[3] == "both":
            differ = both - standing.pair(key[1], key[2], "same")
            rows.append((key[1], key[2], both, differ, differ / both))
    rows.sort()
    return _table("source other both differ share", "string string int64 int64 float64", rows)


def calibration(standing: Standing) -> "pa.Table":
    """One row per source and tenth of claimed confidence, of items with known truth: source, low, high, gold, right."""
    return _table("source low high gold right", "string float64 float64 int64 int64", calibration_table(standing))


def right_by_truth(standing: Standing) -> "pa.Table":
    """Who is right when: truth (JSON), source, right, gold; truths with 5 gold answers or more."""
    found = right_when(standing)
    rows = [(spelled(said_as(truth)), source, *counts) for truth, by in found.items() for source, counts in by.items()]
    return _table("truth source right gold", "string string int64 int64", rows)


def parts(results: Mapping[str, AggregateResult]) -> "pa.Table":
    """One row per item and part of its merged value; the columns are the fields of `Part`, the value as JSON."""
    names = "item path value confidence agreement sources strategy calibrated kept"
    rows = [
        (item, p.path, spelled(p.value), p.confidence, p.agreement, list(p.sources), p.strategy, p.calibrated, p.kept)
        for item, result in results.items()
        for p in result.parts
    ]
    return _table(names, "string string string float64 float64 strings string bool bool", rows)


def conflicts(results: Mapping[str, AggregateResult]) -> "pa.Table":
    """One row per item and value that was overruled: item, path, value (JSON), sources, share, kind."""
    rows = [
        (item, c.path, spelled(c.value), list(c.sources), c.share, c.kind)
        for item, result in results.items()
        for c in result.conflicts
    ]
    return _table("item path value sources share kind", "string string string strings float64 string", rows)


def spelled(value: Any) -> str:
    """A value as JSON; what JSON has no word for as its own text."""
    return json.dumps(
        value, ensure_ascii=False, default=lambda inside: record_of(inside) if is_model(inside) else str(inside)
    )


def _table(names: str, kinds: str, rows: Sequence[Sequence[Any]]) -> "pa.Table":
    import pyarrow as pa

    types = {
        "string": pa.string(),
        "int64": pa.int64(),
        "float64": pa.float64(),
        "bool": pa.bool_(),
        "strings": pa.list_(pa.string()),
    }
    schema = pa.schema(list(zip(names.split(), [types[kind] for kind in kinds.split()], strict=True)))
    columns: list[Any] = list(zip(*rows, strict=True)) or [[] for _ in schema]
    return pa.Table.from_arrays(
        [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)], schema=schema
    )
