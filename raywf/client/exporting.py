"""One execution as a file: its rows, histories, definitions and large values, with those of all its children."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, PrivateAttr, ValidationError

from raywf.client.reading import Readings
from raywf.client.sealed_exports import exporting, open_export, seal_export
from raywf.core import events as ev
from raywf.core.codec import MIGRATED, from_record, last_part, to_record
from raywf.core.execution import evolve, fold
from raywf.core.ids import shard_of
from raywf.core.state import ExecutionState
from raywf.definition.compile import compile_plan
from raywf.definition.model import WorkflowDefinition
from raywf.errors import AlreadyExists, InvalidInput, NotFound, RaywfError, StoreUnavailable
from raywf.journal import KeysTaken
from raywf.journal.factory import ReadingInbox
from raywf.journal.sealed import sealer_of
from raywf.ports import Batch, DefinitionRow, EventRow, ExecutionRow, InboxRow
from raywf.runtime.bundle import current_bundle
from raywf.runtime.clock import SystemEntropy
from raywf.runtime.data import Blobs, blob_hash
from raywf.runtime.definitions import definition_row
from raywf.runtime.spec import lane_of
from raywf.sealing import Codec, Sealer

FORMAT = 1
_TRIES = 5
_LARGE = re.compile(r'dataref\\*",\\*"hash\\*":\\*"([0-9a-f]{64})')
"""The hash of a large value, in an event's data, however deep it is quoted there."""


class ExportedEvent(BaseModel):
    """One event. ``at`` is seconds since the epoch; ``data`` its stored JSON, as text."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seq: int
    at: float
    kind: str
    task: str | None = None
    attempt: int | None = None
    by: str | None = None
    data: str | None = None


class ExportedRow(BaseModel):
    """One execution of the tree, and its history."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    workflow: str
    version: str
    definition: str
    fingerprint: str
    status: str
    priority: int
    parent: str | None = None
    tags: dict[str, str] = {}
    created_at: float
    deadline: float | None = None
    traceparent: str | None = None
    ended_at: float | None = None
    events: list[ExportedEvent]


