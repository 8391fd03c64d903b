"""Rows of the store as the records of ``ports``, and back."""

from __future__ import annotations

import json
from typing import Any

from raywf.ports import EventRow, ExecutionRow, InboxRow, OwnerRow

event = EventRow._make
command = InboxRow._make


def execution(row: tuple[Any, ...]) -> ExecutionRow:
    """Column 12 is ``tags``: a JSON object, NULL when there are none."""
    return ExecutionRow._make((*row[:12], {} if row[12] is None else json.loads(row[12]), *row[13:]))


def from_execution(row: ExecutionRow) -> tuple[Any, ...]:
    return (*row[:12], as_json(dict(row.tags)) if row.tags else None, *row[13:])


def owner(row: tuple[Any, ...]) -> OwnerRow:
    return OwnerRow._make((*row[:7], bool(row[7])))


def as_json(value: Any) -> str:
    """JSON for a statement's ``json_each``."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
