"""Rows of the store as the records of ``ports``, and back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from raywf.core.admission import Claim, Rule, Slot
from raywf.journal.postgres.link import escaped, plain
from raywf.ports import EventRow, ExecutionRow, InboxRow, LimitRow, OwnerRow, ScheduleRow

EXECUTION = ", ".join(ExecutionRow._fields)
EVENT = ", ".join(EventRow._fields)
OWNER = ", ".join(OwnerRow._fields)
INBOX = ", ".join(InboxRow._fields)
SLOT = "id, owner, priority, asked_at, claims, held_at, execution, task"
SCHEDULE = ", ".join(ScheduleRow._fields)
LIVE = "SELECT owner FROM owners WHERE NOT released AND expires_at > $2"


def execution(row: Any) -> ExecutionRow:
    """Column 12 is ``tags``: a JSON object, NULL when there are none."""
    values = tuple(row)
    tags = {plain(name): plain(value) for name, value in json.loads(values[12]).items()} if values[12] else {}
    return ExecutionRow._make((*values[:12], tags, *values[13:]))


def from_execution(row: ExecutionRow) -> tuple[Any, ...]:
    return (*row[:12], tags_json(row.tags), *row[13:])


def tags_json(tags: Mapping[str, str] | None) -> str | None:
    return json.dumps({escaped(name): escaped(value) for name, value in tags.items()}) if tags else None


def limit(row: Any) -> LimitRow:
    return LimitRow(row[0], row[1], Rule(**json.loads(row[2])), row[3])


def slot(row: Any) -> Slot:
    id_, owner, priority, asked_at, claims, *rest = row
    return Slot(id_, owner, priority, asked_at, tuple(Claim(*each) for each in json.loads(claims)), *rest)


def schedule(row: Any) -> ScheduleRow:
    return ScheduleRow._make(row)._replace(spec=row["spec"].encode())


def count(tag: str) -> int:
    """How many rows a statement changed, from what the server says of it."""
    return int(tag.rpartition(" ")[2])
