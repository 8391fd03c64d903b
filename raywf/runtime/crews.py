"""A crew: the workers of one pool, started, handed out and ended for all workflow actors of a project.

One crew per project, pool and bundle, in an actor of its own (``raywf.actors.crew``), so it outlives the workflow actors
that use it. Its workers are that actor's children: Ray ends them with it, whatever ends it. It leaves when nobody uses it:
its users say so when they go, and one that is silent for ``SILENT_S`` has gone. What it knows may be lost at any line: who
waits asks again, and what ran is known by its notes (``spool``), as after any death of a worker.

What tasks are given and give back does not pass through here: a grant is the handle of a worker, and whoever has it calls
that worker itself.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from raywf.core import crews
from raywf.core.crews import Phase
from raywf.core.failures import Failure
from raywf.core.plan import PoolUse
from raywf.definition.workers import conflict
from raywf.ports import Clock
from raywf.runtime.bundle import Bundle

log = logging.getLogger("raywf.crews")

TICK_S = 0.5
SILENT_S = 15.0
"""A user that has said nothing for so long has gone."""
TEARDOWN_S = 10.0
_SMOOTHING = 0.2
_START_S = 2.0
"""What a process takes to start, at most: what it waited longer was for a place."""


@dataclass(frozen=True, slots=True)
class CrewSpec:
    """What a crew is made of. ``blobs``: the functions among its setup and teardown that cannot be imported, pickled."""

    name: str
    namespace: str
    project: str
    ray_namespace: str
    pool: PoolUse
    bundle: Bundle
    blobs: tuple[bytes, ...] = ()


def crew_name(namespace: str, pool: PoolUse, bundle: Bundle) -> str:
    """The name of the actor: another one for other code. A bundle does not see functions that are sent by value; their
    source's hash does."""
    sent = [ref.source_hash for ref in (pool.setup, pool.teardown) if ref is not None and ref.by_value]
    code = hashlib.sha256(repr((bundle.project, bundle.hash, sent)).encode()).hexdigest()[:10]
    return f"crew-{namespace}-{pool.name}-{code}"


@dataclass(frozen=True, slots=True)
class Slot:
    """A grant on its way to its user: the worker's handle, and what to call the slot when it is given back."""

    token: int
    handle: Any
    alone: bool
    most: int | None


@dataclass(frozen=True, slots=True)
class Returned:
    """A slot given back: what its ``tasks`` took together, and whether something is stuck in the worker since (``worn``)."""

    token: int
    seconds: float = 0.0
    tasks: int = 0
    worn: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """What a user is told: its slots; what it waits for, in words; and why no worker can be had, once that is given up on."""

    slots: tuple[Slot, ...] = ()
    words: str = ""
    given_up: Failure | None = None


class Hands(Protocol):
    """Where workers live (Ray), as this room needs it. Handles are as Ray's: ``handle.method.remote(…)`` gives something to
    await."""

    died: tuple[type[BaseException], ...]

    def spawn(self, spec: CrewSpec) -> Any:
        """Ask for a worker; returns its handle at once, whether there is a place for it or not."""
        ...

    def kill(self, handle: Any) -> None: ...

    def nodes(self) -> list[dict[str, float]]:
        """What each node of the cluster has in all, by resource."""
        ...

    def end(self) -> None:
        """End the crew's own actor, for good."""
        ...


@dataclass(slots=True)
class _Member:
    """A worker and its handle; ``asked_at`` is when it was asked for."""

    id: int
    handle: Any
    asked_at: float
    phase: Phase = Phase.ASKED
    since: float = 0.0
    served: int = 0
    free_at: float = 0.0
    worn: bool = False
    pid: int = 0
    node: str = ""
    tokens: dict[int, bool] = field(default_factory=dict)
    """Slots in use, and whether each is to be alone."""

    def seen(self) -> crews.Worker:
        return crews.Worker(
            self.id,
            self.phase,
            self.since,
            len(self.tokens),
            self.served,
            self.free_at,
            any(self.tokens.values()),
            self.worn,
        )


@dataclass(slots=True)
class _User:
    heard_at: float
    waiting: int = 0
    alone: int = 0
    since: float = 0.0
    """When it began to wait for what it waits for now."""
    slots: list[Slot] = field(default_factory=list)
    given_up: Failure | None = None
    wake: asyncio.Event = field(default_factory=asyncio.Event)


