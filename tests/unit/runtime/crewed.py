"""An owner with pools, without Ray: crews and the sending side are the real ones, workers are coroutines on a loop whose clock
jumps, and each has the ways to die that a process has."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from raywf.core.failures import Failure
from raywf.core.plan import TaskOptions
from raywf.definition import values
from raywf.runtime.bundle import Bundle
from raywf.runtime.chunks import ChunkDispatcher
from raywf.runtime.code import Code
from raywf.runtime.crews import Crew, CrewSpec, Slot
from raywf.runtime.pooled import PoolDispatcher
from raywf.runtime.spool import Progress
from raywf.runtime.worker import Chunk, Item
from tests.unit.runtime.engines import Engine


class Died(Exception):
    """The actor died."""


class Actor:
    """A handle as Ray's, of an object on this loop. Its calls end with it."""

    def __init__(self, served: Any) -> None:
        self.served = served
        self.calls: set[asyncio.Future[Any]] = set()
        self.dead: str | None = None

    def __getattr__(self, name: str) -> Any:
        return _Method(self, name)

    def die(self, why: str) -> None:
        if self.dead is None:
            self.dead = why
            for call in list(self.calls):
                call.cancel()


class _Method:
    def __init__(self, actor: Actor, name: str) -> None:
        self.actor, self.name = actor, name

    def remote(self, *args: Any) -> asyncio.Future[Any]:
        return asyncio.ensure_future(self._call(args))

    async def _call(self, args: tuple[Any, ...]) -> Any:
        await asyncio.sleep(0)
        if self.actor.dead is not None:
            raise Died(self.actor.dead)
        call = asyncio.ensure_future(getattr(self.actor.served, self.name)(*args))
        self.actor.calls.add(call)
        try:
            return await call
        except asyncio.CancelledError:
            if self.actor.dead is not None:
                raise Died(self.actor.dead) from None
            raise
        finally:
            self.actor.calls.discard(call)


class Process:
    """A worker. ``World.setup`` and ``World.work`` say what becomes of it."""

    def __init__(self, world: World, number: int) -> None:
        self.world, self.number = world, number
        self.running: dict[int, asyncio.Task[Any]] = {}
        self.me: Actor | None = None
        self.torn_down = False

    async def hello(self) -> tuple[int, str]:
        await self.world.places.acquire()
        return self.number, "node"

    async def begin(self) -> tuple[float, dict[str, object] | None]:
        self.world.setups += 1
        began = asyncio.get_running_loop().time()
        try:
            await self.world.setup(self)
        except Exception as error:
            return 0.0, Failure(type(error).__name__, str(error), "the traceback", 0).to_data()
        return asyncio.get_running_loop().time() - began, None

    async def run(self, token: int, chunk: Chunk, sent: Any, *hot: Any) -> tuple[float, list[Any], bool]:
        notes = self.world.notes[chunk.spool] = Progress()
        began, outcomes = asyncio.get_running_loop().time(), []
        for index, item in enumerate(map(Item._make, chunk.items)):
            notes.running, notes.running_since = index, began
            self.world.ran.append((item.context[1], item.context[2], self.number))
            args = [values.decode(each) for each in item.args]
            task = self.running[token] = asyncio.ensure_future(self.world.work(self, chunk.function.path, args))
            try:
                outcome = ["ok", values.encode(await task).decode()]
            except asyncio.CancelledError:
                if self.me is not None and self.me.dead is not None:
                    raise
                outcome = ["cancelled", None]
            notes.outcomes[index], notes.running = outcome, None
            outcomes.append(outcome)
        self.running.pop(token, None)
        return asyncio.get_running_loop().time() - began, outcomes, False

    async def stop(self, token: int, number: int) -> None:
        if token in self.running:
            self.running[token].cancel()

    async def until_free(self, token: int) -> None:
        task = self.running.get(token)
        if task is not None:
            task.cancel()
            await asyncio.wait({task})

    async def leave(self) -> None:
        self.torn_down = True

    async def death(self) -> None:
        await asyncio.get_running_loop().create_future()

    def die(self, why: str = "it was killed") -> None:
        assert self.me is not None
        self.me.die(why)


