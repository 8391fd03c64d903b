"""Old executions as Parquet, out of the store.

::

    DIR/20261125T071500Z-1f3a9c20/     a part, written beside its place and renamed when all of it is on disk
        executions.parquet  events.parquet  definitions.parquet  values.parquet  manifest.json
        removed                        the store has forgotten what is in this part
    DIR/.lock                          one archiver at a time

**Authority.** A part that has its name is complete, and from then on its rows may leave the store. **Failure.** Whoever dies before
the rename leaves a ``.new-`` folder, which the next one removes; whoever dies after it and before ``removed`` leaves rows that
are in both, and the next one, before anything else, has the store forget them. So no execution is in two parts, and none is
in neither. Only trees whose root is closed are taken: a parent that is open may still ask for the end of its children.
"""

from __future__ import annotations

import asyncio
import base64
import fcntl
import json
import os
import shutil
import time
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raywf.client.exporting import (
    ExportedEvent,
    ExportedExecution,
    ExportedRow,
    definitions_of,
    large_hashes,
    large_values,
)
from raywf.client.sealed_exports import (
    exporting,
    is_sealed_column,
    opened_events,
    opened_rows,
    opened_value,
    opener,
    sealed_events,
    sealed_rows,
    sealed_value,
)
from raywf.client.tabular import event_schema, events_as_arrow, micros
from raywf.errors import InvalidInput, NotFound, StoreUnavailable
from raywf.journal.factory import ReadingInbox
from raywf.journal.sealed import sealer_of
from raywf.ports import ExecutionRow, Reader
from raywf.runtime.data import Blobs
from raywf.sealing import Codec, Sealer

if TYPE_CHECKING:
    import pyarrow as pa

FORMAT = 1
ROOTS = 500
"""Roots in one part, at most."""

_NEW = ".new-"
_REMOVED = "removed"


@dataclass(frozen=True, slots=True)
class Archived:
    """What went into an archive. ``removed`` executions have left the store, those of an earlier run that died included;
    ``missing`` large values could not be read."""

    executions: int
    events: int
    parts: int
    removed: int
    missing: int


async def archive(
    store: ReadingInbox,
    blobs: Blobs,
    namespace: str,
    directory: str | Path,
    until: float,
    *,
    workflow: str | None = None,
    delete: bool = True,
) -> Archived:
    """Write what ended at ``until`` (epoch second) or before to ``directory``, and delete it from the store.

    ``delete`` False deletes nothing. What such a run wrote is not written again: a later one only deletes it. Raises ``InvalidInput``
    for a folder that cannot be used, and ``StoreUnavailable``; then whatever was written is complete.
    """
    root = Path(directory)
    facts = await store.facts()
    identity = {"store": facts.details.get("store_id", facts.url), "namespace": namespace}
    with _held(root):
        removed = await _finish(root, store, identity)
        known = _known(root, identity)
        executions = events = parts = missing = 0
        async for found in _trees(store, namespace, until, workflow):
            rows = [row for row in found if _mark(row) not in known]
            if delete and len(rows) < len(found):
                removed += await store.forget(namespace, [row.key for row in found if _mark(row) in known], until)
            if not rows:
                continue
            tables, lost = await _tables(store, blobs, rows)
            manifest = {**identity, "raywf": "archive", "format": FORMAT, "until": until, "delete": delete}
            part = await asyncio.to_thread(_write, root, tables, manifest)
            executions, events, parts = executions + len(rows), events + tables["events"].num_rows, parts + 1
            missing += lost
            if delete:
                removed += await _remove(part, store, namespace, until)
    return Archived(executions, events, parts, removed, missing)


async def count_archivable(reader: Reader, namespace: str, until: float, workflow: str | None = None) -> int:
    """How many executions ``archive`` would take."""
    return sum([len(rows) async for rows in _trees(reader, namespace, until, workflow)])


async def _trees(
    reader: Reader, namespace: str, until: float, workflow: str | None
) -> AsyncIterator[list[ExecutionRow]]:
    """Closed trees, roots first, some at a time."""
    after = 0
    while True:
        roots = await reader.ended_roots(namespace, until, after, ROOTS)
        rows: list[ExecutionRow] = []
        for root in roots:
            if workflow is None or root.workflow == workflow:
                rows += [root, *await reader.descendants(namespace, root.id)]
        if rows:
            yield rows
        if len(roots) < ROOTS:
            return
        after = roots[-1].key


# writing


