"""The doors to the outside world, as Protocols in the words of our domain.

Each has an in-memory twin that ships with the library, and one contract suite that every implementation passes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, runtime_checkable

from raywf.core.admission import Blocked, Rule, Slot
from raywf.errors import RaywfError


class EventRow(NamedTuple):
    """One history event in the journal. ``key`` is the execution's, ``seq`` counts from 1 without gaps, ``by`` is who
    acted (None: the engine)."""

    key: int
    seq: int
    at: float
    by: str | None
    kind: str
    task: str | None
    attempt: int | None
    data: bytes | None


class ExecutionRow(NamedTuple):
    """One execution in the journal's index. ``ended_at`` is set exactly while the execution is closed.

    ``key`` is a time-ordered 63-bit integer, unique in the store; ``lane`` and ``shard`` say whose lease covers it;
    ``fingerprint`` hashes workflow and arguments, so that a repeated submit is told from another one.
    ``waiting_for`` says in words what a waiting execution waits for. ``wake_at`` is set exactly while an execution is
    *asleep*: open, and only time, a signal or a person can move it. It is the epoch second at which it must be looked at,
    infinite where time does not move it. An owner need not hold what is asleep.
    """

    key: int
    id: str
    namespace: str
    lane: str
    shard: int
    workflow: str
    version: str
    definition: str
    fingerprint: str
    status: str
    priority: int
    parent: str | None
    tags: Mapping[str, str]
    created_at: float
    deadline: float | None
    traceparent: str | None
    ended_at: float | None = None
    waiting_for: str | None = None
    wake_at: float | None = None


class SnapshotRow(NamedTuple):
    """The state of an execution after its event ``seq`` (``core.snapshot``): a shortcut for whoever folds its history.
    An execution has one at most; ``data`` None in a batch drops it."""

    key: int
    seq: int
    data: bytes | None


class Loaded(NamedTuple):
    """An open execution: its events after those that are in ``snapshot``, all of them where there is none. ``trouble``: why
    they cannot be given; the execution stays as it is."""

    row: ExecutionRow
    events: list[EventRow]
    snapshot: SnapshotRow | None = None
    trouble: RaywfError | None = None

    def given(self) -> tuple[ExecutionRow, list[EventRow], SnapshotRow | None]:
        """All but ``trouble``, which is raised where there is one."""
        if self.trouble is not None:
            raise self.trouble
        return self.row, self.events, self.snapshot


class StatusChange(NamedTuple):
    """A new status, with ``wake_at`` of the execution's row. Of several for one key in a batch the last one counts."""

    key: int
    status: str
    ended_at: float | None
    waiting_for: str | None
    wake_at: float | None = None


class DefinitionRow(NamedTuple):
    """A workflow definition under its content hash; ``body`` is its canonical JSON."""

    hash: str
    workflow: str
    version: str
    body: bytes


class Redefinition(NamedTuple):
    """An open execution goes on under another definition, as an event in its history says."""

    key: int
    definition: str
    version: str


class VersionRow(NamedTuple):
    """A definition of a workflow that the store has. ``label`` is what it calls itself; ``seen_at`` the time when the store
    first saw it (None: before stores kept that); ``open`` counts the executions of a namespace that go on under it."""

    hash: str
    workflow: str
    label: str
    seen_at: float | None
    open: int


class DeploymentRow(NamedTuple):
    """Which definition new executions of a workflow get, from ``at`` on. ``number`` counts from 1 per workflow, without
    gaps; the last one counts."""

    namespace: str
    workflow: str
    number: int
    hash: str
    at: float
    by: str | None


class InboxRow(NamedTuple):
    """A command to an execution, in order of ``id``. ``command_id`` makes a repeat a no-op.

    ``kind`` is ``signal``, ``approve``, ``reject``, ``resolve``, ``pause``, ``resume``, ``update``, ``migrate`` or ``cancel``;
    ``body`` is a JSON object.
    ``schedules`` and ``backfill`` are for the owner itself, and ``execution`` is then a schedule; ``start`` starts the execution
    (``runtime.triggers``).
    ``adopt`` says that the execution was imported beside its owner (``runtime.adopting``).
    """

    id: int
    namespace: str
    execution: str
    lane: str
    kind: str
    body: bytes
    command_id: str
    by: str | None
    at: float


class OwnerRow(NamedTuple):
    """Who holds leases. ``expires_at`` is wall time for others to read; the holder measures on a monotonic clock.

    ``spec`` is JSON that tells a supervisor how to start a successor (bundle, Ray address, actor name).
    """

    owner: str
    lane: str
    host: str
    pid: int
    spec: bytes
    started_at: float
    expires_at: float
    released: bool


