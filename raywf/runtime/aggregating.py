"""The owner of one aggregator's evidence: merges, learns, and writes what it was told.

This is what an ``AggregatorActor`` is made of; without Ray it runs as it stands.

**What is kept.** On disk, every fact, by item: who said what and when, and the truth where somebody told it. In memory,
the ``Standing``: whole numbers per source, day and pair, to which each item adds its contribution once. No item stays
in memory once its facts are on disk, so ten million candidates cost rows, not memory. A fact that comes again finds its
item on disk and changes nothing; one that is new takes the item's old contribution out and puts the new one in.

**Authority.** The store. A call is answered when its facts are on disk. Evidence and standing are written under a lease
with an epoch (lane ``NAMESPACE/@aggregator/NAME``), so a zombie writes nothing. If the process dies on any line, the next
one reads the snapshot and the evidence after it, and has the same standing bit for bit: it is a function of the facts.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from heapq import heapify, heappop, heappush
from operator import attrgetter
from typing import Any, Protocol

from pydantic_core import from_json, to_json

from raywf.aggregation import AggregateResult, Candidate, Conflict, Contribution, Part, ResultAggregator
from raywf.aggregation import facts as fact
from raywf.aggregation.evidence import Dossier, Said, Standing, Trust, fields_of, spelled
from raywf.aggregation.facts import FactSet
from raywf.aggregation.learning import ENOUGH_GOLD, ENOUGH_ITEMS
from raywf.config import Settings
from raywf.errors import LeaseLost, NotConnected, NotFound, StoreUnavailable
from raywf.ports import AggregatorRow, Clock, EvidenceRow, Journal, OwnerRow, Reader
from raywf.runtime.leases import LeaseKeeper

log = logging.getLogger("raywf.aggregating")
SHARD = 0
SNAPSHOT_EVERY = 20_000
"""Rows of evidence between two snapshots: what a successor has to read again at most."""
PATIENCE_S = 2.0
GOLD_KEPT = 1000
"""Items with known truth that strategies which learn are fitted on: the newest, a function of the facts like all else."""
LEARNS = frozenset({"auto", "stack", "best_source", "dawid_skene", "one_coin"})
NEED_GOLD = frozenset({"stack", "best_source"})
_PER_READ = 500
FEW = 100
"""Items of which one is more than the hundredth part, by which trust must have moved before it is worked out anew."""
_CACHED = 4096


_RESULT = tuple(field.name for field in fields(AggregateResult))
_of_result = attrgetter(*_RESULT)
_of_conflict = attrgetter(*(field.name for field in fields(Conflict)))
_of_contribution = attrgetter(*(field.name for field in fields(Contribution)))
_of_part = attrgetter(*(field.name for field in fields(Part)))
_CONFLICTS, _PROVENANCE, _PARTS = (_RESULT.index(name) for name in ("conflicts", "provenance", "parts"))


def packed(results: Sequence[AggregateResult]) -> list[list[Any]]:
    """Results as plain tuples, which cost a fifth of the objects on their way between processes."""
    found = []
    for result in results:
        row = list(_of_result(result))
        row[_CONFLICTS] = [_of_conflict(each) for each in result.conflicts]
        row[_PROVENANCE] = [_of_contribution(each) for each in result.provenance]
        row[_PARTS] = [_of_part(each) for each in result.parts]
        found.append(row)
    return found


def unpacked(rows: Sequence[list[Any]]) -> list[AggregateResult]:
    """What ``packed`` was given."""
    found = []
    for row in rows:
        row[_CONFLICTS] = tuple(Conflict(*each) for each in row[_CONFLICTS])
        row[_PROVENANCE] = tuple(Contribution(*each) for each in row[_PROVENANCE])
        row[_PARTS] = tuple(Part(*each) for each in row[_PARTS])
        found.append(AggregateResult(*row))
    return found


class EvidenceBuffer(Protocol):
    """The commit buffer, as an aggregator uses it."""

    def add_evidence(self, shard: int, rows: Sequence[EvidenceRow]) -> None: ...
    def add_aggregator(self, shard: int, row: AggregatorRow) -> None: ...
    def on_durable(self, callback: Callable[[], None]) -> None: ...
    async def close(self) -> None: ...


class EvidenceBufferFactory(Protocol):
    def __call__(
        self,
        journal: Journal,
        owner: str,
        lane: str,
        epochs: Mapping[int, int],
        *,
        on_lost: Callable[[tuple[int, ...]], None],
        on_trouble: Callable[[StoreUnavailable | None], None],
    ) -> EvidenceBuffer: ...


def aggregator_key(namespace: str, name: str) -> int:
    """The 63-bit key of an aggregator: it follows from its names."""
    digest = hashlib.blake2b(f"{namespace}\0{name}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


class Gold:
    """The newest items with known truth, with all that was said of them: what is kept of each set of facts is the same
    whatever the order they came in."""

    def __init__(self) -> None:
        self.items: dict[str, Dossier] = {}
        self._ages: list[tuple[float, str]] = []
        """A heap: the oldest first. A truth that was told again leaves its old place behind until that comes up."""

    def put(self, item: str, dossier: Dossier) -> None:
        if dossier.truth is None:
            return
        known = self.items.get(item)
        self.items[item] = dossier
        if known is None or known.truth is None or known.truth.at != dossier.truth.at:
            heappush(self._ages, (dossier.truth.at, item))
        while len(self.items) > GOLD_KEPT:
            at, oldest = heappop(self._ages)
            if self._stands(at, oldest):
                del self.items[oldest]
        if len(self._ages) > 2 * GOLD_KEPT:
            self._ages = [place for place in self._ages if self._stands(*place)]
            heapify(self._ages)

    def _stands(self, at: float, item: str) -> bool:
        known = self.items.get(item)
        return known is not None and known.truth is not None and known.truth.at == at

    def facts(self) -> FactSet:
        found = FactSet()
        for item, dossier in self.items.items():
            for source, said in dossier.said.items():
                candidate = _candidate(source, said, 1.0)
                found.add(fact.Answer.of(item, candidate, at=said.at))
            assert dossier.truth is not None
            found.add(fact.Gold(item, dossier.truth.value, dossier.truth.at))
        return found


def _candidate(source: str, said: Said, trust: float) -> Candidate:
    probs = None if said.probs is None else tuple((value, each) for value, each in said.probs)
    return Candidate(said.value, source, said.confidence, probs, said.weight * trust)


async def read_standing(reader: Reader, namespace: str, name: str, gold: Gold | None = None) -> tuple[Standing, int]:
    """What an aggregator's evidence amounts to, and its last number; ``gold`` is filled, if given. Raises ``NotFound``."""
    row = await reader.aggregator(namespace, name)
    if row is None:
        known = await reader.aggregators(namespace)
        there = f"there are {', '.join(known)}" if known else "there is none yet: the first merge makes one"
        raise NotFound(f"there is no aggregator {name!r} in namespace {namespace!r}: {there}")
    body = json.loads(row.body)
    seen = row.seq
    if isinstance(body, list):  # written before snapshots named their gold: the evidence says all of it again, once
        body, seen = {"standing": [], "gold": []}, 0
    standing = Standing.from_data(body["standing"])
    if gold is not None:
        for start in range(0, len(body["gold"]), _PER_READ):
            told = await reader.evidence_of(row.key, body["gold"][start : start + _PER_READ])
            for item, dossier in dossiers(each for each in told if each.seq <= seen).items():
                gold.put(item, dossier)
    items: dict[str, None] = {}
    last = seen
    while tail := await reader.evidence(row.key, last, 5000):
        items.update((each.item, None) for each in tail)
        last = tail[-1].seq
    names = list(items)
    for start in range(0, len(names), _PER_READ):
        told = await reader.evidence_of(row.key, names[start : start + _PER_READ])
        before = dossiers(each for each in told if each.seq <= seen)
        for item, after in dossiers(each for each in told if each.seq <= last).items():
            standing.exchange(before.get(item), after)
            if gold is not None:
                gold.put(item, after)
    return standing, last


