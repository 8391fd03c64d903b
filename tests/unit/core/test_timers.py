"""Deadlines against the simplest model: a dict."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from raywf.core.timers import Timers

KEYS = st.integers(0, 6)
TIMES = st.integers(0, 30).map(float)


class TimersAgainstADict(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.timers: Timers[int] = Timers()
        self.model: dict[int, float] = {}

    @rule(key=KEYS, due_at=TIMES)
    def arm(self, key: int, due_at: float) -> None:
        self.timers.arm(key, due_at)
        self.model[key] = due_at

    @rule(key=KEYS, times=st.lists(TIMES, min_size=70, max_size=90))
    def arm_again_and_again(self, key: int, times: list[float]) -> None:
        for due_at in times:
            self.arm(key, due_at)

    @rule(key=KEYS)
    def disarm(self, key: int) -> None:
        self.timers.disarm(key)
        self.model.pop(key, None)

    @rule(now=TIMES)
    def pop_due(self, now: float) -> None:
        popped = self.timers.pop_due(now)
        assert sorted(popped) == sorted(key for key, due_at in self.model.items() if due_at <= now)
        assert [self.model[key] for key in popped] == sorted(self.model[key] for key in popped), "earliest first"
        for key in popped:
            del self.model[key]

    @invariant()
    def agrees(self) -> None:
        assert len(self.timers) == len(self.model)
        assert self.timers.next_due() == min(self.model.values(), default=None)


TestTimersAgainstADict = TimersAgainstADict.TestCase
TestTimersAgainstADict.settings = settings(max_examples=30, stateful_step_count=25, deadline=None)


def test_what_was_disarmed_does_not_pile_up() -> None:
    """A timer that is armed anew all the time must not keep every earlier deadline in memory."""
    timers: Timers[str] = Timers()
    for number in range(10_000):
        timers.arm("busy", float(number))
    assert len(timers._heap) < 200
    assert timers.pop_due(1e9) == ["busy"]


def test_equal_deadlines_ring_in_the_order_they_were_set() -> None:
    timers: Timers[str] = Timers()
    for key in ("c", "a", "b"):
        timers.arm(key, 1.0)
    assert timers.pop_due(1.0) == ["c", "a", "b"]
