"""The simulated Ray: named actors in processes, calls between them, deaths and the notices of them.

Handles behave as Ray's do for those who use them: ``handle.method.remote(…)`` gives something to await, an error raised
there comes as the ``cause`` of one raised here, and a call to a dead actor fails. A call or its answer may be late, be
lost, or (where repeating is promised to be harmless) arrive twice. A death is noticed a little later, or not at all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from raywf.runtime.balance import NodeRow
from raywf.runtime.spec import ActorSpec
from raywf.testing.simulation.loop import Process, World

TWICE = frozenset({"submit", "watch", "poke", "receive", "forget"})
"""Calls that may be repeated at will."""


class Unreachable(Exception):
    """A call that was not answered, or answered with an error (``cause``)."""

    def __init__(self, text: str, cause: BaseException | None = None) -> None:
        self.cause = cause
        super().__init__(text)


class ActorGone(Unreachable):
    """The actor of the call has died."""


class Network:
    """Who can talk to whom, and how well. ``slow`` multiplies latencies; pairs in ``cut`` do not hear of each other;
    ``deaf``: deaths are not told to anybody; ``lose`` and ``double`` are the shares of answers lost and calls repeated.
    ``leaving`` are the nodes that drain, and until when (epoch second); ``requested`` is what the autoscaler was asked for."""

    def __init__(self, world: World, latency: float) -> None:
        self.world = world
        self.latency = latency
        self.slow = 1.0
        self.cut: set[frozenset[str]] = set()
        self.deaf = False
        self.lose = 0.0
        self.double = 0.0
        self.actors: dict[str, Actor] = {}
        self.nodes: Callable[[], Sequence[NodeRow]] = lambda: ()
        self.leaving: dict[str, float] = {}
        self.requested: list[Mapping[str, float]] = []
        self.on_request: Callable[[], None] = lambda: None
        self.chance = world.random("network")

    def delay(self) -> float:
        return self.chance.expovariate(1.0) * self.latency * self.slow

    def reaches(self, one: Process, other: Process) -> bool:
        return one.host is other.host or frozenset((one.host.name, other.host.name)) not in self.cut

    def find(self, name: str) -> Actor | None:
        found = self.actors.get(name)
        return found if found is not None and found.process.alive else None


class Actor:
    """An actor in its process. ``target`` has the methods; calls wait until it is made."""

    def __init__(self, network: Network, name: str, process: Process, target: Any) -> None:
        self.network = network
        self.name = name
        self.process = process
        self.target = target
        self.pending: set[_Call] = set()
        process.on_death.append(self._died)
        network.actors[name] = self

    def _died(self) -> None:
        network = self.network
        if network.actors.get(self.name) is self:
            del network.actors[self.name]
        pending, self.pending = self.pending, set()
        for call in sorted(pending, key=lambda each: each.number):
            call.target_died()


class _Call:
    __slots__ = ("actor", "caller", "done", "loop", "number")

    count = 0

    def __init__(self, actor: Actor, caller: Process) -> None:
        self.actor = actor
        self.caller = caller
        self.loop = asyncio.get_running_loop()
        self.done: asyncio.Future[Any] = self.loop.create_future()
        _Call.count += 1
        self.number = _Call.count

    def send(self, method: str, args: tuple[Any, ...]) -> None:
        network = self.actor.network
        self.actor.pending.add(self)
        times = 2 if method in TWICE and network.double and network.chance.random() < network.double else 1
        for _ in range(times):
            network.world.after(network.delay(), lambda: self._arrive(method, args))

    def _arrive(self, method: str, args: tuple[Any, ...]) -> None:
        target, network = self.actor.process, self.actor.network
        if not target.alive:
            self.target_died()
        elif not network.reaches(self.caller, target):
            network.world.after(2.0, lambda: self.answer(None, Unreachable(f"{self.actor.name} cannot be reached")))
        else:
            # A call that arrives while the process is being made waits for its first turn, as in Ray.
            target.loop.call_soon(self._begin, method, args)

    def _begin(self, method: str, args: tuple[Any, ...]) -> None:
        self.actor.process.start(self._run(method, args))

    async def _run(self, method: str, args: tuple[Any, ...]) -> None:
        network = self.actor.network
        result: Any = None
        error: BaseException | None = None
        try:
            result = await getattr(self.actor.target, method)(*args)
        except Exception as raised:
            error = Unreachable(f"{method} of {self.actor.name} raised {type(raised).__name__}: {raised}", raised)
        if network.lose and method != "death" and network.chance.random() < network.lose:
            error = Unreachable(f"the answer of {self.actor.name} was lost")
            network.world.after(0.5, lambda: self.answer(None, error))
            return
        network.world.after(network.delay(), lambda: self._deliver(result, error))

    def _deliver(self, result: Any, error: BaseException | None) -> None:
        if not self.actor.network.reaches(self.caller, self.actor.process):
            cut = Unreachable(f"{self.actor.name} cannot be reached")
            self.actor.network.world.after(2.0, lambda: self.answer(None, cut))
        else:
            self.answer(result, error)

    def target_died(self) -> None:
        """Ray says so a little later; or nobody ever does, while ``deaf``, save to those who ask again."""
        network = self.actor.network
        gone = ActorGone(f"the actor {self.actor.name} has died")
        if network.deaf:
            network.world.after(1.0, self.target_died)
        else:
            network.world.after(0.01 + 2 * network.delay(), lambda: self.answer(None, gone))

    def answer(self, result: Any, error: BaseException | None) -> None:
        self.actor.pending.discard(self)
        if self.caller.alive and not self.done.done():
            self.loop.call_soon(self._settle, result, error)

    def _settle(self, result: Any, error: BaseException | None) -> None:
        if self.done.done():
            return
        if error is None:
            self.done.set_result(result)
        else:
            self.done.set_exception(error)
            self.done.exception()  # who does not wait for an answer does not want its error either


class _Method:
    __slots__ = ("_actor", "_caller", "_name")

    def __init__(self, actor: Actor, caller: Process, name: str) -> None:
        self._actor, self._caller, self._name = actor, caller, name

    def remote(self, *args: Any) -> asyncio.Future[Any]:
        call = _Call(self._actor, self._caller)
        call.send(self._name, args)
        return call.done


class Handle:
    """An actor as one process sees it."""

    def __init__(self, actor: Actor, caller: Process) -> None:
        self._actor = actor
        self._caller = caller

    def __getattr__(self, name: str) -> Any:
        return _Method(self._actor, self._caller, name)


class SimulatedRay:
    """``supervision.Actors`` and ``lane.Reach`` for one process."""

    OutOfReach: tuple[type[BaseException], ...] = (Unreachable,)
    died: tuple[type[BaseException], ...] = (ActorGone,)

    def __init__(self, network: Network, caller: Process, spawn: Callable[[ActorSpec], Actor]) -> None:
        self._network = network
        self._caller = caller
        self._spawn = spawn

    def spawn(self, spec: ActorSpec) -> Any:
        return Handle(self._spawn(spec), self._caller)

    def kill(self, handle: Any) -> None:
        if handle is not None and self._network.reaches(self._caller, handle._actor.process):
            self._network.world.after(self._network.delay(), handle._actor.process.end)

    def find(self, name: str) -> Any:
        found = self._network.find(name)
        return None if found is None else Handle(found, self._caller)

    def find_actor(self, name: str, namespace: str) -> Any:
        return self.find(name)

    def named(self, prefix: str) -> Sequence[str]:
        return sorted(name for name in self._network.actors if name.startswith(prefix))

    def address(self) -> str:
        return "simulated:0"

    def end(self) -> None:
        self._caller.kill()

    def nodes(self) -> Sequence[NodeRow]:
        return self._network.nodes()

    def drain(self, node: str, until: float) -> None:
        """Ray says from now on that the node leaves, which others hear of when they ask for the nodes."""
        self._network.leaving[node] = until

    def request(self, bundles: Sequence[dict[str, float]]) -> None:
        self._network.requested = list(bundles)
        self._network.on_request()


class SupervisorHandle:
    """The supervisor by name: Ray starts it anew when it has died, and calls meanwhile fail."""

    def __init__(self, network: Network, caller: Process, start: Callable[[], None]) -> None:
        self._network = network
        self._caller = caller
        self._start = start

    def __getattr__(self, name: str) -> Any:
        return _Late(self._network, self._caller, name, self._start)


class _Late:
    __slots__ = ("_caller", "_name", "_network", "_start")

    def __init__(self, network: Network, caller: Process, name: str, start: Callable[[], None]) -> None:
        self._network, self._caller, self._name, self._start = network, caller, name, start

    def remote(self, *args: Any) -> asyncio.Future[Any]:
        found = self._network.find("supervisor")
        if found is not None:
            return _Method(found, self._caller, self._name).remote(*args)
        self._start()
        loop = asyncio.get_running_loop()
        done = loop.create_future()
        loop.call_later(0.05, _refuse, done)
        return done


def _refuse(done: asyncio.Future[Any]) -> None:
    if not done.done():
        done.set_exception(ActorGone("the supervisor is being started"))
