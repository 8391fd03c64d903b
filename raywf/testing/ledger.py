"""What a test sees of a run: each call that a task's function got, and a clock that jumps."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from raywf.core.ids import split_address, split_passes
from raywf.definition.context import TaskContext
from raywf.errors import InvalidInput
from raywf.runtime.local import LoopClock

_START = datetime.fromtimestamp(1_700_000_000, UTC)


class Clock:
    """The clock of a run. Sleeps, timeouts and retries move it, and take no time; it goes on from run to run."""

    def __init__(self, start: datetime = _START) -> None:
        if start.tzinfo is None:
            raise InvalidInput(f"Clock(start={start!r}): an instant needs its time zone, such as tzinfo=timezone.utc")
        self._begun = start.timestamp()
        self._at = self._begun
        self._running: LoopClock | None = None

    def now(self) -> datetime:
        """The instant it is in the run, in UTC; between two runs, that at which the last one ended."""
        return datetime.fromtimestamp(self.seconds(), UTC)

    def seconds(self) -> float:
        """The same as seconds since the epoch."""
        return self._at if self._running is None else self._running.now()

    @property
    def elapsed_s(self) -> float:
        """Seconds of the run's time since the clock was made."""
        return self.seconds() - self._begun

    def advance(self, by: timedelta | float) -> None:
        """Let time pass between two runs. Raises ``InvalidInput`` for time that runs backwards."""
        seconds = by.total_seconds() if isinstance(by, timedelta) else float(by)
        if seconds < 0:
            raise InvalidInput(f"advance({by!r}): time does not run backwards")
        self._at += seconds

    def run_by(self, clock: LoopClock | None) -> None:
        """From here on time is that of a loop; None: of none."""
        if clock is None:
            self._at = self.seconds()
        self._running = clock


@dataclass(slots=True)
class Call:
    """One call of a task's function. ``outcome`` is ``running`` (also of one that died with its process), ``completed`` or
    ``failed``; ``result`` and ``error`` are what it returned or raised."""

    execution_id: str
    task_id: str
    attempt: int
    idempotency_key: str
    at: datetime
    outcome: str = "running"
    result: Any = None
    error: BaseException | None = None


@dataclass(slots=True)
class Ledger:
    """Every call that tasks got, in the order in which they began: what the outside world has seen.

    ``again`` are calls that began although the result of their key was on disk: there must never be one.
    """

    calls: list[Call] = field(default_factory=list)
    again: list[Call] = field(default_factory=list)
    _kept: set[str] = field(default_factory=set)

    def of(self, task: str) -> list[Call]:
        """The calls of a task by its id; ``name`` also means every item and pass of it."""
        return [call for call in self.calls if task in (call.task_id, *_shorter(call.task_id))]

    def results(self, task: str) -> list[Any]:
        """What the completed calls of a task returned."""
        return [call.result for call in self.of(task) if call.outcome == "completed"]

    def keys(self, task: str | None = None) -> list[str]:
        """The idempotency keys, each once: as many effects as an outside system that honours them has seen."""
        calls = self.calls if task is None else self.of(task)
        return list(dict.fromkeys(call.idempotency_key for call in calls))

    def repeated(self) -> dict[str, list[Call]]:
        """Keys that were called more than once: what an outside system must recognise by its key."""
        by_key: dict[str, list[Call]] = {}
        for call in self.calls:
            by_key.setdefault(call.idempotency_key, []).append(call)
        return {key: calls for key, calls in by_key.items() if len(calls) > 1}

    def begin(self, here: TaskContext, at: datetime) -> Call:
        """A function is called now."""
        call = Call(here.execution_id, here.task_id, here.attempt, here.idempotency_key, at)
        self.calls.append(call)
        if call.idempotency_key in self._kept:
            self.again.append(call)
        return call

    def kept(self, key: str) -> None:
        """The result of this key is on disk."""
        self._kept.add(key)


def _shorter(address: str) -> tuple[str, str]:
    outer, _ = split_address(address)
    return outer, split_passes(outer)[0]
