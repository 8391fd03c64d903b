"""Time, machines and processes that exist only here, and the event loops that run in them.

::

    World: one true time, one queue of what happens when
      Host: a wall clock that may be wrong
        Process: alive, paused or dead; its loops share its fate
          Loop: asyncio's, with asyncio's promise (ready callbacks run in the order in which they came)

The world picks which loop goes next by its seed, runs one round of it, and lets time jump when nobody has anything to do.
A process that is killed never runs another callback; one that is paused runs none until it is woken, while time goes on.
"""

from __future__ import annotations

import asyncio
import contextvars
import heapq
import itertools
from collections import deque
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any

EPOCH = 1_700_000_000.0


class World:
    """What happens when. ``chance`` decides who goes first; ``steps`` counts callbacks."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.chance = Random(f"order {seed}")
        self.now = 0.0
        self.steps = 0
        self.processes: list[Process] = []
        self._agenda: list[tuple[float, float, int, Loop | None, Any]] = []
        self._count = itertools.count()
        self._waking: list[Loop] = []
        self.on_error: Callable[[Process, dict[str, Any]], None] = lambda process, context: None

    def random(self, purpose: str) -> Random:
        """Chance for one purpose: what one part of the world draws does not change what another one gets."""
        return Random(f"{purpose} {self.seed}")

    def at(self, when: float, action: Callable[[], None]) -> None:
        """Have something happen in the world itself: a message arrives, a disk has written, a fault begins."""
        heapq.heappush(self._agenda, (max(when, self.now), self.chance.random(), next(self._count), None, action))

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        self.at(self.now + seconds, action)

    def run(self, until: Callable[[], bool], limit: float) -> bool:
        """Let the world go on until something holds. False: the time ``limit`` came first, or nothing happens any more."""
        ready = self._waking
        while not until():
            if ready:
                self._round(ready)
            elif not self._jump(limit):
                return False
        return True

    def _round(self, ready: list[Loop]) -> None:
        place = self.chance.randrange(len(ready)) if len(ready) > 1 else 0
        loop = ready[place]
        ready[place] = ready[-1]
        ready.pop()
        loop.is_awake = False
        loop.round()
        if loop.ready and loop.process.runs and not loop.is_stalled:
            self.wake(loop)

    def end(self) -> None:
        """Close what was left behind, now and here, and not in the middle of another world."""
        for process in self.processes:
            process.on_death.clear()
            process.kill()
        for process in self.processes:
            for loop in process.loops:
                for task in loop.tasks:
                    coroutine = task.get_coro()
                    try:
                        if not task.done() and coroutine is not None:
                            coroutine.close()
                    except Exception:  # it awaited something on its way out
                        continue
                loop.tasks.clear()
        self._agenda.clear()

    def wake(self, loop: Loop) -> None:
        if not loop.is_awake:
            loop.is_awake = True
            self._waking.append(loop)

    def _jump(self, limit: float) -> bool:
        """Go to the next thing that happens."""
        agenda = self._agenda
        while agenda:
            when, _, _, loop, what = agenda[0]
            if when > limit:
                return False
            heapq.heappop(agenda)
            if loop is None:
                self.now = max(self.now, when)
                what()
                return True
            if not what._cancelled and loop.process.alive:
                self.now = max(self.now, when)
                loop.add(what)
                return True
        return False

    def schedule(self, loop: Loop, when: float, handle: asyncio.TimerHandle) -> None:
        heapq.heappush(self._agenda, (when, self.chance.random(), next(self._count), loop, handle))


class Host:
    """A machine: its processes read one wall clock, ``ahead`` seconds off the true time."""

    def __init__(self, world: World, name: str, ahead: float = 0.0) -> None:
        self.world = world
        self.name = name
        self.ahead = ahead


class Clock:
    """``ports.Clock`` of a host."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def now(self) -> float:
        return EPOCH + self._host.world.now + self._host.ahead

    def monotonic(self) -> float:
        return self._host.world.now


