"""Opening again what failed or was cancelled, and beginning with what another execution has done."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from raywf.core import events as ev
from raywf.core.codec import from_record, to_record
from raywf.core.effects import Close, Effect
from raywf.core.execution import IllegalTransition, evolve, fold, fold_on, initial, outstanding
from raywf.core.kept import kept_bytes
from raywf.core.moves.again import fork_keeps
from raywf.core.plan import Plan
from raywf.core.snapshot import decode, encode
from raywf.core.state import CLOSED, ExecutionState, ExecutionStatus, TaskStatus, child_of, key_of
from tests.unit.core.plans import BROKEN, World, answer_as_written, answer_at_random, call, outline, plan_of, plans

SLOW = [HealthCheck.too_slow]
SEEDS = st.integers(0, 2**32)
STARTED = ev.ExecutionStarted(b"{}")


def done(*tasks: str) -> list[ev.Event]:
    return [ev.TaskCompleted(task, 1, task.encode()) for task in tasks]


def failed(task: str) -> ev.Event:
    return ev.AttemptFailed(task, BROKEN, 1, None)


def ended(plan: Plan, *events: ev.Event) -> ExecutionState:
    """The state after these, with whatever is still under way stopped and everything taken back."""
    state = fold(plan, [STARTED, *events])
    for _ in range(100):
        for effect in outstanding(state):
            if isinstance(effect, Close):
                return evolve(state, ev.ExecutionFailed("x", BROKEN))
            where = plan.nodes[effect.task].id + (f"[{effect.item}]" if effect.item is not None else "")  # type: ignore[union-attr]
            undoes = plan.nodes[effect.task].undoes is not None
            event: Any = ev.TaskCompleted(where, 1, b"0") if undoes else ev.AttemptCancelled(where, 1)
            state = evolve(state, event)
            break
    raise AssertionError(state)


def statuses(state: ExecutionState) -> dict[str, str]:
    return {node.id: str(task.status) for node, task in zip(state.plan.nodes, state.tasks, strict=True)}


def retry(state: ExecutionState, id_: str = "r1") -> ExecutionState:
    return evolve(state, ev.ExecutionRetried(id_))


def test_what_completed_is_kept_and_what_failed_is_ready_again() -> None:
    plan = plan_of(call("a"), call("b", "a"), call("c", "b"))
    state = retry(ended(plan, *done("a"), failed("b")))
    assert statuses(state) == {"a": "completed", "b": "ready", "c": "pending"}
    assert (state.status, state.left, state.active, state.closing, state.round) == ("running", 2, 1, None, 2)
    assert key_of(state, "x", "b") == "x/b"


def test_items_that_completed_are_kept_and_the_others_run_again() -> None:
    plan = plan_of({"id": "m", "function": "app:f", "map": [[1, 2, 3]]}, call("c", "m"))
    state = retry(ended(plan, ev.MapStarted("m", 3), *done("m[1]"), failed("m[0]")))
    assert [str(item.status) for item in state.tasks[0].items or ()] == ["ready", "completed", "ready"]
    assert (state.tasks[0].remaining, state.active) == (2, 2)
    state = fold_more(state, *done("m[0]", "m[2]"))
    assert statuses(state) == {"m": "completed", "c": "ready"}


def fold_more(state: ExecutionState, *events: ev.Event) -> ExecutionState:
    for event in events:
        state = evolve(state, event)
    return state


UNDO = {"options": {"compensate": "app:undo"}}


def test_what_was_taken_back_and_all_that_used_it_run_again_under_a_new_key() -> None:
    plan = plan_of(call("before"), call("pay", "before", **UNDO), call("note", "pay"), call("ship", "note"))
    state = retry(ended(plan, *done("before", "pay", "note"), failed("ship")))
    assert statuses(state) == {
        "before": "completed",
        "pay": "ready",
        "note": "pending",
        "ship": "pending",
        "undo:pay": "pending",
    }
    assert [key_of(state, "x", task) for task in ("before", "pay", "note", "ship", "undo:pay")] == [
        "x/before",
        "x/pay#2",
        "x/note",
        "x/ship",
        "x/undo:pay#2",
    ]
    again = retry(ended_again(state, *done("pay", "note"), failed("ship")), "r2")
    assert key_of(again, "x", "pay") == "x/pay#3"


def ended_again(state: ExecutionState, *events: ev.Event) -> ExecutionState:
    state = fold_more(state, *events, ev.TaskCompleted("undo:pay", 1, b"0"))
    return evolve(state, ev.ExecutionFailed("x", BROKEN))


def test_what_could_not_be_taken_back_stands() -> None:
    plan = plan_of(call("pay", **UNDO), call("ship", "pay"))
    state = fold(plan, [STARTED, *done("pay"), failed("ship"), ev.AttemptFailed("undo:pay", BROKEN, 1, None)])
    state = retry(evolve(state, ev.ExecutionFailed("ship", BROKEN)))
    assert statuses(state) == {"pay": "completed", "ship": "ready", "undo:pay": "pending"}
    assert key_of(state, "x", "undo:pay") == "x/undo:pay", "taking it back is the same deed as before"
    state = evolve(state, failed("ship"))
    assert statuses(state)["undo:pay"] == "ready", "and it is tried again when the execution fails again"


def test_the_side_that_a_condition_chose_is_kept() -> None:
    when = {"id": "w", "when": {"op": "<", "left": 1, "right": 2}, "then": ["a", "b"], "otherwise": ["c"],
            "result": {"then": {"$ref": "b"}}}  # fmt: skip
    plan = plan_of(when, call("a"), call("b", "a"), call("c"), call("last", "w"))
    state = retry(ended(plan, ev.BranchTaken("w", True), *done("a"), failed("b")))
    assert statuses(state) == {"w": "running", "a": "completed", "b": "ready", "c": "skipped", "last": "pending"}
    state = fold_more(state, *done("b"))
    assert statuses(state)["w"] == "ready"


def test_a_loop_goes_on_in_the_pass_it_was_in() -> None:
    loop = {"id": "l", "loop": {"initial": 0, "body": ["a", "b"], "result": {"$ref": "b"}, "until": {"$ref": "b"}}}
    plan = plan_of(loop, call("a", "l"), call("b", "a"))
    state = fold(plan, [STARTED, ev.PassStarted("l", 1, b"0"), *done("a@1", "b@1"), ev.PassStarted("l", 2, b"1")])
    state = fold_more(state, *done("a@2"), failed("b@2"))
    state = retry(evolve(state, ev.ExecutionFailed("b@2", BROKEN)))
    assert statuses(state) == {"l": "running", "a": "completed", "b": "ready"}
    state = fold_more(state, ev.TaskCompleted("b@2", 1, b"1"), ev.TaskCompleted("l", 1, b"1"))
    assert state.left == 0


def test_a_loop_on_the_side_that_was_not_taken_stays_out_of_it() -> None:
    """Loops within it have tasks of which nobody ever said that they are skipped."""
    inner = {"id": "i", "loop": {"initial": 0, "body": ["a"], "result": {"$ref": "a"}, "until": {"$ref": "a"}}}
    outer = {"id": "l", "loop": {"initial": 0, "body": ["i"], "result": {"$ref": "i"}, "until": {"$ref": "i"}}}
    when = {"id": "w", "when": {"op": "<", "left": 1, "right": 2}, "then": ["l"]}
    plan = plan_of(when, outer, inner, call("a", "i"), call("last", "w"))
    state = retry(ended(plan, ev.BranchTaken("w", False), ev.TaskCompleted("w", 1, b"null"), failed("last")))
    assert {id_: status for id_, status in statuses(state).items() if id_ != "a"} == {
        "w": "completed",
        "l": "skipped",
        "i": "skipped",
        "last": "ready",
    }
    assert state.left == 1


def test_what_must_not_happen_twice_asks_where_nobody_knows_whether_it_happened() -> None:
    once = {"options": {"effect": "at_most_once"}}
    plan = plan_of(call("mail", **once), call("later", **once), call("other"))
    state = ended(plan, ev.AttemptStarted("mail", 1), failed("other"))
    state = retry(state)
    assert statuses(state) == {"mail": "waiting", "later": "ready", "other": "ready"}
    state = evolve(state, ev.DoubtResolved("mail", "completed", b"1", "", "d"))
    assert statuses(state)["mail"] == "completed"


def test_a_failed_child_is_gone_on_with_and_one_whose_arguments_change_is_another() -> None:
    kid = {"workflow": {"id": "kid", "parameters": {"x": {}}, "tasks": []}}
    plan = plan_of(
        call("pay", **UNDO), {"id": "k", "args": [{"$ref": "pay"}], **kid}, {"id": "other", "args": [1], **kid}
    )
    events = [*done("pay"), ev.ChildStarted("k", "x/k"), ev.ChildStarted("other", "x/other")]
    state = fold(plan, [STARTED, *events, failed("other"), ev.AttemptCancelled("k", 1)])
    state = fold_more(state, ev.TaskCompleted("undo:pay", 1, b"0"), ev.ExecutionFailed("other", BROKEN))
    state = retry(state)
    index = plan.index
    assert isinstance(state.tasks[index["other"]].wait, ev.ChildStarted)
    assert child_of(state, "x", index["other"], None) == "x/other"
    assert state.tasks[index["k"]].wait is None
    assert child_of(state, "x", index["k"], None) == "x/k#2"


def test_a_retry_of_what_is_open_or_completed_is_no_transition() -> None:
    plan = plan_of(call("a"))
    running = fold(plan, [STARTED])
    whole = fold_more(running, *done("a"), ev.ExecutionCompleted(b"1"))
    for state in (running, whole):
        with pytest.raises(IllegalTransition):
            retry(state)


def go_on(world: World, answer: Any) -> None:
    for _ in range(4000):
        if world.state.closed is not None:
            return
        todo = list(outstanding(world.state))
        world.random.shuffle(todo)
        event = next((found for effect in todo if (found := answer(world, effect)) is not None), None)
        waits = world.waits()
        assert event is not None or waits, f"nothing moves it: {statuses(world.state)}"
        world.happen(event if event is not None else world.random.choice(waits))
    raise AssertionError("it does not end")


def answer_in_this_round(world: World, effect: Effect) -> ev.Event | None:
    """Everything succeeds now."""
    event = answer_as_written(world, effect)
    if isinstance(event, ev.AttemptFailed):
        return ev.TaskCompleted(event.task, event.attempt, event.task.encode())
    return event


@settings(max_examples=60, deadline=None, suppress_health_check=SLOW)
@given(plans(), SEEDS, st.integers(2, 30))
def test_any_execution_that_failed_can_be_opened_again_and_comes_to_its_end(plan: Plan, seed: int, moment: int) -> None:
    """``World.happen`` checks every step, the reopening among them: counters agree with the tasks, and what is newly
    outstanding is issued once."""
    world = World(plan, seed)

    def answer(world: World, effect: Effect) -> ev.Event | None:
        if len(world.history) == moment and world.state.closing is None and not isinstance(effect, Close):
            return ev.CancelRequested("enough")
        return answer_at_random(world, effect)

    world.run(answer)
    for round_ in range(2, 5):
        if world.state.closed is ExecutionStatus.COMPLETED:
            break
        before = world.state
        world.happen(ev.ExecutionRetried(f"r{round_}"))
        assert not any(isinstance(effect, Close) for effect in outstanding(world.state)) or world.state.left == 0
        for old, new in zip(before.tasks, world.state.tasks, strict=True):
            if new.status is TaskStatus.COMPLETED and new.items is None:
                assert new == old, "a result is kept as it is or not at all"
        assert decode(encode(world.state) or b"", plan) == world.state
        go_on(world, answer_at_random if round_ < 4 else answer_in_this_round)
    assert world.state.status in CLOSED
    state = initial(plan)
    for event in world.history:
        state = evolve(state, from_record(*to_record(event)))
    assert state == world.state


@settings(max_examples=60, deadline=None, suppress_health_check=SLOW)
@given(plans(), SEEDS, st.data())
def test_a_fork_from_any_task_begins_with_the_rest_and_comes_to_the_same(plan: Plan, seed: int, data: Any) -> None:
    whole = World(plan, seed)
    whole.run(answer_as_written)
    cut = data.draw(st.integers(1, len(whole.history)))
    source = fold(plan, whole.history[:cut])
    place = data.draw(st.sampled_from(places_of(source)))
    forked = fork_of(plan, source, place)
    assert not forked.tasks[place].order and forked.tasks[place].status is not TaskStatus.COMPLETED
    again = fork_of(plan, forked, data.draw(st.sampled_from(places_of(forked))))
    world = World(plan, seed + 1)
    world.state, world.states = again, [again]
    go_on(world, answer_in_this_round)
    assert outline(world.state) == outline(whole.state)


def places_of(state: ExecutionState) -> list[int]:
    """What may be forked from: not what a condition has passed over, nor what is inside of a loop."""
    nodes = [node for node in state.plan.nodes if node.undoes is None and not node.loops]
    return [node.index for node in nodes if state.tasks[node.index].status is not TaskStatus.SKIPPED]


def fork_of(plan: Plan, source: ExecutionState, place: int) -> ExecutionState:
    kept = kept_bytes(fork_keeps(source, place), plan)
    event = ev.ExecutionForked("x", plan.nodes[place].id, b"{}", kept)
    return evolve(initial(plan), from_record(*to_record(event)))


def test_a_fork_keeps_what_is_not_downstream_and_owes_nothing_for_it() -> None:
    plan = plan_of(call("a", **UNDO), call("b", "a"), call("c", "a"), call("d", "b", "c"))
    source = fold(plan, [STARTED, *done("a", "b", "c", "d"), ev.ExecutionCompleted(b"1")])
    state = fork_of(plan, source, plan.index["c"])
    assert statuses(state) == {"a": "completed", "b": "completed", "c": "ready", "d": "pending", "undo:a": "pending"}
    state = evolve(state, failed("c"))
    assert statuses(state)["undo:a"] == "pending", "a fork takes back only what it did itself"


def test_a_fork_from_an_item_keeps_the_other_items() -> None:
    plan = plan_of({"id": "m", "function": "app:f", "map": [[1, 2, 3]]}, call("c", "m"))
    source = fold(plan, [STARTED, ev.MapStarted("m", 3), *done("m[0]", "m[1]", "m[2]", "c")])
    kept = kept_bytes(fork_keeps(source, 0, 1), plan)
    state = evolve(initial(plan), ev.ExecutionForked("x", "m[1]", b"{}", kept))
    assert [str(item.status) for item in state.tasks[0].items or ()] == ["completed", "ready", "completed"]
    assert statuses(state) == {"m": "running", "c": "pending"}


def early(**options: Any) -> dict[str, Any]:
    return {"id": "merged", "aggregate": {"results": [{"$ref": "a"}, {"$ref": "b"}], **options}}


def test_what_a_merge_did_without_is_not_asked_again_and_not_waited_for() -> None:
    signal = {"id": "b", "signal": {"name": "go"}}
    plan = plan_of(call("a"), signal, early(quorum=1), call("c", "merged"))
    state = fold(plan, [STARTED, ev.MergeAwaited("merged"), ev.SignalAwaited("b", "go"), *done("a", "merged")])
    assert statuses(state) == {"a": "completed", "b": "cancelled", "merged": "completed", "c": "ready"}
    state = retry(evolve(evolve(state, failed("c")), ev.ExecutionFailed("c", BROKEN)))
    assert statuses(state) == {"a": "completed", "b": "cancelled", "merged": "completed", "c": "ready"}
    assert list(outstanding(evolve(state, ev.TaskCompleted("c", 1, b"0")))) == [Close()]


def test_a_merge_with_too_few_answers_asks_those_again_that_gave_none() -> None:
    plan = plan_of(call("a"), call("b"), early(quorum=2))
    state = fold(plan, [STARTED, ev.MergeAwaited("merged"), *done("a"), failed("b"), failed("merged")])
    state = retry(evolve(state, ev.ExecutionFailed("merged", BROKEN)))
    assert statuses(state) == {"a": "completed", "b": "ready", "merged": "ready"}
    state = fold_on(state, [ev.MergeAwaited("merged"), ev.TaskCompleted("b", 1, b"1"), *done("merged")])
    assert list(outstanding(state)) == [Close()]


def test_a_fork_from_a_source_merges_anew_and_asks_whom_it_had_stopped() -> None:
    plan = plan_of(call("a"), call("b"), early(quorum=1))
    state = fold(plan, [STARTED, ev.MergeAwaited("merged"), *done("a", "merged"), ev.AttemptCancelled("b", 1)])
    state = evolve(state, ev.ExecutionCompleted(b"0"))
    kept = fork_keeps(state, plan.index["a"])
    assert kept == {}
