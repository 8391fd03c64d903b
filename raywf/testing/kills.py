"""``raywf.testing.chaos``: a workflow, killed once at every boundary of its journal, and what that proves.

A boundary is a commit: what is on disk before it and after it is all that a successor knows. At each the process dies

- *before the commit*: attempts have run, and nothing of what they gave is on disk;
- *after the commit*: it is on disk, and nothing that follows from it has left;
- *before the answer*: what follows from it has left (attempts begin), and nobody has been told anything.

Each time a successor folds and goes on, the client asks again under the same id, and the end is compared with that of a run
in which nobody died. The ledger must show that no result that was on disk was computed again, and that no at-most-once
task ran twice; where such a task is in doubt, the answer is what the ledger says: it happened, or it did not.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from raywf.aggregation import FactSet
from raywf.core.codec import from_record, last_part
from raywf.core.execution import fold
from raywf.definition.compile import compile_plan
from raywf.definition.inputs import bind_input
from raywf.definition.model import WorkflowDefinition
from raywf.definition.workflows import Workflow, as_workflow
from raywf.errors import InvalidInput, RaywfError
from raywf.ports import Batch, EventRow
from raywf.runtime.data import pack
from raywf.testing.aggregators import Known, checked
from raywf.testing.faults import Faults
from raywf.testing.ledger import Call, Clock, Ledger
from raywf.testing.lives import ID, Calm, Lives, Scene

MOMENTS = ("before the commit", "after the commit", "before the answer")


@dataclass(frozen=True, slots=True)
class Kill:
    """One run in which the process died: at the commit ``boundary`` (from 1), at which moment, and what went wrong then.

    ``reached`` False: the run took another way and never came there. ``lost`` attempts were run again; ``doubts`` were
    settled by what the ledger says.
    """

    boundary: int
    moment: str
    reached: bool
    ended: str
    lost: int
    doubts: int
    wrong: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ChaosReport:
    """What became of a workflow that was killed at every boundary. ``boundaries`` says what each commit writes; ``tried``
    are those at which it was killed; ``steady``: two calm runs gave the same result, so ends could be compared whole."""

    workflow: str
    ended: str
    boundaries: tuple[str, ...]
    tried: tuple[int, ...]
    kills: tuple[Kill, ...]
    calls: int
    keys: int
    steady: bool

    @property
    def ok(self) -> bool:
        """Whether nothing went wrong, and there was something to go wrong."""
        return bool(self.kills) and not self.wrong

    @property
    def wrong(self) -> list[str]:
        """Everything that went wrong, with the place."""
        return [f"killed {kill.moment} {kill.boundary}: {each}" for kill in self.kills for each in kill.wrong]

    def to_data(self) -> dict[str, Any]:
        """Plain JSON data."""
        return {
            "workflow": self.workflow,
            "ok": self.ok,
            "ended": self.ended,
            "steady": self.steady,
            "boundaries": list(self.boundaries),
            "tried": list(self.tried),
            "calls": self.calls,
            "keys": self.keys,
            "kills": [{name: getattr(kill, name) for name in Kill.__slots__} for kill in self.kills],
            "wrong": self.wrong,
        }


@dataclass(slots=True)
class _Run:
    """One run, and everything it left behind."""

    lives: Lives
    ledger: Ledger
    closing: EventRow
    histories: list[tuple[str, list[EventRow], WorkflowDefinition]]
    doubts: int

    @property
    def end(self) -> str:
        """How it ended, so that two ends can be compared: the result, or who failed and with what."""
        closing = self.closing
        if closing.kind == "execution_completed":
            return f"completed with {(closing.data or b'').decode()}"
        failure = json.loads(closing.data or b"{}").get("failure") or {}
        return f"{closing.kind.removeprefix('execution_')}: {closing.task or 'no task'}, {failure.get('type', '')}"


def chaos(
    workflow: Workflow[..., Any] | WorkflowDefinition,
    /,
    *args: Any,
    signals: Mapping[str, Any] | None = None,
    approve: bool | None = None,
    seed: int = 0,
    aggregators: Known | None = None,
    limit: int = 200,
    **kwargs: Any,
) -> ChaosReport:
    """Run a workflow to its end, then once more for every boundary of its journal and moment of death. No Ray, no disk.

    Tasks run for real, once and more often for every kill: hand the workflow an input with which that does no harm. At
    more than ``limit`` boundaries that many are tried, evenly spread, the first and the last among them. ``signals``,
    ``approve``, ``seed`` and ``aggregators`` as in ``run``. Raises ``RaywfError`` where the calm run cannot end by itself.
    """
    if type(limit) is not int or limit < 1:
        raise InvalidInput(f"limit={limit!r}: at least one boundary must be tried")
    found = as_workflow(workflow)
    play = _Play(found, bind_input(found, args, kwargs), dict(signals or {}), approve, seed, checked(aggregators))
    watch = _Listing()
    calm = play.run(watch)
    steady = play.run(Calm()).end == calm.end
    tried = _spread(len(watch.boundaries), limit)
    kills = [play.kill(number, moment, calm, steady) for number in tried for moment in MOMENTS]
    return ChaosReport(
        workflow=found.definition.id,
        ended=calm.end.partition(":")[0].partition(" ")[0],
        boundaries=tuple(watch.boundaries),
        tried=tuple(tried),
        kills=tuple(kills),
        calls=len(calm.ledger.calls),
        keys=len(calm.ledger.keys()),
        steady=steady,
    )


def _spread(count: int, limit: int) -> list[int]:
    """At most ``limit`` of the numbers 1 to ``count``, evenly spread."""
    if count <= limit:
        return list(range(1, count + 1))
    if limit == 1:
        return [1]
    return sorted({1 + round(place * (count - 1) / (limit - 1)) for place in range(limit)})


@dataclass(frozen=True, slots=True)
class _Play:
    workflow: Workflow[..., Any]
    input: bytes
    signals: Mapping[str, Any]
    approve: bool | None
    seed: int
    aggregators: Mapping[str, FactSet]

    def run(self, watch: Calm) -> _Run:
        ledger = Ledger()
        clerk = _Clerk(ledger)
        scene = Scene(
            self.workflow,
            self.input,
            Faults({}, self.seed),
            ledger,
            Clock(),
            self.signals,
            self.approve,
            self.seed,
            watch,
            clerk.decide,
            aggregators=self.aggregators,
        )
        lives = clerk.lives = Lives(scene)
        histories: list[tuple[str, list[EventRow], WorkflowDefinition]] = []
        closing = lives.play(lambda: _read(lives, histories))
        return _Run(lives, ledger, closing, histories, clerk.doubts)

    def kill(self, number: int, moment: str, calm: _Run, steady: bool) -> Kill:
        watch = _Killing(number, moment)
        try:
            run = self.run(watch)
        except RaywfError as error:
            return Kill(number, moment, watch.done, "open", 0, 0, (f"it never ended: {error}",))
        lost = sum(event.kind == "attempt_lost" for _, events, _ in run.histories for event in events)
        wrong = tuple(_wrongs(run, calm, steady)) if watch.done else ()
        return Kill(number, moment, watch.done, run.end.partition(":")[0].partition(" ")[0], lost, run.doubts, wrong)


async def _read(lives: Lives, into: list[tuple[str, list[EventRow], WorkflowDefinition]]) -> None:
    """Every history of the run, while its store is there."""
    rows = await lives.store.executions("default", limit=1_000_000)
    into += [
        (row.id, await lives.store.history(row.key), await lives.readings.definition(row.definition)) for row in rows
    ]


@dataclass(slots=True)
class _Clerk:
    """Settles doubts as a person would who can look at the outside: it happened, with this result, or it did not."""

    ledger: Ledger
    doubts: int = 0
    lives: Lives | None = field(default=None)

    def decide(self, key: str) -> tuple[str, bytes | None]:
        self.doubts += 1
        assert self.lives is not None
        done = [call for call in self.ledger.calls if call.idempotency_key == key and call.outcome == "completed"]
        if done:
            return "completed", pack(done[-1].result, self.lives.blobs)
        began = [call for call in self.ledger.calls if call.idempotency_key == key]
        return ("failed", None) if began else ("retry", None)


class _Listing(Calm):
    """Writes down what each commit of the calm run writes."""

    def __init__(self) -> None:
        self.boundaries: list[str] = []

    def before(self, number: int, batch: Batch) -> bool:
        self.boundaries.append(_said(batch.events))
        return False


def _said(events: Sequence[EventRow]) -> str:
    """A commit in words: the first few of its events."""
    words = [f"{event.kind} {event.task}" if event.task else event.kind for event in events]
    if not words:
        return "statuses"
    return ", ".join(words[:3]) + (f" and {len(words) - 3} more" if len(words) > 3 else "")


class _Killing(Calm):
    """Ends the process once: at one commit, at one moment."""

    def __init__(self, number: int, moment: str) -> None:
        self._number = number
        self._moment = moment
        self.done = False

    def _is_it(self, number: int, moment: str) -> bool:
        if self.done or number != self._number or moment != self._moment:
            return False
        self.done = True
        return True

    def before(self, number: int, batch: Batch) -> bool:
        return self._is_it(number, MOMENTS[0])

    def after(self, number: int, batch: Batch) -> bool:
        return self._is_it(number, MOMENTS[1])

    def dies_next(self, number: int) -> bool:
        return self._is_it(number, MOMENTS[2])


def _wrongs(run: _Run, calm: _Run, steady: bool) -> Iterator[str]:
    """What must be true after a crash, and is not."""
    for call in run.ledger.again:
        yield f"attempt {call.attempt} of {_where(call)} began although its result was on disk"
    yield from _twice(run)
    yield from _histories(run)
    same = run.end == calm.end if steady else run.closing.kind == calm.closing.kind
    if not same and not (run.closing.kind == "execution_failed" and "raywf.errors.InDoubt" in run.end):
        yield f"it {run.end:.200}, and without a crash it {calm.end:.200}"


def _twice(run: _Run) -> Iterator[str]:
    once = {
        f"{id_}/{node.id}"
        for id_, _, definition in run.histories
        for node in compile_plan(definition).nodes
        if node.options.effect == "at_most_once" and node.options.in_doubt != "retry"  # which asks for another
    }
    for key, calls in run.ledger.repeated().items():
        if _plain(key) in once:
            yield f"{_where(calls[0])} has effect='at_most_once' and ran {len(calls)} times"


def _plain(key: str) -> str:
    """A key without the item and the passes of its task."""
    head, _, name = key.rpartition("/")
    return f"{head}/{name.partition('[')[0].partition('@')[0]}"


def _histories(run: _Run) -> Iterator[str]:
    if not any(id_ == ID for id_, _, _ in run.histories):
        yield "the execution was accepted and is not in the store"
    for id_, events, definition in run.histories:
        if [event.seq for event in events] != list(range(1, len(events) + 1)):
            yield f"the history of {id_} has a gap"
        try:
            _, part = last_part(events, definition.content_hash)
            state = fold(compile_plan(definition), (from_record(*event[4:]) for event in part))
        except Exception as error:
            yield f"the history of {id_} does not fold: {type(error).__name__}: {error}"
            continue
        if state.closed is None:
            yield f"the execution {id_} is still open after the end of its root"
        signals = [from_record(*event[4:]) for event in events if event.kind == "signal_received"]
        names = [getattr(signal, "id", "") for signal in signals]
        if len(set(names)) < len(names):
            yield f"a signal counted twice in the history of {id_}"


def _where(call: Call) -> str:
    return call.task_id if call.execution_id == ID else f"{call.task_id} of {call.execution_id}"
