"""Limits, slots, meters and schedules in a SQLite store. What writes is called inside a transaction."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import apsw

from raywf.core.admission import Claim, Rule, Slot, rule_data
from raywf.journal.admitting import Book, turn
from raywf.journal.sqlite.queries import query
from raywf.journal.sqlite.rows import as_json
from raywf.ports import Admission, LimitRow, ScheduleRow


def limit(row: tuple[Any, ...]) -> LimitRow:
    return LimitRow(row[0], row[1], Rule(**json.loads(row[2])), row[3])


def slot(row: tuple[Any, ...]) -> Slot:
    claims = tuple(Claim(*each) for each in json.loads(row[4]))
    return Slot(row[0], row[1], row[2], row[3], claims, *row[5:])


def schedule(row: tuple[Any, ...]) -> ScheduleRow:
    return ScheduleRow(row[0], row[1], row[2], row[3], row[4].encode(), row[5], bool(row[6]), row[7])


def set_limit(db: apsw.Connection, row: LimitRow) -> None:
    db.execute(query("set_limit"), (row.namespace, row.name, as_json(rule_data(row.rule)), row.by))


def drop(db: apsw.Connection, name: str, namespace: str, id_: str) -> bool:
    db.execute(query(name), (namespace, id_))
    return db.changes() == 1


def put_schedule(db: apsw.Connection, row: ScheduleRow) -> None:
    db.execute(query("put_schedule"), (*row[:4], row.spec.decode(), row.next_at, int(row.paused), row.last))


def advance_schedule(db: apsw.Connection, row: ScheduleRow, next_at: float, last: str | None) -> bool:
    seen = {"namespace": row.namespace, "id": row.id, "spec": row.spec.decode(), "seen": row.next_at}
    db.execute(query("advance_schedule"), seen | {"next_at": next_at, "last": last})
    return db.changes() == 1


def admit(
    db: apsw.Connection,
    namespace: str,
    owner: str,
    asks: Sequence[Slot],
    done: Sequence[str],
    declared: Sequence[LimitRow],
    now: float,
) -> Admission:
    """One turn of admission over what is in the store."""
    here = {"namespace": namespace}
    db.execute(query("drop_lapsed_slots"), here | {"now": now})
    if done:
        db.execute(query("drop_slots"), here | {"ids": as_json(list(done))})
    limits = {row[1]: limit(row) for row in db.execute(query("limits"), here)}
    slots = {row[0]: slot(row) for row in db.execute(query("every_slot"), here)}
    meters = {(row[0], row[1], row[2]): row[3] for row in db.execute(query("meters"), here)}
    changes = turn(Book(limits, slots, meters), owner, asks, (), declared, now)
    for changed in changes.limits:
        set_limit(db, changed)
    if changes.slots:
        db.executemany(query("put_slot"), (_from_slot(namespace, each) for each in changes.slots))
    if changes.meters:
        db.executemany(query("put_meter"), ((namespace, *meter, value) for meter, value in changes.meters.items()))
    return changes.answer


def _from_slot(namespace: str, each: Slot) -> tuple[Any, ...]:
    return (namespace, *each[:4], as_json(each.claims), *each[5:])
