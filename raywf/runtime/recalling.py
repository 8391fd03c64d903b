"""Results that are reused: attempts of tasks with ``cache=`` ask here before they begin.

::

    attempt --key--> look --fresh row--> ResultReused; nothing runs
                      |  \\--being computed here--> waits for that one, then looks again
                      \\--none--> the attempt begins --ok--> its row goes into the commit of its TaskCompleted

**Authority.** The store. A row is written in the commit of the event that says where it comes from, so it is never of an attempt
that failed, was fenced off or is not on disk, and a crash leaves both or neither. **Two at once.** Within one owner the
second waits for the first. Two owners may compute the same; the first commit counts, and each execution keeps the result
that its own history has. **Failure.** A cache that cannot be read holds nobody up: the task runs.

A task without ``cache=`` never comes here.
"""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from raywf.core import events as ev
from raywf.core import retry
from raywf.core.caching import cache_key, expires_at, is_fresh
from raywf.core.effects import StartAttempt
from raywf.core.execution import is_current, task_at
from raywf.core.plan import Node
from raywf.definition.functions import signature_of, source_hash
from raywf.errors import LeaseLost, RaywfError, StoreUnavailable
from raywf.ports import CachedRow, Clock, Journal
from raywf.runtime.code import Function
from raywf.runtime.live import Live, address
from raywf.runtime.work import LocalWork, Missing, Recalling, slot_of

if TYPE_CHECKING:
    from raywf.runtime.gate import Gate
    from raywf.runtime.host import Host

log = logging.getLogger("raywf.cache")
LOOK_S = 1.0
"""How soon who waits for another one's result sees that the other has gone away without a word."""
SWEEP_S = 600.0
"""How often expired results are removed, where results are reused at all."""

_AT_ONCE = 1000
"""Attempts that are looked up and decided in one go: a wide fan-out must not hold up the loop."""

_Place = tuple[int, int, int | None]
"""An attempt: the key of its execution, task and item. A task has one attempt at a time."""