class Crew:
    """Serves the users of one pool. Every method runs on the loop of its actor."""

    def __init__(self, spec: CrewSpec, hands: Hands, clock: Clock, report: Callable[[crews.Counts], None]) -> None:
        self.spec = spec
        self.rule = spec.pool.rule
        self._hands = hands
        self._clock = clock
        self._report = report
        self._members: dict[int, _Member] = {}
        self._users: dict[str, _User] = {}
        self._owed: dict[int, tuple[str, int]] = {}
        """Tokens in use: their user and worker."""
        self._numbers = 0
        self._turn = 0
        self._setbacks = crews.Setbacks()
        self._trouble: Failure | None = None
        self._task_s: float | None = None
        self._setup_s: float | None = None
        self._nodes: list[dict[str, float]] | None = None
        self._nodes_at = 0.0
        self._started = self._loads = self._tasks_run = 0
        self._closing = False
        self._idle_since = clock.monotonic()
        self._background: set[asyncio.Task[Any]] = set()
        self._looking = False
        self._spawn(self._look_after())

    # what users call

    async def join(self, user: str, spec: CrewSpec) -> str | None:
        """Begin to use the crew. Returns both settings in words where the pool is not the one that this crew is."""
        said = conflict(self.spec.pool, spec.pool)
        if said is None and not self._closing:
            self._users.setdefault(user, _User(self._clock.monotonic()))
        return said

    async def sync(
        self, user: str, waiting: int, alone: int, returned: Sequence[Returned], wait_s: float
    ) -> Answer | None:
        """Say what is waited for and what is given back; returns with slots as soon as there are any, else after
        ``wait_s`` seconds. None: this crew does not know the user (any more), or is going."""
        me = self._users.get(user)
        for each in returned:
            self._take_back(user, each)
        if me is None or self._closing:
            return None
        now = me.heard_at = self._clock.monotonic()
        if waiting and not me.waiting:
            me.since = now
        me.waiting, me.alone = max(0, waiting - len(me.slots)), max(0, alone - sum(each.alone for each in me.slots))
        self._look()
        if not me.slots and me.given_up is None and wait_s > 0:
            me.wake.clear()
            try:
                await asyncio.wait_for(me.wake.wait(), wait_s)
            except TimeoutError:
                self._look()
            me.heard_at = self._clock.monotonic()
        slots, me.slots = tuple(me.slots), []
        given_up, me.given_up = me.given_up, None
        return Answer(slots, "" if slots or not me.waiting else self._words(), given_up)

    async def leave(self, user: str) -> None:
        """Use it no more; the last one that leaves ends it, once its workers have taken their state down."""
        self._forget(user)
        if not self._users:
            await self.close()

    async def stats(self) -> dict[str, Any]:
        """The crew as it stands, as data."""
        counts = self._counts()
        return {
            "pool": self.spec.pool.name,
            "name": self.spec.name,
            "project": self.spec.project,
            "pid": os.getpid(),
            "min": self.rule.min,
            "max": self.rule.max,
            "concurrency": self.rule.concurrency,
            "demand": dict(self.spec.pool.demand),
            "loading": counts.loading,
            "unplaced": counts.asked,
            "ready": counts.ready,
            "busy": counts.busy,
            "leaving": counts.leaving,
            "backlog": counts.waiting,
            "running": counts.running,
            "loads": self._loads,
            "tasks": self._tasks_run,
            "trouble": None if self._trouble is None else _in_a_line(self._trouble),
            "needs": self._needs(counts),
            "workers": [
                {"pid": each.pid, "node": each.node, "state": _state(each), "served": each.served}
                for each in self._members.values()
            ],
        }

    async def close(self) -> None:
        """Take every worker down in good order, and end."""
        if self._closing:
            return
        self._closing = True
        for user in self._users.values():
            user.wake.set()
        ready = [each for each in self._members.values() if each.phase is Phase.READY]
        for each in ready:
            self._to(each, Phase.LEAVING)
        await asyncio.gather(*(self._take_down(each) for each in ready))
        for each in list(self._members.values()):
            self._hands.kill(each.handle)
        self._hands.end()

    # looking

    def _look_soon(self) -> None:
        if not self._looking:
            self._looking = True
            asyncio.get_running_loop().call_soon(self._look)

    def _look(self) -> None:
        """Decide on the size, then hand out what is free; nothing here waits."""
        self._looking = False
        if self._closing:
            return
        now = self._clock.monotonic()
        self._decide(now)
        self._hand_out()
        if self._setbacks.is_given_up and self._trouble is not None:
            self._give_up(self._trouble)
        self._report(self._counts())

    def _decide(self, now: float) -> None:
        waiting = [user for user in self._users.values() if user.waiting]
        load = crews.Load(
            sum(user.waiting for user in waiting),
            max((now - user.since for user in waiting), default=0.0),
            self._task_s,
            self._setup_s,
        )
        rule = self.rule if self._users else crews.CrewRule(0, self.rule.max, self.rule.concurrency)
        for decision in crews.decide(rule, self._seen(), load, self._setbacks, now):
            match decision:
                case crews.Start(count):
                    for _ in range(count):
                        self._ask_for_one(now)
                case crews.Leave(worker):
                    member = self._members[worker]
                    self._to(member, Phase.LEAVING)
                    self._spawn(self._dismiss(member))
                case crews.GiveUp(worker):
                    limit = self.rule.setup_timeout
                    failure = Failure("TimeoutError", f"setup did not return within setup_timeout={limit:g} s", "", 0)
                    self._set_back(self._members[worker], failure)
                case crews.CallOff(worker):
                    self._drop(self._members[worker])

    def _seen(self) -> list[crews.Worker]:
        return [each.seen() for each in self._members.values()]

    def _counts(self) -> crews.Counts:
        return crews.count(self._seen(), sum(user.waiting for user in self._users.values()))

    def _hand_out(self) -> None:
        asks = [crews.Ask(name, user.waiting, user.alone) for name, user in self._users.items() if user.waiting]
        if not asks:
            return
        self._turn = (self._turn + 1) % len(asks)
        for grant in crews.grants(self.rule, self._seen(), [*asks[self._turn :], *asks[: self._turn]]):
            user, member = self._users[grant.user], self._members[grant.worker]
            token = self._number()
            member.tokens[token] = grant.alone
            self._owed[token] = grant.user, member.id
            user.slots.append(Slot(token, member.handle, grant.alone, grant.most))
            user.waiting -= 1
            user.alone -= grant.alone
            user.since = self._clock.monotonic()
            user.wake.set()

    def _take_back(self, user: str, returned: Returned) -> None:
        owed = self._owed.pop(returned.token, None)
        if returned.tasks:
            self._tasks_run += returned.tasks
            self._task_s = _smoothed(self._task_s, returned.seconds / returned.tasks)
        member = None if owed is None else self._members.get(owed[1])
        if member is None:
            return
        member.tokens.pop(returned.token, None)
        member.served += returned.tasks
        member.worn = member.worn or returned.worn
        if not member.tokens:
            member.free_at = self._clock.monotonic()

    def _give_up(self, trouble: Failure) -> None:
        """Tell those who wait, unless a worker is ready to take them, or is on its way."""
        if any(each.phase is not Phase.LEAVING for each in self._members.values()):
            return
        for user in self._users.values():
            if user.waiting:
                user.waiting = user.alone = 0
                user.given_up = trouble
                user.wake.set()

    def _words(self) -> str:
        trouble = None if self._trouble is None else _in_a_line(self._trouble)
        pool = self.spec.pool
        return crews.waits_for(pool.name, self.rule, self._counts(), pool.demand, self._nodes, trouble)

    def _needs(self, counts: crews.Counts) -> str | None:
        return crews.unplaced(self.spec.pool.demand, self._nodes) if counts.asked else None

    async def _look_after(self) -> None:
        while not self._closing:
            await asyncio.sleep(TICK_S)
            now = self._clock.monotonic()
            for name in [name for name, user in self._users.items() if now - user.heard_at > SILENT_S]:
                log.warning("workflow actor %s uses pool %s no more: it is silent", name, self.spec.pool.name)
                self._forget(name)
            if self._users:
                self._idle_since = now
            elif now - self._idle_since > SILENT_S:
                await self.close()
                return
            asked = any(each.phase is Phase.ASKED and now - each.since > 1 for each in self._members.values())
            if asked and now - self._nodes_at > 5:
                self._nodes_at = now
                try:
                    self._nodes = await asyncio.to_thread(self._hands.nodes)
                except Exception:
                    log.exception("what the nodes of the cluster have could not be asked")
            self._look()

    def _forget(self, name: str) -> None:
        """A user is gone: what it was given and has not begun is free; what runs still is waited for."""
        self._users.pop(name, None)
        for token, (user, worker) in list(self._owed.items()):
            if user == name:
                self._spawn(self._free(token, worker))

    async def _free(self, token: int, worker: int) -> None:
        member = self._members.get(worker)
        if member is not None:
            try:
                await _answer(member.handle.until_free.remote(token))
            except Exception:
                log.debug("worker %d is gone", worker)
        self._take_back("", Returned(token))
        self._look_soon()

    # workers

    def _number(self) -> int:
        self._numbers += 1
        return self._numbers

    def _ask_for_one(self, now: float) -> None:
        member = _Member(self._number(), self._hands.spawn(self.spec), now, since=now)
        self._started += 1
        self._members[member.id] = member
        self._spawn(self._life(member))

    def _to(self, member: _Member, phase: Phase) -> None:
        member.phase, member.since = phase, self._clock.monotonic()

    async def _life(self, member: _Member) -> None:
        """One worker from its place in the cluster to its end."""
        try:
            member.pid, member.node = await _answer(member.handle.hello.remote())
            if not self._has(member):
                return
            placed_s = self._clock.monotonic() - member.asked_at
            self._to(member, Phase.LOADING)
            self._look_soon()
            self._loads += 1
            seconds, failure = await _answer(member.handle.begin.remote())
            if not self._has(member):
                return
            if failure is not None:
                self._set_back(member, Failure.from_data(failure))
                return
            self._setup_s = _smoothed(self._setup_s, seconds + min(placed_s, _START_S))
            self._setbacks, self._trouble = crews.Setbacks(), None
            member.free_at = self._clock.monotonic()
            self._to(member, Phase.READY)
            self._look_soon()
            await _answer(member.handle.death.remote())
        except Exception as error:
            if not self._has(member):
                return
            if not isinstance(error, self._hands.died):
                log.exception("worker %d of pool %s: its end is not known", member.id, self.spec.pool.name)
            if member.phase in (Phase.ASKED, Phase.LOADING):
                said = str(error).splitlines()[0] if str(error) else type(error).__name__
                text = f"the worker's process ended before setup returned ({said})"
                self._set_back(member, Failure("raywf.errors.WorkerLost", text, "", 0))
                return
        self._drop(member)
        self._look_soon()

    def _has(self, member: _Member) -> bool:
        return self._members.get(member.id) is member

    def _set_back(self, member: _Member, failure: Failure) -> None:
        pool = self.spec.pool
        log.warning("a worker of pool %s did not become ready: %s", pool.name, _in_a_line(failure))
        self._setbacks = self._setbacks.after(member.asked_at, self._clock.monotonic())
        self._trouble = failure
        self._drop(member)
        self._look_soon()

    def _drop(self, member: _Member) -> None:
        self._members.pop(member.id, None)
        for token in member.tokens:
            self._owed.pop(token, None)
        self._hands.kill(member.handle)

    async def _dismiss(self, member: _Member) -> None:
        await self._take_down(member)
        if self._has(member):
            self._drop(member)
            self._look_soon()

    async def _take_down(self, member: _Member) -> None:
        try:
            said = await asyncio.wait_for(_answer(member.handle.leave.remote()), TEARDOWN_S)
        except Exception as error:
            said = f"{type(error).__name__}: {error}"
        if said:
            log.warning("a worker of pool %s was ended without its teardown: %s", self.spec.pool.name, said)

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._background.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("internal work of a crew failed", exc_info=task.exception())


async def _answer(ref: Any) -> Any:
    return await ref


def _smoothed(before: float | None, seconds: float) -> float:
    return seconds if before is None else before + _SMOOTHING * (seconds - before)


def _in_a_line(failure: Failure) -> str:
    lines = failure.message.splitlines()
    return f"{failure.type}: {lines[0][:200]}" if lines else failure.type


def _state(member: _Member) -> str:
    if member.phase is Phase.READY and member.tokens:
        return "busy"
    return {Phase.ASKED: "unplaced"}.get(member.phase, str(member.phase))
