"""Handles of aggregators: what sources said, from wherever it comes, to the one actor that learns from it."""

from __future__ import annotations

import asyncio
import builtins
import hashlib
import os
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from pydantic_core import from_json, to_json

from raywf.aggregation import AggregateResult, Candidate, FactSet, Gold, ResultAggregator
from raywf.aggregation.evidence import Dossier, Said, Standing, Trust, Truth, check_item
from raywf.aggregation.identity import identity
from raywf.aggregation.insights import Insight, insights
from raywf.aggregation.shapes import check_sound
from raywf.definition import values
from raywf.errors import InvalidInput, NotConnected, RaywfError, StoreUnavailable
from raywf.ports import Clock
from raywf.runtime.aggregating import NEED_GOLD, unpacked
from raywf.runtime.spec import aggregator_spec
from raywf.sealing import Codec

if TYPE_CHECKING:
    from raywf.client.door import _Loop
    from raywf.client.locate import Place

PER_CALL = 250
"""Items: while the actor writes some, it merges the next, and the client takes the answers of those before."""
IN_FLIGHT = 3
PATIENCE_S = 60.0
"""How long a call is repeated while the actor is being restarted."""


def start_aggregator(place: Place, url: str, namespace: str, name: str, codec: Codec) -> Any:
    """The actor of an aggregator, started if it does not run."""
    from raywf.actors.aggregator import started

    driver = os.getpid() if place.private else None
    return started(aggregator_spec(url, namespace, name, place.address, place.namespace, driver, codec.to_text()))


class AggregatorState(NamedTuple):
    """What an aggregator knows now. ``digest`` is equal for equal sets of facts, whatever the order they came in;
    ``trust`` is by source; ``evidence`` counts the rows on disk; ``pid`` is the actor's process."""

    items: int
    gold: int
    evidence: int
    trust: dict[str, Trust]
    digest: str
    pid: int


@dataclass
class Shard:
    """Facts collected on one node without asking anybody: ``add`` in a Ray task, ``merged`` with others in any order
    and more than once, then ``handle.absorb``. Plain data, so it pickles."""

    dossiers: dict[str, Dossier] = field(default_factory=dict)

    def add(self, item: str, candidates: Iterable[Candidate], *, at: float) -> None:
        """``at``: when they were said, in seconds since the epoch, UTC."""
        self._put(check_item(item), Dossier(_said(candidates, at)))

    def merged(self, other: Shard) -> Shard:
        """Both as one; changes neither."""
        both = Shard(dict(self.dossiers))
        for item, dossier in other.dossiers.items():
            both._put(item, dossier)
        return both

    def _put(self, item: str, dossier: Dossier) -> None:
        known = self.dossiers.get(item)
        self.dossiers[item] = dossier if known is None else known.merged(dossier)


class Reach(Protocol):
    """The way to the actors of aggregators: an engine's, or that of whoever runs a task."""

    def _check_open(self) -> None: ...
    def _aggregator_actor(self, name: str) -> Any: ...
    def _forget_aggregator(self, name: str) -> None: ...


