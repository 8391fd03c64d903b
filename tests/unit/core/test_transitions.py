"""The state machine, case by case: which event each status takes, and what becomes of it."""

from __future__ import annotations

import pytest

from raywf.core import events as ev
from raywf.core.effects import ArmTimer, CancelAttempt, Close, Evaluate, StartAttempt
from raywf.core.execution import IllegalTransition, evolve, fold, is_current, outstanding, step, task_at
from raywf.core.failures import Failure
from raywf.core.state import ExecutionState, ExecutionStatus, TaskStatus, result_bytes
from tests.unit.core.plans import BROKEN, call, plan_of, ref

START = ev.ExecutionStarted(b"{}")
SIDES = {"when": {"op": "==", "left": {"$ref": "a"}, "right": 1}, "result": {"then": ref("b"), "otherwise": None}}

# A call whose predecessor is `a`, in every status it can have: b is the only task on a side of a `when`.
PLAN = plan_of(call("a"), {"id": "w", "then": ["b"], **SIDES}, call("b", "a"), result=ref("w"))
UP_TO_B = (START, ev.TaskCompleted("a", 1, b"1"), ev.BranchTaken("w", True))
RUNS = (*UP_TO_B, ev.AttemptStarted("b", 1))
HISTORIES: dict[str, tuple[ev.Event, ...]] = {
    "pending": (START,),
    "ready": UP_TO_B,
    "running": RUNS,
    "retrying": (*RUNS, ev.AttemptFailed("b", BROKEN, 1, 9.0)),
    "completed": (*RUNS, ev.TaskCompleted("b", 1, b"2")),
    "failed": (*RUNS, ev.AttemptFailed("b", BROKEN, 1, None)),
    "skipped": (*UP_TO_B[:2], ev.BranchTaken("w", False)),
    "cancelled": (*RUNS, ev.CancelRequested("no"), ev.AttemptCancelled("b", 1)),
}
EVENTS: dict[str, ev.Event] = {
    "started": ev.AttemptStarted("b", 1),
    "completed": ev.TaskCompleted("b", 1, b"2"),
    "failed": ev.AttemptFailed("b", BROKEN, 1, None),
    "failed, again later": ev.AttemptFailed("b", BROKEN, 1, 9.0),
    "lost": ev.AttemptLost("b", 1, "gone"),
    "cancelled": ev.AttemptCancelled("b", 1),
    "timer": ev.TimerFired("b"),
    "map": ev.MapStarted("b", 2),
    "branch": ev.BranchTaken("b", True),
    "sleep": ev.TimerStarted("b", 9.0, b"1"),
    "signal awaited": ev.SignalAwaited("b", "s"),
    "approval": ev.ApprovalRequested("b", "?", b"1"),
    "child": ev.ChildStarted("b", "x/b"),
}
LEGAL = {
    ("ready", "started"): "running",
    ("ready", "completed"): "completed",
    ("ready", "failed"): "failed",
    ("ready", "failed, again later"): "retrying",
    ("ready", "lost"): "ready",
    ("ready", "cancelled"): "cancelled",
    ("ready", "map"): "running",
    ("ready", "branch"): "ready",  # its value is there at once, because the side has no tasks
    ("ready", "sleep"): "waiting",
    ("ready", "signal awaited"): "waiting",
    ("ready", "approval"): "waiting",
    ("ready", "child"): "running",
    ("running", "started"): "running",
    ("running", "completed"): "completed",
    ("running", "failed"): "failed",
    ("running", "failed, again later"): "retrying",
    ("running", "lost"): "ready",
    ("running", "cancelled"): "cancelled",
    ("running", "child"): "running",
    ("retrying", "timer"): "ready",
}


def status(state: ExecutionState, id_: str) -> str:
    return str(state.tasks[state.plan.index[id_]].status)


@pytest.mark.parametrize("before", HISTORIES)
def test_each_status_can_be_reached(before: str) -> None:
    assert status(fold(PLAN, HISTORIES[before]), "b") == before


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("before", HISTORIES)
def test_what_a_status_takes_and_what_becomes_of_it(before: str, event: str) -> None:
    """Legal events lead to the status on record; any other raises, and names the task and its status."""
    state = fold(PLAN, HISTORIES[before])
    after = LEGAL.get((before, event))
    if after is None:
        with pytest.raises(IllegalTransition, match=f"'b' is {before}"):
            evolve(state, EVENTS[event])
    else:
        assert status(evolve(state, EVENTS[event]), "b") == after


