"""What an owner is built from, and what it is asked to start."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from raywf.config import Settings
from raywf.errors import StoreUnavailable
from raywf.ports import Batch, Bell, Clock, Entropy, EventRow, Journal
from raywf.runtime.code import Code
from raywf.runtime.data import Blobs
from raywf.runtime.definitions import Definitions
from raywf.runtime.hands import Commits
from raywf.runtime.leases import Beside, ThreadBeside
from raywf.runtime.work import Dispatcher, LocalWork, ThreadPool
from raywf.telemetry import Telemetry


class SubmitRequest(NamedTuple):
    """One execution to start. ``fresh``: the id was made just now, so nobody can have used it before. ``traceparent``:
    only where the caller is in a trace; else it follows from the id."""

    id: str
    fresh: bool
    definition: str
    input: bytes
    fingerprint: str
    priority: int
    deadline: float | None
    tags: dict[str, str] | None
    traceparent: str | None
    by: str | None


class CommitBuffer(Commits, Protocol):
    """The commit buffer, as the owner uses it."""

    @property
    def waiting_rows(self) -> int:
        """Rows that are not on disk yet."""
        ...

    async def drain(self) -> None:
        """Wait until everything added so far is on disk."""
        ...

    async def close(self) -> None:
        """Write what is left, then stop."""
        ...


class CommitBufferFactory(Protocol):
    """Makes the commit buffer of an owner (``journal.group_commit.GroupCommit``)."""

    def __call__(
        self,
        journal: Journal,
        owner: str,
        lane: str,
        epochs: Mapping[int, int],
        *,
        rows_per_commit: int,
        on_lost: Callable[[tuple[int, ...]], None],
        on_trouble: Callable[[StoreUnavailable | None], None],
        on_refused: Callable[[tuple[int, ...]], None],
    ) -> CommitBuffer: ...


@dataclass(slots=True)
class Parts:
    """What an owner is built from. ``open_journal`` opens the store once more, for whoever keeps the leases
    ``beside`` the loop (in a thread); ``bell`` rings for the inbox, where one hangs; ``work`` makes the hands that run
    attempts."""

    journal: Journal
    open_journal: Callable[[], Journal]
    commit_buffer: CommitBufferFactory
    clock: Clock
    entropy: Entropy
    settings: Settings
    blobs: Blobs
    threads: ThreadPool
    telemetry: Telemetry
    code: Code
    bell: Bell | None = None
    dispatcher: Dispatcher | None = None
    beside: Callable[[], Beside] = ThreadBeside
    work: Callable[..., LocalWork] = LocalWork
    definitions: Callable[[], Definitions] = Definitions


class MeasuredJournal:
    """A journal whose commits are told to the telemetry."""

    def __init__(self, journal: Journal, telemetry: Telemetry, clock: Clock) -> None:
        self._journal = journal
        self._telemetry = telemetry
        self._clock = clock

    async def commit(self, batch: Batch) -> None:
        began = self._clock.monotonic()
        await self._journal.commit(batch)
        self._telemetry.committed(len(batch.events), self._clock.monotonic() - began)

    async def history(self, key: int, after_seq: int = 0, limit: int | None = None) -> list[EventRow]:
        return await self._journal.history(key, after_seq, limit)
