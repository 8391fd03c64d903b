"""Noticing that a task blocks the loop, and saying which."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
import time
import traceback
from types import FrameType

from raywf.runtime import attempts
from raywf.runtime.host import Host

log = logging.getLogger("raywf.watchdog")
STALL_S = 0.25
LIMIT_S = 10.0
"""A task that blocks the loop for this long is stopped together with its process, and counts as lost with it."""
_ADVICE = (
    " A task blocks it (an async task that computes or sleeps without await): make it a plain function, or give "
    "it runs_on='ray'."
)
_HERE = os.path.dirname(attempts.__file__) + os.sep


class LoopWatchdog:
    """Watches the loop from a thread. A stall longer than ``STALL_S`` is logged with where it hangs and which
    executions were running; it is a task of theirs that blocks. After ``LIMIT_S`` nothing but the end of the process
    helps the others."""

    def __init__(self, loop: asyncio.AbstractEventLoop, host: Host) -> None:
        self._loop = loop
        self._host = host
        self._beat = time.monotonic()
        self._thread_id = threading.get_ident()

    def start(self) -> None:
        self._tick()
        threading.Thread(target=self._watch, name="raywf-watchdog", daemon=True).start()

    def _tick(self) -> None:
        self._beat = time.monotonic()
        self._loop.call_later(STALL_S / 2.5, self._tick)

    def _watch(self) -> None:
        reported, before, looks = 0.0, 0.0, 0
        while not self._loop.is_closed():
            time.sleep(STALL_S / 2)
            beat = self._beat
            # Counted in looks, not in seconds: a process that was stopped and woken up is not blocked.
            looks = looks + 1 if beat == before else 0
            before = beat
            stalled = time.monotonic() - beat
            if stalled > STALL_S and beat != reported:
                reported = beat
                self._report(stalled)
            if looks * STALL_S / 2 >= LIMIT_S and runs_a_task(sys._current_frames().get(self._thread_id)):
                self._report(stalled)
                log.error("a task has blocked the loop for %.0f s: this workflow actor ends and is replaced", stalled)
                logging.shutdown()
                os._exit(70)

    def _report(self, stalled: float) -> None:
        frame = sys._current_frames().get(self._thread_id)
        where = "".join(traceback.format_stack(frame)[-4:]) if frame else "(unknown)"
        running = [live.id for live in list(self._host.open.values())[:2000] if live.inflight][:5]
        advice = _ADVICE if runs_a_task(frame) else ""
        log.warning(
            "the loop of this workflow actor has been blocked for %.0f ms; executions with running tasks: %s.%s "
            "It hangs here:\n%s",
            stalled * 1000,
            ", ".join(running) or "none",
            advice,
            where,
        )


def runs_a_task(frame: FrameType | None) -> bool:
    """Whether a thread is inside a task's own code: then the engine's innermost frame is the one that called it."""
    while frame is not None:
        if frame.f_code.co_filename.startswith(_HERE):
            return frame.f_code.co_filename == attempts.__file__
        frame = frame.f_back
    return False
