"""One seed from beginning to end: who plays, what goes wrong when, and what the judge says."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from raywf.definition.model import WorkflowDefinition
from raywf.errors import LeaseLost, NotConnected, StoreUnavailable
from raywf.journal import memory
from raywf.runtime.balance import NodeRow
from raywf.runtime.definitions import Definitions
from raywf.testing.simulation import faults as going_wrong
from raywf.testing.simulation import outside
from raywf.testing.simulation.cast import Stage
from raywf.testing.simulation.catalogue import CASES
from raywf.testing.simulation.client import Client
from raywf.testing.simulation.faults import CALM_AFTER_S, Fault
from raywf.testing.simulation.judge import Judge, Violation
from raywf.testing.simulation.loop import Host, Process, World
from raywf.testing.simulation.network import Network, Unreachable
from raywf.testing.simulation.store import Disk

PATIENCE_S = 120.0
"""How long after the last fault everything must have ended, in simulated time."""
RESTLESS = 30_000
"""More callbacks than any scenario needs (a few thousand are usual): what goes on beyond goes on for ever."""
_EXPECTED = (LeaseLost, StoreUnavailable, NotConnected, Unreachable)


@dataclass(frozen=True, slots=True)
class Scenario:
    """Everything that decides a run. The same scenario is the same run, wherever and whenever."""

    seed: int
    cases: tuple[str, ...]
    faults: tuple[Fault, ...] = ()
    actors: int = 1
    hosts: int = 1
    autoscale: int = 0

    def __str__(self) -> str:
        faults = "".join(f"\n    {fault}" for fault in self.faults) or " none"
        where = f"{self.actors} workflow actor(s) on {self.hosts} host(s)"
        return f"seed {self.seed}: {', '.join(self.cases)}; {where}\n  faults:{faults}"


@dataclass(slots=True)
class Verdict:
    """What came of a run. ``violation`` None: all is well. ``trace`` tells one run from another."""

    scenario: Scenario
    violation: Violation | None
    steps: int = 0
    commits: int = 0
    seconds: float = 0.0
    kinds: Counter[str] = field(default_factory=Counter)
    trace: int = 0
    endings: dict[str, Any] = field(default_factory=dict)


def draw(seed: int, workflow: str | None = None, kinds: Sequence[str] = going_wrong.KINDS) -> Scenario:
    """The scenario of a seed."""
    random = Random(f"scenario {seed}")
    names = sorted(CASES)
    number = random.choice((1, 1, 1, 2, 2, 3))
    cases = tuple(workflow or random.choice(names) for _ in range(number))
    actors = random.choice((1, 1, 2))
    return Scenario(seed, cases, tuple(going_wrong.draw(random, kinds)), actors, random.choice((1, actors)))


class _Run:
    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        world = self.world = World(scenario.seed)
        random = world.random("place")
        self.hosts = [Host(world, name) for name in ("here", "there")[: scenario.hosts]]
        name = f"simulated-{scenario.seed}"
        memory.forget(name)
        self.store = memory._STORES.setdefault(name, memory.MemoryStore())
        self.disk = Disk(name, random.choice((0.0002, 0.002, 0.01)))
        self.network = Network(world, random.choice((0.0005, 0.002, 0.02)))
        self.outside = outside.Outside()
        outside.enter(self.outside)
        self.judge = Judge(world, self.store, self.outside, _plans())
        self.stage = Stage(world, self.disk, self.network, self.judge, self.hosts)
        self.judge.clocks_are_right = not any(fault.kind == "clock-jump" for fault in scenario.faults)
        lost = [fault for fault in scenario.faults if fault.kind == "lost-commit-replies"]
        last = max((fault.at + fault.lasts + _aftermath_s(fault) for fault in scenario.faults), default=0.0)
        last += sum(map(_aftermath_s, lost))  # they wait for commits, and those for whatever else is wrong
        self.judge.troubled_until = last
        self.client: Process | None = None
        self.is_done = False
        self.stage.autoscale = scenario.autoscale
        self.network.on_request = self._check_request
        if any(fault.kind == "leave" for fault in scenario.faults):
            self.network.nodes = self._nodes
        world.on_error = self._loop_error

    def go(self) -> Verdict:
        watch = _Log(self.judge)
        logger = logging.getLogger("raywf")
        before = logger.level, logger.propagate
        logger.addHandler(watch)
        logger.setLevel(logging.ERROR)
        logger.propagate = False
        try:
            for fault in self.scenario.faults:
                self.world.at(fault.at, functools.partial(self._begin, fault))
            self.stage.start_supervisor()
            self._start_client()
            over = self.world.run(self._is_over, CALM_AFTER_S + PATIENCE_S)
        finally:
            logger.removeHandler(watch)
            logger.setLevel(logging.CRITICAL + 1)
            self.world.end()
            logger.setLevel(before[0])
            logger.propagate = before[1]
            memory.forget(self.disk.name)
        judge = self.judge
        if judge.violation is None:
            judge.at_the_end()
        if judge.violation is None and not over:
            judge.fail("who waits is told", "everything has ended, and a client still waits")
        if judge.violation is None:
            self._compare_endings()
        return self._verdict()

    def _is_over(self) -> bool:
        if self.world.steps > RESTLESS:
            self.judge.fail("every execution ends", f"after {RESTLESS:,} callbacks nothing has come to rest")
        return self.is_done or self.judge.violation is not None

    def _start_client(self) -> None:
        if self.is_done:
            return
        process = self.client = self.stage.process("client", self.hosts[-1])
        process.on_death.append(lambda: self.world.after(0.4, self._start_client))
        wanted = {f"x{number}": (CASES[name], 0.1 * number) for number, name in enumerate(self.scenario.cases)}
        client = Client(self.stage, process, wanted, self.scenario.actors)
        process.start(client.main(self._done)).add_done_callback(self._client_ended)

    def _done(self) -> None:
        self.world.after(1.0, lambda: setattr(self, "is_done", True))  # what was sent last has its time, too

    def _client_ended(self, task: Any) -> None:
        if not task.cancelled() and task.exception() is not None:
            self.judge.fail("clients are told what happens", f"{task.exception()!r}")

    def _loop_error(self, process: Process, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if not isinstance(error, _EXPECTED):
            self.judge.fail("nothing unexpected is raised", f"in {process.name}: {context.get('message')}: {error!r}")

    def _compare_endings(self) -> None:
        for number, name in enumerate(self.scenario.cases):
            case, ending = CASES[name], self.judge.ending(f"x{number}")
            if ending is None or ending[0] in case.may:
                continue
            if ending == ("failed", "raywf.errors.WorkerLost") and self._many_died():
                continue
            expected = calm_ending(name)
            if ending != expected:
                self.judge.fail("a crash changes no end", f"x{number} ({name}) ended as {ending}, not as {expected}")

    def _check_request(self) -> None:
        asked = self.network.requested
        if len(asked) > self.scenario.autoscale or any(bundle != {"CPU": 1.0} for bundle in asked):
            self.judge.fail("no more is asked for than may be", f"the autoscaler is asked for {asked}")

    def _many_died(self) -> bool:
        dead = [process for process in self.world.processes if process.name.startswith("owner") and not process.alive]
        return len(dead) >= 2

    def _verdict(self) -> Verdict:
        judge = self.judge
        endings = {f"x{number}": judge.ending(f"x{number}") for number in range(len(self.scenario.cases))}
        told = [
            (event.at, event.kind, event.task)
            for _, rows in sorted(self.store.events.items())
            for event in rows.values()
        ]
        deeds = [tuple(deed) for deed in self.outside.deeds]
        trace = Random(repr((told, deeds, self.world.steps))).getrandbits(64)
        commits = sum(self.disk.commits.values())
        return Verdict(
            self.scenario, judge.violation, self.world.steps, commits, self.world.now, judge.kinds, trace, endings
        )

    # what goes wrong

    def _victim(self, whom: str) -> Process | None:
        match whom:
            case "owner":
                living = [process for _, process in sorted(self.stage.owners.items()) if process.alive]
                return living[int(self.world.chance.random() * len(living))] if living else None
            case "supervisor":
                return self.stage.supervisor
            case "client":
                return self.client
            case "worker":
                living = [process for process in self.stage.workers if process.alive]
                return living[0] if living else None
            case _:
                return None

    def _nodes(self) -> list[NodeRow]:
        """Each host is a node. One that leaves comes back."""
        return [
            NodeRow(host.name, host.name, host.name, 2.0, leaves_at=self.network.leaving.get(host.name))
            for host in self.hosts
        ]

    async def _drain(self, operator: Process, host: str, until: float) -> None:
        """Whoever takes a machine away tells the engine, and tries again as long as there is time."""
        while self.world.now < until:
            asked = self.stage.supervisor_of(operator).drain.remote(host, until - self.world.now)
            with contextlib.suppress(Unreachable, TimeoutError):
                await asyncio.wait_for(asked, 2.0)
                return
            await asyncio.sleep(0.3)

    def _ends(self, host: str) -> None:
        """The machine is gone, and with it whatever still works there; another one of its name comes."""
        self.network.leaving.pop(host, None)
        for process in list(self.world.processes):
            if process.alive and process.host.name == host and process.name.startswith(("owner", "worker")):
                process.kill()

    def _begin(self, fault: Fault) -> None:
        victim = self._victim(fault.whom)
        end = functools.partial(self.world.after, fault.lasts)
        disk, network = self.disk, self.network
        match fault.kind:
            case "full-disk":
                disk.full = True
                end(lambda: setattr(disk, "full", False))
            case "slow-disk":
                disk.slow = fault.how
                end(lambda: setattr(disk, "slow", 1.0))
            case "slow-network":
                network.slow = fault.how
                end(lambda: setattr(network, "slow", 1.0))
            case "lost-answers":
                network.lose = fault.how
                end(lambda: setattr(network, "lose", 0.0))
            case "doubled-calls":
                network.double = fault.how
                end(lambda: setattr(network, "double", 0.0))
            case "deaf":
                network.deaf = True
                end(lambda: setattr(network, "deaf", False))
            case "leave":
                operator = self.stage.process("operator", self.hosts[-1])
                operator.start(self._drain(operator, fault.whom, self.world.now + fault.lasts))
                end(functools.partial(self._ends, fault.whom))
            case "cut-hosts":
                network.cut.add(frozenset(("here", "there")))
                end(network.cut.clear)
            case "clock-jump":
                for host in self.hosts:
                    host.ahead += fault.how if host.name == fault.whom else 0.0
            case "kill-at-commit" if not self.stage.owners:
                self.stage.first_dies_at = (int(fault.how), fault.written)
            case "kill-all":
                for process in list(self.world.processes):
                    if process.alive:
                        process.kill()
            case _:
                if victim is not None and victim.alive:
                    self._strike(fault, victim)

    def _strike(self, fault: Fault, victim: Process) -> None:
        match fault.kind:
            case "kill":
                victim.kill()
            case "kill-at-step":
                victim.die_after = int(fault.how)
            case "pause":
                victim.pause()
                self.world.after(fault.lasts, victim.resume)
            case "stall":
                victim.loop.stall()
                self.world.after(fault.lasts, victim.loop.unstall)
            case "cut-store":
                self.disk.cut_off.add(victim)
                self.world.after(fault.lasts, lambda: self.disk.cut_off.discard(victim))
            case "lost-commit-replies":
                self.disk.lost_replies[victim.name] = int(fault.how)
            case "kill-at-commit":
                number = self.disk.commits.get(victim.name, 0) + int(fault.how)
                self.disk.die_at[victim.name] = (number, fault.written)
            case _:
                raise ValueError(f"there is no fault {fault.kind!r}")


def _aftermath_s(fault: Fault) -> float:
    """For how long what goes wrong may still hold something up: a commit pauses for up to 2 s between two tries, and what
    was asked of a slow disk takes its time."""
    match fault.kind:
        case "slow-disk":
            return 20.0
        case "full-disk" | "cut-store":
            return 6.0
        case "lost-commit-replies":
            return 12.0
        case _:
            return 2.0


class _Log(logging.Handler):
    """What the real code says at level ERROR is a violation, unless it is about trouble that we made."""

    def __init__(self, judge: Judge) -> None:
        super().__init__(logging.ERROR)
        self._judge = judge

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        if error is not None and not isinstance(error, _EXPECTED):
            where = _innermost(error)
            text = f"{record.getMessage()}: {type(error).__name__}: {error} ({where})"
            self._judge.fail("nothing unexpected is raised", text)


def _innermost(error: BaseException) -> str:
    frames, found = error.__traceback__, ""
    while frames is not None:
        code = frames.tb_frame.f_code
        found = f"{code.co_filename.rpartition('raywf/')[2]}:{frames.tb_lineno} in {code.co_name}"
        frames = frames.tb_next
    return found


@functools.cache
def _plans() -> Definitions:
    known = Definitions()
    for case in CASES.values():
        definition: WorkflowDefinition = case.workflow.definition
        known.add_model(definition)
    return known


@functools.cache
def calm_ending(name: str) -> Any:
    """How a workflow ends when nothing goes wrong."""
    outer = outside._now[0]
    try:
        run = _Run(Scenario(0, (name,)))
        run.store  # noqa: B018 - a world of its own
        verdict = _without_comparing(run)
    finally:
        outside.enter(outer)
    if verdict.violation is not None:
        raise AssertionError(f"{name} goes wrong although nothing does: {verdict.violation}")
    return verdict.endings["x0"]


def _without_comparing(run: _Run) -> Verdict:
    run._compare_endings = lambda: None  # type: ignore[method-assign]
    return run.go()


def simulate(scenario: Scenario) -> Verdict:
    """Run a scenario. Garbage is left to the caller between runs: collecting amid one costs more than all of it."""
    for name in scenario.cases:
        calm_ending(name)
    enabled = gc.isenabled()
    gc.disable()
    try:
        return _Run(scenario).go()
    finally:
        if enabled:
            gc.enable()


def simulate_seed(seed: int, workflow: str | None = None, kinds: Sequence[str] = going_wrong.KINDS) -> Verdict:
    return simulate(draw(seed, workflow, kinds))


def shrink(scenario: Scenario) -> Scenario:
    """The same violation with as few faults and workflows as a handful of tries can find."""
    verdict = simulate(scenario)
    assert verdict.violation is not None
    invariant = verdict.violation.invariant

    def still(candidate: Scenario) -> bool:
        found = simulate(candidate).violation
        return found is not None and found.invariant == invariant

    changed = True
    while changed:
        changed = False
        for index in range(len(scenario.faults)):
            candidate = replace(scenario, faults=scenario.faults[:index] + scenario.faults[index + 1 :])
            if still(candidate):
                scenario, changed = candidate, True
                break
    for count in range(1, len(scenario.cases)):
        candidate = replace(scenario, cases=scenario.cases[:count])
        if still(candidate):
            return candidate
    return scenario
