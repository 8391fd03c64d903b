"""An owner without Ray: the same host, attempts and brain on one loop, whose clock jumps over whatever is waited for.

Plain functions run on the loop itself, one after another, so that a run with a seed is the same run every time.
"""

from __future__ import annotations

import asyncio
import contextvars
import selectors
import time
from collections.abc import Callable
from typing import Any

from raywf.runtime.attempts import Attempt, Done


class JumpingSelector(selectors.DefaultSelector):
    """A selector that never waits for time: it tells the loop's clock to move instead."""

    def __init__(self) -> None:
        super().__init__()
        self.ahead = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if timeout is None:
            return super().select(0.05)  # only a thread or a socket can wake us: wait for it in real time
        self.ahead += timeout
        return ready


class JumpingLoop(asyncio.SelectorEventLoop):
    """An event loop in which ``asyncio.sleep(3600)`` takes no time."""

    def __init__(self) -> None:
        self._jumping = JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return time.monotonic() + self._jumping.ahead


class LoopClock:
    """``raywf.ports.Clock`` on a loop's own time."""

    def __init__(self, loop: asyncio.AbstractEventLoop, epoch: float) -> None:
        self._loop = loop
        self._offset = epoch - loop.time()

    def now(self) -> float:
        return self._loop.time() + self._offset

    def monotonic(self) -> float:
        return self._loop.time()


class InlineThreads:
    """``work.ThreadPool`` without threads."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.abandoned = 0

    def start(self, work: Callable[[], Any], done: Done, priority: int = 0) -> Attempt:
        attempt = Attempt(work, done)
        self._loop.call_soon(self._run, attempt)
        return attempt

    def _run(self, attempt: Attempt) -> None:
        if attempt.cancelled:
            attempt.done(None, asyncio.CancelledError())
            return
        attempt.begun = True
        try:
            result = contextvars.Context().run(attempt.work)
        except Exception as error:
            attempt.done(None, error)
        except SystemExit as error:
            attempt.done(None, error)
        else:
            attempt.done(result, None)

    def abandon(self, attempt: Attempt) -> None:
        attempt.cancelled = True
