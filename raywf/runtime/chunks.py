"""Sending attempts to Ray: ready tasks of one kind, most urgent first, in calls whose size adapts.

The decisions are in ``core.chunking``; what happened in a call that died is read from its worker's notes (``spool``).
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
import re
from collections import Counter, OrderedDict
from pathlib import Path
from typing import Any, Protocol

from raywf.core.backlog import Demand
from raywf.core.chunking import Pace, brief_s, calls_in_flight, chunk_size
from raywf.core.effects import StartAttempt
from raywf.core.failures import Failure
from raywf.core.plan import FunctionRef, Node, TaskOptions
from raywf.core.waiting import demand, needs_of, unplaceable
from raywf.runtime.bundle import Bundle
from raywf.runtime.code import Code
from raywf.runtime.data import Blobs, spill
from raywf.runtime.evaluate import failure_of
from raywf.runtime.host import Host
from raywf.runtime.live import address
from raywf.runtime.spool import Progress, shown, spool_path
from raywf.runtime.watchdog import LIMIT_S
from raywf.runtime.work import RemoteCall
from raywf.runtime.worker import Chunk

log = logging.getLogger("raywf.chunks")
_DATAREF = re.compile(rb'"\$t":"dataref","hash":"([0-9a-f]{64})"')
_HASH_LENGTH = 64
_HOT = 32
_ORDER_BITS = 48
"""Calls of one priority are numbered below this."""
_REMEMBERED = 1_000
MAX_UNBEGUN = 3
"""Calls that may die before they begin anything, until that counts as a loss of their tasks: code that ends its process
when it is imported must not be sent for ever."""
LOOK_S = 5.0
"""How often it is looked whether the cluster has got what a Ray task asks for."""


class Transport(Protocol):
    """Ray, as this room needs it (``runtime/ray.py``)."""

    def cpus(self) -> float:
        """CPUs in the cluster."""
        ...

    def nodes(self) -> list[dict[str, float]]:
        """What each node of the cluster has in all, by resource."""
        ...

    def put(self, data: bytes) -> Any: ...

    def send(self, chunk: Chunk, sent: Any, hot: list[Any], options: TaskOptions) -> Any:
        """Start a Ray task; returns its reference."""
        ...

    async def result(self, ref: Any) -> tuple[float, list[Any]]:
        """What the Ray task returned. Raises ``WorkerDied`` with a reason in words."""
        ...

    async def notes(self, path: Path, sent_at: float) -> Progress | None:
        """The notes of a chunk that was sent at ``sent_at`` (monotonic), from whichever node has them. Without any:
        empty ones where that means that nothing of it began, None where a node that may have had them is gone."""
        ...

    def cancel(self, ref: Any) -> None: ...


class WorkerDied(Exception):
    """The worker of a call, or its node, went away."""


class _Kind:
    """Tasks that may travel together: one function, one set of options."""

    __slots__ = ("flying", "function", "isolated", "options", "pace", "queue", "waiting")

    def __init__(self, function: FunctionRef, options: TaskOptions, isolated: bool) -> None:
        self.isolated = isolated
        self.function = function
        self.options = options
        self.queue: list[tuple[int, RemoteCall]] = []
        """A heap. One number says who is first, because it is compared ten times for every call that leaves."""
        self.waiting: set[RemoteCall] = set()
        self.flying = 0
        self.pace = Pace()


def is_demanding(options: TaskOptions) -> bool:
    """Whether a Ray task asks for more than any node has."""
    return bool(options.num_gpus or options.memory or options.resources or (options.num_cpus or 0) > 1)


class _Flight:
    __slots__ = ("calls", "kind", "number", "ref", "sent_at", "settled", "slot")

    def __init__(self, kind: _Kind, calls: list[RemoteCall], number: int, sent_at: float) -> None:
        self.kind = kind
        self.sent_at = sent_at
        self.calls = calls
        self.number = number
        self.ref: Any = None
        self.settled = False
        self.slot: Any = None


class ChunkDispatcher:
    """``work.Dispatcher`` over a ``Transport``. Everything runs on the loop. ``pooled`` is the one of tasks that run in pools."""

    first_number = 1
    pooled: ChunkDispatcher | None = None

    def __init__(
        self,
        host: Host,
        transport: Transport,
        bundle: Bundle,
        code: Code,
        blobs: Blobs,
        blob_root: Path | None,
        blob_mark: str,
        owner: str,
        listener: tuple[str, str] | None = None,
        spool_key: bytes | None = None,
    ) -> None:
        self.listener = listener
        self._spool_key = spool_key
        self._flights: dict[int, _Flight] = {}
        self.host = host
        self.transport = transport
        self.bundle = bundle
        self.code = code
        self.blobs = blobs
        self.blob_root = blob_root
        self.blob_mark = blob_mark
        self.owner = owner
        self._loop = asyncio.get_running_loop()
        self._kinds: dict[tuple[FunctionRef, TaskOptions, bool], _Kind] = {}
        self._kind_of: dict[tuple[int, bool], tuple[Node, _Kind]] = {}
        self._order = itertools.count()
        self._numbers = itertools.count(self.first_number)
        self._sent: dict[bytes, Any] = {}
        self._hot: OrderedDict[str, Any] = OrderedDict()
        self._pumping = False
        self._tasks: set[asyncio.Task[None]] = set()

    def submit(self, call: RemoteCall) -> None:
        if call.pool is not None and self.pooled is not None:
            self.pooled.submit(call)
        else:
            self._enqueue(call)

    def _enqueue(self, call: RemoteCall) -> None:
        kind = self._kind(call)
        heapq.heappush(kind.queue, (next(self._order) - (call.live.row.priority << _ORDER_BITS), call))
        kind.waiting.add(call)
        self._pump_soon()

    def _kind(self, call: RemoteCall) -> _Kind:
        """Its options have twenty fields: a node's kind is remembered, so that they are not hashed for each attempt."""
        known = self._kind_of.get((id(call.node), call.isolated))
        if known is not None and known[0] is call.node and known[1].function == call.function:
            return known[1]
        key = (call.function, call.node.options, call.isolated)
        kind = self._kinds.get(key)
        if kind is None:
            kind = self._kinds[key] = _Kind(call.function, call.node.options, call.isolated)
        if len(self._kind_of) >= _REMEMBERED:
            self._kind_of.clear()
        self._kind_of[id(call.node), call.isolated] = call.node, kind
        return kind

    def backlog(self) -> list[Demand]:
        """What waits and what runs, by kind."""
        flying = Counter({id(flight.kind): 0 for flight in self._flights.values()})
        for flight in self._flights.values():
            flying[id(flight.kind)] += len(flight.calls)
        return [
            Demand(tuple(sorted(needs_of(kind.options).items())), tasks, kind.pace.seconds)
            for kind in self._kinds.values()
            if (tasks := len(kind.waiting) + flying[id(kind)])
        ]

    def _pump_soon(self) -> None:
        if not self._pumping:
            self._pumping = True
            self._loop.call_soon(self._pump)

    def _pump(self) -> None:
        self._pumping = False
        cpus = self.transport.cpus()
        for kind in self._kinds.values():
            needs = kind.options.num_cpus
            limit = calls_in_flight(cpus, 1.0 if needs is None else needs)
            while kind.waiting and kind.flying < limit:
                alone = kind.options.effect != "at_least_once" or kind.options.heartbeat_timeout is not None
                size = 1 if alone else chunk_size(kind.pace, len(kind.waiting), limit - kind.flying)
                calls = self._next(kind, size)
                if calls:
                    self._send_or_fail(kind, calls)

    def _next(self, kind: _Kind, size: int) -> list[RemoteCall]:
        calls: list[RemoteCall] = []
        while kind.queue and len(calls) < size:
            call = heapq.heappop(kind.queue)[1]
            if call in kind.waiting:
                kind.waiting.discard(call)
                calls.append(call)
                if call.isolated:
                    break
        return calls

    def _send_or_fail(self, kind: _Kind, calls: list[RemoteCall], slot: Any = None) -> bool:
        """What cannot be sent (a large argument is gone, Ray refuses the options) fails: nobody else would end it. Returns
        whether it was sent."""
        try:
            self._send(kind, calls, slot)
        except Exception as error:
            for call in calls:
                failure = failure_of(error, call.attempt, kind.options.retry.non_retryable)
                self._loop.call_soon(
                    self.host.ended, call.live, call.node.index, call.item, call.attempt, failure, call.at
                )
            return False
        return True

    def _send(self, kind: _Kind, calls: list[RemoteCall], slot: Any) -> None:
        flight = _Flight(kind, calls, next(self._numbers), self.host.clock.monotonic())
        flight.slot = slot
        hot = self._hot_values(calls)
        chunk = Chunk(
            bundle=self.bundle,
            function=kind.function,
            timeout=kind.options.timeout,
            non_retryable=kind.options.retry.non_retryable,
            items=[(call.args, call.kwargs, call.context, *call.notes[:2]) for call in calls],
            spool=spool_path(self.owner, flight.number),
            blob_root=self.blob_root,
            blob_mark=self.blob_mark,
            hot=list(hot),
            stall_limit=LIMIT_S if kind.options.runs_on == "actor" else None,
            listener=self.listener,
            number=flight.number,
            is_heard=kind.options.heartbeat_timeout is not None,
            cleanup=kind.options.cleanup_timeout,
            spool_key=self._spool_key,
        )
        self._flights[flight.number] = flight
        flight.ref = self._depart(flight, chunk, self._sent_by_value(kind.function), list(hot.values()))
        brief_until = flight.sent_at + brief_s(kind.pace, len(calls))
        for call in calls:
            call.begun, call.brief_until = True, brief_until
            call.state = flight
        kind.flying += 1
        if is_demanding(kind.options):
            self._look_for_place(flight)
        task = self._loop.create_task(self._land(flight))
        self._tasks.add(task)
        task.add_done_callback(self._landed)

    def _depart(self, flight: _Flight, chunk: Chunk, sent: Any, hot: list[Any]) -> Any:
        return self.transport.send(chunk, sent, hot, flight.kind.options)

    async def _arrive(self, flight: _Flight) -> tuple[float, list[Any]]:
        """What the call gave. Raises ``WorkerDied``."""
        return await self.transport.result(flight.ref)

    def _look_for_place(self, flight: _Flight) -> None:
        """Ray keeps a task that no node can take, and says nothing. We do, for as long as it is so."""
        if flight.settled:
            return
        why = unplaceable(demand(flight.calls[0].node), self.transport.nodes())
        words = (
            None if why is None else f"resources: no node of the Ray cluster can take {flight.calls[0].node.id}: {why}"
        )
        for call in flight.calls:
            if words is not None or (call.live.missing or "").startswith("resources: "):
                self.host.note_missing(call.live, words)
        if words is not None:
            self._loop.call_later(LOOK_S, self._look_for_place, flight)

    def _sent_by_value(self, function: FunctionRef) -> Any:
        """The pickled functions that a by-value function travels with, as an object that is stored once, however often they
        were received: Ray keeps calls with other objects in a queue of their own, which would outrun priorities."""
        if not function.by_value:
            return None
        blob = self.code.blobs[(function.path, function.source_hash)]
        ref = self._sent.get(blob)
        if ref is None:
            ref = self._sent[blob] = self.transport.put(blob)
        return ref

    def _hot_values(self, calls: list[RemoteCall]) -> dict[str, Any]:
        """Objects for the large values among the arguments: read once here, shared memory there."""
        hot: dict[str, Any] = {}
        for call in calls:
            for data in (*call.args, *call.kwargs.values()):
                for found in _DATAREF.findall(data) if len(data) > _HASH_LENGTH else ():
                    hash_ = found.decode()
                    if hash_ not in self._hot:
                        self._hot[hash_] = self.transport.put(self.blobs.get(hash_))
                    self._hot.move_to_end(hash_)
                    hot[hash_] = self._hot[hash_]
        while len(self._hot) > _HOT:
            self._hot.popitem(last=False)
        return hot

    def _landed(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("a call to Ray was not settled", exc_info=task.exception())

    async def _land(self, flight: _Flight) -> None:
        kind = flight.kind
        try:
            seconds, outcomes = await self._arrive(flight)
        except WorkerDied as died:
            await self._crashed(flight, str(died))
        except Exception as error:  # whatever Ray comes up with: no attempt is left without an end
            log.exception("a call to Ray ended in a way that is not known")
            await self._crashed(flight, f"{type(error).__name__}: {error}")
        else:
            kind.pace = kind.pace.after(seconds, len(flight.calls))
            for call, outcome in zip(flight.calls, outcomes, strict=True):
                self._report(call, outcome)
        finally:
            flight.settled = True
            self._flights.pop(flight.number, None)
            kind.flying -= 1
            self._pump_soon()

    async def _crashed(self, flight: _Flight, reason: str) -> None:
        """The worker died: results in its notes count, the task it was in is lost, the rest never began."""
        try:
            progress = await self.transport.notes(spool_path(self.owner, flight.number), flight.sent_at)
            if progress is not None:
                progress.outcomes = {at: shown(each, self._spool_key) for at, each in progress.outcomes.items()}
        except Exception:
            log.exception("the notes of a dead worker could not be fetched: all its tasks count as lost")
            progress = None
        stillborn = progress is not None and not progress.outcomes and progress.running is None
        for index, call in enumerate(flight.calls):
            call.unbegun = call.unbegun + 1 if stillborn else 0
            if progress is not None and index in progress.outcomes:
                self._report(call, progress.outcomes[index])
            elif progress is None or progress.running == index or call.unbegun >= MAX_UNBEGUN:
                self._lost(call, progress, reason)
            else:
                self._queue_again(call)

    def _lost(self, call: RemoteCall, progress: Progress | None, reason: str) -> None:
        live, task = call.live, call.node.index
        timeout = call.node.options.timeout
        if call.state is None:  # it was cancelled: its end is what we asked for
            self.host.ended(live, task, call.item, call.attempt, None, call.at)
        elif (
            progress is not None
            and progress.running is not None
            and timeout is not None
            and self.host.clock.now() - progress.running_since >= timeout
        ):
            where = address(live, task, call.item)
            message = f"{where} ran longer than its timeout of {timeout:g} s"
            failure = Failure("TimeoutError", message, progress.last_words, call.attempt)
            self.host.ended(live, task, call.item, call.attempt, failure, call.at)
        else:
            self.host.lost(live, task, call.item, call.attempt, reason, at=call.at)

    def _queue_again(self, call: RemoteCall) -> None:
        if call.state is None:
            self.host.ended(call.live, call.node.index, call.item, call.attempt, None, call.at)
            return
        call.begun, call.state = False, None
        self.submit(call)

    def hear(self, number: int, index: int, progress: bytes | None, first: int, items: list[bytes]) -> bool:
        """What the ``index``-th task of a chunk says while it runs. False: it counts no more."""
        if self.pooled is not None and number >= self.pooled.first_number:
            return self.pooled.hear(number, index, progress, first, items)
        flight = self._flights.get(number)
        if flight is None or flight.calls[index].state is not flight:
            return False
        return self._hear(flight.calls[index], progress, first, items)

    def _hear(self, call: RemoteCall, progress: bytes | None, first: int, items: list[bytes]) -> bool:
        effect = StartAttempt(call.node.index, call.item, call.attempt, call.isolated, call.at)
        return self.host.voices.hear(call.live, effect, progress, first, items)

    def _report(self, call: RemoteCall, outcome: list[Any]) -> None:
        kind, what, *left = outcome
        if left:
            progress, first, items = left[0]
            self._hear(call, None if progress is None else progress.encode(), first, [item.encode() for item in items])
        result: bytes | Failure | None
        if kind == "cancelled":
            result = None
        elif kind == "ok":
            try:
                result = spill(what.encode(), self.blobs)
            except Exception as error:  # those that came in the same call still have their ends to be told
                result = failure_of(error, call.attempt, call.node.options.retry.non_retryable)
        else:
            result = Failure.from_data(what)
        self.host.ended(call.live, call.node.index, call.item, call.attempt, result, call.at)

    def cancel(self, call: RemoteCall) -> None:
        """A queued call is dropped. One that flies alone is stopped by force; one among others ends with them."""
        if call.pool is not None and self.pooled is not None:
            self.pooled.cancel(call)
            return
        kind = self._kinds.get((call.function, call.node.options, call.isolated))
        if kind is not None and call in kind.waiting:
            kind.waiting.discard(call)
            self._loop.call_soon(self.host.ended, call.live, call.node.index, call.item, call.attempt, None, call.at)
            return
        flight, call.state = call.state, None
        if flight is not None and len(flight.calls) == 1:
            self._stop(flight)

    def _stop(self, flight: _Flight) -> None:
        self.transport.cancel(flight.ref)

    async def close(self) -> None:
        """Use nothing any more that others could use."""
        if self.pooled is not None:
            await self.pooled.close()