async def read_standing_of(reader: Reader, namespace: str, name: str, field: str) -> Standing:
    """What the evidence amounts to for one field of the answers. Raises ``NotFound`` for an aggregator, or a field, that is not there."""
    row = await reader.aggregator(namespace, name)
    if row is None:
        await read_standing(reader, namespace, name)  # says what there is
    assert row is not None
    known: dict[str, Dossier] = {}
    last = 0
    while rows := await reader.evidence(row.key, last, 5000):
        for item, told in dossiers(rows).items():
            known[item] = known[item].merged(told) if item in known else told
        last = rows[-1].seq
    standing = Standing()
    for item in known:
        part = known[item].at(field)
        if part.said:
            standing.exchange(None, part)
    if not standing.items:
        there = ", ".join(fields_of(known.values())[:30])
        raise NotFound(
            f"no answer of aggregator {name!r} has a field {field!r}: "
            + (f"there are {there}" if there else "its answers are no records")
        )
    return standing


def dossiers(rows: Any) -> dict[str, Dossier]:
    """Rows of evidence by item, each merged into one dossier."""
    found: dict[str, Dossier] = {}
    for row in rows:
        told = Dossier.from_data(from_json(row.body))
        known = found.get(row.item)
        found[row.item] = told if known is None else known.merged(told)
    return found