@pytest.mark.parametrize("event", ["started", "completed", "failed", "failed, again later", "lost", "cancelled"])
@pytest.mark.parametrize("before", ["ready", "running"])
def test_the_word_of_an_attempt_that_is_not_the_current_one_is_refused(before: str, event: str) -> None:
    second = (ev.AttemptLost("b", 1, "gone"), *((ev.AttemptStarted("b", 2),) if before == "running" else ()))
    state = fold(PLAN, (*RUNS, *second))
    assert status(state, "b") == before
    with pytest.raises(IllegalTransition):
        evolve(state, EVENTS[event])


WAITS: dict[str, tuple[dict[str, object], ev.Event]] = {
    "sleep": ({"sleep": {"seconds": 1}}, ev.TimerStarted("w", 9.0, b"1")),
    "signal": ({"signal": {"name": "s"}}, ev.SignalAwaited("w", "s", 9.0, b"1")),
    "approval": ({"approval": {"prompt": "?"}}, ev.ApprovalRequested("w", "?", b"1", 9.0, b"2", b"3")),
}


@pytest.mark.parametrize("wait", WAITS)
def test_a_task_that_waits_takes_only_what_it_waits_for(wait: str) -> None:
    body, began = WAITS[wait]
    plan = plan_of({"id": "w", **body}, result=ref("w"))
    state = fold(plan, (START, began))
    assert (status(state, "w"), state.status) == ("waiting", ExecutionStatus.WAITING)
    for event in (
        ev.AttemptStarted("w", 1), ev.TaskCompleted("w", 1, b"1"), ev.AttemptFailed("w", BROKEN, 1, None),
        ev.AttemptFailed("w", BROKEN, 1, 9.0), ev.AttemptLost("w", 1), ev.AttemptCancelled("w", 1),
        ev.MapStarted("w", 1), ev.BranchTaken("w", True), ev.ChildStarted("w", "x/w"), began,
    ):  # fmt: skip
        with pytest.raises(IllegalTransition):
            evolve(state, event)
    assert status(evolve(state, ev.TimerFired("w")), "w") == "completed"
    assert status(evolve(state, ev.CancelRequested("")), "w") == "cancelled"


EXECUTION: dict[str, tuple[ev.Event, ...]] = {
    "pending": (),
    "running": (START,),
    "closing": (START, ev.AttemptStarted("a", 1), ev.CancelRequested("no")),
    "completed": (START, ev.TaskCompleted("a", 1, b"1"), ev.ExecutionCompleted(b"1")),
    "failed": (START, ev.AttemptFailed("a", BROKEN, 1, None), ev.ExecutionFailed("a", BROKEN)),
    "cancelled": (START, ev.CancelRequested("no"), ev.AttemptCancelled("a", 1), ev.ExecutionCancelled("no")),
}
ALL_EVENTS: tuple[ev.Event, ...] = (
    START, ev.AttemptStarted("a", 1), ev.TaskCompleted("a", 1, b"1"), ev.AttemptFailed("a", BROKEN, 1, None),
    ev.AttemptLost("a", 1), ev.AttemptCancelled("a", 1), ev.MapStarted("a", 1), ev.BranchTaken("a", True),
    ev.TimerStarted("a", 1.0, b"1"), ev.SignalAwaited("a", "s"), ev.ApprovalRequested("a", "?", b"1"),
    ev.ChildStarted("a", "x/a"), ev.TimerFired("a"), ev.SignalReceived("s", b"1", "1"),
    ev.ApprovalDecided("a", True, "", "1"), ev.CancelRequested(""), ev.DeadlineExceeded(1.0),
    ev.ExecutionCompleted(b"1"), ev.ExecutionFailed(None, BROKEN), ev.ExecutionCancelled(""),
)  # fmt: skip
ONE = plan_of(call("a"), result=ref("a"))


