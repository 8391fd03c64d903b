"""Going on under another definition: what is kept, what runs again, what blocks; and that it all comes to a good end."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from raywf.core import events as ev
from raywf.core.codec import from_record, to_record
from raywf.core.execution import IllegalTransition, evolve, fold, initial
from raywf.core.migrating import Moves, Rules, Verdict, plan_moves
from raywf.core.plan import Plan
from raywf.core.snapshot import decode, encode
from raywf.core.state import ExecutionState, ExecutionStatus, TaskStatus, child_of, key_of
from tests.unit.core.plans import BROKEN, World, answer_as_written, answer_at_random, call, plan_of, plans, recount, ref
from tests.unit.core.test_again import answer_in_this_round, go_on, statuses

SLOW = [HealthCheck.too_slow, HealthCheck.filter_too_much]
SEEDS = st.integers(0, 2**32)
STARTED = ev.ExecutionStarted(b"{}")


def done(*tasks: str) -> list[ev.Event]:
    return [ev.TaskCompleted(task, 1, task.encode()) for task in tasks]


def moved(old: Plan, new: Plan, *events: ev.Event, **rules: Any) -> Moves:
    return plan_moves(fold(old, [STARTED, *events]), new, Rules(**rules))


def verdicts(moves: Moves) -> dict[str, str]:
    return {each.task: each.verdict.value for each in moves.tasks}


def reason(moves: Moves, task: str) -> str:
    return next(each.reason for each in moves.tasks if each.task == task)


def state_of(moves: Moves, id_: str = "m-1") -> ExecutionState:
    """The state that the event, as it is in the journal, leads to."""
    event = from_record(*to_record(moves.event(id_, "old")))
    return evolve(initial(moves.target.plan), event)


# what is kept


def test_what_makes_the_same_call_is_kept_and_what_is_new_runs() -> None:
    old = plan_of(call("a"), call("b", "a"), call("c", "b"))
    new = plan_of(call("a"), call("b", "a"), call("check", "b"), call("c", "b", "check"))
    moves = moved(old, new, *done("a", "b"))
    assert verdicts(moves) == {"a": "kept", "b": "kept", "check": "new", "c": "not run yet"}
    assert not moves.blocked
    state = state_of(moves)
    assert statuses(state) == {"a": "completed", "b": "completed", "check": "ready", "c": "pending"}
    assert state.tasks[state.plan.index["b"]].value == b"b"
    assert (state.round, state.seen) == (2, frozenset({"m-1"}))


def test_options_and_code_do_not_matter_to_a_result_on_record() -> None:
    old = plan_of(call("a", source_hash="1"), call("b", "a"))
    new = plan_of(call("a", source_hash="2", options={"timeout": 5}), call("b", "a"))
    moves = moved(old, new, *done("a"))
    assert verdicts(moves)["a"] == "kept"
    assert "its code has changed, which a result on record does not mind" in reason(moves, "a")


def test_another_argument_makes_a_task_run_again_and_all_that_needs_it() -> None:
    old = plan_of(call("a"), call("b", "a"), call("c", "b"), call("d"))
    new = plan_of(call("a"), {**call("b", "a"), "kwargs": {"x": 1}}, call("c", "b"), call("d"))
    moves = moved(old, new, *done("a", "b", "c"))
    assert verdicts(moves) == {"a": "kept", "b": "re-runs", "c": "re-runs", "d": "not run yet"}
    assert reason(moves, "b") == "argument 'x' has changed"
    assert reason(moves, "c") == "what it needs runs again: b"


def test_what_runs_again_is_another_deed_under_another_key() -> None:
    old = plan_of(call("a"), call("b", "a"), {"id": "kid", "workflow": {"id": "k", "tasks": []}})
    new = plan_of(call("a", "b0"), call("b0"), call("b", "a"), {"id": "kid", "workflow": {"id": "k", "tasks": []}})
    finished = [ev.ChildStarted("kid", "x/kid"), ev.TaskCompleted("kid", 1, b"1")]
    state = state_of(moved(old, new, *done("a", "b"), *finished, rerun={"kid"}))
    assert key_of(state, "x", "a") == "x/a#2"
    assert key_of(state, "x", "a[3]") == "x/a#2".replace("a#2", "a[3]#2")
    assert key_of(state, "x", "b0") == "x/b0"
    assert child_of(state, "x", state.plan.index["kid"], None) == "x/kid#2"


def test_a_renamed_task_keeps_its_result_and_what_used_it_still_does() -> None:
    old, new = plan_of(call("a"), call("b", "a")), plan_of(call("first"), call("b", "first"))
    moves = moved(old, new, *done("a", "b"), rename={"a": "first"})
    assert verdicts(moves) == {"first": "kept", "b": "kept"}
    assert reason(moves, "first") == "its result; it was called a"
    without = moved(old, new, *done("a", "b"))
    assert verdicts(without) == {"first": "new", "b": "re-runs", "a": "dropped"}
    assert reason(without, "b") == "argument 1 has changed: it used the result of a, which is gone"


def test_a_value_in_a_new_shape_takes_the_place_of_the_old_one() -> None:
    old, new = plan_of(call("a"), call("b", "a")), plan_of(call("a"), call("b", "a"))
    moves = moved(old, new, *done("a"), converts={"a"}, values={"a": b"[1]"})
    assert state_of(moves).tasks[0].value == b"[1]"
    late = moved(old, new, *done("a"), converts={"a"})
    assert "completed meanwhile" in late.blocked[0]
    assert not moved(old, new, converts={"a"}).blocked


def test_an_order_that_is_new_does_not_bring_back_what_is_done() -> None:
    old = plan_of(call("a"), call("pay", "a"), call("ship", "pay"))
    new = plan_of(call("a"), call("check"), {**call("pay", "a"), "after": ["check"]}, call("ship", "pay"))
    moves = moved(old, new, *done("a", "pay"))
    assert verdicts(moves) == {"a": "kept", "check": "new", "pay": "kept", "ship": "not run yet"}
    assert statuses(state_of(moves))["ship"] == "ready"


def test_waits_go_on_as_they_are() -> None:
    ask = {"id": "ask", "approval": {"prompt": "?", "data": 1, "timeout": 60}}
    rest = {"id": "rest", "sleep": {"seconds": 5, "value": 1}}
    old = plan_of(ask, rest, call("a"), call("end", "rest"))
    again = {"id": "ask", "approval": {"prompt": "?", "data": 1, "timeout": 90}}
    new = plan_of(again, rest, call("a"), call("end", "rest"), call("b", "a"))
    waits = [
        ev.ApprovalRequested("ask", "?", b"1", 60.0),
        ev.TimerStarted("rest", 5.0, b"1"),
        ev.AttemptFailed("a", BROKEN, 1, 9.0),
    ]
    moves = moved(old, new, *waits)
    assert [verdicts(moves)[name] for name in ("ask", "rest", "a", "b")] == ["kept"] * 3 + ["new"]
    state = state_of(moves)
    assert (state.active, state.waiting) == (1, 2)
    assert [state.tasks[at].due_at for at in range(3)] == [60.0, 5.0, 9.0]


def test_a_decision_stands_and_what_is_new_on_its_sides_runs_or_not() -> None:
    def plan(then: list[str], otherwise: list[str]) -> Plan:
        when = {"id": "w", "when": {"op": "==", "left": ref("a")[0], "right": 1}, "then": then, "otherwise": otherwise}
        when["result"] = {"then": ref("t")[0], "otherwise": ref("o")[0]}
        return plan_of(call("a"), when, *map(call, [*then, *otherwise]), call("end", "w"))

    moves = moved(plan(["t"], ["o"]), plan(["t", "t2"], ["o", "o2"]), *done("a"), ev.BranchTaken("w", True))
    assert verdicts(moves) == {
        "a": "kept",
        "w": "kept",
        "t": "not run yet",
        "t2": "new",
        "o": "kept",
        "o2": "new",
        "end": "not run yet",
    }
    assert statuses(state_of(moves)) == {
        "a": "completed",
        "w": "running",
        "t": "ready",
        "t2": "ready",
        "o": "skipped",
        "o2": "skipped",
        "end": "pending",
    }


def test_another_condition_is_decided_anew_with_all_that_belongs_to_it() -> None:
    def plan(right: int) -> Plan:
        when = {"id": "w", "when": {"op": "==", "left": ref("a")[0], "right": right}, "then": ["t"]}
        return plan_of(call("a"), {**when, "result": {"then": ref("t")[0]}}, call("t"), call("end", "w"))

    events = [*done("a"), ev.BranchTaken("w", True), *done("t"), ev.TaskCompleted("w", 1, b"1")]
    moves = moved(plan(1), plan(2), *events)
    assert verdicts(moves) == {"a": "kept", "w": "re-runs", "t": "re-runs", "end": "not run yet"}
    assert reason(moves, "t") == "what is around it runs again: w"


def test_a_fan_out_keeps_the_items_that_are_done() -> None:
    old = plan_of(call("a"), {"id": "m", "function": "app:f", "map": ref("a")}, call("end", "m"))
    new = plan_of(call("a"), {"id": "m", "function": "app:f", "map": ref("a")}, call("more"), call("end", "m", "more"))
    moves = moved(old, new, *done("a"), ev.MapStarted("m", 3), *done("m[1]"))
    assert reason(moves, "m") == "1 of 3 items are done"
    items = state_of(moves).tasks[1].items
    assert items is not None
    assert [str(item.status) for item in items] == ["ready", "completed", "ready"]


def test_a_loop_that_has_begun_goes_on_or_begins_anew_as_a_whole() -> None:
    def plan(*body: str, **more: Any) -> Plan:
        until = {"op": "==", "left": ref("x")[0], "right": 1}
        tasks = [{**call(name, "l"), **more} for name in body]
        return plan_of(
            {"id": "l", "loop": {"initial": 0, "body": list(body), "result": ref("x")[0], "until": until}}, *tasks
        )

    events = [ev.PassStarted("l", 1, b"0"), *done("x@1"), ev.PassStarted("l", 2, b"1")]
    same = moved(plan("x"), plan("x"), *events)
    assert reason(same, "l") == "it is in pass 2"
    assert statuses(state_of(same)) == {"l": "running", "x": "ready"}
    other = moved(plan("x"), plan("x", "y"), *events)
    assert verdicts(other) == {"l": "re-runs", "x": "not run yet", "y": "new"}
    assert "other tasks: y" in reason(other, "l")
    assert statuses(state_of(other))["l"] == "ready"


# what blocks


def test_an_attempt_that_runs_ends_first_and_blocks_where_its_call_has_changed() -> None:
    old = plan_of(call("a"))
    runs = ev.AttemptStarted("a", 1)
    assert reason(moved(old, plan_of(call("a"), call("b")), runs), "a") == "attempt 1 ends first"
    changed = moved(old, plan_of(call("a", "b"), call("b")), runs)
    assert verdicts(changed) == {"a": "blocks", "b": "new"}
    assert "attempt 1 runs now" in changed.blocked[0]
    assert "attempt 1 runs now" in moved(old, plan_of(call("b")), runs).blocked[0]


def test_what_must_not_happen_twice_blocks_unless_somebody_says_so() -> None:
    once = {"options": {"effect": "at_most_once"}}
    old, new = plan_of(call("pay", **once)), plan_of(call("pay", "a", **once), call("a"))
    events = [ev.AttemptStarted("pay", 1), *done("pay")]
    assert "must not run twice" in moved(old, new, *events).blocked[0]
    assert verdicts(moved(old, new, *events, keep={"pay"})) == {"pay": "kept", "a": "new"}
    assert verdicts(moved(old, new, *events, rerun={"pay"}))["pay"] == "re-runs"
    doubt = [ev.AttemptStarted("pay", 1), ev.AttemptLost("pay", 1, "gone")]
    assert "resolve it first" in moved(old, new, *doubt).blocked[0]


def test_what_could_be_taken_back_is_not_forgotten() -> None:
    undo = {"options": {"compensate": "app:undo"}}
    old = plan_of(call("book", **undo), call("b", "book"))
    again = moved(old, plan_of(call("book", "x", **undo), call("x"), call("b", "book")), *done("book"))
    assert "done once more while what it did stands" in again.blocked[0]
    gone = moved(old, plan_of(call("b")), *done("book"))
    assert "nobody could take back what it did" in next(why for why in gone.blocked if why.startswith("book"))
    assert not moved(old, plan_of(call("b")), *done("book"), drop={"book"}).blocked
    plain = moved(old, plan_of(call("book"), call("b", "book")), *done("book"))
    assert plain.notes == ("what book has done is not taken back any more",)


def test_a_child_that_is_open_is_not_left_alone() -> None:
    def plan(**kid: Any) -> Plan:
        return plan_of({"id": "kid", "workflow": {"id": "k", "tasks": [], **kid}})

    started = ev.ChildStarted("kid", "x/kid")
    same = moved(plan(), plan_of({"id": "kid", "workflow": {"id": "k", "tasks": []}}, call("b")), started)
    assert reason(same, "kid") == "its child execution x/kid goes on"
    assert statuses(state_of(same))["kid"] == "ready"
    assert "x/kid is open" in moved(plan(), plan(description="other"), started).blocked[0]
    renamed = plan_of({"id": "other", "workflow": {"id": "k", "tasks": []}})
    assert "x/kid is open" in moved(plan(), renamed, started, rename={"kid": "other"}).blocked[0]


def test_a_signal_that_nothing_takes_any_more_blocks_who_waits_for_it() -> None:
    def plan(name: str) -> Plan:
        return plan_of({"id": "go", "signal": {"name": name}})

    waits = ev.SignalAwaited("go", "go")
    assert "'go', which nothing takes any more" in moved(plan("go"), plan("stop"), waits).blocked[0]
    assert not moved(plan("go"), plan_of(call("a")), waits, drop={"go"}).blocked
    came = moved(plan_of(call("a"), {"id": "go", "signal": {"name": "go"}, "after": ["a"]}), plan_of(call("a")),
                 ev.SignalReceived("go", b"1", "s-1"))  # fmt: skip
    assert came.notes == ("signal 'go' has come, and nothing takes it any more",)


def test_a_result_that_does_not_fit_blocks() -> None:
    plan = plan_of(call("a"))
    assert moved(plan, plan, *done("a"), misfits={"a": "it is no Score"}).blocked == ("a: it is no Score",)


def test_what_is_on_its_way_to_its_end_stays_as_it_is() -> None:
    plan = plan_of(call("a"), call("b"))
    closing = moved(plan, plan, ev.CancelRequested("enough"))
    assert "on its way to cancelled" in closing.blocked[0]
    over = moved(plan, plan, *done("a", "b"), ev.ExecutionCompleted(b"1"))
    assert "it is completed" in over.blocked[0]


def test_another_input_runs_again_what_used_it() -> None:
    def task(id_: str, name: str) -> dict[str, Any]:
        return {"id": id_, "function": "app:f", "args": [{"$ref": f"input.{name}"}]}

    from raywf.definition.compile import compile_plan
    from raywf.definition.model import WorkflowDefinition

    given = {"id": "w", "parameters": {"x": {}, "y": {}}, "tasks": [task("a", "x"), task("b", "y")]}
    plan = compile_plan(WorkflowDefinition.model_validate(given))
    state = fold(plan, [ev.ExecutionStarted(b'{"x":1,"y":2}'), *done("a")])
    moves = plan_moves(state, plan, Rules(input=b'{"x":3,"y":2}'))
    assert verdicts(moves) == {"a": "re-runs", "b": "not run yet"}
    assert reason(moves, "a") == "parameter 'x' has another value"
    assert state_of(moves).input == b'{"x":3,"y":2}'


# the event


def test_a_history_is_folded_from_its_last_migration_on() -> None:
    old, new = plan_of(call("a"), call("b", "a")), plan_of(call("a"), call("c", "a"))
    event = moved(old, new, *done("a")).event("m-1", old.definition)
    state = fold(new, [STARTED, *done("a"), event, *done("c")])
    assert statuses(state) == {"a": "completed", "c": "completed"}


def test_a_migration_is_refused_in_the_middle_of_a_state_and_under_another_definition() -> None:
    old, new = plan_of(call("a"), call("b", "a")), plan_of(call("a"), call("c", "a"))
    event = moved(old, new, *done("a")).event("m-1", old.definition)
    for plan, before in ((new, [STARTED]), (old, [])):
        try:
            evolve(fold(plan, before) if before else initial(plan), event)
        except IllegalTransition as error:
            assert "migration" in str(error)
        else:
            raise AssertionError("it was taken")


def test_a_refused_migration_changes_nothing_but_that_it_was_heard() -> None:
    plan = plan_of(call("a"))
    before = fold(plan, [STARTED])
    after = evolve(before, from_record(*to_record(ev.MigrationRefused("m-1", "h", "no"))))
    assert after == before._replace(seen=frozenset({"m-1"}))


def test_a_paused_execution_stays_paused_and_keeps_its_signals() -> None:
    plan = plan_of(call("a"), {"id": "go", "signal": {"name": "go"}, "after": ["a"]})
    moves = moved(plan, plan, ev.SignalReceived("go", b"1", "s-1"), ev.PauseRequested("lunch"))
    state = state_of(moves)
    assert state.status is ExecutionStatus.PAUSED
    assert [signal.id for signal in state.signals] == ["s-1"]
    assert json.loads(moves.event("m", "old").rest)["round"] == 2


# any plan, any moment


def at_rest(state: ExecutionState) -> bool:
    """No attempt is in flight: the hands migrate at no other moment."""
    places = [each for task in state.tasks for each in (task, *(task.items or ()))]
    busy = [
        each
        for each in places
        if each.status is TaskStatus.RUNNING
        and each.items is None
        and not isinstance(each.wait, (ev.BranchTaken, ev.PassStarted, ev.ChildStarted))
    ]
    return not busy and state.closing is None and state.closed is None and state.started


@settings(max_examples=30, deadline=None, suppress_health_check=SLOW)
@given(plans(), SEEDS, st.data())
def test_under_the_same_plan_everything_is_kept(plan: Plan, seed: int, data: Any) -> None:
    whole = World(plan, seed)
    whole.run(data.draw(st.sampled_from([answer_as_written, answer_at_random])))
    source = fold(plan, whole.history[: data.draw(st.integers(1, len(whole.history)))])
    assume(at_rest(source))
    moves = plan_moves(source, plan, Rules())
    assume(not moves.blocks)
    assert {each.verdict for each in moves.tasks} <= {Verdict.KEPT, Verdict.NOT_RUN}
    state = state_of(moves)
    assert (state.active, state.waiting, state.left) == recount(state)
    for before, after in zip(source.tasks, state.tasks, strict=True):
        if before.status in (TaskStatus.COMPLETED, TaskStatus.SKIPPED, TaskStatus.RETRYING, TaskStatus.WAITING):
            assert after == before
    assert decode(encode(state) or b"", plan) == state
    world = World(plan, seed + 1)
    world.state, world.states = state, [state]
    go_on(world, answer_in_this_round)
    assert world.state.closed is not None


@settings(max_examples=50, deadline=None, suppress_health_check=SLOW)
@given(plans(), plans(), SEEDS, st.data())
def test_under_any_other_plan_it_comes_to_an_end_or_is_blocked(old: Plan, new: Plan, seed: int, data: Any) -> None:
    whole = World(old, seed)
    whole.run(answer_as_written)
    source = fold(old, whole.history[: data.draw(st.integers(1, len(whole.history)))])
    assume(at_rest(source))
    moves = plan_moves(source, new, Rules())
    if moves.blocked:
        return
    state = state_of(moves)
    assert (state.active, state.waiting, state.left) == recount(state)
    world = World(new, seed + 1)
    world.state, world.states = state, [state]
    go_on(world, answer_in_this_round)
    assert world.state.closed is ExecutionStatus.COMPLETED
    ended = (TaskStatus.COMPLETED, TaskStatus.SKIPPED)
    left = [
        (node.id, node.kind, task.status)
        for node, task in zip(new.nodes, world.state.tasks, strict=True)
        if task.status not in ended and node.undoes is None and not node.loops
    ]
    assert not left
