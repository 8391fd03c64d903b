"""The attempts that say something while they run: heartbeats, progress, items of streams; and those that fell silent.

An attempt that says nothing has no voice here and costs nothing. One that heartbeats costs a comparison each time, and
one event in ``PROGRESS_EVERY_S`` seconds; items are written down in groups. What is left to say when an attempt ends goes
before its end into the same commit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from raywf.core import events as ev
from raywf.core.effects import StartAttempt
from raywf.core.execution import is_current, task_at
from raywf.core.failures import Failure
from raywf.core.plan import TaskOptions
from raywf.core.state import NO_NOTES
from raywf.errors import AttemptEnded
from raywf.runtime.live import Live, address
from raywf.runtime.overdue import give_up
from raywf.runtime.speech import Speech

if TYPE_CHECKING:
    from raywf.runtime.host import Host

PROGRESS_EVERY_S = 5.0
"""How long an attempt's word on its progress may wait to be written down."""
ITEMS_EVERY_S = 0.05
_MANY = 500
_LARGE = 256 * 1024
SILENT = "raywf.errors.HeartbeatTimeout"


class Voice:
    """One attempt that has said something, or must."""

    __slots__ = ("effect", "heard_at", "items_wait", "live", "progress_waits", "recorded_at", "speech")

    def __init__(self, live: Live, effect: StartAttempt, heard_at: float) -> None:
        self.live = live
        self.effect = effect
        self.heard_at = heard_at
        self.recorded_at = float("-inf")
        self.progress_waits = False
        self.items_wait = False
        notes = task_at(live.state, effect.task, effect.item).notes or NO_NOTES
        self.speech = Speech(notes.emitted)

    @property
    def is_current(self) -> bool:
        effect = self.effect
        return is_current(self.live.state, effect.task, effect.item, effect.attempt, effect.at)


class Mouth:
    """What ``raywf.current()`` speaks through, in this process. Called from any thread."""

    __slots__ = ("_effect", "_live", "_voices")

    def __init__(self, voices: Voices, live: Live, effect: StartAttempt) -> None:
        self._voices, self._live, self._effect = voices, live, effect

    def report(self, progress: Any) -> None:
        voice = self._voices.of(self._live, self._effect)
        voice.heard_at = self._voices.host.clock.monotonic()
        if progress is not None:
            voice.speech.report(progress)
            self._voices.progress_soon(voice)

    def pass_on(self, item: Any, number: int | None) -> None:
        voice = self._voices.of(self._live, self._effect)
        voice.heard_at = self._voices.host.clock.monotonic()
        voice.speech.emit(item, number)
        self._voices.items_soon(voice)


