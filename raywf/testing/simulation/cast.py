"""Who plays: workflow actors, the supervisor, Ray workers and clients, each the real code in a simulated process."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, ClassVar, cast

from raywf.config import Settings
from raywf.core.ids import SHARDS
from raywf.core.plan import Plan, TaskOptions
from raywf.definition import values
from raywf.definition.context import TaskContext
from raywf.definition.continuation import Continuation
from raywf.definition.model import WorkflowDefinition
from raywf.journal.group_commit import GroupCommit
from raywf.journal.memory import MemoryStore
from raywf.ports import Journal, OwnerRow
from raywf.runtime.attempts import Attempt, Done
from raywf.runtime.bundle import Bundle
from raywf.runtime.chunks import ChunkDispatcher, WorkerDied
from raywf.runtime.code import Code
from raywf.runtime.data import MemoryBlobs, pack
from raywf.runtime.definitions import Definitions
from raywf.runtime.evaluate import failure_of
from raywf.runtime.leases import Beside
from raywf.runtime.local import InlineThreads
from raywf.runtime.owner import Owner
from raywf.runtime.parts import Parts
from raywf.runtime.service import Service
from raywf.runtime.spec import ActorSpec
from raywf.runtime.spool import Progress
from raywf.runtime.supervision import Supervisor
from raywf.runtime.worker import Chunk, Item, _in_context, _with_timeout
from raywf.telemetry import Telemetry
from raywf.testing.simulation.judge import Judge
from raywf.testing.simulation.loop import Host, Process, World
from raywf.testing.simulation.network import Actor, Network, SimulatedRay, SupervisorHandle
from raywf.testing.simulation.store import Disk, SimulatedJournal

LANE = "default/simulated"
LEASE_S = 3.0
BUNDLE = Bundle((), "simulated", "simulated")
_CODE = Code()
"""Found once for all worlds, as are definitions: what is found does not depend on who looks, and looking is most of a run."""


class Remembered(Definitions):
    """Definitions, each of which is read and compiled once for all worlds: both are pure."""

    _models_read: ClassVar[dict[bytes, WorkflowDefinition]] = {}
    _plans_made: ClassVar[dict[str, Plan]] = {}

    def _parsed(self, body: bytes) -> WorkflowDefinition:
        found = self._models_read.get(body)
        if found is None:
            found = self._models_read[body] = super()._parsed(body)
        return found

    def _compiled(self, hash_: str) -> Plan:
        found = self._plans_made.get(hash_)
        if found is None:
            found = self._plans_made[hash_] = super()._compiled(hash_)
        return found


class Stage:
    """The whole installation: hosts, store, network, and who lives there now."""

    def __init__(self, world: World, disk: Disk, network: Network, judge: Judge, hosts: Sequence[Host]) -> None:
        self.world = world
        self.disk = disk
        self.network = network
        self.judge = judge
        self.hosts = hosts
        self.blobs = MemoryBlobs()
        self.code = _CODE
        self.owners: dict[int, Process] = {}
        self.services: dict[Process, SimulatedActor] = {}
        self.workers: list[Process] = []
        self.supervisor: Process | None = None
        self.first_dies_at: tuple[int, bool] | None = None
        self.autoscale = 0
        self._numbers = itertools.count(1)
        judge.live_of = self._live

    def process(self, role: str, host: Host) -> Process:
        return Process(self.world, host, f"{role}-{next(self._numbers)}")

    def journal(self, process: Process) -> Journal:
        return cast(Journal, SimulatedJournal(self.disk, process, self.judge))

    def ray(self, process: Process) -> SimulatedRay:
        return SimulatedRay(self.network, process, self.spawn)

    def spawn(self, spec: ActorSpec) -> Actor:
        """A workflow actor in a process of its own; with several hosts they are spread."""
        usual = self.hosts[spec.index % len(self.hosts)]
        process = self.process("owner", next((host for host in self.hosts if host.name == spec.node), usual))
        self.owners[spec.index] = process
        if self.first_dies_at is not None:
            self.disk.die_at[process.name], self.first_dies_at = self.first_dies_at, None
        service = self.services[process] = SimulatedActor(spec, self, process)
        return Actor(self.network, spec.name, process, service)

    def start_supervisor(self) -> None:
        """As Ray does for an actor that may be restarted without end."""
        if self.supervisor is not None and self.supervisor.alive:
            return
        process = self.supervisor = self.process("supervisor", self.hosts[0])
        actor = Actor(self.network, "supervisor", process, None)

        async def make() -> None:
            actor.target = Supervisor(
                "default",
                "simulated",
                actors=self.ray(process),
                open_reader=lambda: self.journal(process),
                clock=process.clock,
                entropy=process.entropy,
                linger_s=1e9,
                autoscale=self.autoscale,
            )

        process.start(make())
        process.on_death.append(lambda: self.world.after(0.3, self.start_supervisor))

    def supervisor_of(self, client: Process) -> SupervisorHandle:
        return SupervisorHandle(self.network, client, self.start_supervisor)

    def is_dead(self, row: OwnerRow, asking: Process) -> bool:
        """What looking into /proc says."""
        if row.host != asking.host.name:
            return False
        return not any(process.pid == row.pid and process.alive for process in self.world.processes)

    def _live(self, process: Process, key: int) -> Any:
        service = self.services.get(process)
        if service is None or service.building is None:
            return None
        return next((live for live in service.building.host.open.values() if live.key == key), None)


class SimulatedActor(Service):
    """``actors.WorkflowActor`` with everything outside it simulated."""

    def __init__(self, spec: ActorSpec, stage: Stage, process: Process) -> None:
        super().__init__(spec)
        self.stage = stage
        self.process = process
        self.building: Owner | None = None

    async def begin(self, dead: Sequence[str]) -> dict[str, Any]:
        if self._owner is not None:
            return await self.stats()
        process, stage, spec = self.process, self.stage, self.spec
        parts = Parts(
            journal=stage.journal(process),
            open_journal=lambda: stage.journal(process),
            commit_buffer=GroupCommit,
            clock=process.clock,
            entropy=process.entropy,
            settings=Settings(store=spec.url, lease_s=spec.lease_s, inbox_poll_s=0.2),
            blobs=stage.blobs,
            threads=SlowThreads(process),
            telemetry=Telemetry(),
            code=stage.code,
            beside=lambda: BesideLoop(process),
            definitions=Remembered,
        )
        now = process.clock.now()
        me = OwnerRow(
            spec.owner, spec.lane, process.host.name, process.pid, spec.to_json(), now, now + spec.lease_s, False
        )
        owner = self.building = Owner(me, spec.namespace, parts)
        transport = Workers(stage, process)
        owner.work.dispatcher = ChunkDispatcher(
            owner.host, transport, spec.bundle, stage.code, stage.blobs, None, "", spec.owner
        )
        await self.take_up(owner, dead, lambda row: stage.is_dead(row, process))
        return await self.stats()

    def end_process(self) -> None:
        self.process.kill()


class BesideLoop(Beside):
    """``leases.Beside`` as a second loop of the process: it goes on when the first one hangs, and dies with it."""

    def __init__(self, process: Process) -> None:
        self._loop = process.new_loop()
        self._stopped = asyncio.Event()

    def start(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._loop.call_soon(self._begin, work)

    def _begin(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._task = self._loop.create_task(work())

    async def pause(self, seconds: float) -> bool:
        try:
            await asyncio.wait_for(self._stopped.wait(), seconds)
        except TimeoutError:
            return False
        return True

    def stop_soon(self) -> None:
        self._loop.call_soon(self._stopped.set)

    def stop(self, patience_s: float) -> None:
        self.stop_soon()


class SlowThreads(InlineThreads):
    """``work.ThreadPool``: an attempt begins a little later, and is heard of later still."""

    def __init__(self, process: Process) -> None:
        super().__init__(process.loop)
        self._process = process

    def start(self, work: Callable[[], Any], done: Done, priority: int = 0) -> Attempt:
        def told(result: Any, error: BaseException | None) -> None:
            self._loop.call_later(self._process.chance.expovariate(100), done, result, error)

        attempt = Attempt(work, told)
        self._loop.call_later(self._process.chance.expovariate(300), self._run, attempt)
        return attempt


class Workers:
    """``chunks.Transport``: each call has a worker process of its own, whose notes outlive it."""

    def __init__(self, stage: Stage, owner: Process) -> None:
        self._stage = stage
        self._owner = owner
        self._notes: dict[Path, Progress] = {}

    def cpus(self) -> float:
        return 2.0

    def nodes(self) -> list[dict[str, float]]:
        return [{"CPU": 2.0}]

    def put(self, data: bytes) -> Any:
        return data

    def send(self, chunk: Chunk, sent: Any, hot: list[Any], options: TaskOptions) -> Any:
        process = self._stage.process("worker", self._owner.host)
        process.is_helper = True
        self._stage.workers.append(process)
        done = self._owner.loop.create_future()
        notes = self._notes[chunk.spool] = Progress()
        process.on_death.append(lambda: self._tell(done, None, WorkerDied("it was killed")))
        self._owner.on_death.append(process.kill)  # Ray ends the tasks of an actor that has died

        async def run() -> None:
            outcomes = [await self._one(process, chunk, index, notes) for index in range(len(chunk.items))]
            self._tell(done, (0.01, outcomes), None)
            process.on_death.clear()
            process.kill()

        process.loop.call_later(process.chance.expovariate(200), lambda: process.start(run()))
        return process, done

    def _tell(self, done: asyncio.Future[Any], result: Any, error: Exception | None) -> None:
        def settle() -> None:
            if not done.done():
                done.set_result(result) if error is None else done.set_exception(error)

        def arrive() -> None:
            self._owner.loop.call_soon(settle)

        self._stage.world.after(self._stage.network.delay(), arrive)

    async def _one(self, process: Process, chunk: Chunk, index: int, notes: Progress) -> list[Any]:
        item, code, blobs = Item._make(chunk.items[index]), self._stage.code, self._stage.blobs
        notes.running, notes.running_since = index, process.clock.now()
        context = TaskContext(*item.context)
        try:
            function = code.function(chunk.function)
            args = [values.decode(each, code.find_class, blobs.get) for each in item.args]
            kwargs = {name: values.decode(each, code.find_class, blobs.get) for name, each in item.kwargs.items()}
            if function.is_async:
                result = await _with_timeout(function.call, lambda: context, args, kwargs, chunk.timeout)
            else:
                result = _in_context(function.call, lambda: context, args, kwargs)
            if type(result) is Continuation:
                outcome: list[Any] = ["ok", result.to_bytes().decode()]
            else:
                outcome = ["ok", pack(result if function.coerce is None else function.coerce(result), blobs).decode()]
        except Exception as error:
            outcome = ["failed", failure_of(error, context.attempt, chunk.non_retryable).to_data()]
        notes.outcomes[index], notes.running = outcome, None
        return outcome

    async def result(self, ref: Any) -> tuple[float, list[Any]]:
        return await ref[1]  # type: ignore[no-any-return]

    async def notes(self, path: Path, sent_at: float) -> Progress | None:
        return self._notes.get(path)

    def cancel(self, ref: Any) -> None:
        ref[0].kill()


def spec_for(count: int) -> ActorSpec:
    return ActorSpec(
        url="memory://simulated",
        namespace="default",
        lane=LANE,
        bundle=BUNDLE,
        index=0,
        count=count,
        lease_s=LEASE_S,
        ray_address="simulated:0",
        ray_namespace="simulated",
    )


__all__ = ["LANE", "LEASE_S", "SHARDS", "MemoryStore", "Stage", "spec_for"]