class AsyncAggregator:
    """One aggregator of the store. Made by ``engine.aggregator(name)``; cheap to make, shared by all who name it.

    ``strategy`` and ``accept_at`` are as in ``ResultAggregator``; they belong to this handle, what is known does not.
    Weights of sources follow the trust that was learned: gold answers first, else agreement with the others.
    """

    def __init__(self, engine: Reach, name: str, strategy: Any, accept_at: float, clock: Clock) -> None:
        if not isinstance(strategy, str):
            raise InvalidInput(
                f"an aggregator of the store takes the name of a strategy, not {strategy!r:.80}: what has settings is a "
                "raywf.ResultAggregator, in the task that asks"
            )
        ResultAggregator(strategy, accept_at=accept_at)  # refused here, not in the actor
        if not isinstance(name, str) or not name or any(char in name for char in "/ \t\n"):  # type: ignore[redundant-expr]
            raise InvalidInput(f"aggregator {name!r} cannot be used: it needs a name without '/' and white space")
        self.name = name
        self.strategy = strategy
        self.accept_at = accept_at
        self._engine = engine
        self._clock = clock
        self._queue: deque[tuple[list[Any], asyncio.Future[list[AggregateResult]]]] = deque()
        self._flying = 0
        self._tasks: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        return f"<aggregator {self.name!r} strategy={self.strategy!r}>"

    async def merge(self, candidates: Iterable[Candidate], item: str) -> AggregateResult:
        """One answer from what sources said of ``item``; returns when it is on disk.

        Said again, it changes nothing; a source that says something else later has changed its mind. Raises
        ``InvalidInput`` and ``StoreUnavailable``.
        """
        return (await self.merge_many([candidates], items=[item]))[0]

    async def merge_many(
        self, batch: Iterable[Iterable[Candidate]], items: Sequence[str]
    ) -> builtins.list[AggregateResult]:
        """One answer per item, in order, all checked before the first is sent. ``InvalidInput.index`` names a bad one."""
        given = _listed(batch, "merge_many takes a list of lists of Candidates")
        if len(given) != len(items):
            raise InvalidInput(f"{len(given)} lists of candidates but {len(items)} items: give one item per list")
        at = self._clock.now()
        entries = []
        for index, (candidates, item) in enumerate(zip(given, items, strict=True)):
            try:
                named = check_item(item)
            except InvalidInput as error:
                raise InvalidInput(str(error), index=index) from None
            try:
                entries.append([named, *Dossier(_said(candidates, at)).to_data()])
            except RaywfError as error:
                raise InvalidInput(f"item {item!r:.80}: {error}", index=index) from None
        sent = [self._send(entries[start : start + PER_CALL]) for start in range(0, len(entries), PER_CALL)]
        return [_decoded(result, self.accept_at) for results in await asyncio.gather(*sent) for result in results]

    async def feedback(self, item: str, truth: Any) -> None:
        """What was right for ``item``. Trust learns from it; the item need not be known yet."""
        await self.feedback_many({item: truth})

    async def feedback_many(self, truths: Mapping[str, Any]) -> None:
        """The right answers of many items."""
        at = self._clock.now()
        if not isinstance(truths, Mapping):
            raise InvalidInput(
                f"feedback_many takes a mapping from item to truth, not {type(truths).__name__} {truths!r:.80}"
            )
        for item, truth in truths.items():
            if truth is None:
                raise InvalidInput(f"the truth of item {item!r} is None, which no source can say: leave the item out")
            if truth != truth:
                raise InvalidInput(
                    f"the truth of item {item!r} is {truth!r}, which is equal to nothing: leave the item out"
                )
        entries = [
            [check_item(item), *Dossier({}, Truth(_wire(truth), at)).to_data()] for item, truth in truths.items()
        ]
        await self._absorb(entries)

    async def absorb(self, shard: Shard) -> int:
        """Take what a shard has collected; returns how many items it changed. Order and repeats do not matter."""
        return await self._absorb([[item, *dossier.to_data()] for item, dossier in shard.dossiers.items()])

    async def state(self) -> AggregatorState:
        """What is known now."""
        data, seq, pid = await self._call("state")
        standing = Standing.from_data(data)
        return AggregatorState(standing.items, standing.gold, seq, standing.trust(), digest(standing), pid)

    async def insights(self) -> builtins.list[Insight]:
        """What there is to say of the sources, each sentence with its evidence."""
        data, _, _ = await self._call("state")
        return insights(Standing.from_data(data))

    async def facts(self) -> FactSet:
        """The newest items with known truth, 1,000 at most, with what was said of them: for
        ``ResultAggregator.from_facts(…)``, which has the calibration over time, sets that hold the truth so often, and whom to
        ask next."""
        rows = from_json(await self._call("facts"))
        found = FactSet()
        for fact in FactSet.from_data(rows):
            if isinstance(fact, Gold):
                found.add(replace(fact, truth=_back(fact.truth)))
            else:
                probs = None if fact.probs is None else tuple((_back(value), each) for value, each in fact.probs)
                found.add(replace(fact, value=_back(fact.value), probs=probs))
        return found

    async def _absorb(self, entries: builtins.list[Any]) -> int:
        starts = range(0, len(entries), PER_CALL)
        return sum([await self._call("absorb", to_json(entries[start : start + PER_CALL])) for start in starts])

    # what is asked meanwhile goes together

    def _send(self, entries: builtins.list[Any]) -> asyncio.Future[builtins.list[AggregateResult]]:
        answer = asyncio.get_running_loop().create_future()
        self._queue.append((entries, answer))
        self._pump()
        return answer

    def _pump(self) -> None:
        while self._queue and self._flying < IN_FLIGHT:
            parts = [self._queue.popleft()]
            while self._queue and sum(len(each) for each, _ in parts) + len(self._queue[0][0]) <= PER_CALL:
                parts.append(self._queue.popleft())
            self._flying += 1
            task = asyncio.get_running_loop().create_task(self._merge(parts))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _merge(self, parts: builtins.list[tuple[builtins.list[Any], asyncio.Future[Any]]]) -> None:
        try:
            await self._answer(parts)
        finally:
            self._flying -= 1
            self._pump()

    async def _answer(self, parts: builtins.list[tuple[builtins.list[Any], asyncio.Future[Any]]]) -> None:
        try:
            blob = to_json([entry for entries, _ in parts for entry in entries])
            results = unpacked(await self._call("merge", blob, self.strategy, self.accept_at))
        except BaseException as error:
            if isinstance(error, InvalidInput) and len(parts) > 1:  # of somebody among those who travelled together
                for part in parts:
                    await self._answer([part])
                return
            for _, answer in parts:
                if answer.done():
                    continue
                if isinstance(error, Exception):
                    answer.set_exception(error)
                else:  # this loop comes to its end: whoever waits is cancelled with it
                    answer.cancel()
            if not isinstance(error, Exception):
                raise
        else:
            start = 0
            for entries, answer in parts:
                if not answer.done():
                    answer.set_result(results[start : start + len(entries)])
                start += len(entries)

    async def _call(self, method: str, *args: Any) -> Any:
        """Ask the actor, and again while it is being restarted: whatever we tell counts once."""
        from raywf.runtime import ray as adapter

        loop = asyncio.get_running_loop()
        give_up_at, pause = loop.time() + PATIENCE_S, 0.05
        while True:
            self._engine._check_open()
            try:
                return await getattr(self._engine._aggregator_actor(self.name), method).remote(*args)
            except adapter.OutOfReach as error:
                cause = getattr(error, "cause", None)
                if isinstance(cause, RaywfError) and not isinstance(cause, NotConnected):
                    raise cause from None
                if loop.time() > give_up_at:
                    raise StoreUnavailable(
                        f"aggregator {self.name!r} did not answer for {PATIENCE_S:g} s ({error}). What was told may "
                        "count already; tell it again, it counts once."
                    ) from None
                self._engine._forget_aggregator(self.name)
            await asyncio.sleep(pause)
            pause = min(pause * 2, 1.0)