@pytest.mark.parametrize("end", ["completed", "failed", "cancelled"])
@pytest.mark.parametrize("event", ALL_EVENTS, ids=lambda event: type(event).__name__)
def test_a_closed_execution_takes_nothing(end: str, event: ev.Event) -> None:
    state = fold(ONE, EXECUTION[end])
    assert str(state.status) == end
    with pytest.raises(IllegalTransition, match=f"the execution is {end}"):
        evolve(state, event)
    assert list(outstanding(state)) == []


@pytest.mark.parametrize("before", ["running", "closing"])
def test_an_execution_starts_once(before: str) -> None:
    with pytest.raises(IllegalTransition, match="started already"):
        evolve(fold(ONE, EXECUTION[before]), START)


@pytest.mark.parametrize("before", ["pending", "running", "closing"])
def test_an_execution_ends_only_when_nothing_is_left(before: str) -> None:
    for end in (ev.ExecutionCompleted(b"1"), ev.ExecutionFailed(None, BROKEN), ev.ExecutionCancelled("")):
        with pytest.raises(IllegalTransition):
            evolve(fold(ONE, EXECUTION[before]), end)


@pytest.mark.parametrize("where", ["nobody", "b[0]", "m[9]", "m[x]", "m[-1]"])
def test_an_event_about_a_task_that_is_not_in_the_plan_is_refused(where: str) -> None:
    plan = plan_of(call("b"), {"id": "m", "function": "app:f", "map": [[1, 2]]}, result=None)
    state = fold(plan, (START, ev.MapStarted("m", 2)))
    with pytest.raises(IllegalTransition):
        evolve(state, ev.TaskCompleted(where, 1, b"1"))


def test_a_fan_out_lives_through_its_items() -> None:
    """Ready until its width is known; then it runs until the last item has completed, and takes no result itself."""
    plan = plan_of({"id": "m", "function": "app:f", "map": [[1, 2]]}, call("z", "m"), result=ref("z"))
    state, effects = step(fold(plan, [START]), ev.MapStarted("m", 2))
    assert effects == (StartAttempt(0, 0, 1), StartAttempt(0, 1, 1))
    with pytest.raises(IllegalTransition):
        evolve(state, ev.TaskCompleted("m", 1, b"[]"))
    with pytest.raises(IllegalTransition):
        evolve(state, ev.AttemptFailed("m", BROKEN, 1, None))
    state = fold(plan, [START, ev.MapStarted("m", 2), ev.TaskCompleted("m[1]", 1, b"11")])
    assert (status(state, "m"), task_at(state, 0, 0).status) == ("running", TaskStatus.READY)
    state, effects = step(state, ev.TaskCompleted("m[0]", 1, b"10"))
    assert (status(state, "m"), effects) == ("completed", (StartAttempt(1, None, 1),))
    assert result_bytes(state, 0) == b"[10,11]"


def test_a_fan_out_over_nothing_is_done_at_once() -> None:
    plan = plan_of({"id": "m", "function": "app:f", "map": [[]]}, call("z", "m"), result=ref("z"))
    state, effects = step(fold(plan, [START]), ev.MapStarted("m", 0))
    assert (status(state, "m"), result_bytes(state, 0), effects) == ("completed", b"[]", (StartAttempt(1, None, 1),))


def test_an_item_that_fails_for_good_fails_the_fan_out_and_cancels_the_others() -> None:
    plan = plan_of({"id": "m", "function": "app:f", "map": [[1, 2, 3]]}, result=ref("m"))
    state = fold(plan, [START, ev.MapStarted("m", 3), ev.TaskCompleted("m[0]", 1, b"0")])
    state, effects = step(state, ev.AttemptFailed("m[1]", BROKEN, 1, None))
    assert effects == (CancelAttempt(0, 2, 1),)
    assert status(state, "m") == "failed"
    state, effects = step(state, ev.AttemptCancelled("m[2]", 1))
    assert effects == (Close(),)
    assert state.closing is not None
    assert (state.closing.task, state.closing.failure) == ("m[1]", BROKEN)