async def _tables(reader: Reader, blobs: Blobs, rows: Sequence[ExecutionRow]) -> tuple[dict[str, pa.Table], int]:
    import pyarrow as pa

    history = await reader.histories([row.key for row in rows])
    place = {row.key: number for number, row in enumerate(rows)}
    history.sort(key=lambda event: (place[event.key], event.seq))
    events = events_as_arrow(rows, history)
    hashes = sorted({row.definition for row in rows} | definitions_of(history))
    definitions = [found for hash_ in hashes if (found := await reader.definition(hash_)) is not None]
    values, missing = await large_values(blobs, events.column("data").to_pylist())
    executions = _executions(rows)
    sealer = exporting(sealer_of(reader))
    if sealer is not None:
        values = dict(sealed_value(hash_, data, sealer) for hash_, data in values.items())
        events, executions = sealed_events(events, sealer), sealed_rows(executions, sealer)
    return {
        "executions": executions,
        "events": events,
        "definitions": pa.table(
            {
                "hash": [each.hash for each in definitions],
                "workflow": [each.workflow for each in definitions],
                "version": [each.version for each in definitions],
                "body": [each.body.decode() for each in definitions],
            },
            schema=pa.schema([(name, pa.string()) for name in ("hash", "workflow", "version", "body")]),
        ),
        "values": pa.table(
            {"hash": list(values), "data": list(values.values())},
            schema=pa.schema([("hash", pa.string()), ("data", pa.large_binary())]),
        ),
    }, len(missing)


_TEXTS = ("id", "workflow", "version", "definition", "fingerprint", "status", "parent", "traceparent")
_TIMES = ("created_at", "deadline", "ended_at")


def _executions(rows: Sequence[ExecutionRow]) -> pa.Table:
    import pyarrow as pa

    at = pa.timestamp("us", tz="UTC")
    fields = [("key", pa.int64()), *((name, pa.string()) for name in _TEXTS), ("priority", pa.int64())]
    fields += [("tags", pa.map_(pa.string(), pa.string())), *((name, at) for name in _TIMES)]
    columns: dict[str, Any] = {name: [getattr(row, name) for row in rows] for name in ("key", *_TEXTS, "priority")}
    columns["tags"] = [list(row.tags.items()) for row in rows]
    for name in _TIMES:
        times = [getattr(row, name) for row in rows]
        columns[name] = [None if each is None else micros(each) for each in times]
    return pa.table(columns, schema=pa.schema(fields))


def _write(root: Path, tables: dict[str, pa.Table], manifest: dict[str, Any]) -> Path:
    """A part: all of it on disk, then its name."""
    import pyarrow.parquet as pq

    name = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{uuid.uuid4().hex[:8]}"
    aside = root / f"{_NEW}{name}"
    aside.mkdir()
    for kind, table in tables.items():
        pq.write_table(table, aside / f"{kind}.parquet", compression="zstd")
    (aside / "manifest.json").write_text(json.dumps(manifest, indent=1), encoding="utf-8")
    for path in aside.iterdir():
        _sync(path)
    _sync(aside)
    part = root / name
    os.rename(aside, part)
    _sync(root)
    return part


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


async def _remove(part: Path, store: ReadingInbox, namespace: str, until: float) -> int:
    """Have the store forget what is in a part that is on disk, and write down that it has."""
    import pyarrow.parquet as pq

    keys = pq.read_table(part / "executions.parquet", columns=["key"]).column("key").to_pylist()
    gone = await store.forget(namespace, keys, until)
    (part / _REMOVED).write_text(f"{gone}\n", encoding="utf-8")
    _sync(part / _REMOVED)
    _sync(part)
    return gone


async def _finish(root: Path, store: ReadingInbox, identity: dict[str, str]) -> int:
    """What a run that died left to do: parts of this store whose rows it still has."""
    gone = 0
    for part in _left(root, identity):
        manifest = _manifest(part)
        if manifest["delete"]:
            gone += await _remove(part, store, identity["namespace"], manifest["until"])
    return gone


def _left(root: Path, identity: dict[str, str]) -> list[Path]:
    """The parts of this store whose rows may still be in it."""
    parts = [part for part in Archive(root).parts if not (part / _REMOVED).exists()]
    return [part for part in parts if identity.items() <= _manifest(part).items()]


def _mark(row: ExecutionRow) -> tuple[int, int]:
    """What tells a closed execution from itself after it was opened again and closed once more."""
    return row.key, micros(row.ended_at or 0.0)