class Aggregator:
    """``AsyncAggregator`` for programs without asyncio; safe from any thread."""

    def __init__(self, inner: AsyncAggregator, loop: _Loop) -> None:
        self._async = inner
        self._loop = loop

    @property
    def name(self) -> str:
        return self._async.name

    def __repr__(self) -> str:
        return repr(self._async)

    def merge(self, candidates: Iterable[Candidate], item: str) -> AggregateResult:
        """One answer from what sources said of ``item``; returns when it is on disk."""
        return self._loop.call(self._async.merge(candidates, item))

    def merge_many(self, batch: Iterable[Iterable[Candidate]], items: Sequence[str]) -> list[AggregateResult]:
        """One answer per item, in order, all checked before the first is sent."""
        return self._loop.call(self._async.merge_many(batch, items))

    def feedback(self, item: str, truth: Any) -> None:
        """What was right for ``item``."""
        self._loop.call(self._async.feedback(item, truth))

    def feedback_many(self, truths: Mapping[str, Any]) -> None:
        """The right answers of many items."""
        self._loop.call(self._async.feedback_many(truths))

    def absorb(self, shard: Shard) -> int:
        """Take what a shard has collected; returns how many items it changed."""
        return self._loop.call(self._async.absorb(shard))

    def state(self) -> AggregatorState:
        """What is known now."""
        return self._loop.call(self._async.state())

    def facts(self) -> FactSet:
        """The newest items with known truth, 1,000 at most, for ``ResultAggregator.from_facts(…)``."""
        return self._loop.call(self._async.facts())

    def insights(self) -> list[Insight]:
        """What there is to say of the sources, each sentence with its evidence."""
        return self._loop.call(self._async.insights())


