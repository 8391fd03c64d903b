"""Supervision: starts workflow actors, adopts those that live, replaces those that die.

One per store and namespace, restarted without end. It is not needed for executions to go on: owners renew their leases
straight at the store. When it comes back it reads from the store who ought to be there. ``raywf.actors.supervisor`` makes a
Ray actor of it, ``raywf.testing.simulation`` runs it as it stands.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Protocol

from raywf.core import backlog
from raywf.errors import RaywfError, StoreUnavailable
from raywf.ports import Clock, Entropy, OwnerRow, Reader
from raywf.runtime import vigil
from raywf.runtime.balance import LOOK_S, MOVE_S, MOVING_S, Balancer, Lane, NodeRow, usual_count
from raywf.runtime.service import FINISHED
from raywf.runtime.spec import ActorSpec, Layout, is_aggregator

log = logging.getLogger("raywf.supervisor")
DRAIN_S = 10.0
STATS_S = 2.0
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

    def nodes(self) -> Sequence[NodeRow]:
        """The live nodes; none where that is not known."""
        ...

    def drain(self, node: str, until: float) -> None:
        """Start nothing on a node any more: it will be ended (epoch seconds)."""
        ...

    def request(self, bundles: Sequence[dict[str, float]]) -> None:
        """Ask for a cluster that has room for these at once, until something else is asked for."""
        ...


class Supervisor:
    """Keeps the workflow actors of one store and namespace alive.

    ``linger_s``: for how long it stays when there is nobody to look after and nobody asks. ``autoscale``: for how many calls
    at most the cluster is asked to have room; 0: it is not asked.
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
        autoscale: int = 0,
    ) -> None:
        self.namespace = namespace
        self.ray_namespace = ray_namespace
        self._actors = actors
        self._open_reader = open_reader
        self._clock = clock
        self._entropy = entropy
        self._linger_s = linger_s
        self._autoscale = autoscale
        self._asked_for = backlog.Request()
        self._lanes: dict[str, Lane] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._doubted: set[str] = set()
        self._parking = False
        self._news = asyncio.Event()
        self._asked_at = clock.monotonic()
        self.balancer = Balancer(actors, clock, self._start, self._dismiss)
        # Ray calls this on the actor's loop. After a restart nobody may come and ask, so adopting does not wait for that.
        self._adopting = self._spawn(self._adopt_all())
        self._spawn(self._look_after())
        self._spawn(self._keep_balance())

    async def ensure(self, wanted: ActorSpec) -> Layout:
        """Have the actors of a lane running with this bundle and codec.

        Raises ``StoreUnavailable`` when the store is held by another engine.
        """
        self._asked_at = self._clock.monotonic()
        await self._adopt()
        lane = self._lanes.setdefault(wanted.lane, Lane())
        async with lane.lock:
            current = next((spec for spec, _ in lane.members.values()), None)
            if current is not None and (current.bundle, current.codec) != (wanted.bundle, wanted.codec):
                await self._retire(lane)
            if not lane.members:
                for index in range(wanted.count or 1):
                    await self._adopt_living(lane, wanted.lane, index)
            if wanted.count is not None or lane.template is None:
                lane.count = usual_count(wanted.url) if wanted.count is None else wanted.count
            lane.template, lane.resting = replace(wanted, count=lane.count), 0
            self.balancer.look()
            if not self.balancer.is_settled(lane):
                await self.balancer.settle(lane)
            return lane.layout()

    async def keep(self, wanted: ActorSpec) -> None:
        """Have somebody hold a lane whose code the asking client does not have: its signals, timers, cancels and
        approvals need none. Whoever holds it already goes on."""
        self._asked_at = self._clock.monotonic()
        await self._adopt()
        lane = self._lanes.setdefault(wanted.lane, Lane())
        async with lane.lock:
            if not lane.members and not await self._adopt_living(lane, wanted.lane, wanted.index):
                await self._start(lane, wanted, dead=())

    async def members(self, lane: str) -> Layout:
        """Who holds a lane, once those that died have been replaced and what moves has arrived."""
        await self._adopt()
        found = self._lanes.get(lane)
        if found is None:
            return Layout([], b"")
        async with found.moving if found.is_settling else found.lock:
            return found.layout()

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
        handles = [handle for lane in self._lanes.values() for _, handle in lane.members.values()]
        answers = await asyncio.gather(*(_stats(handle, STATS_S) for handle in handles))
        return [answer for answer in answers if answer is not None]

    async def nodes(self) -> tuple[Sequence[NodeRow], list[dict[str, Any]]]:
        """The live nodes, and what each workflow actor says of itself."""
        return self._actors.nodes(), await self.stats()

    async def drain(self, node: str, deadline_s: float) -> None:
        """Tell Ray that a node will be ended; everything else follows from what Ray then says of it."""
        self._asked_at = self._clock.monotonic()
        self._actors.drain(node, self._clock.now() + deadline_s)
        self._news.set()

    async def pauses(self) -> list[float]:
        """How long the last moves of shards took, in ms: for so long their executions paused."""
        return [round(took_ms, 1) for lane in self._lanes.values() for took_ms in lane.pauses_ms]

    # starting and replacing

    def _ready(self, spec: ActorSpec) -> Ready:
        """Start a process for an actor. It holds nothing before it is told to begin."""
        spec = spec.incarnation(f"{self._entropy.bits(32):08x}")
        return spec, self._actors.spawn(spec)

    async def _start(self, lane: Lane, spec: ActorSpec, dead: tuple[str, ...], ready: Ready | None = None) -> None:
        spec, handle = ready or self._ready(spec)
        try:
            await handle.begin.remote(dead)
        except asyncio.CancelledError:
            self._actors.kill(handle)  # or it would begin one day, and nobody would know
            raise
        except Exception as error:
            self._actors.kill(handle)
            cause = getattr(error, "cause", None)
            if isinstance(cause, RaywfError):
                raise cause from None
            raise StoreUnavailable(f"a workflow actor could not start: {type(error).__name__}: {error}") from error
        lane.joined(spec, handle, spec.shards)
        self._spawn(self._watch(lane, spec, handle))

    async def _dismiss(self, spec: ActorSpec, handle: Any) -> None:
        """End a member that holds nothing any more."""
        try:
            await asyncio.wait_for(_answer(handle.drain.remote(0.0)), MOVE_S)
        except Exception:
            log.exception("%s could not be drained; it holds nothing", spec.name)
        self._actors.kill(handle)

    async def _watch(self, lane: Lane, spec: ActorSpec, handle: Any) -> None:
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
                    lane.left(spec.index)
                    lane.resting += 1
            self._actors.kill(handle)
            return
        log.warning("workflow actor %s ended (%s): starting its successor", spec.name, why)
        self._actors.kill(handle)  # one that was fenced has a process still
        await self._replace(lane, spec)

    async def _replace(self, lane: Lane, spec: ActorSpec, ready: Ready | None = None) -> bool:
        """Start the successor of a member, for as long as it takes; somebody else's is as good. Returns whether ``ready``
        was used."""
        async with lane.lock:
            if lane.members.get(spec.index, (None,))[0] != spec:
                return False
            held = tuple(sorted(lane.left(spec.index).difference(*lane.held.values())))
            if ready is not None and ready[0].held != held:
                ready = None  # what it was started for has moved
            used = False
            for pause in (*_PAUSE_S, *([_PAUSE_S[-1]] * 1000)):
                await asyncio.sleep(pause)
                if self._parking:
                    return used
                try:
                    self.balancer.look()
                    if lane.members and (not held or not self.balancer.stays(spec.node)):
                        await self.balancer.settle(lane)  # the others take what it had
                        return used
                    unused, used = (None if used else ready), ready is not None
                    node = spec.node if self.balancer.stays(spec.node) else self.balancer.any_node(spec)
                    await self._start(lane, replace(spec, held=held, node=node), dead=(spec.owner,), ready=unused)
                    return used
                except Exception:
                    log.exception("the successor of %s did not start; trying again", spec.name)
                with contextlib.suppress(RaywfError):  # without the store nobody is found, and it is tried again
                    if await self._adopt_living(lane, spec.lane, spec.index):
                        return used
            return used

    async def _retire(self, lane: Lane, grace_s: float = DRAIN_S) -> int:
        """Let a lane's actors end what they run, park the rest, and go."""
        parked = 0
        for spec, handle in lane.clear().values():
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
        living = [spec for spec in specs if await self._adopt_one(spec)]
        for spec in specs:
            if spec not in living:
                self._replace_silent(spec)

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

    async def _adopt_one(self, spec: ActorSpec, timeout_s: float = 10.0) -> bool:
        """Take on an actor that lives, whoever started it."""
        handle = self._actors.find(spec.name)
        said = None if handle is None else await _stats(handle, timeout_s)
        if said is None:
            return False
        lane = self._lanes.setdefault(spec.lane, Lane())
        lane.joined(spec, handle, said.get("serving", spec.shards))
        lane.count = 1 if spec.count is None else spec.count
        if said.get("holds_back"):
            lane.holding.add(spec.index)
        self._spawn(self._watch(lane, spec, handle))
        return True

    def _replace_silent(self, spec: ActorSpec) -> None:
        lane = self._lanes.setdefault(spec.lane, Lane())
        if spec.ray_address != self._actors.address() or spec.index in lane.members:
            return
        log.warning("workflow actor %s does not answer: it is replaced", spec.name)
        handle = self._actors.find(spec.name)
        if handle is not None:
            self._actors.kill(handle)
        lane.joined(spec, handle, spec.shards)
        self._spawn(self._replace(lane, spec))

    async def _adopt_living(self, lane: Lane, name: str, index: int) -> bool:
        """Take on the actor that holds these leases already, whoever started it."""
        for _, spec in await self._owners():
            if spec.lane == name and spec.index == index and await self._adopt_one(spec, vigil.ANSWER_S):
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
                    if self._asked_for.bundles:
                        self._actors.request([])
                    self._actors.end()  # nobody to look after, and nobody asks: the next client starts another
                continue
            idle_since = self._clock.monotonic()
            try:
                pause_s = self._look(await self._owners())
            except Exception:
                log.exception("looking after the workflow actors failed; trying again")

    async def _keep_balance(self) -> None:
        """Nodes come, go and drain: actors and shards follow."""
        pause_s = LOOK_S
        while not self._parking:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), pause_s)
            self._news.clear()
            pause_s = LOOK_S
            try:
                self.balancer.look()
                for lane in self._lanes.values():
                    if not lane.members or lane.lock.locked() or self._is_doubted(lane):
                        continue
                    if not await self._settled(lane):
                        pause_s = MOVING_S
                await self._ask_for_room()
            except Exception:
                log.exception("the workflow actors could not be balanced; trying again")

    def _is_doubted(self, lane: Lane) -> bool:
        """Whether a member is silent: nothing is asked of it, and whoever waited for its answer would hold up its successor."""
        return any(spec.owner in self._doubted for spec, _ in lane.members.values())

    async def _ask_for_room(self) -> None:
        """Have Ray's autoscaler know of all that waits. A Ray that ends with its program does not grow."""
        specs = [spec for lane in self._lanes.values() for spec, _ in lane.members.values()]
        is_lasting = any(spec.driver is None for spec in specs)
        if not self._autoscale or not (is_lasting or self._asked_for.bundles):
            return
        demands = [backlog.Demand(*each) for said in await self.stats() for each in said.get("backlog", ())]
        request = backlog.decide(self._asked_for, backlog.wanted(demands, self._autoscale), self._clock.now())
        if request.bundles or self._asked_for.bundles:  # each time: another engine of this Ray may have asked for less
            self._actors.request(backlog.as_list(request))
        self._asked_for = request

    async def _settled(self, lane: Lane) -> bool:
        if self.balancer.is_settled(lane):
            lane.former.clear()
            return True
        async with lane.lock:
            if lane.members and not self._parking:
                lane.is_settling = True
                try:
                    await self.balancer.settle(lane)
                finally:
                    lane.is_settling = False
        return self.balancer.is_settled(lane)

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

    async def _doubt(self, lane: Lane, spec: ActorSpec, handle: Any, expires_at: float) -> None:
        """Ask a member whose lease is overdue, have its successor ready in time, and replace it when it stays silent."""
        asked_at, ready, is_prepared = self._clock.monotonic(), None, False
        answer = self._spawn(_answers(handle, 2 * vigil.EARLY_S))
        try:
            while lane.members.get(spec.index, (None,))[0] == spec and not self._parking:
                answered = answer.result() if answer.done() else None
                waited_s = self._clock.monotonic() - asked_at
                doubt = vigil.Doubt(expires_at, spec.lease_s, waited_s, answered, is_prepared)
                match vigil.judge(doubt, self._clock.now()):
                    case vigil.Verdict.TRUST, _:
                        return
                    case vigil.Verdict.PREPARE, _:
                        is_prepared = True
                        elsewhere = self.balancer.suspect(spec)
                        if elsewhere is None or len(lane.members) == 1:  # else the others take what it had
                            held = tuple(sorted(lane.held.get(spec.index, ())))
                            ready = self._ready(replace(spec, held=held, node=elsewhere or spec.node))
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
    return await _stats(handle, timeout_s) is not None


async def _stats(handle: Any, timeout_s: float) -> dict[str, Any] | None:
    """What a workflow actor says of itself; None when it does not serve."""
    try:
        return dict(await asyncio.wait_for(_answer(handle.stats.remote()), timeout_s))
    except Exception:
        return None
