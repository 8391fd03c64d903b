"""What must be true after any number of deaths, checked from two witnesses that know nothing of each other: the journal,
and the ledger that the tasks wrote outside of it."""

from __future__ import annotations

import asyncio
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from raywf.client.reading import Readings
from raywf.core.plan import Node, NodeKind
from raywf.core.state import ExecutionState
from raywf.ports import EventRow, ExecutionRow
from tests.kill.witness import ask


class Entry(NamedTuple):
    """One line of the ledger."""

    what: str
    execution: str
    task: str
    attempt: int
    key: str
    pid: int
    at: float


class Seen(NamedTuple):
    """One execution as the journal has it."""

    row: ExecutionRow
    state: ExecutionState
    history: list[EventRow]

    def value(self) -> Any:
        return None if self.state.value is None else json.loads(self.state.value)

    def failure(self) -> Any:
        closing = self.state.closing
        return None if closing is None else closing.failure


@dataclass(slots=True)
class Verdict:
    """What was found. ``wrong`` is empty when everything promised is true."""

    wrong: list[str] = field(default_factory=list)
    executions: dict[str, Seen] = field(default_factory=dict)
    starts: list[Entry] = field(default_factory=list)
    rerun: int = 0
    lost: int = 0
    statuses: Counter[str] = field(default_factory=Counter)

    def blame(self, what: str) -> None:
        self.wrong.append(what)

    def __str__(self) -> str:
        return (
            f"{len(self.executions)} executions {dict(self.statuses)}, {len(self.starts)} attempts begun, "
            f"{self.rerun} of them again, {self.lost} recorded as lost"
        )


def count_open(url: str) -> int:
    """Executions that have not ended."""
    return int(ask(url, "SELECT count(*) FROM executions WHERE ended_at IS NULL")[0][0])


def count_waiting(url: str, what: str) -> int:
    """Executions that say they wait for something with this word."""
    return int(ask(url, "SELECT count(*) FROM executions WHERE waiting_for LIKE :what", what=f"%{what}%")[0][0])


def owners(url: str) -> list[tuple[str, int]]:
    """(name, process) of those who hold leases or held them when they died."""
    sql = "SELECT owner, pid FROM owners WHERE NOT released AND owner IN (SELECT owner FROM leases) ORDER BY started_at"
    return [(str(owner), int(pid)) for owner, pid in ask(url, sql)]


def epochs(url: str) -> list[int]:
    return [int(epoch) for (epoch,) in ask(url, "SELECT epoch FROM leases ORDER BY lane, shard")]


def read_ledger(path: Path) -> list[Entry]:
    if not path.exists():
        return []
    whole, _, _ = path.read_text().rpartition("\n")  # a line that is still being written is not there yet
    return [Entry(**json.loads(line)) for line in whole.splitlines()]


def read_accepted(path: Path) -> dict[str, tuple[str, Any]]:
    """id -> (workflow, input) of what ``submit_many`` had returned."""
    if not path.exists():
        return {}
    return {id_: (workflow, value) for id_, workflow, value in map(json.loads, path.read_text().splitlines())}


def judge(
    url: str,
    ledger: Path,
    accepted: Path,
    results: Mapping[str, Callable[[Any], Any]],
    *,
    may_fail: frozenset[str] = frozenset(),
) -> Verdict:
    """Look at everything. ``results`` gives the right answer by workflow; executions of ``may_fail`` workflows may fail."""
    verdict = Verdict(starts=[each for each in read_ledger(ledger) if each.what == "start"])
    verdict.executions = asyncio.run(_executions(url, verdict))
    _accepted(verdict, read_accepted(accepted), results, may_fail)
    by_task: dict[tuple[str, str], list[Entry]] = defaultdict(list)
    for entry in verdict.starts:
        by_task[entry.execution, entry.task].append(entry)
    for (execution, task), entries in by_task.items():
        seen = verdict.executions.get(execution)
        if seen is None:
            verdict.blame(f"{task} ran for {execution}, which is not in the journal")
        else:
            _attempts(verdict, seen, task, entries)
    return verdict