class LimitRow(NamedTuple):
    """A limit as the store knows it. ``by`` is who set it by hand; None: a definition declared it, and the next one may
    declare it otherwise."""

    namespace: str
    name: str
    rule: Rule
    by: str | None


class Admission(NamedTuple):
    """What ``admit`` answers: the ids of its owner that hold their slots now, why others wait, and when time alone
    admits somebody."""

    held: frozenset[str]
    blocked: Mapping[str, Blocked]
    look_at: float | None


class ScheduleRow(NamedTuple):
    """A schedule. ``spec`` is JSON (what starts, and when); ``next_at`` the instant of the next firing, infinite when
    there is none; ``last`` the id of the execution that was started last. Lane and shard say whose lease fires it."""

    namespace: str
    id: str
    lane: str
    shard: int
    spec: bytes
    next_at: float
    paused: bool
    last: str | None


class AggregatorRow(NamedTuple):
    """The snapshot of one aggregator: what its evidence up to ``seq`` amounts to. ``key`` is unique in the store and
    follows from namespace and name."""

    key: int
    namespace: str
    name: str
    seq: int
    at: float
    body: bytes


class EvidenceRow(NamedTuple):
    """What became known of one item in one commit. ``seq`` counts from 1 per aggregator, without gaps."""

    aggregator: int
    seq: int
    item: str
    at: float
    body: bytes


class CachedRow(NamedTuple):
    """A task's result that stands for later calls of the same content ``key``. ``task`` is ``module:function``; ``source`` and
    ``source_task`` say which execution and which task of it computed it. ``expires_at`` is infinite for what stays until it
    is cleared."""

    namespace: str
    key: str
    task: str
    workflow: str
    value: bytes
    stored_at: float
    expires_at: float
    source: str
    source_task: str


@dataclass(slots=True)
class Batch:
    """What one commit writes, all or nothing.

    ``epochs`` maps each shard touched to the epoch its owner believes in: the commit fails with ``LeaseLost`` (and
    writes nothing) if any is no longer true.
    """

    lane: str
    owner: str
    epochs: dict[int, int] = field(default_factory=dict)
    definitions: list[DefinitionRow] = field(default_factory=list)
    opened: list[ExecutionRow] = field(default_factory=list)
    events: list[EventRow] = field(default_factory=list)
    changed: list[StatusChange] = field(default_factory=list)
    taken: list[int] = field(default_factory=list)
    snapshots: list[SnapshotRow] = field(default_factory=list)
    evidence: list[EvidenceRow] = field(default_factory=list)
    aggregators: list[AggregatorRow] = field(default_factory=list)
    cached: list[CachedRow] = field(default_factory=list)
    redefined: list[Redefinition] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(
            self.opened
            or self.events
            or self.changed
            or self.taken
            or self.definitions
            or self.snapshots
            or self.evidence
            or self.aggregators
            or self.cached
            or self.redefined
        )


class StoredValue(NamedTuple):
    """One value of a user's as the store has it. ``of_row``: what identifies and binds its row (``journal.places``)."""

    of_row: tuple[Any, ...]
    data: bytes | str


class Resealed(NamedTuple):
    """A stored value to be replaced, where it is still ``old``."""

    identity: tuple[Any, ...]
    old: bytes | str
    new: bytes | str


class StoreFacts(NamedTuple):
    """What a person needs to know about a store: for ``doctor`` and for benchmarks."""

    url: str
    format: int
    driver: str
    details: Mapping[str, str]