class Recall:
    """The attempts of one owner whose results may be known. Everything runs on the loop; nothing here raises."""

    def __init__(self, host: Host, work: LocalWork, gate: Gate, journal: Journal, namespace: str, clock: Clock) -> None:
        self._host = host
        self._work = work
        self._gate = gate
        self._journal = journal
        self._namespace = namespace
        self._clock = clock
        self._asks: dict[_Place, Recalling] = {}
        self._waiting: dict[_Place, Recalling] = {}
        self._noted: set[_Place] = set()
        self._leaders: dict[str, tuple[Live, int, int | None]] = {}
        self._settling: dict[str, int] = {}
        self._passing: _Place | None = None
        self._codes: dict[str, str] = {}
        self._swept_at: float | None = None
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    # asking

    def must_ask(self, live: Live, node: Node, effect: StartAttempt) -> bool:
        return self._passing != (live.key, node.index, effect.item)

    def ask(self, live: Live, node: Node, effect: StartAttempt) -> Recalling | None:
        """Find out whether the result is known. None: the attempt begins as any other, because it was asked for already,
        or because what it is given cannot be read, which it will say itself."""
        if not self.must_ask(live, node, effect):
            return None
        key = self._key(live, node, effect.item)
        if key is None:
            return None
        asking = Recalling(live, node, effect, key)
        self._asks[live.key, node.index, effect.item] = asking
        self._wake()
        return asking

    def forget(self, asking: Recalling) -> None:
        """It is not wanted any more."""
        place = _place(asking)
        for known in (self._asks, self._waiting):
            if known.get(place) is asking:
                del known[place]
        self._unnote(place, asking)

    def landed(self) -> None:
        """An attempt has ended, however: somebody may have waited for it."""
        if self._waiting:
            self._asks, self._waiting = self._waiting | self._asks, {}
            self._wake()

    def close(self) -> None:
        self._closed = True
        if self._task is not None:
            self._task.cancel()

    def _key(self, live: Live, node: Node, item: int | None) -> str | None:
        policy, ref = node.options.cache, node.function
        assert policy is not None and ref is not None
        try:
            function = self._work.code.function(ref)
            code = ref.source_hash if ref.by_value else self._code_of(ref.path, function)
            args, kwargs = self._work.encoded_arguments(live, node, item)
            given = _by_parameter(function, args, kwargs, self._work.evaluator.encode)
            return cache_key(policy, ref.path, code, live.row.workflow, given)
        except Exception as error:
            log.debug("%s of %s is not looked up: %s", node.id, live.id, error)
            return None

    def _code_of(self, path: str, function: Function) -> str:
        """The hash of the source that runs here: an execution goes on after an edit under the definition it began with."""
        found = self._codes.get(path)
        if found is None:
            found = self._codes[path] = source_hash(function.source, path)
        return found

    # looking

    def _wake(self) -> None:
        self._news.set()
        if self._task is None and not self._closed:
            self._task = self._host.loop.create_task(self._run(), name="raywf-cache")

    async def _run(self) -> None:
        while not self._closed:
            self._news.clear()
            await self._turn()
            try:
                await asyncio.wait_for(self._news.wait(), LOOK_S if self._waiting else None)
            except TimeoutError:
                self._asks, self._waiting = self._waiting | self._asks, {}

    async def _turn(self) -> None:
        asks = dict(islice(self._asks.items(), _AT_ONCE))
        for place in asks:
            del self._asks[place]
        if self._asks:
            self._news.set()
        if asks:
            found = await self._find(sorted({asking.key for asking in asks.values()}))
            for asking in asks.values():
                if self._flies(asking):
                    self._answer(asking, found.get(asking.key))
        now = self._clock.now()
        if self._swept_at is None or now >= self._swept_at + SWEEP_S:
            self._swept_at = now
            await self._sweep(now)

    async def _find(self, keys: Sequence[str]) -> dict[str, CachedRow]:
        try:
            return await self._journal.find_cached(self._namespace, keys)
        except RaywfError as error:
            log.warning("results cannot be looked up now, so tasks with cache= run: %s", error)
            return {}

    async def _sweep(self, now: float) -> None:
        try:
            await self._journal.clear_cached(self._namespace, expired_at=now)
        except RaywfError as error:
            log.warning("expired results cannot be removed now, trying again later: %s", error)

    def _answer(self, asking: Recalling, row: CachedRow | None) -> None:
        try:
            self._decide(asking, row)
        except (LeaseLost, StoreUnavailable) as error:
            log.warning("execution %s goes on with its next owner: %s", asking.live.id, error)
        except Exception:  # one of them must not hold the others up
            log.exception("a result for execution %s could not be looked up", asking.live.id)

    def _decide(self, asking: Recalling, row: CachedRow | None) -> None:
        place, policy = _place(asking), asking.node.options.cache
        assert policy is not None
        if row is not None and is_fresh(policy, row.stored_at, row.expires_at, self._clock.now()):
            self._unnote(place, asking)
            self._reuse(asking, row)
            return
        leader = None if self._gate.holds(slot_of(asking.live, asking.effect)) else self._leader(asking)
        if leader is None:
            self._unnote(place, asking)
            self._begin(asking)
            return
        self._waiting[place] = asking
        if leader.id != asking.live.id and place not in self._noted:
            self._noted.add(place)
            self._host.note_missing(asking.live, f"cache: {asking.node.id}: {leader.id} is computing the same now")

    def _leader(self, asking: Recalling) -> Live | None:
        """Who computes the same here; nobody where that one is not at it. (One that holds a slot asks no further: who it
        would wait for may itself wait for the slot.)"""
        found = self._leaders.get(asking.key)
        if found is None:
            return None
        live, task, item = found
        if self._settling.get(asking.key):
            return live
        if (live.key, task, item) == _place(asking) or self._host.open.get(live.id) is not live:
            return None
        handle = (live.inflight or {}).get((task, item))
        return None if handle is None or type(handle) is Missing else live

    def _begin(self, asking: Recalling) -> None:
        live, effect = asking.live, asking.effect
        self._leaders[asking.key] = (live, effect.task, effect.item)
        if len(self._leaders) > 10_000:
            self._leaders = {key: found for key, found in self._leaders.items() if found[0].inflight}
        assert live.inflight is not None
        del live.inflight[effect.task, effect.item]
        self._passing = _place(asking)
        try:
            self._host.release(live, (effect,))
        finally:
            self._passing = None

    def _reuse(self, asking: Recalling, row: CachedRow) -> None:
        live, effect = asking.live, asking.effect
        self._host.forget_attempt(live, effect.task, effect.item)
        if self._host.parked or not is_current(live.state, effect.task, effect.item, effect.attempt, effect.at):
            return
        where = address(live, effect.task, effect.item)
        event = ev.ResultReused(
            where, effect.attempt, row.value, row.source, row.source_task, row.stored_at, asking.key
        )
        self._host.turn(live, event)

    def _flies(self, asking: Recalling) -> bool:
        live, effect = asking.live, asking.effect
        flying = live.inflight is not None and live.inflight.get((effect.task, effect.item)) is asking
        return flying and self._host.open.get(live.id) is live

    def _unnote(self, place: _Place, asking: Recalling) -> None:
        if place in self._noted:
            self._noted.discard(place)
            if self._host.open.get(asking.live.id) is asking.live:
                self._host.note_missing(asking.live, None)

    # keeping

    def keep(self, live: Live, node: Node, item: int | None, outcome: bytes) -> None:
        """Keep what an attempt gave, in the commit of the event that is added next: if it is the task's own whole result,
        and not that of its fallback, or one whose stream of items would be missing."""
        policy, task = node.options.cache, task_at(live.state, node.index, item)
        assert policy is not None and node.function is not None
        if task.notes is not None and task.notes.emitted:
            return
        if node.fallback is not None and retry.has_given_up(node.options.retry, task.failures, task.failure):
            return
        key = self._key(live, node, item)
        if key is None:
            return
        now, where = self._clock.now(), address(live, node.index, item)
        row = CachedRow(
            self._namespace, key, node.function.path, live.row.workflow, outcome, now, expires_at(policy, now), live.id, where
        )  # fmt: skip
        self._host.commits.add_cached(live.shard, row)
        self._settling[key] = self._settling.get(key, 0) + 1
        self._host.loop.call_soon(self._tell_when_durable, key)

    def _tell_when_durable(self, key: str) -> None:
        try:
            self._host.commits.on_durable(functools.partial(self._settled, key))
        except (LeaseLost, StoreUnavailable):
            self._settled(key)

    def _settled(self, key: str) -> None:
        left = self._settling.get(key, 1) - 1
        if left:
            self._settling[key] = left
        else:
            self._settling.pop(key, None)
            self._leaders.pop(key, None)
        self.landed()


def _place(asking: Recalling) -> _Place:
    return asking.live.key, asking.effect.task, asking.effect.item


def _by_parameter(
    function: Function, args: Sequence[bytes], kwargs: dict[str, bytes], encode: Any
) -> dict[str, bytes | list[bytes]]:
    """The encoded arguments by the parameter they go to, so that how a call is written makes no difference."""
    signature = signature_of(function.source)
    if signature is None:
        return {**{str(at): each for at, each in enumerate(args)}, **kwargs}
    bound = signature.bind(*args, **kwargs)
    given: dict[str, bytes | list[bytes]] = {}
    for name, parameter in signature.parameters.items():
        if name not in bound.arguments:
            if parameter.default is not parameter.empty:
                given[name] = encode(parameter.default)
        elif parameter.kind is parameter.VAR_POSITIONAL:
            given[f"*{name}"] = list(bound.arguments[name])
        elif parameter.kind is parameter.VAR_KEYWORD:
            given |= bound.arguments[name]
        else:
            given[name] = bound.arguments[name]
    return given