class World:
    """Where actors live: ``crews.Hands``, ``pooled.Reach`` and ``chunks.Transport`` at once. ``places``: how many workers
    find one."""

    died: tuple[type[BaseException], ...] = (Died,)

    def __init__(self, places: int = 100) -> None:
        self.places = asyncio.Semaphore(places)
        self.resources: list[dict[str, float]] = [{"CPU": 4.0}]
        self.setups = 0
        self.ran: list[tuple[str, int, int]] = []
        self.notes: dict[Path, Progress] = {}
        self.crews: dict[str, Actor] = {}
        self.workers: list[Actor] = []
        self.setup: Callable[[Process], Any] = _nothing
        self.work: Callable[[Process, str, list[Any]], Any] = _echo
        self._numbers = itertools.count(1)

    # crews.Hands

    def spawn(self, spec: CrewSpec) -> Actor:
        process = Process(self, next(self._numbers))
        process.me = actor = Actor(process)
        self.workers.append(actor)
        return actor

    def kill(self, handle: Actor) -> None:
        if handle.dead is None and isinstance(handle.served, Process):
            self.places.release()
        handle.die("it was killed")

    def nodes(self) -> list[dict[str, float]]:
        return self.resources

    def end(self) -> None:
        raise NotImplementedError("each crew has its own")

    @property
    def alive(self) -> list[Process]:
        return [each.served for each in self.workers if each.dead is None]

    # pooled.Reach

    def crew(self, spec: CrewSpec) -> Actor:
        found = self.crews.get(spec.name)
        if found is None or found.dead is not None:
            hands = _Hands(self)
            found = hands.actor = self.crews[spec.name] = Actor(None)
            found.served = Crew(spec, hands, self.clock, lambda counts: None)
        return found

    def run(self, slot: Slot, chunk: Chunk, sent: Any, hot: list[Any]) -> Any:
        return slot.handle.run.remote(slot.token, chunk, sent, *hot)

    # chunks.Transport

    def cpus(self) -> float:
        return 4.0

    def put(self, data: bytes) -> Any:
        return data

    def send(self, chunk: Chunk, sent: Any, hot: list[Any], options: TaskOptions) -> Any:
        raise AssertionError("a task of a pool went to Ray itself")

    async def result(self, ref: Any) -> tuple[float, list[Any]]:
        raise AssertionError("a task of a pool went to Ray itself")

    async def notes_of(self, path: Path) -> Progress:
        return self.notes.get(path, Progress())

    def cancel(self, ref: Any) -> None:
        raise AssertionError("a task of a pool went to Ray itself")

    def serve(self, engine: Engine) -> None:
        """Have an engine's tasks run here."""
        self.clock = engine.clock
        common: Any = (
            engine.host,
            _Transport(self),
            Bundle((), "h", "p"),
            Code(),
            engine.blobs,
            None,
            "",
            engine.me.owner,
        )
        dispatcher = ChunkDispatcher(*common)
        dispatcher.pooled = PoolDispatcher(*common).serve(self, engine.me.owner, "default", "ray")
        engine.owner.work.dispatcher = dispatcher


class _Hands:
    """The world as one crew sees it: its workers are its children."""

    died = (Died,)

    def __init__(self, world: World) -> None:
        self.world = world
        self.children: list[Actor] = []
        self.actor: Actor | None = None

    def spawn(self, spec: CrewSpec) -> Actor:
        self.children.append(self.world.spawn(spec))
        return self.children[-1]

    def kill(self, handle: Actor) -> None:
        self.world.kill(handle)

    def nodes(self) -> list[dict[str, float]]:
        return self.world.nodes()

    def end(self) -> None:
        assert self.actor is not None
        for each in self.children:
            self.world.kill(each)
        asyncio.get_running_loop().call_soon(self.actor.die, "it ended")


class _Transport:
    def __init__(self, world: World) -> None:
        self.world = world

    def __getattr__(self, name: str) -> Any:
        return getattr(self.world, name)

    async def notes(self, path: Path, sent_at: float) -> Progress:
        return await self.world.notes_of(path)


async def _nothing(process: Process) -> None:
    return None


async def _echo(process: Process, path: str, args: list[Any]) -> Any:
    return args[0]


def crewed(workflow: Any, store: str, world: World, life: int = 1) -> Engine:
    """An engine whose pools live in ``world``."""
    engine = Engine(workflow, store, life)
    world.serve(engine)
    return engine


__all__ = ["Actor", "Died", "Process", "World", "crewed"]