class Reader(Protocol):
    """The read side: never blocks the writer, never changes anything, needs no lease.

    Raises ``StoreUnavailable`` when the store is out of reach.
    """

    async def execution(self, namespace: str, execution_id: str) -> ExecutionRow | None: ...

    async def executions(
        self,
        namespace: str,
        *,
        status: str | None = None,
        workflow: str | None = None,
        tags: Mapping[str, str] | None = None,
        parent: str | None = None,
        started_after: float | None = None,
        started_before: float | None = None,
        limit: int = 100,
        after: str | None = None,
    ) -> list[ExecutionRow]:
        """Newest first; ``after`` is the id of the last row of the page before. Of those created from ``started_after`` on
        and before ``started_before`` (epoch seconds)."""
        ...

    async def existing(self, namespace: str, ids: Sequence[str]) -> dict[str, ExecutionRow]:
        """Those of ``ids`` that exist."""
        ...

    async def history(self, key: int, after_seq: int = 0, limit: int | None = None) -> list[EventRow]: ...

    async def histories(self, keys: Sequence[int]) -> list[EventRow]:
        """The events of several executions, in order of key and ``seq``."""
        ...

    async def ended_roots(self, namespace: str, until: float, after: int, limit: int) -> list[ExecutionRow]:
        """Executions without a parent that ended at ``until`` or before and whose key is greater than ``after``, in order
        of key."""
        ...

    async def descendants(self, namespace: str, execution_id: str) -> list[ExecutionRow]:
        """The children of an execution, theirs, and so on, in order of key."""
        ...

    async def closings(self, keys: Sequence[int]) -> dict[int, EventRow]:
        """The closing event of those executions that are closed: the last of their history."""
        ...

    async def definition(self, hash_: str) -> DefinitionRow | None: ...

    async def versions(self, namespace: str, workflow: str) -> list[VersionRow]:
        """Every definition of that workflow in the store, in the order in which they were first seen."""
        ...

    async def deployments(self, namespace: str, workflow: str | None = None) -> list[DeploymentRow]:
        """What was deployed, of one workflow or of all, in order of workflow and number."""
        ...

    async def count_open(self, namespace: str, lane: str | None = None) -> int: ...

    async def open_lanes(self, namespace: str) -> list[str]:
        """The lanes that have open executions, or commands that nobody has taken, sorted."""
        ...

    async def owners(self) -> list[OwnerRow]:
        """Owners that have not released their leases, live or lapsed."""
        ...

    async def aggregator(self, namespace: str, name: str) -> AggregatorRow | None:
        """The newest snapshot of an aggregator."""
        ...

    async def aggregators(self, namespace: str) -> list[str]:
        """The names of the aggregators of a namespace, sorted."""
        ...

    async def evidence(self, aggregator: int, after_seq: int = 0, limit: int | None = None) -> list[EvidenceRow]:
        """What an aggregator was told, in order of ``seq``."""
        ...

    async def evidence_of(self, aggregator: int, items: Sequence[str]) -> list[EvidenceRow]:
        """What it was told of some items, in order of ``seq``."""
        ...

    async def limits(self, namespace: str) -> list[LimitRow]:
        """Every limit that was declared or set, by name."""
        ...

    async def slots(self, namespace: str) -> list[Slot]:
        """Who holds and who waits for what limits allow, of owners that live; in the order in which they asked."""
        ...

    async def schedules(self, namespace: str) -> list[ScheduleRow]:
        """Every schedule, by id."""
        ...

    async def find_cached(self, namespace: str, keys: Sequence[str]) -> dict[str, CachedRow]:
        """Those of ``keys`` that are there, expired or not."""
        ...

    async def list_cached(self, namespace: str, task: str | None = None, limit: int = 100) -> list[CachedRow]:
        """Newest first. ``task``: ``module:function``, or what follows the colon."""
        ...

    async def facts(self) -> StoreFacts: ...

    async def close(self) -> None: ...


class Inbox(Protocol):
    """Where commands wait for the owner of an execution. Needs no engine."""

    async def send(self, row: InboxRow) -> bool:
        """Store a command (its ``id`` is ignored and given by the store). False: ``command_id`` was there already."""
        ...

    async def bring_in(self, batch: Batch) -> None:
        """Store executions from elsewhere, with definitions and histories: all or nothing, and under no lease, because
        nobody holds what was not there. Raises ``journal.KeysTaken`` when a key or an id is taken."""
        ...

    async def forget(self, namespace: str, keys: Sequence[int], until: float) -> int:
        """Delete those of ``keys`` that ended at ``until`` or before, with all that belongs to them, in one transaction;
        whatever is open stays. Returns how many there were. Under no lease: nobody writes to what is closed."""
        ...

    async def set_limit(self, row: LimitRow) -> None:
        """Set a limit by hand: from now on what definitions declare for it does not count."""
        ...

    async def drop_limit(self, namespace: str, name: str) -> bool:
        """Forget what was set; the next use of a declared limit declares it again. False: there was none."""
        ...

    async def clear_cached(
        self,
        namespace: str,
        task: str | None = None,
        *,
        key: str | None = None,
        expired_at: float | None = None,
        limit: int = 10_000,
    ) -> int:
        """Forget up to ``limit`` results: of a task (as in ``list_cached``), of a key, those expired at that instant; of all
        where none is given. Returns how many there were."""
        ...

    async def put_definition(self, row: DefinitionRow) -> None:
        """Store a definition that a schedule will start executions of; one that is there stays."""
        ...

    async def put_deployment(self, row: DeploymentRow) -> bool:
        """Store a deployment, whose definition is there. False: another one has this number."""
        ...

    async def put_schedule(self, row: ScheduleRow) -> None:
        """Store a schedule, in the place of one with the same id."""
        ...

    async def drop_schedule(self, namespace: str, id: str) -> bool:
        """Forget a schedule. False: there was none."""
        ...

    async def set_fact(self, name: str, value: str) -> None:
        """Have the store say something more of itself: ``facts().details``."""
        ...

    async def stored_values(self, place: str, after: Sequence[Any] | None, limit: int) -> list[StoredValue]:
        """The values at one of ``journal.places.PLACES`` as they are stored, sealed or not, in order of their rows' identity,
        from ``after`` (an identity) on."""
        ...

    async def reseal(self, place: str, changes: Sequence[Resealed]) -> int:
        """Replace stored values in one transaction, each only where it is still the old one: under no lease, because what they
        say stays the same. Returns how many were replaced."""
        ...


