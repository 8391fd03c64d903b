"""Instants are the wall clock's, which may jump; lengths are not, and do not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from raywf.runtime.alarms import NOTICE_S, Alarms, Key


class Time:
    """A loop's timers and both clocks: ``wall`` may be set, ``mono`` only goes on."""

    def __init__(self) -> None:
        self.wall, self.mono = 1000.0, 50.0
        self.timers: list[asyncio.TimerHandle] = []
        self.rung: list[tuple[float, str]] = []
        self.alarms = Alarms(self, self, self._ring)  # type: ignore[arg-type]

    def now(self) -> float:
        return self.wall

    def monotonic(self) -> float:
        return self.mono

    time = monotonic

    def call_later(self, delay: float, callback: Callable[..., Any], *args: Any) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(self.mono + delay, callback, args, self)  # type: ignore[arg-type]
        self.timers.append(handle)
        return handle

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        self.timers.remove(handle)

    def get_debug(self) -> bool:
        return False

    def _ring(self, keys: list[Key]) -> None:
        self.rung.extend((round(self.mono - 50.0, 3), id_) for id_, *_ in keys)

    def go_on(self, seconds: float) -> None:
        """Let time pass, each timer at its time."""
        end = self.mono + seconds
        while self.timers and (first := min(self.timers, key=lambda each: each.when())).when() <= end:
            self.timers.remove(first)
            self.wall += first.when() - self.mono
            self.mono = first.when()
            first._callback(*first._args)  # type: ignore[attr-defined]
        self.wall, self.mono = self.wall + end - self.mono, end


def key(id_: str, kind: str = "wait") -> Key:
    return id_, 0, None, kind


def test_each_rings_at_its_time_and_what_was_disarmed_does_not() -> None:
    time = Time()
    time.alarms.at(key("instant"), 1003.0)
    time.alarms.within(key("length", "timeout"), 2.0)
    time.alarms.at(key("never"), 1001.0)
    time.alarms.disarm(key("never"))
    assert len(time.alarms) == 2
    time.go_on(60)
    assert time.rung == [(2.0, "length"), (3.0, "instant")]
    assert (len(time.alarms), time.timers) == (0, [])


def test_a_jump_of_the_wall_clock_is_noticed_soon_and_lengths_do_not_hear_of_it() -> None:
    time = Time()
    time.alarms.at(key("in ten minutes"), 1600.0)
    time.alarms.within(key("five minutes long", "silence"), 300.0)
    time.go_on(1.0)
    time.wall += 3600.0
    time.alarms.at(key("in half a second"), time.wall + 0.5)
    time.go_on(NOTICE_S)
    assert [id_ for _, id_ in time.rung] == ["in ten minutes", "in half a second"]
    time.go_on(400)
    assert time.rung[2] == (300.0, "five minutes long")


def test_a_clock_that_is_set_back_makes_instants_late_and_lengths_not() -> None:
    time = Time()
    time.alarms.at(key("instant"), 1005.0)
    time.alarms.within(key("length", "timeout"), 5.0)
    time.wall -= 100.0
    time.go_on(200)
    assert time.rung == [(5.0, "length"), (105.0, "instant")]


def test_who_has_stopped_rings_no_more() -> None:
    time = Time()
    time.alarms.at(key("instant"), 1001.0)
    time.alarms.stop()
    time.alarms.within(key("length"), 1.0)
    time.go_on(60)
    assert (time.rung, time.timers) == ([], [])