def _known(root: Path, identity: dict[str, str]) -> set[tuple[int, int]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    known: set[tuple[int, int]] = set()
    for part in _left(root, identity):
        table = pq.read_table(part / "executions.parquet", columns=["key", "ended_at"])
        ended = table.column("ended_at").cast(pa.int64()).to_pylist()
        known |= set(zip(table.column("key").to_pylist(), ended, strict=True))
    return known


def _manifest(part: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((part / "manifest.json").read_text(encoding="utf-8"))
    return found


@contextmanager
def _held(root: Path) -> Iterator[None]:
    """The folder, made if it is missing, with nobody else writing to it."""
    try:
        root.mkdir(parents=True, exist_ok=True)
        lock = os.open(root / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise InvalidInput(f"{root}: the archive cannot be written there: {error.strerror}") from None
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InvalidInput(
                f"{root}: another `raywf archive` is writing there: wait for it, or use another folder"
            ) from None
        for left in root.glob(f"{_NEW}*"):
            shutil.rmtree(left)
        yield
    except OSError as error:
        raise StoreUnavailable(
            f"the archive {root} cannot be written: {error.strerror or error}. What has its name there is complete, and the store "
            "has lost nothing that is not"
        ) from error
    finally:
        os.close(lock)


# reading


class Archive:
    """An archive, for reading. Cheap to make; reads when it is asked. That of an encrypted store opens by ``codec`` (default: of the
    environment), or raises ``KeyMissing``."""

    def __init__(self, directory: str | Path, codec: Codec | None = None) -> None:
        self.directory = Path(directory)
        self._codec = codec

    @property
    def parts(self) -> list[Path]:
        """The complete parts, oldest first. Raises ``NotFound`` where there is no folder."""
        if not self.directory.is_dir():
            raise NotFound(f"{self.directory}: there is no archive: `raywf archive --to DIR` makes one")
        found = (path.parent for path in self.directory.glob("*/manifest.json"))
        return sorted(path for path in found if not path.name.startswith("."))

    def executions(self) -> pa.Table:
        """One row per execution."""
        return self._read("executions", _executions(()).schema)

    def table(self) -> pa.Table:
        """The events, with the columns of ``engine.history_table()``."""
        table = self._read("events", event_schema())
        return opened_events(table, opener(self._codec)) if is_sealed_column(table, "data") else table

    def _read(self, kind: str, schema: pa.Schema) -> pa.Table:
        import pyarrow as pa
        import pyarrow.parquet as pq

        tables = [pq.read_table(part / f"{kind}.parquet").cast(schema) for part in self.parts]
        return pa.concat_tables(tables) if tables else schema.empty_table()

    def export(self, execution_id: str) -> ExportedExecution:
        """One execution with its children, as ``handle.export()`` gives it: it can be imported again. Raises ``NotFound``."""
        import pyarrow.compute as pc
        import pyarrow.parquet as pq

        for part in reversed(self.parts):
            ids = pq.read_table(part / "executions.parquet")
            mine = pc.or_(pc.equal(ids["id"], execution_id), pc.starts_with(ids["id"], pattern=f"{execution_id}/"))
            rows = ids.filter(mine).to_pylist()
            if any(row["id"] == execution_id for row in rows):
                return _export(part, ids.filter(mine), execution_id, self._codec)
        raise NotFound(f"there is no execution {execution_id!r} in the archive {self.directory}")


def _export(part: Path, found: pa.Table, root: str, codec: Codec | None) -> ExportedExecution:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    sealer = opener(codec) if is_sealed_column(found, "fingerprint") else None
    rows = (found if sealer is None else opened_rows(found, sealer)).to_pylist()
    if any(row["id"] == root and row["parent"] is not None for row in rows):
        raise InvalidInput(
            f"execution {root!r} is a child: export its root, {root.partition('/')[0]!r}, and it comes along"
        )
    table = pq.read_table(part / "events.parquet")
    events = table.filter(pc.is_in(table["execution"], value_set=pa.array([row["id"] for row in rows])))
    if sealer is not None:
        events = opened_events(events, sealer)
    of: dict[str, list[ExportedEvent]] = {row["id"]: [] for row in rows}
    for each in events.select(["execution", "seq", "at", "kind", "task", "attempt", "by", "data"]).to_pylist():
        of[each.pop("execution")].append(ExportedEvent(**{**each, "at": each["at"].timestamp()}))
    exported = [_row(row, of[row["id"]]) for row in sorted(rows, key=lambda row: row["id"] != root)]
    bodies = pq.read_table(part / "definitions.parquet").to_pylist()
    wanted = {row["definition"] for row in rows}
    grown = {each["hash"] for each in bodies} if "task_continued" in events["kind"].to_pylist() else set()
    named = {hash_ for each in events["data"].to_pylist() for hash_ in large_hashes(each)}
    values = _values(part, named, sealer)
    export = ExportedExecution(
        exported_at=datetime.fromtimestamp(time.time(), UTC),
        executions=exported,
        definitions={each["hash"]: json.loads(each["body"]) for each in bodies if each["hash"] in wanted | grown},
        values={hash_: base64.b64encode(data).decode() for hash_, data in values.items()},
        missing=sorted(named - set(values)),
    )
    export._sealer = exporting(sealer)
    return export


def _values(part: Path, named: set[str], sealer: Sealer | None) -> dict[str, bytes]:
    """Those large values of a part that are named, by hash."""
    import pyarrow.parquet as pq

    stored = {each["hash"]: each["data"] for each in pq.read_table(part / "values.parquet").to_pylist()}
    if sealer is None:
        return {hash_: stored[hash_] for hash_ in named if hash_ in stored}
    names = {name: hash_ for hash_ in named for name in sealer.names(hash_)}
    return {hash_: opened_value(name, stored[name], sealer) for name, hash_ in names.items() if name in stored}


def _row(row: dict[str, Any], events: list[ExportedEvent]) -> ExportedRow:
    times = {name: None if row[name] is None else row[name].timestamp() for name in _TIMES}
    kept: dict[str, Any] = {name: value for name, value in row.items() if name not in ("key", "tags", *_TIMES)}
    return ExportedRow.model_validate({**kept, **times, "tags": dict(row["tags"]), "events": events})