class ExportedExecution(BaseModel):
    """An execution that left its store. ``executions`` has the root first; ``definitions`` are by content hash, ``values``
    are the large values by theirs, in base64; ``missing`` are those that the store could not give."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    raywf: str = "execution"
    format: int = FORMAT
    exported_at: datetime
    executions: list[ExportedRow]
    definitions: dict[str, dict[str, Any]]
    values: dict[str, str] = {}
    missing: list[str] = []
    _sealer: Sealer | None = PrivateAttr(default=None)

    @property
    def root(self) -> ExportedRow:
        return self.executions[0]

    @property
    def id(self) -> str:
        return self.root.id

    def to_json(self) -> str:
        """As JSON; values are encrypted as they were in the store that this comes from."""
        if self._sealer is None:
            return self.model_dump_json(indent=1, exclude_defaults=False)
        data = self.model_dump(mode="json")
        seal_export(data, self._sealer)
        return json.dumps(data, indent=1)

    def save(self, path: str | Path) -> None:
        """Write it as JSON. Raises ``InvalidInput`` where that cannot be."""
        try:
            Path(path).write_text(self.to_json() + "\n", encoding="utf-8")
        except OSError as error:
            raise InvalidInput(f"{path}: the export cannot be written there: {error.strerror}") from None

    @classmethod
    def load(cls, path: str | Path, codec: Codec | None = None) -> ExportedExecution:
        """Read a file that ``save`` wrote; one that is encrypted opens by ``codec`` (default: of the environment). Raises
        ``NotFound``, ``InvalidInput``, ``KeyMissing`` and ``SealBroken``."""
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise NotFound(
                f"{path}: there is no export to be read: {getattr(error, 'strerror', None) or error}"
            ) from None
        return cls.from_json(text, str(path), codec)

    @classmethod
    def from_json(cls, text: str, source: str = "export", codec: Codec | None = None) -> ExportedExecution:
        try:
            data = json.loads(text)
        except ValueError as error:
            raise InvalidInput(f"{source}: this is not JSON: {error}") from None
        if not isinstance(data, dict) or data.get("raywf") != "execution":
            raise InvalidInput(f"{source}: this is no exported execution: `raywf export ID -o FILE` writes one")
        if data.get("format") != FORMAT:
            raise InvalidInput(
                f"{source}: it has format {data.get('format')!r}, and this raywf reads format {FORMAT}: use the raywf that "
                "wrote it, or a newer one"
            )
        try:
            open_export(data, codec)
        except (TypeError, KeyError, ValueError, AttributeError):
            raise InvalidInput(f"{source}: it is encrypted, and incomplete or changed") from None
        try:
            found = cls.model_validate(data)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise InvalidInput(f"{source}: {where}: {first['msg']}: the file is incomplete or was changed") from None
        if not found.executions or found.root.parent is not None:
            raise InvalidInput(f"{source}: it has no root execution: the file is incomplete or was changed")
        return found

    def definition(self, hash_: str) -> WorkflowDefinition:
        """The definition of that content hash. Raises ``InvalidInput`` if it is not what the hash says."""
        if hash_ not in self.definitions:
            raise InvalidInput(f"execution {self.id!r}: the definition {hash_[:12]}… is not in the export")
        found = WorkflowDefinition.from_json(json.dumps(self.definitions[hash_]))
        if found.content_hash != hash_:
            raise InvalidInput(f"execution {self.id!r}: the definition {hash_[:12]}… in the export was changed")
        return found

    def rows(self, row: ExportedRow, key: int = 0) -> list[EventRow]:
        """The history of one of its executions, as the store keeps it."""
        return [
            EventRow(key, e.seq, e.at, e.by, e.kind, e.task, e.attempt, None if e.data is None else e.data.encode())
            for e in row.events
        ]


async def export_execution(readings: Readings, execution_id: str) -> ExportedExecution:
    """Everything a store knows of an execution and its children. Raises ``NotFound``, and ``InvalidInput`` for a child."""
    root = await readings.row(execution_id)
    if root.parent is not None:
        raise InvalidInput(
            f"execution {execution_id!r} is a child: export its root, {execution_id.partition('/')[0]!r}, and it comes along"
        )
    rows = [root, *await readings.reader.descendants(readings.namespace, execution_id)]
    histories = [await readings.reader.history(row.key) for row in rows]
    exported = [_exported(row, history) for row, history in zip(rows, histories, strict=True)]
    wanted = {row.definition for row in rows}.union(*map(definitions_of, histories))
    definitions = {hash_: (await readings.definition(hash_)).to_data() for hash_ in sorted(wanted)}
    found, missing = await large_values(readings.blobs, (event.data for row in exported for event in row.events))
    export = ExportedExecution(
        exported_at=datetime.now(UTC),
        executions=exported,
        definitions=definitions,
        values={hash_: base64.b64encode(data).decode() for hash_, data in found.items()},
        missing=missing,
    )
    export._sealer = exporting(sealer_of(readings.reader))
    return export


def _exported(row: ExecutionRow, history: Sequence[EventRow]) -> ExportedRow:
    events = [
        ExportedEvent(
            seq=e.seq,
            at=e.at,
            kind=e.kind,
            task=e.task,
            attempt=e.attempt,
            by=e.by,
            data=None if e.data is None else e.data.decode(),
        )
        for e in history
    ]
    kept = {name: getattr(row, name) for name in ExportedRow.model_fields if name not in ("events", "tags")}
    return ExportedRow(**kept, tags=dict(row.tags), events=events)


def definitions_of(history: Sequence[EventRow]) -> set[str]:
    """The content hashes of the definitions that continuations in a history brought along, and of those that it was
    migrated from and to."""
    found = set[str]()
    for each in history:
        if each.kind in ("task_continued", MIGRATED):
            event = from_record(*each[4:])
            if isinstance(event, ev.TaskContinued):
                found.add(event.definition)
            elif isinstance(event, ev.ExecutionMigrated):
                found |= {event.source, event.definition}
    return found


def large_hashes(data: str | None) -> list[str]:
    """The large values that an event's data names."""
    return _LARGE.findall(data) if data else []


async def large_values(blobs: Blobs, data: Iterable[str | None]) -> tuple[dict[str, bytes], list[str]]:
    """The large values that are named in some events' data, by hash; and the hashes of those that are not there."""
    found: dict[str, bytes] = {}
    missing: list[str] = []
    for hash_ in sorted({hash_ for each in data for hash_ in large_hashes(each)}):
        try:
            found[hash_] = await asyncio.to_thread(blobs.get, hash_)
        except StoreUnavailable:
            missing.append(hash_)
    return found, missing


# into another store


@dataclass(frozen=True, slots=True)
class _Brought:
    row: ExecutionRow
    events: list[EventRow]


