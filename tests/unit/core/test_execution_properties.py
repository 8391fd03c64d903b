"""The brain on plans and orders that nobody thought of."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from raywf.core import events as ev
from raywf.core.codec import from_record, to_record
from raywf.core.effects import Close, StartAttempt
from raywf.core.execution import evolve, fold, initial, outstanding
from raywf.core.plan import Plan
from raywf.core.state import CLOSED, ExecutionStatus, TaskStatus
from tests.unit.core.plans import World, answer_as_written, answer_at_random, outline, plans

SEEDS = st.integers(0, 2**32)
SLOW = [HealthCheck.too_slow]  # a plan takes a while to draw, and the machine may be busy


@settings(max_examples=120, deadline=None, suppress_health_check=SLOW)
@given(plans(), SEEDS)
def test_every_step_keeps_its_promises_and_every_execution_ends(plan: Plan, seed: int) -> None:
    """``World.happen`` checks each step: what is newly outstanding is issued once, counters agree with the tasks, and
    once an execution is closing nothing starts."""
    world = World(plan, seed)
    assert world.run(answer_at_random, crashes=0.05).status in CLOSED
    assert list(outstanding(world.state)) == []


@settings(max_examples=60, deadline=None, suppress_health_check=SLOW)
@given(plans(), SEEDS)
def test_a_folded_history_equals_the_live_state_at_every_event(plan: Plan, seed: int) -> None:
    world = World(plan, seed)
    world.run(answer_at_random)
    state = initial(plan)
    for event, live in zip(world.history, world.states[1:], strict=True):
        state = evolve(state, from_record(*to_record(event)))
        assert state == live
    assert fold(plan, world.history) == world.state


@settings(max_examples=60, deadline=None, suppress_health_check=SLOW)
@given(plans(), SEEDS, SEEDS)
def test_order_and_crashes_change_nothing_but_attempts(plan: Plan, one: int, other: int) -> None:
    calm, stormy = World(plan, one), World(plan, other)
    calm.run(answer_as_written)
    stormy.run(answer_as_written, crashes=0.3)
    assert calm.state.status is ExecutionStatus.COMPLETED
    assert outline(stormy.state) == outline(calm.state)


@settings(max_examples=50, deadline=None, suppress_health_check=SLOW)
@given(plans(), SEEDS, st.data())
def test_a_history_cut_anywhere_can_be_gone_on_with(plan: Plan, seed: int, data: st.DataObject) -> None:
    whole = World(plan, seed)
    whole.run(answer_as_written)
    cut = data.draw(st.integers(1, len(whole.history) - 1))
    again = World(plan, seed + 1)
    for event in whole.history[:cut]:
        again.happen(event)
    again.crash()
    for _ in range(1000):
        todo = list(outstanding(again.state))
        events = [event for effect in todo if (event := answer_as_written(again, effect)) is not None] or again.waits()
        if not events:
            break
        again.happen(events[0])
    assert outline(again.state) == outline(whole.state)


@settings(max_examples=60, deadline=None, suppress_health_check=SLOW)
@given(plans(), SEEDS, st.data())
def test_a_cancel_at_any_moment_ends_the_execution_and_starts_nothing(
    plan: Plan, seed: int, data: st.DataObject
) -> None:
    world = World(plan, seed)
    moment = data.draw(st.integers(1, 30))
    stop = data.draw(st.sampled_from([ev.CancelRequested("enough"), ev.DeadlineExceeded(7.0)]))

    def answer(world: World, effect: object) -> ev.Event | None:
        if len(world.history) == moment and world.state.closing is None and not isinstance(effect, Close):
            return stop
        return answer_at_random(world, effect)  # type: ignore[arg-type]

    world.run(answer)
    if stop in world.history:
        late = world.history[world.history.index(stop) + 1 :]
        starts = (ev.MapStarted, ev.BranchTaken, ev.TimerStarted, ev.SignalAwaited, ev.ApprovalRequested)
        assert not [event for event in late if isinstance(event, starts)]
        assert world.state.status in (ExecutionStatus.CANCELLED, ExecutionStatus.FAILED)
        asked = {(effect.task, effect.item) for effect in world.asked if isinstance(effect, StartAttempt)}
        check_undone(world)
        for task, node in zip(world.state.tasks, plan.nodes, strict=True):
            if (node.index, None) not in asked and task.status is TaskStatus.PENDING:
                assert task.attempt == 0


def check_undone(world: World) -> None:
    """Everything that completed and can be taken back was, newest first; items of a fan-out side by side."""
    state, plan = world.state, world.plan
    began = []
    for undo in plan.undo:
        done, undone = state.tasks[plan.nodes[undo].undoes or 0], state.tasks[undo]
        pairs = (
            [(done, undone)] if done.items is None else list(zip(done.items, undone.items or done.items, strict=True))
        )
        for each, its in pairs:
            expected = (
                (TaskStatus.COMPLETED, TaskStatus.FAILED) if each.order else (TaskStatus.PENDING, TaskStatus.SKIPPED)
            )
            assert its is each or its.status in expected
        newest = max(each.order for each, _ in pairs) if pairs else 0
        if newest:
            first = next(
                at for at, before in enumerate(world.states) if before.tasks[undo].attempt or before.tasks[undo].items
            )
            began.append((newest, first))
    assert [first for _, first in sorted(began, reverse=True)] == sorted(first for _, first in began)


@settings(max_examples=50, deadline=None, suppress_health_check=SLOW)
@given(plans(), SEEDS)
def test_commands_at_any_moment_are_taken_or_ignored_but_never_refused(plan: Plan, seed: int) -> None:
    """Signals nobody waits for, approvals nobody asked for and a second cancel are facts like others."""
    world = World(plan, seed)
    commands = iter(range(10_000))

    def answer(world: World, effect: object) -> ev.Event | None:
        if isinstance(effect, Close):
            return answer_at_random(world, effect)
        chance, number = world.random.random(), next(commands)
        if chance < 0.1:
            return ev.SignalReceived(f"s-t{number % 7}", b"1", f"signal-{number % 40}")
        if chance < 0.15:
            return ev.PauseRequested("later", False) if number % 2 else ev.ResumeRequested()
        if chance < 0.2:
            task = world.random.choice(plan.nodes).id
            return ev.ApprovalDecided(task, number % 3 > 0, "", f"approval-{number % 40}")
        return answer_at_random(world, effect)  # type: ignore[arg-type]

    assert world.run(answer, crashes=0.05).status in CLOSED
