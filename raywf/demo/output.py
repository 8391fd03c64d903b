"""The result as a Parquet file: a row per ticket, for whatever comes next."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from raywf.demo.inputs import Ticket
from raywf.demo.score import Row


def columns(
    tickets: Sequence[Ticket], rows: Sequence[Row | None], execution_ids: Sequence[str]
) -> dict[str, list[Any]]:
    """The result as columns, a row per ticket in the order of the input; a failed one has its text and nulls."""
    names = list(dict.fromkeys(name for row in rows if row for name in row["votes"]))
    table: dict[str, list[Any]] = {
        "id": [ticket.id for ticket in tickets],
        "execution_id": list(execution_ids),
        "text": [ticket.text for ticket in tickets],
    }
    for field in ("language", "merged_language", "confidence", "agreement", "quality", "asked", "topic", "urgency"):
        table[field] = [row[field] if row else None for row in rows]
    for name in names:
        table[f"vote_{name}"] = [row["votes"].get(name) if row else None for row in rows]
    for field in ("language", "topic", "urgency"):
        table[f"true_{field}"] = [getattr(ticket, field) for ticket in tickets]
    return table


def write_parquet(path: Path, table: dict[str, list[Any]]) -> None:
    """Writes beside the target and renames, so that a reader never sees half a file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    numbers = {"confidence": pa.float64(), "agreement": pa.float64(), "quality": pa.float64(), "asked": pa.bool_()}
    schema = pa.schema([(name, numbers.get(name, pa.string())) for name in table])
    half = path.with_name(f".{path.name}.half")
    pq.write_table(pa.table(table, schema=schema), half)
    half.replace(path)