async def import_execution(
    exported: ExportedExecution,
    inbox: ReadingInbox,
    blobs: Blobs,
    namespace: str,
    *,
    lane: str | None = None,
    go_on: bool = False,
    by: str | None = None,
) -> str:
    """Store an exported execution here, under its id, and return its status. A closed one is there to be read; an open
    one comes paused, unless it is to ``go_on``, and is held by the engine of this project (``lane``: of another).

    Raises ``AlreadyExists`` when the id is taken, and ``InvalidInput`` for an export that was damaged or changed, or whose
    large values are missing. Then nothing is stored.
    """
    lane = lane_of(namespace, current_bundle().project) if lane is None else lane
    definitions = {hash_: exported.definition(hash_) for hash_ in exported.definitions}
    states = [_folded(exported, row, definitions) for row in exported.executions]
    values = _decoded(exported)
    taken = await inbox.execution(namespace, exported.id)
    if taken is not None:
        raise _taken(exported.id, namespace, taken)
    for data in values:
        await asyncio.to_thread(blobs.put, data)
    rows = [definition_row(each) for each in _all(definitions.values())]
    for attempt in range(_TRIES):
        brought = [
            _brought(exported, row, state, namespace, lane, go_on, by)
            for row, state in zip(exported.executions, states, strict=True)
        ]
        try:
            await inbox.bring_in(_batch(lane, rows, brought))
            break
        except KeysTaken:
            taken = await inbox.execution(namespace, exported.id)
            if taken is not None:
                raise _taken(exported.id, namespace, taken) from None
            if attempt == _TRIES - 1:
                raise
    root = brought[0].row
    if root.ended_at is None:
        command = f"import-{exported.id}"
        await inbox.send(InboxRow(0, namespace, root.id, lane, "adopt", b"{}", command, by, time.time()))
    return root.status


def _taken(id_: str, namespace: str, row: ExecutionRow) -> AlreadyExists:
    return AlreadyExists(
        f"execution {id_!r} is in namespace {namespace!r} of this store already ({row.workflow} {row.version}, {row.status}): "
        "nothing was imported. Import it into another namespace or another store"
    )


def _folded(exported: ExportedExecution, row: ExportedRow, known: dict[str, WorkflowDefinition]) -> ExecutionState:
    if row.definition not in known:
        raise InvalidInput(f"execution {row.id!r}: its definition {row.definition[:12]}… is not in the export")
    if [event.seq for event in row.events] != list(range(1, len(row.events) + 1)):
        raise InvalidInput(f"execution {row.id!r}: its history has a gap: the file is incomplete or was changed")
    try:
        definition, part = last_part(exported.rows(row), row.definition)
        state = fold(compile_plan(known[definition]), (from_record(*each[4:]) for each in part))
    except (RaywfError, ValueError, LookupError, TypeError, AssertionError) as error:
        raise InvalidInput(
            f"execution {row.id!r}: its history does not fold: {type(error).__name__}: {error}"
        ) from None
    if (state.closed is None) != (row.ended_at is None):
        raise InvalidInput(
            f"execution {row.id!r} is {row.status} and its history says {state.status}: the file was changed"
        )
    return state


def _decoded(exported: ExportedExecution) -> list[bytes]:
    if exported.missing and exported.root.ended_at is None:
        raise InvalidInput(
            f"execution {exported.id!r}: {len(exported.missing)} large values were not in its store when it was exported, so "
            "it cannot go on here. Export it again where the store has its data"
        )
    found = []
    for hash_, text in exported.values.items():
        data = base64.b64decode(text)
        if blob_hash(data) != hash_:
            raise InvalidInput(f"execution {exported.id!r}: the large value {hash_[:12]}… in the export was changed")
        found.append(data)
    return found


def _all(definitions: Any) -> list[WorkflowDefinition]:
    return list(
        {child.content_hash: child for each in definitions for child in (each, *each.children().values())}.values()
    )


def _brought(
    exported: ExportedExecution,
    row: ExportedRow,
    state: ExecutionState,
    namespace: str,
    lane: str,
    go_on: bool,
    by: str | None,
) -> _Brought:
    shard = shard_of(row.id)
    key = ((int(row.created_at * 1000) << 13) | SystemEntropy().bits(13)) << 8 | shard
    events = exported.rows(row, key)
    if state.closed is None and state.closing is None and state.pause is None and not go_on:
        pause = ev.PauseRequested("it was imported from another store", row.parent is not None)
        state = evolve(state, pause)
        events.append(EventRow(key, len(events) + 1, time.time(), by, *to_record(pause)))
    stored = ExecutionRow(
        key=key,
        id=row.id,
        namespace=namespace,
        lane=lane,
        shard=shard,
        workflow=row.workflow,
        version=row.version,
        definition=row.definition,
        fingerprint=row.fingerprint,
        status=row.status if state.closed is not None else str(state.status),
        priority=row.priority,
        parent=row.parent,
        tags=row.tags,
        created_at=row.created_at,
        deadline=row.deadline,
        traceparent=row.traceparent,
        ended_at=row.ended_at,
    )
    return _Brought(stored, events)


def _batch(lane: str, definitions: list[DefinitionRow], brought: Sequence[_Brought]) -> Batch:
    return Batch(
        lane,
        "import",
        definitions=definitions,
        opened=[each.row for each in brought],
        events=[event for each in brought for event in each.events],
    )