class Aggregating:
    """One aggregator. Every method runs on one loop."""

    def __init__(
        self, me: OwnerRow, namespace: str, name: str, journal: Journal, clock: Clock, buffer: EvidenceBufferFactory
    ) -> None:
        self.me = me
        self.namespace = namespace
        self.name = name
        self.key = aggregator_key(namespace, name)
        self.journal = journal
        self.clock = clock
        self.epochs: dict[int, int] = {}
        self.standing = Standing()
        self.gold = Gold()
        self.seq = 0
        self.gone = asyncio.Event()
        self.keeper: LeaseKeeper | None = None
        self._lock = asyncio.Lock()
        self._snapshot_seq = 0
        self._flying: dict[str, Dossier] = {}
        self._accepting: set[asyncio.Future[None]] = set()
        self._troubled_since: float | None = None
        self._trust: dict[str, Trust] = {}
        self._trusted = (-1, -1)
        self._trusted_rung, self._trusted_why = "votes", ""
        self._cache: dict[Any, AggregateResult] = {}
        self._fitted: dict[tuple[str, float], ResultAggregator] = {}
        self._fitted_on = 0
        self._commits = buffer(journal, me.owner, me.lane, self.epochs, on_lost=self._lost, on_trouble=self._trouble)

    async def claim(self, settings: Settings, *, dead: Sequence[str] = ()) -> bool:
        """Take the lease and read what is known. False: somebody else holds it."""
        held = await self.journal.claim(self.me, [SHARD], settings.lease_s, dead=dead)
        if not held:
            return False
        self.epochs.update(held)
        try:
            self.standing, self.seq = await read_standing(self.journal, self.namespace, self.name, self.gold)
        except NotFound:
            self._snapshot()
            await self._durable()
        self._snapshot_seq = self.seq
        return True

    # what clients ask

    async def merge(self, blob: bytes, strategy: str, accept_at: float) -> list[AggregateResult]:
        """Take candidates of many items, ``[[item, said], …]`` as JSON, and answer each, once they are on disk.

        An item that is known already is answered from all that is known of it. Raises ``InvalidInput`` before anything
        is stored, and ``StoreUnavailable`` while nothing can be.
        """
        self._check_writable()
        entries = from_json(blob)
        chosen = self._strategy(strategy, accept_at)
        async with self._lock:
            told, known = await self._told(entries)
            # Who asks again, because the answer got lost, is answered as before: what an item says of its own sources does not
            # count for it. Beyond FEW items one of them changes nothing that is looked at.
            again = [before for before, _ in known.values() if before] if self.standing.items < FEW else []
            for before in again:
                self.standing.exchange(before, None)
            results = self._answers(chosen, [known[entry[0]][1] for entry in entries])
            for before in again:
                self.standing.exchange(None, before)
            self._learn(told, known)
        await self._durable()
        return results

    async def absorb(self, blob: bytes) -> int:
        """Take facts without being asked for answers (a shard, truths); returns how many items they changed."""
        self._check_writable()
        entries = from_json(blob)
        async with self._lock:
            changed = self._learn(*await self._told(entries))
        await self._durable()
        return changed

    async def state(self) -> tuple[Standing, int]:
        async with self._lock:
            return Standing(dict(self.standing.sums)), self.seq

    async def known(self) -> FactSet:
        """The newest items with known truth, with all that was said of them."""
        async with self._lock:
            return self.gold.facts()

    async def park(self) -> None:
        """Stop in good order: write a snapshot, give the lease up."""
        async with self._lock:
            if self.epochs and self.seq > self._snapshot_seq:
                self._snapshot()
        await self._commits.close()
        if self.keeper is not None:
            self.keeper.stop()
        await self.journal.release(self.me.owner)
        self.gone.set()

    # one turn

    async def _told(self, entries: list[Any]) -> tuple[dict[str, Dossier], dict[str, tuple[Dossier | None, Dossier]]]:
        """What is new by item, and (before, after) of each."""
        told: dict[str, Dossier] = {}
        for entry in entries:
            dossier = Dossier.from_data(entry[1:])
            earlier = told.get(entry[0])
            told[entry[0]] = dossier if earlier is None else earlier.merged(dossier)
        asked = [item for item in told if item not in self._flying]
        stored = dossiers(await self.journal.evidence_of(self.key, asked)) if asked else {}
        known = {}
        for item, dossier in told.items():
            before = self._flying.get(item) or stored.get(item)
            known[item] = (before, dossier if before is None else before.merged(dossier))
        return told, known

    def _learn(self, told: dict[str, Dossier], known: dict[str, tuple[Dossier | None, Dossier]]) -> int:
        rows = []
        now = self.clock.now()
        for item, (before, after) in known.items():
            if before == after:
                continue
            self.seq += 1
            rows.append(EvidenceRow(self.key, self.seq, item, now, to_json(told[item].to_data())))
            self.standing.exchange(before, after)
            self.gold.put(item, after)
            self._flying[item] = after
        if rows:
            try:
                self._commits.add_evidence(SHARD, rows)
            except LeaseLost as error:
                raise NotConnected(str(error)) from None
            landed = [(row.item, known[row.item][1]) for row in rows]
            if self.seq - self._snapshot_seq >= SNAPSHOT_EVERY:
                self._snapshot()
            self._commits.on_durable(lambda: self._landed(landed))
        return len(rows)

    def _landed(self, items: list[tuple[str, Dossier]]) -> None:
        for item, dossier in items:
            if self._flying.get(item) is dossier:
                del self._flying[item]

    def _snapshot(self) -> None:
        body = to_json({"standing": self.standing.to_data(), "gold": sorted(self.gold.items)})
        row = AggregatorRow(self.key, self.namespace, self.name, self.seq, self.clock.now(), body)
        self._commits.add_aggregator(SHARD, row)
        self._snapshot_seq = self.seq

    # answers

    def _answers(self, chosen: ResultAggregator, items: list[Dossier]) -> list[AggregateResult]:
        self._refresh_trust()
        return [self._answer(chosen, dossier) for dossier in items]

    def _strategy(self, strategy: str, accept_at: float) -> ResultAggregator:
        """The strategy; one that learns from gold is fitted again when there is 5 % more of it. Before there is enough, it does
        what the evidence allows, as "auto" does: who asked for it goes on, and the answers are there to learn from."""
        count = self.standing.gold
        if strategy not in LEARNS or count < ENOUGH_GOLD:
            return ResultAggregator("auto" if strategy in NEED_GOLD else strategy, accept_at=accept_at)
        if count > self._fitted_on * 1.05 or count < self._fitted_on:
            self._fitted.clear()
            self._cache.clear()
            self._fitted_on = count
        found = self._fitted.get((strategy, accept_at))
        if found is None:
            found = ResultAggregator.from_facts(self.gold.facts(), strategy, accept_at=accept_at)
            if strategy in NEED_GOLD and found.learned.stack is None:
                # Truths of items that nobody answered teach nothing.
                found = ResultAggregator.from_facts(found.facts, accept_at=accept_at)
            self._fitted[strategy, accept_at] = found
        return found

    def _answer(self, chosen: ResultAggregator, dossier: Dossier) -> AggregateResult:
        """The merged answer; equal candidates have equal answers as long as the trust is the same."""
        said = dossier.said
        content = (
            chosen.strategy,
            chosen.accept_at,
            *(
                (source, spelled(each.value), each[1], each[2] and spelled(each[2]), each[3])
                for source, each in said.items()
            ),
        )
        found = self._cache.get(content)
        if found is None:
            found = chosen.merge([self._candidate(source, each, chosen) for source, each in said.items()])
            if found.rung == "votes" and found.decision != "abstained":
                found = replace(found, rung=self._trusted_rung, why=self._trusted_why)
            if len(self._cache) >= _CACHED:
                self._cache.clear()
            self._cache[content] = found
        return found

    def _candidate(self, source: str, said: Said, chosen: ResultAggregator) -> Candidate:
        """With its weight: what was learned from gold has weights of its own, else trust decides."""
        trust = self._trust.get(source)
        return _candidate(source, said, 1.0 if trust is None or len(chosen.facts) else trust.weight)

    def _refresh_trust(self) -> None:
        """Trust follows the standing: at once with each truth, else when there is 1 % more than before."""
        items, gold = self.standing.items, self.standing.gold
        before, gold_before = self._trusted
        if gold != gold_before or items > before * 1.01 or items < before:
            self._trust = self.standing.trust()
            self._trusted = (items, gold)
            self._cache.clear()
            self._trusted_rung = "votes" if items < ENOUGH_ITEMS else "consensus"
            self._trusted_why = (
                f"{gold} truths so far, and a stack is learned from {ENOUGH_GOLD}: sources count by how far they can be trusted, "
                f"after {items} items; the confidence is not calibrated"
            )

    # the store

    def _check_writable(self) -> None:
        if self.gone.is_set() or not self.epochs:
            raise NotConnected(f"this owner of aggregator {self.name!r} lost its lease: ask again")
        if self._troubled_since is not None and self.clock.monotonic() - self._troubled_since >= PATIENCE_S:
            raise StoreUnavailable("the store cannot be written; what was accepted is kept and written once it can be")

    async def _durable(self) -> None:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._accepting.add(done)
        try:
            self._commits.on_durable(lambda: None if done.done() else done.set_result(None))
            await done
        except LeaseLost as error:
            raise NotConnected(str(error)) from None
        finally:
            self._accepting.discard(done)

    def _trouble(self, error: StoreUnavailable | None) -> None:
        now = self.clock.monotonic()
        if error is None:
            self._troubled_since = None
            return
        if self._troubled_since is None:
            self._troubled_since = now
            log.error(
                "aggregator %s: nothing is lost, but nothing goes on until the store can be written: %s",
                self.name,
                error,
            )
        if now - self._troubled_since >= PATIENCE_S:
            self._refuse(StoreUnavailable(f"{error} What was told may still count: tell it again, it counts once."))

    def _lost(self, shards: tuple[int, ...] = ()) -> None:
        log.warning("aggregator %s: another owner has the lease now", self.name)
        self.epochs.clear()
        self.gone.set()
        if self.keeper is not None:
            self.keeper.stop_soon()
        self._refuse(NotConnected(f"this owner of aggregator {self.name!r} lost its lease: ask again"))

    def _refuse(self, error: Exception) -> None:
        for done in self._accepting:
            if not done.done():
                done.set_exception(error)

    def keep_lease(self, keeper: LeaseKeeper, claimed_at: float) -> None:
        """Renew from now on. ``claimed_at`` is the monotonic time before the claim was sent."""
        self.keeper = keeper
        keeper.start(claimed_at)

    def lease_lost(self) -> None:
        """Called by whoever keeps the lease, on the loop."""
        if not self.gone.is_set():
            self._lost()
