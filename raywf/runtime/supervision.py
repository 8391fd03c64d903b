"""Supervision: starts workflow actors, adopts those that live, replaces those that die.

One per store and namespace, restarted without end. It is not needed for executions to go on: owners renew their leases
straight at the store. When it comes back it reads from the store who ought to be there. ``raywf.actors.supervisor`` makes a
Ray actor of it, ``raywf.testing.simulation`` runs it as it stands.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from raywf.errors import RaywfError, StoreUnavailable
from raywf.ports import Clock, Entropy, OwnerRow, Reader
from raywf.runtime import vigil
from raywf.runtime.service import FINISHED
from raywf.runtime.spec import ActorSpec, is_aggregator

log = logging.getLogger("raywf.supervisor")
DRAIN_S = 10.0
_PAUSE_S = (0.0, 0.5, 1.0, 2.0, 5.0)
Ready = tuple[ActorSpec, Any]
"""A workflow actor that was started and has not begun, and its handle."""


class Actors(Protocol):
    """Where workflow actors live (Ray), as this room needs it. Handles are as Ray's: ``handle.method.remote(…)`` gives
    something to await."""

    died: tuple[type[BaseException], ...]
    """What a call raises when its actor has died."""

    def spawn(self, spec: ActorSpec) -> Any:
        """Start the workflow actor ``spec.name``; returns its handle."""
        ...

    def kill(self, handle: Any) -> None: ...

    def find(self, name: str) -> Any:
        """The handle of a named actor; None when there is none."""
        ...

    def named(self, prefix: str) -> Sequence[str]:
        """The names of the actors that begin so."""
        ...

    def address(self) -> str:
        """Where these actors live: another supervisor's may live elsewhere."""
        ...

    def end(self) -> None:
        """End the supervisor's own actor, for good."""
        ...


