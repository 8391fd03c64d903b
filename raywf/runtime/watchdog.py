"""Noticing that a task blocks the loop, and saying which."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
import traceback

from raywf.runtime.host import Host

log = logging.getLogger("raywf.watchdog")
STALL_S = 0.25


class LoopWatchdog:
    """Watches the loop from a thread. A stall longer than ``STALL_S`` is logged with where it hangs and which
    executions were running; it is a task of theirs that blocks."""

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
        reported = 0.0
        while not self._loop.is_closed():
            time.sleep(STALL_S / 2)
            beat = self._beat
            stalled = time.monotonic() - beat
            if stalled > STALL_S and beat != reported:
                reported = beat
                self._report(stalled)

    def _report(self, stalled: float) -> None:
        frame = sys._current_frames().get(self._thread_id)
        where = "".join(traceback.format_stack(frame)[-4:]) if frame else "(unknown)"
        running = [live.id for live in list(self._host.open.values())[:2000] if live.inflight][:5]
        log.warning(
            "the loop of this workflow actor has been blocked for %.0f ms; executions with running tasks: %s. "
            "A task blocks it (an async task that computes or sleeps without await): make it a plain function, or give "
            "it runs_on='ray'. It hangs here:\n%s",
            stalled * 1000,
            ", ".join(running) or "none",
            where,
        )