def test_a_fan_out_that_is_given_up_stays_so_even_when_its_last_item_completes() -> None:
    plan = plan_of({"id": "m", "function": "app:f", "map": [[1, 2]]}, call("z", "m"), result=ref("z"))
    began = [START, ev.MapStarted("m", 2), ev.TaskCompleted("m[0]", 1, b"0"), ev.CancelRequested("no")]
    state, effects = step(fold(plan, began), ev.TaskCompleted("m[1]", 1, b"1"))
    assert (status(state, "m"), status(state, "z"), effects) == ("cancelled", "pending", (Close(),))


def test_only_the_side_that_was_taken_runs_and_nested_sides_are_skipped_whole() -> None:
    inner = {"when": {"op": "==", "left": {"$ref": "a"}, "right": 2}, "then": ["deep"], "result": {"then": None}}
    outer = {"id": "w", "then": ["left"], "otherwise": ["inner"], **SIDES}
    outer["result"] = {"then": ref("left"), "otherwise": ref("inner")}
    plan = plan_of(
        call("a"), outer, call("left"), {"id": "inner", **inner}, call("deep"), call("end", "w"), result=ref("end")
    )
    state, effects = step(fold(plan, [START, ev.TaskCompleted("a", 1, b"1")]), ev.BranchTaken("w", True))
    assert [status(state, each) for each in ("left", "inner", "deep")] == ["ready", "skipped", "skipped"]
    assert effects == (StartAttempt(plan.index["left"], None, 1),)
    state, effects = step(state, ev.TaskCompleted("left", 1, b"1"))
    assert effects == (Evaluate(plan.index["w"]),)
    state = evolve(state, ev.TaskCompleted("w", 1, b"1"))
    state, effects = step(state, ev.TaskCompleted("end", 1, b"1"))
    assert effects == (Close(),)
    assert state.left == 0


def test_a_side_waits_for_what_its_value_reads_outside_of_it() -> None:
    when = {"id": "w", **SIDES, "result": {"then": ref("slow"), "otherwise": None}}
    plan = plan_of(call("a"), call("slow"), when, result=ref("w"))
    state, effects = step(fold(plan, [START, ev.TaskCompleted("a", 1, b"1")]), ev.BranchTaken("w", True))
    assert (status(state, "w"), effects) == ("running", ())
    state, effects = step(state, ev.TaskCompleted("slow", 1, b"1"))
    assert (status(state, "w"), effects) == ("ready", (Evaluate(plan.index["w"]),))
    other = evolve(fold(plan, [START, ev.TaskCompleted("a", 1, b"1")]), ev.BranchTaken("w", False))
    assert status(other, "w") == "ready"


def test_an_attempt_lost_twice_runs_alone_the_third_time_and_uncounted_losses_do_not_count() -> None:
    state = fold(ONE, [START])
    for attempt, counted in enumerate([False, True, False], start=1):
        state, effects = step(state, ev.AttemptLost("a", attempt, "gone", counted))
        assert effects == (StartAttempt(0, None, attempt + 1, isolated=False),)
    state, effects = step(state, ev.AttemptLost("a", 4, "gone", counted=True))
    assert effects == (StartAttempt(0, None, 5, isolated=True),)
    assert is_current(state, 0, None, 5)
    assert not is_current(state, 0, None, 4)


def test_a_retry_waits_for_its_timer_and_is_a_new_attempt() -> None:
    state, effects = step(fold(ONE, [START]), ev.AttemptFailed("a", BROKEN, 1, 4.5))
    assert (state.status, effects) == (ExecutionStatus.RUNNING, (ArmTimer(0, None, 4.5),))
    state, effects = step(state, ev.TimerFired("a"))
    assert effects == (StartAttempt(0, None, 2),)
    assert task_at(state, 0, None).failures == 1


def test_a_cancel_while_a_task_waits_for_its_retry_ends_the_execution() -> None:
    state, effects = step(
        fold(ONE, [START, ev.AttemptFailed("a", BROKEN, 1, 4.5)]), ev.CancelRequested("changed my mind")
    )
    assert effects == (Close(),)
    assert status(state, "a") == "cancelled"
    assert evolve(state, ev.ExecutionCancelled("changed my mind")).status is ExecutionStatus.CANCELLED


