"""The tables of docs/architecture.md, found by asking the brain: each event in each situation.

`python -m tests.docs.transitions` writes them into the page when the brain has changed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from raywf.core import events as ev
from raywf.core.execution import IllegalTransition, evolve, fold
from raywf.core.failures import Failure
from raywf.core.plan import Plan
from raywf.core.state import ExecutionState, ExecutionStatus, TaskStatus
from raywf.definition.compile import compile_plan
from raywf.definition.model import WorkflowDefinition

FAILURE = Failure("ValueError", "no")
REFUSED = "–"


def plan(*tasks: dict[str, object]) -> Plan:
    return compile_plan(WorkflowDefinition.model_validate({"id": "example", "tasks": list(tasks)}))


def call(id: str, **more: object) -> dict[str, object]:
    return {"id": id, "function": "app:work", **more}


OTHER = call("other")
"""A second task that goes on, so that the execution stays open whatever happens to the first."""

STARTED = ev.ExecutionStarted(b"{}")


@dataclass(frozen=True)
class Situation:
    """A history after which task ``t`` has a certain status."""

    plan: Plan
    history: tuple[ev.Event, ...]
    waits_for: str = ""

    @property
    def state(self) -> ExecutionState:
        return fold(self.plan, self.history)


def situation(history: Iterable[ev.Event], *tasks: dict[str, object], waits_for: str = "") -> Situation:
    return Situation(plan(*tasks, OTHER), (STARTED, *history), waits_for)


T = call("t")
ONCE = call("t", options={"effect": "at_most_once"})
ANSWERING = (ev.ApprovalDecided, ev.SignalReceived, ev.DoubtResolved)
APPROVAL = {"id": "t", "approval": {"prompt": "Go on?"}}
SIGNAL = {"id": "t", "signal": {"name": "go"}}
SLEEP = {"id": "t", "sleep": {"seconds": 5}}
USER = call("user", args=[{"$ref": "t"}])
CONDITION = {"op": "<", "left": 1, "right": 2}
WHEN = {"id": "w", "when": CONDITION, "then": ["t"]}

MEMBER = call("member")
MERGE = {"id": "t", "aggregate": {"results": [{"$ref": "member"}], "timeout": 5}}

SITUATIONS: dict[TaskStatus, list[Situation]] = {
    TaskStatus.PENDING: [situation([], call("first"), call("t", after=["first"]))],
    TaskStatus.READY: [situation([], T)],
    TaskStatus.RUNNING: [situation([ev.AttemptStarted("t", 1)], T)],
    TaskStatus.WAITING: [
        situation([ev.TimerStarted("t", 5.0, b"1")], SLEEP, USER, waits_for="time"),
        situation([ev.AttemptStarted("t", 1), ev.AttemptLost("t", 1)], ONCE, waits_for="doubt"),
        situation([ev.SignalAwaited("t", "go", 5.0, b"1")], SIGNAL, waits_for="signal"),
        situation([ev.SignalAwaited("t", "go", 5.0)], SIGNAL, waits_for="signal"),
        situation([ev.MergeAwaited("t", 5.0)], MERGE, MEMBER, waits_for="merge"),
        situation([ev.ApprovalRequested("t", "Go on?", b"1", 5.0)], APPROVAL, waits_for="approval"),
        situation([ev.ApprovalRequested("t", "Go on?", b"1", 5.0, b"2", b"3")], APPROVAL, waits_for="approval"),
    ],
    TaskStatus.RETRYING: [situation([ev.AttemptFailed("t", FAILURE, 1, 5.0)], T)],
    TaskStatus.COMPLETED: [situation([ev.TaskCompleted("t", 1, b"1")], T)],
    TaskStatus.FAILED: [situation([ev.AttemptFailed("t", FAILURE, 1)], T)],
    TaskStatus.SKIPPED: [situation([ev.BranchTaken("w", False)], WHEN, T)],
    TaskStatus.CANCELLED: [situation([ev.TimerStarted("t", 5.0, b"1"), ev.CancelRequested("")], SLEEP, USER)],
}

CLOSING = (TaskStatus.PENDING, TaskStatus.READY, TaskStatus.RUNNING)
"""The statuses that an unfinished task can have while its execution is closing."""

TASK_EVENTS: dict[str, list[ev.Event]] = {
    "AttemptStarted": [ev.AttemptStarted("t", 1)],
    "TaskCompleted": [ev.TaskCompleted("t", 1, b"1")],
    "ResultReused": [ev.ResultReused("t", 1, b"1", "x", "t", 1.0, "k")],
    "TaskContinued": [ev.TaskContinued("t", 1, "d", b"{}")],
    "AttemptFailed with a time to retry": [ev.AttemptFailed("t", FAILURE, 1, 5.0)],
    "AttemptFailed for good": [ev.AttemptFailed("t", FAILURE, 1)],
    "AttemptLost": [ev.AttemptLost("t", 1, "the process died")],
    "AttemptCancelled": [ev.AttemptCancelled("t", 1)],
    "ProgressMade": [ev.ProgressMade("t", 1, b"1")],
    "ItemsEmitted": [ev.ItemsEmitted("t", 1, 0, (b"1",))],
    "ChildStarted": [ev.ChildStarted("t", "parent/t")],
    "MapStarted, items to run": [ev.MapStarted("t", 2)],
    "MapStarted, an empty list": [ev.MapStarted("t", 0)],
    "BranchTaken": [ev.BranchTaken("t", True)],
    "PassStarted": [ev.PassStarted("t", 1, b"1")],
    "TimerStarted": [ev.TimerStarted("t", 5.0, b"1")],
    "MergeAwaited": [ev.MergeAwaited("t", 5.0)],
    "MergeDecided": [ev.MergeDecided("t", 2, 1)],
    "SignalAwaited": [ev.SignalAwaited("t", "go", 5.0)],
    "ApprovalRequested": [ev.ApprovalRequested("t", "Go on?", b"1", 5.0)],
    "TimerFired": [ev.TimerFired("t")],
    "DoubtResolved": [ev.DoubtResolved("t", each, b"1", "", "d-1") for each in ("retry", "completed", "failed")],
    "SignalReceived": [ev.SignalReceived("go", b"1", "s-1")],
    "ApprovalDecided": [ev.ApprovalDecided("t", yes, "", "a-1") for yes in (True, False)],
}
"""What can happen to a task. A signal goes to an execution, and from there to the task that waits for its name."""

ANSWERS = {"MergeDecided": "merge", "SignalReceived": "signal", "ApprovalDecided": "approval", "DoubtResolved": "doubt"}
"""Events that mean something to one kind of wait only."""


BRANCH = {"id": "t", "when": CONDITION, "then": ["member"], "result": {"then": {"$ref": "member"}}}
LOOP = {
    "id": "t",
    "loop": {"initial": 0, "body": ["member"], "result": {"$ref": "member"}, "until": {"$ref": "member"}},
}
READY_FOR: dict[str, Situation] = {
    "ChildStarted": situation([], {"id": "t", "workflow": {"id": "child", "tasks": [call("work")]}}),
    "MapStarted": situation([], {"id": "t", "function": "app:work", "map": [[1, 2]]}),
    "BranchTaken": situation([], BRANCH, MEMBER),
    "PassStarted": situation([], LOOP, MEMBER),
    "TimerStarted": situation([], SLEEP, USER),
    "MergeAwaited": situation([], MERGE, MEMBER),
    "SignalAwaited": situation([], SIGNAL),
    "ApprovalRequested": situation([], APPROVAL),
}
"""Ready tasks of the kind to which an event belongs; the other events belong to calls of a function."""


def after(given: Situation, event: ev.Event, closing: bool = False) -> str:
    state = given.state
    if closing:
        state = evolve(state, ev.CancelRequested(""))
    before = status(state)
    try:
        now = status(evolve(state, event))
    except IllegalTransition:
        return REFUSED
    return "no effect" if now == before and type(event) in ANSWERING else now


def status(state: ExecutionState) -> str:
    return state.tasks[state.plan.index["t"]].status.value


def cell(name: str, events: Sequence[ev.Event], column: TaskStatus, closing: bool = False) -> str:
    situations = SITUATIONS[column]
    kind = type(events[0]).__name__
    if kind in READY_FOR and column is TaskStatus.READY:
        situations = [READY_FOR[kind]]
    if name in ANSWERS and column is TaskStatus.WAITING:
        situations = [each for each in situations if each.waits_for == ANSWERS[name]]
    found = dict.fromkeys(after(given, event, closing) for given in situations for event in events)
    return " or ".join(sorted(found))


def rows_of_tasks(columns: Sequence[TaskStatus], closing: bool = False) -> list[list[str]]:
    rows = []
    for name, events in TASK_EVENTS.items():
        kind = type(events[0]).__name__
        shown = f"`{kind}`{name.removeprefix(kind)}"
        rows.append([shown, *(cell(name, events, column, closing) for column in columns)])
    return rows


# executions

UNDOABLE = call("t", options={"compensate": "app:undo"})
EXECUTIONS: dict[str, Situation] = {
    "pending": Situation(plan(T), ()),
    "running": Situation(plan(T), (STARTED,)),
    "waiting": Situation(plan(SIGNAL), (STARTED, ev.SignalAwaited("t", "go"))),
    "paused": Situation(plan(T), (STARTED, ev.PauseRequested())),
    "closing": Situation(plan(T), (STARTED, ev.CancelRequested(""))),
    "compensating": Situation(plan(UNDOABLE), (STARTED, ev.TaskCompleted("t", 1, b"1"), ev.ResultFailed(FAILURE))),
    "completed": Situation(plan(T), (STARTED, ev.TaskCompleted("t", 1, b"1"), ev.ExecutionCompleted(b"1"))),
    "failed, cancelled": Situation(
        plan(T), (STARTED, ev.AttemptFailed("t", FAILURE, 1), ev.ExecutionFailed("t", FAILURE))
    ),
}

EXECUTION_EVENTS: dict[str, ev.Event] = {
    "ExecutionStarted": STARTED,
    "ExecutionForked": ev.ExecutionForked("another", "t", b"{}", b"{}"),
    "ExecutionRetried": ev.ExecutionRetried("r-1"),
    "ExecutionMigrated": ev.ExecutionMigrated("m-1", "old", plan(T).definition, b"{}", b"{}", b"{}"),
    "MigrationRefused": ev.MigrationRefused("m-2", "new", "no"),
    "SignalReceived": ev.SignalReceived("go", b"1", "s-1"),
    "UpdateRefused": ev.UpdateRefused("go", "u-1", FAILURE),
    "PauseRequested": ev.PauseRequested(),
    "ResumeRequested": ev.ResumeRequested(),
    "CancelRequested": ev.CancelRequested(""),
    "DeadlineExceeded": ev.DeadlineExceeded(5.0),
    "ResultFailed": ev.ResultFailed(FAILURE),
    "ExecutionCompleted": ev.ExecutionCompleted(b"1"),
    "ExecutionFailed": ev.ExecutionFailed("t", FAILURE),
    "ExecutionCancelled": ev.ExecutionCancelled(""),
}


def execution_cell(event: ev.Event, given: Situation) -> str:
    try:
        state = evolve(given.state, event)
    except IllegalTransition:
        return REFUSED
    unsaid = state.closing is not None and state.status in (ExecutionStatus.PENDING, ExecutionStatus.RUNNING)
    return "closing" if unsaid else state.status.value


def rows_of_executions() -> list[list[str]]:
    return [
        [f"`{name}`", *(execution_cell(event, given) for given in EXECUTIONS.values())]
        for name, event in EXECUTION_EVENTS.items()
    ]


# drawing


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def tables() -> dict[str, str]:
    """The tables by the name of their place in the page."""
    every = list(TaskStatus)
    return {
        "task": table(["event", *every], rows_of_tasks(every)),
        "task-closing": table(["event", *CLOSING], rows_of_tasks(CLOSING, closing=True)),
        "execution": table(["event", *EXECUTIONS], rows_of_executions()),
    }


PAGE = Path(__file__).resolve().parents[2] / "docs" / "architecture.md"


def filled(text: str) -> str:
    """The page with the tables as they ought to be."""
    for name, found in tables().items():
        place = re.compile(rf"(?<=<!-- table: {name} -->\n).*?(?=<!-- end -->)", re.DOTALL)
        text, places = place.subn(f"\n{found}\n", text)
        assert places == 1, f"the page has {places} places for the table {name!r}"
    return text


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
