"""The supervisor over a journal in memory and actors of this process, on a loop whose clock jumps."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

from raywf.journal.memory import MemoryJournal
from raywf.ports import OwnerRow
from raywf.runtime.bundle import Bundle
from raywf.runtime.clock import SystemEntropy
from raywf.runtime.local import JumpingLoop, LoopClock
from raywf.runtime.spec import ActorSpec
from raywf.runtime.supervision import Supervisor

LANE, LEASE_S, START_S = "default/tests", 3.0, 1.0
_numbers = itertools.count(1)


class Died(Exception):
    pass


@dataclass
class Method:
    work: Callable[..., Coroutine[Any, Any, Any]]

    def remote(self, *args: Any) -> asyncio.Task[Any]:
        return asyncio.get_running_loop().create_task(self.work(*args))


class Actor:
    """A workflow actor as a supervisor sees it: holds leases, answers, and may be stopped like a process."""

    def __init__(self, spec: ActorSpec, world: World) -> None:
        self.spec, self.world = spec, world
        self.running, self.up, self.dead = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.running.set()
        self.started_at, self.began_at = world.clock.now(), 0.0
        self.told_dead: tuple[str, ...] = ()
        world.loop.call_later(START_S, self.up.set)
        self.begin, self.stats, self.death = Method(self._begin), Method(self._stats), Method(self._death)

    async def _begin(self, dead: Sequence[str]) -> None:
        await self.up.wait()
        now = self.world.clock.now()
        self.began_at, self.told_dead = now, tuple(dead)
        me = OwnerRow(self.spec.owner, LANE, "here", 1, self.spec.to_json(), now, now + LEASE_S, False)
        await self.world.journal.claim(me, self.spec.shards, LEASE_S, dead=dead)
        self.world.keep(self._renew())

    async def _renew(self) -> None:
        while not self.dead.is_set():
            await asyncio.sleep(LEASE_S / 3)
            await self.running.wait()
            if not self.dead.is_set():
                await self.world.journal.renew(self.spec.owner, LEASE_S)

    async def _stats(self) -> dict[str, Any]:
        await self.running.wait()
        return {}

    async def _death(self) -> str:
        await self.dead.wait()
        raise Died("killed")


@dataclass
class World:
    """``supervision.Actors`` of one process."""

    loop: JumpingLoop
    clock: LoopClock
    journal: MemoryJournal
    died: tuple[type[BaseException], ...] = (Died,)
    actors: list[Actor] = field(default_factory=list)
    tasks: set[asyncio.Task[Any]] = field(default_factory=set)

    def keep(self, work: Coroutine[Any, Any, None]) -> None:
        self.tasks.add(self.loop.create_task(work))

    def spawn(self, spec: ActorSpec) -> Any:
        self.actors.append(Actor(spec, self))
        return self.actors[-1]

    def kill(self, handle: Any) -> None:
        handle.dead.set()

    def find(self, name: str) -> Any:
        return next((each for each in self.actors if each.spec.name == name and not each.dead.is_set()), None)

    def named(self, prefix: str) -> Sequence[str]:
        return [each.spec.name for each in self.actors if not each.dead.is_set()]

    def address(self) -> str:
        return "here"

    def nodes(self) -> Sequence[Any]:
        return ()

    def drain(self, node: str, until: float) -> None:
        raise AssertionError("no node is known here")

    def end(self) -> None:
        raise AssertionError("the supervisor left although somebody is looked after")


def played(story: Callable[[World, Actor], Coroutine[Any, Any, None]]) -> World:
    """One actor under a supervisor, then the story, then what there is."""
    loop = JumpingLoop()
    clock = LoopClock(loop, 1_700_000_000.0)
    name = f"supervision-{next(_numbers)}"
    world = World(loop, clock, MemoryJournal(name, clock=clock))

    async def main() -> None:
        supervisor = Supervisor(
            "default", "tests", actors=world, open_reader=lambda: MemoryJournal(name, clock=clock),
            clock=clock, entropy=SystemEntropy(1), linger_s=1e9,
        )  # fmt: skip
        spec = ActorSpec("memory://", "default", LANE, Bundle((), "", ""), 0, 1, LEASE_S, "here", "tests")
        await supervisor.ensure(spec)
        await story(world, world.actors[0])
        for task in [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]:
            task.cancel()
        await asyncio.sleep(0)

    try:
        loop.run_until_complete(main())
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
    return world


def test_a_stopped_actor_is_replaced_as_its_lease_lapses_by_a_process_that_was_up_before() -> None:
    lapses = []

    async def story(world: World, first: Actor) -> None:
        await asyncio.sleep(10.01)  # right after a renewal: the longest wait there is
        first.running.clear()
        lapses.append((await world.journal.owners())[0].expires_at)
        await asyncio.sleep(6)

    world = played(story)
    first, second = world.actors
    assert second.started_at + START_S <= lapses[0] <= second.began_at <= lapses[0] + 0.05
    assert second.told_dead == (first.spec.owner,) and first.dead.is_set() and not second.dead.is_set()


def test_one_that_wakes_in_time_is_kept_and_the_process_started_for_it_goes() -> None:
    async def story(world: World, first: Actor) -> None:
        await asyncio.sleep(10.01)
        first.running.clear()
        await asyncio.sleep(2.5)
        first.running.set()
        await asyncio.sleep(6)

    world = played(story)
    first, spare = world.actors
    assert not first.dead.is_set()
    assert spare.dead.is_set() and not spare.began_at, "it never held anything"


def test_a_lease_that_is_overdue_starts_nothing_while_its_actor_answers() -> None:
    async def story(world: World, first: Actor) -> None:
        await asyncio.sleep(10.01)
        for task in world.tasks:
            task.cancel()  # the store cannot be written: nothing is renewed
        await asyncio.sleep(20)

    world = played(story)
    assert len(world.actors) == 1 and not world.actors[0].dead.is_set()


def test_a_healthy_actor_is_left_alone() -> None:
    async def story(world: World, first: Actor) -> None:
        await asyncio.sleep(300)

    assert len(played(story).actors) == 1