class Voices:
    """The voices of the attempts of one host. What does not say otherwise runs on its loop."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.open: dict[tuple[str, int, int | None], Voice] = {}

    def of(self, live: Live, effect: StartAttempt) -> Voice:
        """The voice of an attempt, from any thread. Raises ``AttemptEnded`` for one that counts no more."""
        task, item = effect.task, effect.item
        if not is_current(live.state, task, item, effect.attempt, effect.at):
            raise AttemptEnded(
                f"attempt {effect.attempt} of task {live.state.plan.nodes[task].id!r} of execution {live.id!r} counts no "
                "more: it was cancelled, or ran out of time, or its engine went on without it. Whatever it does now is "
                "ignored: stop, and clean up"
            )
        voice = self.open.get((live.id, task, item))
        if voice is None or voice.effect != effect:
            voice = self.open[live.id, task, item] = Voice(live, effect, self.host.clock.monotonic())
        return voice

    # silence

    def listen(self, live: Live, effect: StartAttempt) -> None:
        """The attempt has begun, and is to be heard from now and then."""
        timeout = live.state.plan.nodes[effect.task].options.heartbeat_timeout
        if timeout is None or self.host.open.get(live.id) is not live:
            return
        try:
            voice = self.of(live, effect)
        except AttemptEnded:
            return
        self._listen_until(voice, timeout)

    def _listen_until(self, voice: Voice, timeout: float) -> None:
        key = (voice.live.id, voice.effect.task, voice.effect.item, "silence")
        self.host.alarms.within(key, voice.heard_at + timeout - self.host.clock.monotonic())

    def silence(self, live: Live, task: int, item: int | None) -> None:
        """It is time to have heard of an attempt."""
        voice = self.open.get((live.id, task, item))
        options = live.state.plan.nodes[task].options
        if voice is None or options.heartbeat_timeout is None or not voice.is_current:
            return
        now = self.host.clock.monotonic()
        if voice.heard_at + options.heartbeat_timeout > now:
            self._listen_until(voice, options.heartbeat_timeout)
            return
        self.record(voice, last=True)  # how far it was is told with the failure
        give_up(self.host, live, task, item, _fell_silent(voice, options, now))

    # taking down

    def progress_soon(self, voice: Voice) -> None:
        """From any thread."""
        if not voice.progress_waits:
            voice.progress_waits = True
            self.host.loop.call_soon_threadsafe(self._progress_in_time, voice)

    def _progress_in_time(self, voice: Voice) -> None:
        wait_s = voice.recorded_at + PROGRESS_EVERY_S - self.host.clock.monotonic()
        self.host.loop.call_later(wait_s, self._record_open, voice) if wait_s > 0 else self._record_open(voice)

    def items_soon(self, voice: Voice) -> None:
        """From any thread."""
        if not voice.items_wait:
            voice.items_wait = True
            self.host.loop.call_soon_threadsafe(self.host.loop.call_later, ITEMS_EVERY_S, self._record_open, voice)

    def _record_open(self, voice: Voice) -> None:
        effect = voice.effect
        if self.open.get((voice.live.id, effect.task, effect.item)) is voice:
            self.record(voice)

    def record(self, voice: Voice, *, last: bool = False) -> None:
        """Write down what the attempt has said: its progress where its time has come, or because this is the last."""
        voice.items_wait = False
        progress, first, items = voice.speech.take()
        live, effect, host = voice.live, voice.effect, self.host
        if last or host.clock.monotonic() >= voice.recorded_at + PROGRESS_EVERY_S:
            voice.progress_waits = False
        elif progress is not None:
            voice.speech.give_back(progress, [])
            progress = None
        if host.parked or host.open.get(live.id) is not live or not voice.is_current:
            self.open.pop((live.id, effect.task, effect.item), None)
            return
        if progress is not None:
            voice.recorded_at = host.clock.monotonic()
            host.turn(live, ev.ProgressMade(address(live, effect.task, effect.item), effect.attempt, progress))
        if items:
            self._emit(voice, first, items)

    def _emit(self, voice: Voice, first: int, items: list[bytes]) -> None:
        live, effect = voice.live, voice.effect
        where = address(live, effect.task, effect.item)
        known = (task_at(live.state, effect.task, effect.item).notes or NO_NOTES).emitted
        items = items[max(0, known - first) :]  # a message that was sent twice
        while items:
            size = count = 0
            while count < len(items) and count < _MANY and (not count or size + len(items[count]) <= _LARGE):
                size += len(items[count])
                count += 1
            self.host.turn(live, ev.ItemsEmitted(where, effect.attempt, known, tuple(items[:count])))
            known, items = known + count, items[count:]

    def hear(self, live: Live, effect: StartAttempt, progress: bytes | None, first: int, items: list[bytes]) -> bool:
        """A word of an attempt in another process. False: it counts no more."""
        if self.host.parked or self.host.open.get(live.id) is not live:
            return False
        known = (live.id, effect.task, effect.item) in self.open
        try:
            voice = self.of(live, effect)
        except AttemptEnded:
            return False
        voice.heard_at = self.host.clock.monotonic()
        if not known:
            self.listen(live, effect)
        if progress is not None:
            voice.speech.give_back(progress, [])
            self.progress_soon(voice)
        if items:
            self._emit(voice, first, items)
        return True

    def hush(self, live: Live, task: int, item: int | None) -> None:
        """The attempt is over: what it said last goes before its end."""
        voice = self.open.get((live.id, task, item))
        if voice is not None:
            if voice.speech.is_pending:
                self.record(voice, last=True)
            self.open.pop((live.id, task, item), None)

    def forget(self, live: Live) -> None:
        """Another owner holds the execution now."""
        for place in [place for place in self.open if place[0] == live.id]:
            del self.open[place]


def _fell_silent(voice: Voice, options: TaskOptions, now: float) -> Failure:
    live, effect = voice.live, voice.effect
    where = address(live, effect.task, effect.item)
    notes = task_at(live.state, effect.task, effect.item).notes or NO_NOTES
    far = "" if notes.progress is None else f"; its last progress was {notes.progress.decode():.200}"
    message = (
        f"{where} was silent for {now - voice.heard_at:.1f} s, and its heartbeat_timeout is "
        f"{options.heartbeat_timeout:g} s{far}. Call raywf.current().heartbeat() more often, or allow more time"
    )
    names = (SILENT, "HeartbeatTimeout", "raywf.HeartbeatTimeout")
    retryable = not any(name in options.retry.non_retryable for name in names)
    return Failure(SILENT, message, "", effect.attempt, retryable)
