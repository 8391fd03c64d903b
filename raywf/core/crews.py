"""How many workers a pool has, and who gets the next free one.

A crew is the workers of one pool. It grows with the tasks that wait and shrinks by idleness; what is decided here follows
from what is known now, and asking twice decides the same. The hands (``runtime/crews.py``) start, load, hand out and end.

    ASKED ──placed──> LOADING ──setup done──> READY ──idle, worn, edited──> LEAVING
      └── no longer wanted, or its process died, at any point: gone ──────────┘

ASKED: Ray has been asked and has found no place yet. LOADING: its process runs ``setup``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

TRIES = 3
"""Setups in a row that may fail before the tasks that wait are told."""
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0


@dataclass(frozen=True, slots=True)
class CrewRule:
    """What a pool is declared with. Times in seconds; ``max_tasks``: after how many a worker is replaced."""

    min: int = 0
    max: int = 1
    concurrency: int = 1
    idle_timeout: float = 60.0
    setup_timeout: float = 600.0
    max_tasks: int | None = None


class Phase(StrEnum):
    ASKED = "asked"
    LOADING = "loading"
    READY = "ready"
    LEAVING = "leaving"


@dataclass(frozen=True, slots=True)
class Worker:
    """One worker as it stands. ``since``: when it came into its phase; ``busy``: its slots in use; ``served``: tasks it has
    run; ``free_at``: when it last became wholly idle; ``shut``: what it runs now must be alone in it; ``worn``: something in
    it was given up on and still runs, so it takes nothing more. Instants on a monotonic clock."""

    id: int
    phase: Phase
    since: float
    busy: int = 0
    served: int = 0
    free_at: float = 0.0
    shut: bool = False
    worn: bool = False


@dataclass(frozen=True, slots=True)
class Load:
    """What is asked of a crew. ``waiting``: tasks that wait; ``waited_s``: the longest of them so far; ``task_s`` and
    ``setup_s``: what a task and a setup take, by what was measured (None: nothing yet)."""

    waiting: int = 0
    waited_s: float = 0.0
    task_s: float | None = None
    setup_s: float | None = None


@dataclass(frozen=True, slots=True)
class Setbacks:
    """Setups that failed in a row, and when the last one did."""

    count: int = 0
    last_at: float = -math.inf

    def after(self, started_at: float, now: float) -> Setbacks:
        """With one more, of a worker asked for at ``started_at``. Those that were started before the last one failed are the
        same try: one bad moment is one setback, however many were loading."""
        return Setbacks(self.count + (started_at > self.last_at), now) if self.count else Setbacks(1, now)

    @property
    def retry_at(self) -> float:
        """No worker is started before this."""
        if not self.count:
            return -math.inf
        return float(self.last_at + min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** min(self.count - 1, 10)))

    @property
    def is_given_up(self) -> bool:
        """Whether tasks that wait are told, instead of waiting on."""
        return self.count >= TRIES


@dataclass(frozen=True, slots=True)
class Start:
    """Start so many workers."""

    count: int


@dataclass(frozen=True, slots=True)
class Leave:
    """Have an idle worker take its state down and go."""

    worker: int


@dataclass(frozen=True, slots=True)
class GiveUp:
    """End a worker whose setup takes too long: that is a setback."""

    worker: int


@dataclass(frozen=True, slots=True)
class CallOff:
    """End a worker that has no place yet and is not wanted any more."""

    worker: int


Decision: TypeAlias = "Start | Leave | GiveUp | CallOff"


def decide(rule: CrewRule, workers: Sequence[Worker], load: Load, setbacks: Setbacks, now: float) -> list[Decision]:
    """What is to be done about the size of a crew now."""
    found: list[Decision] = []
    staying = []
    for worker in workers:
        if worker.phase is Phase.LOADING and now - worker.since >= rule.setup_timeout:
            found.append(GiveUp(worker.id))
        elif worker.phase is Phase.READY and is_worn(rule, worker):
            if not worker.busy:
                found.append(Leave(worker.id))
            # Its successor may load while it ends its last tasks: it is counted no more.
        elif worker.phase is not Phase.LEAVING:
            staying.append(worker)
    aim = wanted(rule, staying, load)
    surplus = len(staying) - max(aim, rule.min)
    for worker in sorted(staying, key=lambda each: each.id, reverse=True):
        if surplus > 0 and worker.phase is Phase.ASKED:
            found.append(CallOff(worker.id))
            surplus -= 1
    idle = [each for each in staying if each.phase is Phase.READY and not each.busy and not load.waiting]
    for worker in sorted(idle, key=lambda each: (each.free_at, each.id)):
        if surplus > 0 and now - worker.free_at >= rule.idle_timeout:
            found.append(Leave(worker.id))
            surplus -= 1
    missing = aim - len(staying)
    room = rule.max - sum(each.phase is not Phase.LEAVING for each in workers)
    if any(isinstance(each, GiveUp) for each in found):
        missing = 0  # that one's resources come back first, and it is a setback
    if setbacks.count:
        loading = any(each.phase in (Phase.ASKED, Phase.LOADING) for each in staying)
        missing = 0 if loading or now < setbacks.retry_at else min(missing, 1)  # one by one, until one is up
    if min(missing, room) > 0:
        found.append(Start(min(missing, room)))
    return found


def wanted(rule: CrewRule, staying: Sequence[Worker], load: Load) -> int:
    """How many workers there should be: enough for what waits and runs, and one more only while the work in hand would
    outlast its setup. Never fewer than run something."""
    active = sum(worker.busy > 0 for worker in staying)
    if not load.waiting:
        return max(rule.min, active)
    slots = load.waiting + sum(worker.busy for worker in staying)
    most = min(rule.max, max(rule.min, math.ceil(slots / rule.concurrency)))
    count = max(1, min(len(staying), most))
    while count < most and _outlasts(rule, slots, count, load):
        count += 1
    return max(count, rule.min, active)


def _outlasts(rule: CrewRule, slots: int, count: int, load: Load) -> bool:
    """Whether one more worker would be there before what waits is done by ``count``."""
    if load.task_s is None or load.setup_s is None or load.waited_s > load.setup_s:
        return True
    return slots * load.task_s / (count * rule.concurrency) > load.setup_s


def is_worn(rule: CrewRule, worker: Worker) -> bool:
    """Whether a worker takes nothing more: it has served its time, or something is stuck in it."""
    return worker.worn or (rule.max_tasks is not None and worker.served >= rule.max_tasks)


@dataclass(frozen=True, slots=True)
class Ask:
    """What one workflow actor waits for: ``waiting`` slots, ``alone`` of them in a worker that runs nothing else meanwhile."""

    user: str
    waiting: int
    alone: int = 0


@dataclass(frozen=True, slots=True)
class Grant:
    """A slot of a worker for a user; ``most`` tasks may be run in it (None: any number)."""

    user: str
    worker: int
    alone: bool
    most: int | None


def grants(rule: CrewRule, workers: Sequence[Worker], asks: Sequence[Ask]) -> list[Grant]:
    """Who gets which free slot: users in turns, in the order given; the least busy worker, and of those the one that was
    busy last, so that the others can become idle."""
    busy = {each.id: each.busy for each in workers if _takes(rule, each)}
    by_id = {each.id: each for each in workers}
    left = {each.user: [each.waiting - each.alone, each.alone] for each in asks}
    given = dict.fromkeys(busy, 0)
    found: list[Grant] = []

    def give(user: str, worker: int, alone: bool) -> None:
        served = by_id[worker].served
        most = None if rule.max_tasks is None else max(1, rule.max_tasks - served - busy[worker])
        if rule.concurrency > 1 and most is not None:
            most = 1  # what its other slots will have served is not known yet
        found.append(Grant(user, worker, alone, most))
        given[worker] += 1
        busy[worker] = rule.concurrency if alone else busy[worker] + 1
        left[user][alone] -= 1

    def best(alone: bool, held_back: int | None) -> int | None:
        free = [
            each
            for each, taken in busy.items()
            if (taken == 0 if alone else taken < rule.concurrency)
            and each != held_back
            and _has_room(rule, by_id[each], taken)
        ]
        return min(free, key=lambda each: (busy[each], -by_id[each].free_at, each), default=None)

    while True:
        before = len(found)
        for ask in asks:
            if left[ask.user][True] > 0 and (worker := best(True, None)) is not None:
                give(ask.user, worker, True)
        # Whoever must be alone would wait for ever in a crew that is never idle: one worker is left to become so.
        short = any(each[True] > 0 for each in left.values())
        held_back = min(busy, key=lambda each: (busy[each], each), default=None) if short else None
        for ask in asks:
            if left[ask.user][False] > 0 and (worker := best(False, held_back)) is not None:
                give(ask.user, worker, False)
        if len(found) == before:
            return found


def _takes(rule: CrewRule, worker: Worker) -> bool:
    return worker.phase is Phase.READY and not worker.shut and not is_worn(rule, worker)


def _has_room(rule: CrewRule, worker: Worker, taken: int) -> bool:
    """Whether another task would not be more than a worker may serve."""
    return rule.max_tasks is None or worker.served + taken < rule.max_tasks


@dataclass(frozen=True, slots=True)
class Counts:
    """A crew in numbers: workers by phase (``busy`` of the ready ones run something), and tasks."""

    asked: int = 0
    loading: int = 0
    ready: int = 0
    busy: int = 0
    leaving: int = 0
    waiting: int = 0
    running: int = 0


def count(workers: Sequence[Worker], waiting: int) -> Counts:
    phases = [each.phase for each in workers]
    return Counts(
        asked=phases.count(Phase.ASKED),
        loading=phases.count(Phase.LOADING),
        ready=phases.count(Phase.READY),
        busy=sum(each.phase is Phase.READY and each.busy > 0 for each in workers),
        leaving=phases.count(Phase.LEAVING),
        waiting=waiting,
        running=sum(each.busy for each in workers),
    )


def waits_for(
    pool: str,
    rule: CrewRule,
    counts: Counts,
    demand: Sequence[tuple[str, float]],
    nodes: Sequence[dict[str, float]] | None,
    trouble: str | None,
) -> str:
    """What a task that has no worker waits for, in words. ``nodes``: what each node of the cluster has in all; ``trouble``:
    what became of the last setup, if it failed."""
    parts = [f"{counts.ready} of {rule.max} ready"]
    if counts.ready:
        parts[0] += f" and {'all' if counts.busy == counts.ready else counts.busy} busy"
    if counts.loading:
        parts.append(f"{counts.loading} loading")
    if counts.leaving:
        parts.append(f"{counts.leaving} leaving")
    if counts.asked:
        parts.append(f"{counts.asked} {unplaced(demand, nodes)}")
    text = f"a worker of pool {pool}: {', '.join(parts)}"
    return f"{text}; the last setup failed: {trouble}" if trouble else text


def unplaced(demand: Sequence[tuple[str, float]], nodes: Sequence[dict[str, float]] | None) -> str:
    """Why a worker has no place, in words; with "no node" where waiting alone does not help."""
    asks = ", ".join(f"{name} {amount:g}" for name, amount in demand) or "nothing"
    if nodes is None:
        return f"without a place, each asks for {asks}"
    for name, amount in demand:
        most = max((node.get(name, 0.0) for node in nodes), default=0.0)
        if most < amount:
            has = f"no node has more than {most:g}" if most else "no node has any"
            return f"without a place, each asks for {name} {amount:g} and {has}"
    if not any(all(node.get(name, 0.0) >= amount for name, amount in demand) for node in nodes):
        return f"without a place, each asks for {asks} and no node has all of it"
    return f"without a place yet, each asks for {asks}, which is in use or being prepared"