@dataclass(slots=True)
class _Lane:
    """The actors of a lane, by index. ``members`` holds (spec, handle)."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    members: dict[int, tuple[ActorSpec, Any]] = field(default_factory=dict)
    failures: int = 0


class Supervisor:
    """Keeps the workflow actors of one store and namespace alive.

    ``linger_s``: for how long it stays when there is nobody to look after and nobody asks.
    """

    def __init__(
        self,
        namespace: str,
        ray_namespace: str,
        *,
        actors: Actors,
        open_reader: Callable[[], Reader],
        clock: Clock,
        entropy: Entropy,
        linger_s: float,
    ) -> None:
        self.namespace = namespace
        self.ray_namespace = ray_namespace
        self._actors = actors
        self._open_reader = open_reader
        self._clock = clock
        self._entropy = entropy
        self._linger_s = linger_s
        self._lanes: dict[str, _Lane] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._doubted: set[str] = set()
        self._parking = False
        self._asked_at = clock.monotonic()
        # Ray calls this on the actor's loop. After a restart nobody may come and ask, so adopting does not wait for that.
        self._adopting = self._spawn(self._adopt_all())
        self._spawn(self._look_after())

    async def ensure(self, wanted: ActorSpec) -> list[str]:
        """Have the actors of a lane running with this bundle; returns their names by index.

        Raises ``StoreUnavailable`` when the store is held by another engine.
        """
        self._asked_at = self._clock.monotonic()
        await self._adopt()
        lane = self._lanes.setdefault(wanted.lane, _Lane())
        async with lane.lock:
            current = next((spec for spec, _ in lane.members.values()), None)
            if current is not None and (current.bundle != wanted.bundle or current.count != wanted.count):
                await self._retire(lane)
            for index in range(wanted.count):
                if index not in lane.members and not await self._adopt_living(lane, wanted.lane, index):
                    await self._start(lane, replace(wanted, index=index), dead=())
            return [lane.members[index][0].name for index in range(wanted.count)]

    async def keep(self, wanted: ActorSpec) -> None:
        """Have somebody hold a lane whose code the asking client does not have: its signals, timers, cancels and
        approvals need none. Whoever holds it already goes on."""
        self._asked_at = self._clock.monotonic()
        await self._adopt()
        lane = self._lanes.setdefault(wanted.lane, _Lane())
        async with lane.lock:
            if not lane.members and not await self._adopt_living(lane, wanted.lane, wanted.index):
                await self._start(lane, wanted, dead=())

    async def members(self, lane: str) -> list[str]:
        """The names of a lane's actors, once those that died have been replaced."""
        await self._adopt()
        found = self._lanes.get(lane)
        if found is None:
            return []
        async with found.lock:
            return [found.members[index][0].name for index in sorted(found.members)]

    async def park(self) -> int:
        """Park everything in good order; returns how many executions stay open."""
        self._parking = True
        parked = 0
        for lane in self._lanes.values():
            async with lane.lock:
                parked += await self._retire(lane, grace_s=0.0)
        return parked

    async def stats(self) -> list[dict[str, Any]]:
        """What each workflow actor says of itself."""
        await self._adopt()
        asked = [handle.stats.remote() for lane in self._lanes.values() for _, handle in lane.members.values()]
        answers = await asyncio.gather(*(_answer(ref) for ref in asked), return_exceptions=True)
        return [answer for answer in answers if isinstance(answer, dict)]

    # starting and replacing

    def _ready(self, spec: ActorSpec) -> Ready:
        """Start a process for an actor. It holds nothing before it is told to begin."""
        spec = spec.incarnation(f"{self._entropy.bits(32):08x}")
        return spec, self._actors.spawn(spec)

    async def _start(self, lane: _Lane, spec: ActorSpec, dead: tuple[str, ...], ready: Ready | None = None) -> None:
        spec, handle = ready or self._ready(spec)
        try:
            await handle.begin.remote(dead)
        except Exception as error:
            self._actors.kill(handle)
            cause = getattr(error, "cause", None)
            if isinstance(cause, RaywfError):
                raise cause from None
            raise StoreUnavailable(f"a workflow actor could not start: {type(error).__name__}: {error}") from error
        lane.members[spec.index] = (spec, handle)
        self._spawn(self._watch(lane, spec, handle))

    async def _watch(self, lane: _Lane, spec: ActorSpec, handle: Any) -> None:
        """Wait for an actor's death, and start its successor at once: the epoch protects the journal."""
        why = ""
        while not why:
            try:
                why = await handle.death.remote()
            except self._actors.died as error:
                why = str(error).splitlines()[0]
            except Exception as error:  # the question or its answer was lost: whoever does not ask again never hears
                log.warning("how workflow actor %s fares is not known (%s): asking again", spec.name, error)
                await asyncio.sleep(vigil.LOOK_S)
            if self._parking or lane.members.get(spec.index, (None,))[0] != spec:
                return
        if why == FINISHED:
            async with lane.lock:
                if lane.members.get(spec.index, (None,))[0] == spec:
                    del lane.members[spec.index]
            self._actors.kill(handle)
            return
        log.warning("workflow actor %s ended (%s): starting its successor", spec.name, why)
        self._actors.kill(handle)  # one that was fenced has a process still
        await self._replace(lane, spec)

    async def _replace(self, lane: _Lane, spec: ActorSpec, ready: Ready | None = None) -> bool:
        """Start the successor of a member, for as long as it takes; somebody else's is as good. Returns whether ``ready``
        was used."""
        async with lane.lock:
            if lane.members.get(spec.index, (None,))[0] != spec:
                return False
            del lane.members[spec.index]
            used = False
            for pause in (*_PAUSE_S, *([_PAUSE_S[-1]] * 1000)):
                await asyncio.sleep(pause)
                if self._parking:
                    return used
                try:
                    unused, used = (None if used else ready), ready is not None
                    await self._start(lane, spec, dead=(spec.owner,), ready=unused)
                    return used
                except Exception:
                    log.exception("the successor of %s did not start; trying again", spec.name)
                if await self._adopt_living(lane, spec.lane, spec.index):
                    return used
            return used

    async def _retire(self, lane: _Lane, grace_s: float = DRAIN_S) -> int:
        """Let a lane's actors end what they run, park the rest, and go."""
        members, lane.members = dict(lane.members), {}
        parked = 0
        for spec, handle in members.values():
            try:
                parked += await handle.drain.remote(grace_s)
            except Exception:
                log.exception("%s could not be drained; its leases will lapse", spec.name)
            self._actors.kill(handle)
        return parked

    # adopting

    async def _adopt(self) -> None:
        """Know who lives, before anything is asked. Raises ``StoreUnavailable``; the next call tries again."""
        if self._adopting.done() and self._adopting.exception() is not None:
            self._adopting = self._spawn(self._adopt_all())
        await asyncio.shield(self._adopting)

    async def _adopt_all(self) -> None:
        """After a restart: find the actors that live by the owners in the store; replace those that do not."""
        specs = [spec for _, spec in await self._owners()]
        known = {spec.name for spec in specs}
        for name in self._actors.named("workflow-"):
            stray = None if name in known else self._actors.find(name)
            if stray is not None:  # started by our predecessor, which died before the actor held a lease
                self._actors.kill(stray)
        for spec in specs:
            await self._adopt_one(spec)

    async def _owners(self) -> list[tuple[OwnerRow, ActorSpec]]:
        """Who holds leases, of those that this supervisor looks after."""
        try:
            reader = self._open_reader()
        except RaywfError:
            return []  # the store is not there yet: nobody can own anything
        try:
            rows = await reader.owners()
        finally:
            await reader.close()
        return [(row, spec) for row in rows if (spec := self._mine(row)) is not None]

    def _mine(self, row: OwnerRow) -> ActorSpec | None:
        try:
            spec = ActorSpec.from_json(row.spec)
        except (ValueError, KeyError, TypeError):
            return None
        if is_aggregator(spec.lane):
            return None  # Ray restarts those
        return spec if spec.ray_namespace == self.ray_namespace and spec.namespace == self.namespace else None

    async def _adopt_one(self, spec: ActorSpec) -> None:
        handle = self._actors.find(spec.name)
        lane = self._lanes.setdefault(spec.lane, _Lane())
        if handle is not None and await _answers(handle, 10):
            lane.members[spec.index] = (spec, handle)
            self._spawn(self._watch(lane, spec, handle))
        elif spec.ray_address == self._actors.address() and spec.index not in lane.members:
            log.warning("workflow actor %s does not answer: it is replaced", spec.name)
            if handle is not None:
                self._actors.kill(handle)
            lane.members[spec.index] = (spec, handle)
            self._spawn(self._replace(lane, spec))

    async def _adopt_living(self, lane: _Lane, name: str, index: int) -> bool:
        """Take on the actor that holds these leases already, whoever started it."""
        for _, spec in await self._owners():
            if spec.lane == name and spec.index == index:
                handle = self._actors.find(spec.name)
                if handle is not None and await _answers(handle, vigil.ANSWER_S):
                    lane.members[index] = (spec, handle)
                    self._spawn(self._watch(lane, spec, handle))
                    return True
        return False

    # looking after

    async def _look_after(self) -> None:
        """Ray tells of an actor that dies, not of one that hangs or was stopped. Its lease does: see ``vigil``. One that
        answers has trouble with the store and goes on itself."""
        idle_since = self._clock.monotonic()
        pause_s = vigil.LOOK_S
        while not self._parking:
            await asyncio.sleep(pause_s)
            pause_s = vigil.LOOK_S
            if not any(lane.members or lane.lock.locked() for lane in self._lanes.values()):
                if self._clock.monotonic() - max(idle_since, self._asked_at) > self._linger_s:
                    self._actors.end()  # nobody to look after, and nobody asks: the next client starts another
                continue
            idle_since = self._clock.monotonic()
            try:
                pause_s = self._look(await self._owners())
            except Exception:
                log.exception("looking after the workflow actors failed; trying again")

    def _look(self, owners: Sequence[tuple[OwnerRow, ActorSpec]]) -> float:
        """Doubt every member whose lease is overdue; returns when to look again, in seconds."""
        now, leases = self._clock.now(), []
        for row, spec in owners:
            lane = self._lanes.get(spec.lane)
            if lane is None or lane.lock.locked() or spec.owner in self._doubted:
                continue
            member, handle = lane.members.get(spec.index, (None, None))
            if member != spec:
                continue
            leases.append((row.expires_at, spec.lease_s))
            if now >= vigil.overdue_at(row.expires_at, spec.lease_s):
                self._doubted.add(spec.owner)
                self._spawn(self._doubt(lane, spec, handle, row.expires_at))
        return vigil.next_look_s(leases, now)

    async def _doubt(self, lane: _Lane, spec: ActorSpec, handle: Any, expires_at: float) -> None:
        """Ask a member whose lease is overdue, have its successor ready in time, and replace it when it stays silent."""
        asked_at, ready = self._clock.monotonic(), None
        answer = self._spawn(_answers(handle, 2 * vigil.EARLY_S))
        try:
            while lane.members.get(spec.index, (None,))[0] == spec and not self._parking:
                answered = answer.result() if answer.done() else None
                waited_s = self._clock.monotonic() - asked_at
                doubt = vigil.Doubt(expires_at, spec.lease_s, waited_s, answered, ready is not None)
                match vigil.judge(doubt, self._clock.now()):
                    case vigil.Verdict.TRUST, _:
                        return
                    case vigil.Verdict.PREPARE, _:
                        ready = self._ready(spec)
                    case vigil.Verdict.REPLACE, _:
                        log.warning("the lease of %s has lapsed and it does not answer: it is replaced", spec.name)
                        self._actors.kill(handle)
                        if await self._replace(lane, spec, ready):
                            ready = None
                        return
                    case _, wait_s:
                        await _first_of(answer, wait_s)
                found = await self._expires_at(spec.owner)
                if found is None:
                    return  # without the store nobody can be judged; the next look begins again
                expires_at = found
        finally:
            answer.cancel()
            self._doubted.discard(spec.owner)
            if ready is not None:
                self._actors.kill(ready[1])

    async def _expires_at(self, owner: str) -> float | None:
        """When the lease of an owner ends, as the store has it now; None when the store does not say."""
        try:
            owners = await self._owners()
        except RaywfError:
            return None
        return next((row.expires_at for row, _ in owners if row.owner == owner), None)

    def _spawn(self, work: Any) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("internal work of the supervisor failed", exc_info=task.exception())


async def _answer(ref: Any) -> Any:
    return await ref


async def _first_of(answer: asyncio.Task[Any], wait_s: float) -> None:
    """Return when there is an answer, or after so long; at once never, or a refusal would keep the loop busy."""
    if answer.done():
        await asyncio.sleep(wait_s)
    else:
        await asyncio.wait({answer}, timeout=wait_s)


async def _answers(handle: Any, timeout_s: float) -> bool:
    """Whether a workflow actor serves."""
    try:
        await asyncio.wait_for(_answer(handle.stats.remote()), timeout_s)
    except Exception:
        return False
    return True