class Process:
    """One process. ``name`` is unique in the world; a successor has another one."""

    def __init__(self, world: World, host: Host, name: str) -> None:
        self.world = world
        self.host = host
        self.name = name
        self.pid = 1000 + len(world.processes)
        self.alive = True
        self.paused = False
        self.is_helper = False
        self.is_ending = False
        self.die_after = 0
        self.awake_since = world.now
        self.died_at = 0.0
        self.clock = Clock(host)
        self.entropy = Entropy(world.random(f"entropy {name}"))
        self.chance = world.random(f"doors {name}")
        self.loops: list[Loop] = []
        self.on_death: list[Callable[[], None]] = []
        self.loop = self.new_loop()
        world.processes.append(self)

    def new_loop(self) -> Loop:
        loop = Loop(self)
        self.loops.append(loop)
        return loop

    @property
    def runs(self) -> bool:
        return self.alive and not self.paused

    def start(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run something on the process's main loop."""
        return self.loop.create_task(work)

    def kill(self) -> None:
        """SIGKILL: nothing of it runs again."""
        if not self.alive:
            return
        self.alive = False
        self.died_at = self.world.now
        for loop in self.loops:
            loop.ready.clear()
        for notice in self.on_death:
            notice()

    def end(self) -> None:
        """Ask the process to end itself, as Ray asks an actor: one that is stopped hears of it after it has woken up."""
        self.is_ending = True
        if not self.paused:
            self.kill()

    def pause(self) -> None:
        """SIGSTOP, or a machine that swaps: time goes on without it."""
        self.paused = True

    def resume(self) -> None:
        if self.paused and self.alive:
            self.awake_since = self.world.now
        self.paused = False
        if self.is_ending:
            self.world.after(0.2, self.kill)
        for loop in self.loops:
            if loop.ready and self.runs:
                self.world.wake(loop)

    def __repr__(self) -> str:
        return f"<{self.name}{'' if self.alive else ' dead'}{' paused' if self.paused else ''}>"


class Entropy:
    """``ports.Entropy`` from the world's seed."""

    def __init__(self, random: Random) -> None:
        self._random = random

    def uniform(self) -> float:
        return self._random.random()

    def bits(self, n: int) -> int:
        return self._random.getrandbits(n)


_AnyLoop: Any = asyncio.AbstractEventLoop  # whose signatures nobody outside of typeshed can write


class Loop(_AnyLoop):  # type: ignore[misc]
    """An event loop of one simulated process. What needs a file, a socket or a thread is not here, on purpose."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.world = process.world
        self.ready: deque[asyncio.Handle] = deque()
        self.is_awake = False
        self.is_stalled = False
        self.tasks: list[asyncio.Task[Any]] = []

    def round(self) -> None:
        """Run what is ready now, as one iteration of asyncio's loop does, unless the process stops in between."""
        process, ready, world = self.process, self.ready, self.world
        if not process.runs or not ready or self.is_stalled:
            return
        asyncio._set_running_loop(self)
        try:
            for _ in range(len(ready)):
                handle = ready.popleft()
                if not handle._cancelled:
                    world.steps += 1
                    handle._run()
                    if process.die_after:
                        process.die_after -= 1
                        if not process.die_after:
                            process.kill()
                if not process.alive:
                    ready.clear()
                    return
                if process.paused:
                    return
        finally:
            asyncio._set_running_loop(None)

    def stall(self) -> None:
        """A callback that blocks: nothing of this loop runs, while the process's other loops go on."""
        self.is_stalled = True

    def unstall(self) -> None:
        self.is_stalled = False
        self.process.awake_since = self.world.now
        if self.ready and self.process.runs:
            self.world.wake(self)

    def add(self, handle: asyncio.Handle) -> None:
        if self.process.alive:
            self.ready.append(handle)
            if not self.process.paused:
                self.world.wake(self)

    # what asyncio asks of a loop

    def time(self) -> float:
        return self.world.now

    def call_soon(self, callback: Any, *args: Any, context: contextvars.Context | None = None) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self.add(handle)
        return handle

    def call_soon_threadsafe(
        self, callback: Any, *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        return self.call_soon(callback, *args, context=context)

    def call_later(
        self, delay: float, callback: Any, *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self.world.now + delay, callback, *args, context=context)

    def call_at(
        self, when: float, callback: Any, *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        if self.process.alive:
            self.world.schedule(self, when, handle)
        return handle

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        return None  # passed over when its time comes

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(
        self, coro: Any, *, name: str | None = None, context: contextvars.Context | None = None
    ) -> asyncio.Task[Any]:
        task = asyncio.Task(coro, loop=self, name=name or "", context=context)
        task._log_destroy_pending = False  # type: ignore[attr-defined]  # a killed process leaves tasks behind
        self.tasks.append(task)
        return task

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return not self.process.alive

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        if self.process.alive:
            self.world.on_error(self.process, context)

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        self.call_exception_handler(context)
