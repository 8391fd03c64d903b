"""Exports and archives of an encrypted store: what leaves it stays encrypted, with the keys that it had there.

They are sealed for the execution's id and the event's number, not for a row of a store, so they open wherever the key is: rotating
a store's keys does not change files that have left it. Only compressed stores export plainly: JSON is for people, and Parquet
compresses by itself.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from raywf.runtime.data import blob_hash
from raywf.sealing import Codec, Sealer, is_sealed_text

if TYPE_CHECKING:
    import pyarrow as pa


def exporting(sealer: Sealer | None) -> Sealer | None:
    """What seals that which leaves a store; None where it leaves plainly."""
    return sealer if sealer is not None and sealer.encrypts else None


def opener(codec: Codec | None) -> Sealer:
    """What opens exports by a codec (None: of the environment)."""
    return (Codec.from_env(os.environ) if codec is None else codec).sealer()


def _event(event: dict[str, Any], execution: str) -> str:
    return f"exported event {execution} {event['seq']} {event['kind']} {event.get('task')}"


def _fingerprint(execution: str) -> str:
    return f"exported fingerprint {execution}"


def seal_export(data: dict[str, Any], sealer: Sealer) -> None:
    """Seal an export's JSON, in place."""
    for row in data["executions"]:
        row["fingerprint"] = sealer.seal_text(row["fingerprint"], _fingerprint(row["id"]))
        for event in row["events"]:
            if event["data"] is not None:
                event["data"] = sealer.seal_text(event["data"], _event(event, row["id"]))
    sealed = (sealed_value(hash_, base64.b64decode(text), sealer) for hash_, text in data["values"].items())
    data["values"] = {name: base64.b64encode(value).decode() for name, value in sealed}
    data["missing"] = [sealer.seal_text(hash_, "exported hash") for hash_ in data["missing"]]


def open_export(data: dict[str, Any], codec: Codec | None) -> None:
    """Open an export's JSON in place; one that is not sealed stays as it is. Raises ``KeyMissing`` and ``SealBroken``."""
    rows = [row for row in data.get("executions", ()) if isinstance(row, dict)]
    if not any(is_sealed_text(row.get("fingerprint")) for row in rows):
        return
    sealer = opener(codec)
    for row in rows:
        row["fingerprint"] = sealer.open_text(row["fingerprint"], _fingerprint(row["id"]))
        for event in row["events"]:
            if event.get("data") is not None:
                event["data"] = sealer.open_text(event["data"], _event(event, row["id"]))
    opened = (opened_value(name, base64.b64decode(text), sealer) for name, text in data.get("values", {}).items())
    data["values"] = {blob_hash(value): base64.b64encode(value).decode() for value in opened}
    data["missing"] = [sealer.open_text(text, "exported hash") for text in data.get("missing", ())]


def sealed_value(hash_: str, data: bytes, sealer: Sealer) -> tuple[str, bytes]:
    """A large value, and the name that takes its hash's place."""
    name = next(sealer.names_for_new(hash_))
    return name, sealer.seal(data, f"exported value {name}")


def opened_value(name: str, data: bytes, sealer: Sealer) -> bytes:
    return sealer.open(data, f"exported value {name}")


# columns of an archive


def sealed_events(table: pa.Table, sealer: Sealer) -> pa.Table:
    return _mapped(table, "data", lambda row: sealer.seal_text(row["data"], _event(row, row["execution"])))


def opened_events(table: pa.Table, sealer: Sealer) -> pa.Table:
    return _mapped(table, "data", lambda row: sealer.open_text(row["data"], _event(row, row["execution"])))


def sealed_rows(table: pa.Table, sealer: Sealer) -> pa.Table:
    return _mapped(table, "fingerprint", lambda row: sealer.seal_text(row["fingerprint"], _fingerprint(row["id"])))


def opened_rows(table: pa.Table, sealer: Sealer) -> pa.Table:
    return _mapped(table, "fingerprint", lambda row: sealer.open_text(row["fingerprint"], _fingerprint(row["id"])))


def _mapped(table: pa.Table, name: str, change: Any) -> pa.Table:
    import pyarrow as pa

    at = table.column_names.index(name)
    needed = [each for each in ("execution", "id", "seq", "kind", "task", name) if each in table.column_names]
    rows: Iterable[dict[str, Any]] = table.select(needed).to_pylist()
    column = [None if row[name] is None else change(row) for row in rows]
    return table.set_column(at, table.schema.field(at), pa.array(column, table.schema.field(at).type))


def is_sealed_column(table: pa.Table, name: str) -> bool:
    """Whether any of a column's texts is sealed."""
    import pyarrow.compute as pc

    found: bool | None = pc.any(pc.starts_with(table.column(name), "rw1:")).as_py()
    return bool(found)
