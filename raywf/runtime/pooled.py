"""Sending attempts to the workers of pools: as ``chunks``, but a call goes to a worker that a crew has granted.

For each pool in use there is a *link* to its crew: how many calls wait is said there, slots come back. A call stays in the
queue here until there is a slot for it, so what is most urgent then goes first, what is cancelled is only forgotten, and
an attempt that has not begun never counts as begun. A slot is used again at once while there is work for it, for at most
``HOLD_S``: then it goes back, so that others get their turn.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
from collections.abc import Callable
from typing import Any, Protocol

from raywf.core.chunking import chunk_size
from raywf.core.failures import Failure
from raywf.core.plan import PoolUse
from raywf.definition.workers import settings
from raywf.runtime.chunks import ChunkDispatcher, WorkerDied, _Flight, _Kind
from raywf.runtime.crews import TEARDOWN_S, Answer, CrewSpec, Returned, Slot, crew_name
from raywf.runtime.work import RemoteCall
from raywf.runtime.worker import Chunk

log = logging.getLogger("raywf.pooled")

HOLD_S = 1.0
WAIT_S = 1.0
"""How long a crew is asked to keep a question: what it says while there is no slot is then as fresh as this."""
IDLE_S = 5.0
LINGER_S = 60.0
"""A pool of which nothing was wanted for so long is left: its crew ends, if nobody else uses it."""
PATIENCE_S = 1.0
"""A call that has waited for so long says what it waits for."""
_TOLD = 200
"""Calls that say so, of those that wait for one pool; the rest is behind them."""
_KILL_AFTER_S = 5.0


class Reach(Protocol):
    """How crews and their workers are reached (Ray)."""

    died: tuple[type[BaseException], ...]

    def crew(self, spec: CrewSpec) -> Any:
        """The handle of a crew, started if it does not run."""
        ...

    def run(self, slot: Slot, chunk: Chunk, sent: Any, hot: list[Any]) -> Any:
        """Call a worker; returns the reference."""
        ...

    def kill(self, handle: Any) -> None: ...


class _Link:
    """One pool as this workflow actor uses it."""

    __slots__ = ("flying", "following", "handle", "joined", "kinds", "nudging", "returned", "spec", "used_at")

    def __init__(self, spec: CrewSpec, now: float) -> None:
        self.spec = spec
        self.kinds: list[_Kind] = []
        self.handle: Any = None
        self.joined = False
        self.returned: list[Returned] = []
        self.flying = 0
        self.nudging = False
        self.used_at = now
        self.following: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> int:
        return sum(len(kind.waiting) for kind in self.kinds)

    @property
    def alone(self) -> int:
        return sum(len(kind.waiting) for kind in self.kinds if kind.isolated)


class _Held:
    """A slot while a call is in it, and since when this actor has it."""

    __slots__ = ("link", "seconds", "since", "slot", "tasks", "worn")

    def __init__(self, link: _Link, slot: Slot, since: float) -> None:
        self.link, self.slot, self.since = link, slot, since
        self.seconds, self.tasks, self.worn = 0.0, 0, False


class PoolDispatcher(ChunkDispatcher):
    """``work.Dispatcher`` for tasks that run in pools. ``user`` is what crews call this workflow actor."""

    first_number = 2**40

    def serve(self, reach: Reach, user: str, namespace: str, ray_namespace: str) -> PoolDispatcher:
        """Say how crews are reached; before anything is submitted."""
        self.reach, self.user = reach, user
        self._spaces = namespace, ray_namespace
        self._links: dict[str, _Link] = {}
        self._link_of: dict[PoolUse, _Link] = {}
        self._closing = False
        return self

    # queueing

    def _enqueue(self, call: RemoteCall) -> None:
        assert call.pool is not None
        link = self._link(call.pool)
        super()._enqueue(call)
        kind = self._kind(call)
        if kind not in link.kinds:
            link.kinds.append(kind)
        link.used_at = self.host.clock.monotonic()
        if link.following is None:
            link.following = self._loop.create_task(self._follow(link))

    def _link(self, pool: PoolUse) -> _Link:
        link = self._link_of.get(pool)
        if link is None:
            # The settings are part of the key: with other ones the crew of that name is asked, and refuses.
            name = crew_name(self._spaces[0], pool, self.bundle)
            key = f"{name} {settings(pool)}"
            if key not in self._links:
                refs = [ref for ref in (pool.setup, pool.teardown) if ref is not None and ref.by_value]
                found = (self.code.blobs.get((ref.path, ref.source_hash)) for ref in refs)
                blobs = tuple({blob: None for blob in found if blob is not None})
                spec = CrewSpec(name, self._spaces[0], self.bundle.project, self._spaces[1], pool, self.bundle, blobs)
                self._links[key] = _Link(spec, self.host.clock.monotonic())
            link = self._link_of[pool] = self._links[key]
        return link

    def _pump(self) -> None:
        """Tell crews of what waits now. What they grant is used in ``_take``."""
        self._pumping = False
        for link in self._links.values():
            if link.waiting or link.returned:
                self._nudge(link)

    def _nudge(self, link: _Link) -> None:
        if link.joined and not link.nudging and not self._closing:
            link.nudging = True
            self._spawn(self._told(link))

    async def _told(self, link: _Link) -> None:
        """Say at once what has changed, while the long question is out."""
        try:
            answer = await self._ask(link, 0.0)
        except self.reach.died:
            return  # the long question has noticed as well
        finally:
            link.nudging = False
        if answer is not None:
            self._take(link, answer)
        if link.returned:
            self._nudge(link)

    async def _ask(self, link: _Link, wait_s: float) -> Answer | None:
        returned, link.returned = link.returned, []
        try:
            return await _answer(link.handle.sync.remote(self.user, link.waiting, link.alone, returned, wait_s))  # type: ignore[no-any-return]
        except BaseException:
            link.returned = returned + link.returned
            raise

    # the crew of a pool

    async def _follow(self, link: _Link) -> None:
        """Keep a question out at the crew, for as long as the pool is used."""
        while not self._closing:
            try:
                if not link.joined:
                    if not await self._join(link):
                        return
                    continue
                busy = link.waiting or link.flying
                answer = await self._ask(link, WAIT_S if link.waiting else IDLE_S)
            except self.reach.died as error:
                log.warning("the crew of pool %s ended (%s): another is started", link.spec.pool.name, _line(error))
                link.joined, link.returned = False, []
                await asyncio.sleep(0.1)
                continue
            except Exception:
                log.exception("the crew of pool %s could not be asked; trying again", link.spec.pool.name)
                await asyncio.sleep(1.0)
                continue
            if answer is None:  # it had given us up, or is going
                link.joined = False
                await asyncio.sleep(0.1)
                continue
            self._take(link, answer)
            now = self.host.clock.monotonic()
            if busy or link.waiting or link.flying:
                link.used_at = now
            elif now - link.used_at > LINGER_S:
                link.following = None  # before anything is awaited: who comes now follows anew
                link.joined = False
                await self._leave(link)
                return

    async def _join(self, link: _Link) -> bool:
        link.handle = self.reach.crew(link.spec)
        said = await _answer(link.handle.join.remote(self.user, link.spec))
        if said is None:
            link.joined = True
            return True
        name = link.spec.pool.name
        message = (
            f"the pool {name!r} runs with other settings: {said}, the second being this task's. A pool is one set of workers, "
            "so which of them holds would be chance: write raywf.Workers(…) once and import it, or give this one another name. To "
            "change the settings of a pool, change its module or end its engine"
        )
        self._fail_all(link, lambda where: Failure("raywf.errors.DefinitionError", f"{where}: {message}", "", 0, False))
        link.following = None  # the next call asks again
        return False

    def _take(self, link: _Link, answer: Answer) -> None:
        for slot in answer.slots:
            self._use(_Held(link, slot, self.host.clock.monotonic()))
        if answer.given_up is not None:
            pool, last = link.spec.pool, answer.given_up
            setup = "without a setup" if pool.setup is None else f"setup {pool.setup.path}"
            message = (
                f"no worker of pool {pool.name!r} becomes ready, so nothing can run this task: {setup} failed again and again, the "
                f"last time with {last.type}: {last.message}. Repair it and retry the execution; a retry policy of the task "
                "tries again by itself"
            )
            self._fail_all(
                link, lambda where: Failure("raywf.errors.SetupFailed", f"{where}: {message}", last.traceback, 0)
            )
        elif answer.words:
            self._say(link, f"pool: {answer.words}")

    def _say(self, link: _Link, words: str) -> None:
        """Have those that wait for a while say for what."""
        before, told = self.host.clock.now() - PATIENCE_S, 0
        for kind in link.kinds:
            for call in kind.waiting:
                if told >= _TOLD:
                    return
                if call.queued_at <= before:
                    told += 1
                    if call.live.missing != words:
                        self.host.note_missing(call.live, words)

    def _unsay(self, call: RemoteCall) -> None:
        if (call.live.missing or "").startswith("pool: "):
            self.host.note_missing(call.live, None)

    def _fail_all(self, link: _Link, failure: Callable[[str], Failure]) -> None:
        for kind in link.kinds:
            calls, kind.waiting, kind.queue = list(kind.waiting), set(), []
            for call in calls:
                self._unsay(call)
                found = failure(call.context[1])
                told = Failure(found.type, found.message, found.traceback, call.attempt, found.retryable)
                self.host.ended(call.live, call.node.index, call.item, call.attempt, told, call.at)

    # flying

    def _use(self, held: _Held) -> None:
        """Send the most urgent of what waits into a slot; give the slot back where there is nothing for it."""
        link, slot = held.link, held.slot
        kind = self._most_urgent(link, slot.alone)
        if kind is None:
            self._give_back(held)
            return
        calls = self._next(kind, self._size(link, kind, slot))
        for call in calls:
            self._unsay(call)
        if self._send_or_fail(kind, calls, held):
            link.flying += 1
        else:
            self._give_back(held)

    def _most_urgent(self, link: _Link, alone: bool) -> _Kind | None:
        found: _Kind | None = None
        for kind in link.kinds:
            while kind.queue and kind.queue[0][1] not in kind.waiting:
                heapq.heappop(kind.queue)
            if kind.queue and kind.isolated is alone and (found is None or kind.queue[0][0] < found.queue[0][0]):
                found = kind
        return found

    def _size(self, link: _Link, kind: _Kind, slot: Slot) -> int:
        options, rule = kind.options, link.spec.pool.rule
        shared = rule.concurrency > 1 and options.timeout is not None
        if options.effect != "at_least_once" or options.heartbeat_timeout is not None or shared:
            return 1
        size = chunk_size(kind.pace, len(kind.waiting), rule.max * rule.concurrency - kind.flying)
        return size if slot.most is None else min(size, slot.most)

    def _depart(self, flight: _Flight, chunk: Chunk, sent: Any, hot: list[Any]) -> Any:
        held: _Held = flight.slot
        return self.reach.run(held.slot, chunk, sent, hot)

    async def _arrive(self, flight: _Flight) -> tuple[float, list[Any]]:
        held: _Held = flight.slot
        try:
            seconds, outcomes, worn = await _answer(flight.ref)
        except self.reach.died as error:
            held.worn = True  # its crew may not know yet
            raise WorkerDied(_line(error)) from None
        except Exception as error:
            held.worn = True
            raise WorkerDied(f"the call itself failed: {_line(error)}") from error
        held.seconds += seconds
        held.tasks += len(outcomes)
        held.worn = worn
        return seconds, outcomes

    async def _land(self, flight: _Flight) -> None:
        held: _Held = flight.slot
        try:
            await super()._land(flight)
        finally:
            held.link.flying -= 1
            fresh = self.host.clock.monotonic() - held.since < HOLD_S
            if fresh and not held.worn and held.slot.most is None and not self._closing and not held.slot.alone:
                self._use(held)
            else:
                self._give_back(held)

    def _give_back(self, held: _Held) -> None:
        held.link.returned.append(Returned(held.slot.token, held.seconds, held.tasks, held.worn))
        self._pump_soon()

    def cancel(self, call: RemoteCall) -> None:
        self._unsay(call)
        super().cancel(call)

    def _stop(self, flight: _Flight) -> None:
        """Ask the worker to end it; one that does not even answer is ended itself."""
        slot = flight.slot.slot
        slot.handle.stop.remote(slot.token, flight.number)
        self._loop.call_later(flight.kind.options.cleanup_timeout + _KILL_AFTER_S, self._kill_unless_over, flight)

    def _kill_unless_over(self, flight: _Flight) -> None:
        if not flight.settled and not self._closing:
            log.warning("a worker of pool %s does not stop: it is ended", flight.slot.link.spec.pool.name)
            self.reach.kill(flight.slot.slot.handle)

    async def close(self) -> None:
        """Leave every crew; the last one that leaves ends it."""
        self._closing = True
        for link in self._links.values():
            if link.following is not None:
                link.following.cancel()
        await asyncio.gather(*(self._leave(link) for link in self._links.values() if link.joined))

    async def _leave(self, link: _Link) -> None:
        try:
            await asyncio.wait_for(_answer(link.handle.leave.remote(self.user)), TEARDOWN_S + 2)
        except self.reach.died:
            return  # it ended with us
        except Exception:
            log.exception("the crew of pool %s could not be left; it notices", link.spec.pool.name)

    def _spawn(self, work: Any) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._landed)


async def _answer(ref: Any) -> Any:
    return await ref


def _line(error: BaseException) -> str:
    said = str(error).strip()
    return said.splitlines()[0] if said else type(error).__name__
