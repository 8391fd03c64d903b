"""What a writer does inside one transaction. All but ``immediate`` are called between its BEGIN and its COMMIT."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import apsw

from raywf.errors import LeaseLost, StoreUnavailable
from raywf.journal.conflicts import KeysTaken
from raywf.journal.places import Place, update
from raywf.journal.sqlite import caching, rows
from raywf.journal.sqlite.queries import query, run_many
from raywf.ports import Batch, DeploymentRow, InboxRow, OwnerRow, Resealed, SnapshotRow

_NOT_UNIQUE = (apsw.SQLITE_CONSTRAINT_PRIMARYKEY, apsw.SQLITE_CONSTRAINT_UNIQUE, apsw.SQLITE_CONSTRAINT_ROWID)


@contextmanager
def immediate(db: apsw.Connection) -> Iterator[None]:
    """A transaction that has the write lock from its first line. Whatever is raised inside, nothing of it is kept."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def write_batch(db: apsw.Connection, batch: Batch, where: str, now: float) -> None:
    """Everything of a batch, if its epochs still hold. Raises ``LeaseLost`` or ``KeysTaken``."""
    if batch.epochs:
        _assert_epochs(db, batch)
    if batch.definitions:
        # One row for each of the hundreds of executions that are opened with it would be a conflict each.
        different = {row.hash: row for row in batch.definitions}.values()
        db.executemany(query("insert_definition"), [(*row, now) for row in different])
    if batch.opened:
        _open(db, batch, where)
    if batch.events:
        _append(db, batch, where, "insert_event", batch.events)
    if batch.changed:
        run_many(db, "change_status", list({change.key: change for change in batch.changed}.values()))
    if batch.redefined:
        db.executemany(query("redefine"), [(row.definition, row.version, row.key) for row in batch.redefined])
    if batch.snapshots:
        _snapshots(db, batch.snapshots)
    if batch.taken:
        db.execute(query("mark_taken"), (rows.as_json(batch.taken),))
    if batch.evidence:
        _append(db, batch, where, "insert_evidence", batch.evidence)
    if batch.aggregators:
        db.executemany(query("put_aggregator"), batch.aggregators)
    if batch.cached:
        caching.keep(db, batch.cached)


def _assert_epochs(db: apsw.Connection, batch: Batch) -> None:
    believed = {"believed": rows.as_json(batch.epochs), "lane": batch.lane, "owner": batch.owner}
    lost = tuple(sorted(shard for (shard,) in db.execute(query("lost_shards"), believed)))
    if lost:
        raise LeaseLost(
            f"owner {batch.owner!r} no longer holds {len(lost)} shard(s) of lane {batch.lane!r} "
            f"({', '.join(map(str, lost[:8]))}): another owner took over. Nothing was written.",
            lost,
        )


def _open(db: apsw.Connection, batch: Batch, where: str) -> None:
    try:
        run_many(db, "insert_execution", list(map(rows.from_execution, batch.opened)))
    except apsw.ConstraintError as error:
        raise _keys_taken(db, batch, where) or error from error


def _keys_taken(db: apsw.Connection, batch: Batch, where: str) -> KeysTaken | None:
    # Statements before the one that failed stand until the rollback: look with none of ours in the table.
    db.execute("ROLLBACK")
    opened = rows.as_json([[row.key, row.namespace, row.id] for row in batch.opened])
    stored = {key for (key,) in db.execute(query("taken_keys"), {"opened": opened})}
    seen: set[Any] = set()
    for row in batch.opened:  # and repeats within the batch: the first one counts
        names = {row.key, (row.namespace, row.id)}
        if names & seen:
            stored.add(row.key)
        seen |= names
    return KeysTaken(tuple(sorted(stored)), where) if stored else None


def _append(db: apsw.Connection, batch: Batch, where: str, name: str, events: Sequence[Sequence[Any]]) -> None:
    try:
        run_many(db, name, events)
    except apsw.ConstraintError as error:
        if getattr(error, "extendedresult", 0) not in _NOT_UNIQUE:
            raise
        raise LeaseLost(
            f"a history event of this commit is in {where} already: another writer went on with the same execution. "
            "Nothing was written; this owner must stop and read the history again.",
            tuple(sorted(batch.epochs)),
        ) from error


def _snapshots(db: apsw.Connection, snapshots: Sequence[SnapshotRow]) -> None:
    last = {row.key: row for row in snapshots}
    db.executemany(query("put_snapshot"), [row for row in last.values() if row.data is not None])
    gone = [key for key, row in last.items() if row.data is None]
    if gone:
        db.execute(query("drop_snapshots"), (rows.as_json(gone),))


def claim(
    db: apsw.Connection, owner: OwnerRow, shards: Sequence[int], dead: Sequence[str], now: float, machine: str
) -> dict[int, int]:
    """Take what may be taken; then say who we are, if we hold anything at all."""
    _refuse_other_machine(db, dead, now, machine)
    wanted = {"lane": owner.lane, "owner": owner.owner, "shards": rows.as_json(sorted(set(shards)))}
    db.execute(query("claim_shards"), wanted | {"dead": rows.as_json(list(dead)), "now": now})
    held = {int(str(shard)): int(str(epoch)) for shard, epoch in db.execute(query("held_shards"), wanted)}
    if held:
        db.execute(query("register_owner"), owner._asdict() | {"machine": machine})
        db.execute(query("forget_idle_owners"), {"owner": owner.owner, "lane": owner.lane})
    return held


def _refuse_other_machine(db: apsw.Connection, dead: Sequence[str], now: float, machine: str) -> None:
    asked = {"now": now, "machine": machine, "dead": rows.as_json(list(dead))}
    for owner, host, pid, expires_at in db.execute(query("foreign_owner"), asked):
        until = time.strftime("%H:%M:%S UTC", time.gmtime(float(str(expires_at))))
        raise StoreUnavailable(
            f"{db.filename}: engine {owner} (process {pid} on host {host}) holds this store until {until} or longer, "
            "and that is another machine than this one. A SQLite store serves one machine: stop that engine first, "
            "connect to it, or use postgresql:// for a cluster."
        )


def renew(db: apsw.Connection, owner: str, expires_at: float) -> bool:
    db.execute(query("renew_owner"), {"owner": owner, "expires_at": expires_at})
    return db.changes() == 1


def send(db: apsw.Connection, row: InboxRow) -> bool:
    command = row._asdict()
    del command["id"]
    db.execute(query("send_command"), command)
    return db.changes() == 1


def put_deployment(db: apsw.Connection, row: DeploymentRow) -> bool:
    db.execute(query("put_deployment"), row)
    return db.changes() == 1


def forget(db: apsw.Connection, namespace: str, keys: Sequence[int], until: float) -> int:
    """Delete what has ended by then, with its events, snapshot and commands."""
    asked = {"namespace": namespace, "keys": rows.as_json(list(keys)), "until": until}
    gone = list(db.execute(query("forgettable"), asked))
    these = rows.as_json([key for key, _ in gone])
    for name in ("forget_events", "drop_snapshots", "forget_executions"):
        db.execute(query(name), (these,))
    db.execute(query("forget_commands"), {"namespace": namespace, "ids": rows.as_json([id_ for _, id_ in gone])})
    return len(gone)


def reseal(db: apsw.Connection, place: Place, changes: Sequence[Resealed]) -> int:
    """Replace stored values that are still the old ones. What a page held before is overwritten, not only let go of."""
    db.pragma("secure_delete", 1)
    statement, before = update(place, "?"), db.total_changes()
    for each in changes:
        db.execute(statement, (each.new, *each.identity, each.old))
    return db.total_changes() - before