def digest(standing: Standing) -> str:
    """SHA-256 of a standing in canonical order."""
    return hashlib.sha256(to_json(standing.to_data())).hexdigest()


_JSON = frozenset({str, int, float, bool, type(None)})


def _wire(value: Any) -> Any:
    return value if type(value) in _JSON else from_json(values.encode(value))


def _listed(given: Any, what: str) -> list[Any]:
    if isinstance(given, Candidate) or not isinstance(given, Iterable):
        raise InvalidInput(f"{what}, not {type(given).__name__} {given!r:.80}")
    return list(given)


def _said(candidates: Iterable[Candidate], at: float) -> dict[str, Said]:
    found: dict[str, Said] = {}
    for candidate in _listed(candidates, "merge takes a list of Candidates"):
        if not isinstance(candidate, Candidate):
            raise InvalidInput(f"merge takes Candidates, not {type(candidate).__name__} {candidate!r:.80}")
        if candidate.source in found:
            raise InvalidInput(
                f"source {candidate.source!r} answers twice, which would count it double; name samples apart, as in "
                f"'{candidate.source}#1' and '{candidate.source}#2'"
            )
        sure, probs = candidate.confidence, None
        if candidate.probs is not None:
            probs = [[_wire(value), each] for value, each in candidate.pairs()]
            if sure is None and not candidate.abstains:  # a distribution is a claim as well, and is held to it
                sure = min(candidate.distribution().get(identity(candidate.value), 0.0), 1.0)
        found[candidate.source] = Said(_wire(candidate.value), sure, probs, candidate.weight, at)
    return found


def _back(value: Any) -> Any:
    return value if type(value) in _JSON else values.decode(to_json(value))


def _decoded(result: AggregateResult, accept_at: float) -> AggregateResult:
    """The same with values as they were given: what the actor saw was their encoding."""
    if type(result.value) in _JSON and all(type(value) in _JSON for value, _ in result.probs):
        return result
    try:
        value = _back(result.value)
        if result.parts:  # put together where the classes of its records are not known: here they are
            check_sound(value)
    except Exception:  # a class says no by whatever error it likes
        heard = [Candidate(_back(p.value), p.source, p.confidence, None, p.share) for p in result.provenance]
        # What was learned is not here; the shares it gave are.
        strategy = "auto" if result.strategy in NEED_GOLD else result.strategy
        again = ResultAggregator(strategy, accept_at=accept_at).merge(heard)
        return replace(again, rung=result.rung, insights=result.insights)
    return replace(
        result,
        value=value,
        conflicts=tuple(replace(each, value=_back(each.value)) for each in result.conflicts),
        provenance=tuple(replace(each, value=_back(each.value)) for each in result.provenance),
        probs=tuple((_back(value), each) for value, each in result.probs),
        parts=tuple(replace(each, value=_back(each.value)) for each in result.parts),
    )