def test_the_second_reason_to_end_changes_nothing() -> None:
    state = fold(ONE, [START, ev.CancelRequested("first")])
    again, effects = step(state, ev.CancelRequested("second"))
    assert (again, effects) == (state, ())
    late, effects = step(state, ev.DeadlineExceeded(9.0))
    assert (late, effects) == (state, ())
    failed = evolve(state, ev.AttemptFailed("a", BROKEN, 1, 9.0))
    assert failed.closing is not None
    assert (failed.closing.reason, status(failed, "a")) == ("first", "failed")


def test_a_cancel_before_the_start_ends_it_before_anything_starts() -> None:
    state, effects = step(fold(ONE, [ev.CancelRequested("early")]), START)
    assert effects == (Close(),)
    assert status(state, "a") == "pending"


def test_a_deadline_fails_the_execution_and_says_which() -> None:
    state, effects = step(fold(ONE, [START]), ev.DeadlineExceeded(1234.5))
    assert effects == (CancelAttempt(0, None, 1),)
    assert state.closing is not None
    assert state.closing.failure is not None
    assert (state.closing.status, state.closing.failure.type) == (ExecutionStatus.FAILED, "DeadlineExceeded")
    assert "1234.5" in state.closing.failure.message


def test_what_ran_when_the_end_came_may_still_complete_and_wakes_nobody() -> None:
    plan = plan_of(call("a"), call("b"), call("c", "b"), result=ref("c"))
    state = fold(plan, [START, ev.AttemptFailed("a", BROKEN, 1, None)])
    state, effects = step(state, ev.TaskCompleted("b", 1, b"1"))
    assert (status(state, "b"), status(state, "c"), effects) == ("completed", "pending", (Close(),))


def test_a_loss_while_closing_is_an_end() -> None:
    state, effects = step(fold(ONE, [START, ev.CancelRequested("")]), ev.AttemptLost("a", 1, "gone"))
    assert (status(state, "a"), effects) == ("cancelled", (Close(),))


def test_a_result_that_is_asked_for_too_early_is_an_error_that_says_the_status() -> None:
    with pytest.raises(LookupError, match="'a' has no result: it is ready"):
        result_bytes(fold(ONE, [START]), 0)


# signals


def waits(*ids: str, name: str = "s") -> list[dict[str, object]]:
    return [{"id": id_, "signal": {"name": name}} for id_ in ids]


def test_signals_are_taken_once_each_in_order_and_one_that_came_early_is_kept() -> None:
    plan = plan_of(call("a"), *[{**each, "after": ["a"]} for each in waits("x", "y")], result=ref("x", "y"))
    early = [START, ev.SignalReceived("s", b"1", "i1"), ev.SignalReceived("t", b"0", "i0")]
    state = fold(plan, [*early, ev.SignalReceived("s", b"2", "i2"), ev.TaskCompleted("a", 1, b"")])
    state, effects = step(state, ev.SignalAwaited("x", "s"))
    assert (state.tasks[1].value, effects) == (b"1", ())
    state = evolve(state, ev.SignalAwaited("y", "s"))
    assert state.tasks[2].value == b"2"
    assert [signal.name for signal in state.signals] == ["t"]


def test_a_repeated_signal_id_is_no_event_at_all() -> None:
    plan = plan_of(*waits("x", "y"), result=None)
    state = fold(plan, [START, ev.SignalAwaited("x", "s"), ev.SignalReceived("s", b"1", "i1")])
    assert step(state, ev.SignalReceived("s", b"1", "i1")) == (state, ())
    state = evolve(state, ev.SignalAwaited("y", "s"))
    assert step(state, ev.SignalReceived("s", b"9", "i1")) == (state, ())
    assert status(evolve(state, ev.SignalReceived("s", b"1", "i2")), "y") == "completed"


def test_a_signal_wakes_one_of_those_who_wait_and_never_a_stranger() -> None:
    plan = plan_of(*waits("x", "y"), *waits("z", name="t"), result=None)
    began = [ev.SignalAwaited("x", "s"), ev.SignalAwaited("y", "s"), ev.SignalAwaited("z", "t")]
    state = fold(plan, [START, *began, ev.SignalReceived("s", b"1", "i1")])
    assert [status(state, each) for each in "xyz"] == ["completed", "waiting", "waiting"]


