"""Plans and fan-outs of any width: the cost of an event does not grow with them."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from raywf.core import events as ev
from raywf.core.bindings import Ref
from raywf.core.chunks import Chunks
from raywf.core.effects import Close, StartAttempt
from raywf.core.execution import evolve, fold, initial, outstanding, step
from raywf.core.plan import Node, NodeKind, Plan
from raywf.core.state import WIDE, ExecutionState, TaskStatus


def chain(length: int) -> Plan:
    """t0 -> t1 -> ..."""
    nodes = tuple(
        Node(
            at,
            f"t{at}",
            NodeKind.CALL,
            needs=(at - 1,) if at else (),
            dependents=(at + 1,) if at < length - 1 else (),
        )
        for at in range(length)
    )
    return Plan("chain", "1", "d", nodes, Ref(length - 1), {n.id: n.index for n in nodes}, ((),) * length)


def fan_out() -> Plan:
    return Plan("fan", "1", "d", (Node(0, "f", NodeKind.CALL, mapped=True),), Ref(0), {"f": 0}, ((),))


@pytest.mark.parametrize("length", [WIDE - 1, WIDE, WIDE + 1, 40 * WIDE])
def test_a_long_chain_runs_to_its_end(length: int) -> None:
    state = evolve(initial(chain(length)), ev.ExecutionStarted(b"{}"))
    assert isinstance(state.tasks, Chunks) == (length > WIDE)
    for at in range(length):
        assert list(outstanding(state)) == [StartAttempt(at, None, 1)]
        state, effects = step(state, ev.TaskCompleted(f"t{at}", 1, b"%d" % at))
        assert effects == ((StartAttempt(at + 1, None, 1),) if at < length - 1 else (Close(),))
    assert [task.value for task in state.tasks] == [b"%d" % at for at in range(length)]


def test_a_wide_plan_is_cancelled_as_a_narrow_one_is() -> None:
    plan = chain(5 * WIDE)
    state = fold(plan, [ev.ExecutionStarted(b"{}"), ev.TaskCompleted("t0", 1, b"1"), ev.CancelRequested("enough")])
    state = evolve(state, ev.AttemptCancelled("t1", 1))
    statuses = [task.status for task in state.tasks]
    assert statuses[:3] == [TaskStatus.COMPLETED, TaskStatus.CANCELLED, TaskStatus.PENDING]
    assert list(outstanding(state)) == [Close()]


def instructions(state: ExecutionState, event: ev.Event) -> int:
    """How many lines of Python a step runs: the same on every machine."""
    count = 0

    def trace(frame: object, kind: str, _: object) -> Callable[..., object]:
        nonlocal count
        count += kind == "line"
        return trace

    sys.settrace(trace)
    try:
        step(state, event)
    finally:
        sys.settrace(None)
    return count


def test_an_event_of_a_fan_out_of_50_000_costs_little_more_than_one_of_1_000() -> None:
    def cost(width: int) -> int:
        history = [ev.ExecutionStarted(b"{}"), ev.MapStarted("f", width)]
        return instructions(fold(fan_out(), history), ev.TaskCompleted(f"f[{width // 2}]", 1, b"1"))

    assert cost(50_000) <= 1.3 * cost(1_000)


def test_an_event_of_a_chain_of_20_000_costs_little_more_than_one_of_1_000() -> None:
    def cost(length: int) -> int:
        state = evolve(initial(chain(length)), ev.ExecutionStarted(b"{}"))
        return instructions(state, ev.TaskCompleted("t0", 1, b"1"))

    assert cost(20_000) <= 1.3 * cost(1_000)