@runtime_checkable
class Journal(Reader, Inbox, Protocol):
    """The store as an owner of leases sees it. One writer object belongs to one thread's event loop.

    Raises ``StoreUnavailable`` when the store is out of reach, full or read-only, and ``LeaseLost`` when fenced.
    """

    async def claim(
        self, owner: OwnerRow, shards: Sequence[int], lease_s: float, *, dead: Sequence[str] = ()
    ) -> dict[int, int]:
        """Take the leases of ``shards`` of ``owner.lane`` that are free, lapsed, released or held by one of ``dead``.

        One conditional update; the epoch of each shard taken rises by one. Returns shard -> epoch of what is held now.
        """
        ...

    async def renew(self, owner: str, lease_s: float) -> bool:
        """Move the owner's expiry. False: the owner no longer holds anything."""
        ...

    async def release(self, owner: str) -> None:
        """Give all leases up, in good order: what was parked may be taken at once."""
        ...

    async def commit(self, batch: Batch) -> None:
        """Write a batch durably, or raise and write nothing.

        Raises ``LeaseLost`` if an epoch is no longer true or an event is there already, ``journal.KeysTaken`` if a new
        execution's key or id is, and ``StoreUnavailable``; after the last, the same batch may be tried again.
        Cancelling the call does not say whether the batch was written.
        """
        ...

    def load_open(self, lane: str, shards: Sequence[int]) -> AsyncIterator[Loaded]:
        """Every open execution of these shards that is not asleep, in order of key."""
        ...

    async def load(self, keys: Sequence[int]) -> list[Loaded]:
        """Those of ``keys`` that are open, asleep or not, in order of key."""
        ...

    async def due(self, lane: str, shards: Sequence[int], until: float, limit: int) -> list[tuple[int, float]]:
        """Key and ``wake_at`` of what is asleep in these shards and must be looked at by ``until``, earliest first."""
        ...

    async def next_wake(self, lane: str, shards: Sequence[int], after: float) -> float | None:
        """The earliest ``wake_at`` later than ``after`` of what is asleep in these shards; infinite where only somebody
        can wake it, None where nothing is asleep."""
        ...

    async def admit(
        self, namespace: str, owner: str, asks: Sequence[Slot], done: Sequence[str], declared: Sequence[LimitRow]
    ) -> Admission:
        """Give up the slots ``done``, ask for ``asks`` (those asked before are known), and decide who starts now
        (``core.admission``): one transaction, so that it holds whoever else asks. Slots of owners that are gone lapse.
        ``declared`` limits take the place of declared ones, not of those that were set by hand."""
        ...

    async def due_schedules(self, lane: str, shards: Sequence[int], until: float) -> list[ScheduleRow]:
        """Schedules of these shards that are not paused and whose time has come, earliest first."""
        ...

    async def advance_schedule(self, row: ScheduleRow, next_at: float, last: str | None) -> bool:
        """Move a schedule on. False, and nothing is changed, when it is no longer as ``row`` says."""
        ...

    async def inbox(self, lane: str, after: int, limit: int = 1000) -> list[InboxRow]:
        """Commands of a lane, in order. They stay until a batch that has ``taken`` them commits."""
        ...


class Bell(Protocol):
    """Tells an owner that somebody has written to its inbox. A hint: the rows count, and who hears nothing looks all the
    same, only less often."""

    @property
    def is_heard(self) -> bool:
        """Whether a ring would be heard now."""
        ...

    async def listen(self, ring: Callable[[int | None], None]) -> None:
        """Call ``ring`` with the shard of each ring, on this loop, until it is cancelled; with None when rings may have been
        missed, as after each (re)connection."""
        ...


class Clock(Protocol):
    """Time, handed in."""

    def now(self) -> float:
        """Wall time: seconds since the epoch, UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back."""
        ...


class Entropy(Protocol):
    """Chance, handed in."""

    def uniform(self) -> float:
        """Uniform in [0, 1)."""
        ...

    def bits(self, n: int) -> int: ...