def test_a_wait_that_times_out_gives_its_default_or_fails_for_good() -> None:
    plan = plan_of(*waits("x"), result=None)
    good = fold(plan, [START, ev.SignalAwaited("x", "s", 9.0, b"7"), ev.TimerFired("x")])
    assert (status(good, "x"), good.tasks[0].value) == ("completed", b"7")
    bad = fold(plan, [START, ev.SignalAwaited("x", "s", 9.0, None), ev.TimerFired("x")])
    assert bad.tasks[0].failure == Failure("TimeoutError", "no signal 's' came in time", "", 1, False)


# approvals


def asked(on_reject: bytes | None = None, on_timeout: bytes | None = None) -> ExecutionState:
    plan = plan_of({"id": "a", "approval": {"prompt": "Publish?"}}, result=ref("a"))
    return fold(plan, [START, ev.ApprovalRequested("a", "Publish?", b"5", 9.0, on_reject, on_timeout)])


def test_an_approval_gives_its_data() -> None:
    state, effects = step(asked(), ev.ApprovalDecided("a", True, "fine", "i1"))
    assert (state.tasks[0].value, effects) == (b"5", (Close(),))


def test_a_rejection_fails_the_task_with_the_comment_unless_a_value_was_given() -> None:
    failure = evolve(asked(), ev.ApprovalDecided("a", False, "too long", "i1")).tasks[0].failure
    assert failure == Failure("ApprovalRejected", "Publish? was rejected: too long", "", 1, False)
    assert evolve(asked(on_reject=b"6"), ev.ApprovalDecided("a", False, "", "i1")).tasks[0].value == b"6"


def test_nobody_answering_fails_the_task_unless_a_value_was_given() -> None:
    failure = evolve(asked(), ev.TimerFired("a")).tasks[0].failure
    assert failure is not None
    assert (failure.type, failure.retryable) == ("TimeoutError", False)
    assert evolve(asked(on_timeout=b"7"), ev.TimerFired("a")).tasks[0].value == b"7"


@pytest.mark.parametrize("second", [("i1", False), ("i2", False), ("i2", True)])
def test_the_first_answer_to_an_approval_counts(second: tuple[str, bool]) -> None:
    id_, approved = second
    plan = plan_of({"id": "a", "approval": {"prompt": "?"}}, call("b"), result=ref("a"))
    state = fold(plan, [START, ev.ApprovalRequested("a", "?", b"5"), ev.ApprovalDecided("a", True, "", "i1")])
    again, effects = step(state, ev.ApprovalDecided("a", approved, "", id_))
    assert (again.tasks, again.closing, effects) == (state.tasks, None, ())


def test_an_answer_that_nobody_asked_for_is_no_answer_to_a_later_question() -> None:
    plan = plan_of(call("b"), {"id": "a", "approval": {"prompt": "?"}, "after": ["b"]}, result=ref("a"))
    state = fold(plan, [START, ev.ApprovalDecided("a", True, "", "i1"), ev.TaskCompleted("b", 1, b"")])
    state = evolve(state, ev.ApprovalRequested("a", "?", b"5"))
    assert status(state, "a") == "waiting"


def test_a_pause_and_its_end_ask_nobody_twice_to_end() -> None:
    """An execution that was cancelled waits for the ends of its attempts; a pause changes nothing about that."""
    plan = plan_of(call("a"), call("b"))
    cancelled = fold(plan, [START, ev.CancelRequested("enough"), ev.PauseRequested("later", False)])
    assert list(outstanding(cancelled)) == [CancelAttempt(0, None, 1), CancelAttempt(1, None, 1)]
    resumed, effects = step(cancelled, ev.ResumeRequested())
    assert effects == ()
    assert list(outstanding(resumed)) == list(outstanding(cancelled))


def test_what_a_pause_held_back_is_owed_at_its_end() -> None:
    paused = fold(plan_of(call("a"), call("b")), [START, ev.AttemptStarted("a", 1), ev.PauseRequested("later", False)])
    assert list(outstanding(paused)) == [StartAttempt(0, None, 1)], "what runs is not held back"
    assert step(paused, ev.ResumeRequested())[1] == (StartAttempt(1, None, 1),)
