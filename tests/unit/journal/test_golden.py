"""Old histories stay readable for ever: what tests/golden recorded still decodes to what it meant."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

from raywf.core import codec
from raywf.core.events import Event
from raywf.core.failures import Failure

GOLDEN = Path(__file__).parents[2] / "golden"
HISTORIES = {path.stem: json.loads(path.read_text(encoding="utf-8"))["rows"] for path in sorted(GOLDEN.glob("*.json"))}
ROWS = [pytest.param(row, id=f"{name}-{row['seq']}-{row['kind']}") for name, rows in HISTORIES.items() for row in rows]


def record_of(row: dict[str, Any]) -> codec.Record:
    data = row["data"]
    return row["kind"], row["task"], row["attempt"], None if data is None else data.encode()


def plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, tuple):
        return [plain(each) for each in value]
    return value.to_data() if isinstance(value, Failure) else value


@pytest.mark.parametrize("row", ROWS)
def test_a_recorded_event_still_means_the_same(row: dict[str, Any]) -> None:
    event = codec.from_record(*record_of(row))
    expected = dict(row["means"])
    assert type(event).__name__ == expected.pop("event")
    # A field that came later is not in `means`; those that are there keep their values.
    assert {name: plain(getattr(event, name)) for name in expected} == expected


@pytest.mark.parametrize("row", ROWS)
def test_what_was_decoded_can_be_written_and_read_again(row: dict[str, Any]) -> None:
    event = codec.from_record(*record_of(row))
    assert codec.from_record(*codec.to_record(event)) == event


@pytest.mark.parametrize("kind", get_args(Event), ids=lambda kind: kind.__name__)
def test_every_kind_of_event_is_among_them(kind: type[Any]) -> None:
    seen = [row for rows in HISTORIES.values() for row in rows if row["means"]["event"] == kind.__name__]
    assert seen, f"record a history with {kind.__name__} in a new file of tests/golden"
    newest = {name for row in seen for name in row["means"]}
    assert set(get_type_hints(kind)) <= newest, "a new field: record it in a new file"


def test_histories_count_from_one_without_gaps() -> None:
    for name, rows in HISTORIES.items():
        assert [row["seq"] for row in rows] == list(range(1, len(rows) + 1)), name


def test_todays_encoding_is_among_them() -> None:
    """What we write now is recorded too: a change of the encoding that nobody recorded shows here."""
    recorded = {(row["kind"], row["data"]) for rows in HISTORIES.values() for row in rows}
    for rows in HISTORIES.values():
        for row in rows:
            kind, _, _, data = codec.to_record(codec.from_record(*record_of(row)))
            assert (kind, None if data is None else data.decode()) in recorded