async def _executions(url: str, verdict: Verdict) -> dict[str, Seen]:
    readings = Readings(url, "default")
    try:
        rows = await readings.reader.executions("default", limit=1_000_000)
        out = {}
        for row in rows:
            try:
                state, history = await readings.state(row)
            except Exception as error:
                verdict.blame(f"the history of {row.id} does not fold: {type(error).__name__}: {error}")
                continue
            out[row.id] = Seen(row, state, history)
            verdict.statuses[row.status] += 1
            verdict.lost += sum(event.kind == "attempt_lost" for event in history)
            if [event.seq for event in history] != list(range(1, len(history) + 1)):
                verdict.blame(f"the history of {row.id} has gaps: {[event.seq for event in history]}")
            if state.status.value != row.status:
                verdict.blame(f"{row.id} is {row.status} in the index and {state.status.value} by its history")
        return out
    finally:
        await readings.close()


def _accepted(
    verdict: Verdict,
    accepted: Mapping[str, tuple[str, Any]],
    results: Mapping[str, Callable[[Any], Any]],
    may_fail: frozenset[str],
) -> None:
    for id_, (workflow, value) in accepted.items():
        seen = verdict.executions.get(id_)
        if seen is None:
            verdict.blame(f"{id_} was accepted and is not in the journal")
        elif seen.state.closed is None:
            verdict.blame(f"{id_} was accepted and has not ended: it is {seen.row.status} ({seen.row.waiting_for})")
        elif seen.row.status != "completed":
            if workflow not in may_fail:
                verdict.blame(f"{id_} ({workflow}) is {seen.row.status}: {str(seen.failure())[:300]}")
        elif workflow in results and seen.value() != results[workflow](value):
            verdict.blame(f"{id_} gave {seen.value()} instead of {results[workflow](value)}")


def _attempts(verdict: Verdict, seen: Seen, task: str, entries: list[Entry]) -> None:
    completed = {event.task: event for event in seen.history if event.kind == "task_completed"}
    lost = sum(1 for event in seen.history if event.task == task and event.kind in ("attempt_lost", "attempt_failed"))
    entries = sorted(entries, key=lambda entry: entry.at)
    who = f"{seen.row.id} {task}"
    verdict.rerun += len(entries) - 1
    attempts = Counter(entry.attempt for entry in entries)
    for attempt, times in attempts.items():
        if times > 1:
            verdict.blame(f"{who}: attempt {attempt} began {times} times")
    if len(entries) > 1 + lost:
        verdict.blame(f"{who}: began {len(entries)} times, and the journal knows of {lost} losses and failures")
    if {entry.key for entry in entries} != {f"{seen.row.id}/{task}"}:
        verdict.blame(f"{who}: idempotency keys {sorted({entry.key for entry in entries})}")
    end = completed.get(task)
    for entry in entries:
        if end is not None and entry.at > end.at:
            late = entry.at - end.at
            verdict.blame(f"{who}: attempt {entry.attempt} began {late:.3f} s after its result was recorded")
    name = task.partition("[")[0]
    plan = seen.state.plan
    for need in plan.nodes[plan.index[name]].needs:
        _predecessor(verdict, seen, who, plan.nodes[need], entries[0].at)


_ENDS = {
    NodeKind.SIGNAL: "signal_awaited",  # what ends the wait names no task
    NodeKind.APPROVAL: "approval_decided",
    NodeKind.WHEN: "branch_taken",
}


def _predecessor(verdict: Verdict, seen: Seen, who: str, need: Node, began_at: float) -> None:
    kind = _ENDS.get(need.kind, "task_completed")
    ends = [
        event.at
        for event in seen.history
        if event.task is not None and event.task.partition("[")[0] == need.id and event.kind == kind
    ]
    if not ends:
        verdict.blame(f"{who}: began although {need.id}, which it needs, has no result in the journal")
    elif max(ends) > began_at + 0.001:
        verdict.blame(f"{who}: began {max(ends) - began_at:.3f} s before the result of {need.id} was recorded")
