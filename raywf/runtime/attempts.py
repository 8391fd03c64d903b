"""Running attempts inside this process: coroutines on the loop, plain functions in threads.

A coroutine does not get an asyncio task of its own: *runners* take queued coroutines one after another, each in a copy
of the context, and a further runner is only woken when one suspends. A coroutine that never suspends therefore costs no
task at all, and ``asyncio.current_task()`` works in every step of it.

Plain functions go to a small set of threads through one queue; results come back in bursts, one wake-up of the loop
for all that have ended meanwhile. A thread whose attempt was given up on is abandoned and replaced.
"""

from __future__ import annotations

import asyncio
import contextvars
import heapq
import itertools
import logging
import queue
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from typing import Any

from raywf.core.plan import CLEANUP_S
from raywf.definition.context import TaskContext, enter

log = logging.getLogger("raywf.attempts")

CLOSING_S = 2.0
"""How long attempts may clean up when their engine closes."""

Done = Callable[[Any, BaseException | None], None]
"""Called on the loop with the result, or with what was raised."""


Given = tuple[Callable[[], TaskContext], list[Any], dict[str, Any]]
"""The context of an attempt, and the arguments of its function."""
"""A coroutine that did not end in its first step, and what it waits for."""


class Attempt:
    """An attempt that was started; ``cancel`` asks it to end. ``abandoned``: its outcome is not wanted any more.
    ``cleanup_s``: how long a coroutine that was asked to end may clean up, ``limit`` the timer of that."""

    __slots__ = (
        "abandoned",
        "begun",
        "cancelled",
        "cleanup_s",
        "done",
        "given",
        "handed_out",
        "is_async",
        "limit",
        "queued_at",
        "runner",
        "work",
    )

    def __init__(self, work: Any, done: Done, given: Given | None = None) -> None:
        self.work = work
        self.given = given
        self.is_async = given is not None
        self.done = done
        self.runner: asyncio.Task[None] | None = None
        self.handed_out = False
        self.begun = False
        self.cancelled = False
        self.abandoned = False
        self.queued_at = 0.0
        self.cleanup_s = CLEANUP_S
        self.limit: asyncio.TimerHandle | None = None


class _Drive:
    """Await the rest of a coroutine, in a context of its own, inside whichever task awaits this. ``yielded`` is what
    its first step waits for."""

    __slots__ = ("context", "coroutine", "yielded")

    def __init__(self, coroutine: Coroutine[Any, Any, Any], context: contextvars.Context, yielded: Any) -> None:
        self.coroutine = coroutine
        self.context = context
        self.yielded = yielded

    def __await__(self) -> Generator[Any, Any, Any]:
        coroutine, run, yielded = self.coroutine, self.context.run, self.yielded
        send: Callable[..., Any]
        while True:
            try:
                value, send = (yield yielded), coroutine.send
            except BaseException as error:
                value, send = error, coroutine.throw
            try:
                yielded = run(send, value)
            except StopIteration as stop:
                return stop.value


def _first_step(attempt: Attempt) -> tuple[Coroutine[Any, Any, Any] | None, Any]:
    """Call an async function within its attempt's context, as far as it goes: None and its result, if it never suspends;
    else the coroutine, and what it waits for."""
    context, args, kwargs = attempt.given  # type: ignore[misc]
    enter(context)
    coroutine = attempt.work(*args, **kwargs)
    try:
        return coroutine, coroutine.send(None)
    except StopIteration as stop:  # caught here, where it has no frames to carry through
        return None, stop.value


class CoroutineRunners:
    """Runs coroutines on this loop. ``start`` only queues; work begins in a later step of the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._queue: deque[Attempt] = deque()
        self._idle: list[asyncio.Future[None]] = []
        self._runners: set[asyncio.Task[None]] = set()
        self._pumping = False
        self._closing = False

    def start(self, call: Callable[..., Coroutine[Any, Any, Any]], given: Given, done: Done) -> Attempt:
        attempt = Attempt(call, done, given)
        self.queue(attempt)
        return attempt

    def queue(self, attempt: Attempt) -> None:
        """The same for an attempt that is made already."""
        self._queue.append(attempt)
        if not self._pumping:
            self._pump_soon()

    def _pump_soon(self) -> None:
        self._pumping = True
        self._loop.call_soon(self._pump)

    def _pump(self) -> None:
        """Wake one runner; look again in the next step, when it has either emptied the queue or suspended."""
        if not self._queue:
            self._pumping = False
            return
        if self._idle:
            self._idle.pop().set_result(None)
        else:
            runner = self._loop.create_task(self._run(), context=contextvars.Context())
            self._runners.add(runner)
            runner.add_done_callback(self._runners.discard)
        self._loop.call_soon(self._pump)  # queued behind the runner's step

    async def _run(self) -> None:
        runner = asyncio.current_task()
        assert runner is not None
        while True:
            while self._queue:
                attempt = self._queue.popleft()
                if attempt.cancelled:
                    attempt.done(None, asyncio.CancelledError())
                    continue
                attempt.runner, attempt.begun = runner, True
                context = contextvars.Context()
                try:
                    coroutine, came = context.run(_first_step, attempt)
                except BaseException as error:
                    self._ended(attempt, None, error)
                else:
                    if coroutine is not None:
                        await self._rest(attempt, context, coroutine, came)
                    else:
                        attempt.runner = None
                        if not self._closing:
                            attempt.done(came, None)
                if runner.cancelling():
                    # Whoever was cancelled may have left the cancellation behind; it must not meet the next attempt.
                    if not self._pumping:
                        self._pump_soon()
                    return
            if self._closing or len(self._idle) >= 64:
                return
            wake: asyncio.Future[None] = self._loop.create_future()
            self._idle.append(wake)
            await wake

    async def _rest(
        self, attempt: Attempt, context: contextvars.Context, coroutine: Coroutine[Any, Any, Any], yielded: Any
    ) -> None:
        try:
            result = await _Drive(coroutine, context, yielded)
        except BaseException as error:
            self._ended(attempt, None, error)
        else:
            self._ended(attempt, result, None)

    def _ended(self, attempt: Attempt, result: Any, error: BaseException | None) -> None:
        attempt.runner = None
        if attempt.limit is not None:
            attempt.limit.cancel()
        if attempt.abandoned:
            return
        if isinstance(error, asyncio.CancelledError) and not attempt.cancelled:
            error = RuntimeError("the task was cancelled from inside: it raised asyncio.CancelledError")
        if not self._closing:
            attempt.done(result, error)

    def cancel(self, attempt: Attempt) -> None:
        """Ask an attempt to end; ``done`` is called when it has, or when its clean-up took too long. A second call does
        nothing: clean-up is not interrupted."""
        if attempt.cancelled:
            return
        attempt.cancelled = True
        if attempt.runner is not None:
            attempt.runner.cancel()
            attempt.limit = self._loop.call_later(attempt.cleanup_s, self._abandon, attempt)

    def _abandon(self, attempt: Attempt) -> None:
        """A coroutine that does not end is left where it is, and whatever it comes to is ignored."""
        if attempt.runner is None or self._closing:
            return
        attempt.abandoned = True
        assert attempt.given is not None
        context = attempt.given[0]()
        log.warning(
            "task %s of execution %s did not end within %g s of being cancelled: it is given up on",
            context.task_id,
            context.execution_id,
            attempt.cleanup_s,
        )
        attempt.done(None, asyncio.CancelledError())

    async def close(self) -> None:
        """Stop everything; nothing more is reported. What is cleaning up is not interrupted, and has ``CLOSING_S``."""
        self._closing = True
        self._queue.clear()
        for runner in list(self._runners):
            if not runner.cancelling():
                runner.cancel()
        if self._runners:
            await asyncio.wait(self._runners, timeout=CLOSING_S)  # one that does not end is left behind


class Threads:
    """Runs plain functions in at most ``limit`` threads."""

    def __init__(self, loop: asyncio.AbstractEventLoop, limit: int) -> None:
        self._loop = loop
        self._limit = limit
        self._queue: queue.SimpleQueue[Attempt | None] = queue.SimpleQueue()
        self._waiting: list[tuple[int, int, Attempt]] = []
        self._order = itertools.count()
        self._ended: deque[tuple[Attempt, Any, BaseException | None]] = deque()
        self._threads = 0
        self._busy = 0
        self._woken = False
        self.abandoned = 0

    def start(self, work: Callable[[], Any], done: Done, priority: int = 0) -> Attempt:
        """Run ``work`` once a thread is free, larger ``priority`` first."""
        attempt = Attempt(work, done)
        if self._busy < self._limit:
            self._hand_out(attempt)
        else:
            heapq.heappush(self._waiting, (-priority, next(self._order), attempt))
        return attempt

    def _hand_out(self, attempt: Attempt) -> None:
        attempt.handed_out = True
        self._queue.put(attempt)
        self._busy += 1
        if self._threads < self._busy:
            self._threads += 1
            threading.Thread(target=self._serve, name="raywf-task", daemon=True).start()

    def _freed(self) -> None:
        self._busy -= 1
        while self._waiting and self._busy < self._limit:
            attempt = heapq.heappop(self._waiting)[2]
            if not attempt.cancelled:
                self._hand_out(attempt)

    def _serve(self) -> None:
        while (attempt := self._queue.get()) is not None:
            if attempt.cancelled:
                self._report(attempt, None, asyncio.CancelledError())
                continue
            attempt.begun = True
            try:
                result = contextvars.Context().run(attempt.work)
            except BaseException as error:
                self._report(attempt, None, error)
            else:
                self._report(attempt, result, None)
            if attempt.abandoned:
                return

    def _report(self, attempt: Attempt, result: Any, error: BaseException | None) -> None:
        self._ended.append((attempt, result, error))
        if not self._woken:
            self._woken = True
            try:
                self._loop.call_soon_threadsafe(self._collect)
            except RuntimeError:
                return  # the loop is closed: nobody waits for this result

    def _collect(self) -> None:
        self._woken = False
        while self._ended:
            attempt, result, error = self._ended.popleft()
            if attempt.abandoned:
                self.abandoned -= 1
                continue
            self._freed()
            attempt.done(result, error)

    def abandon(self, attempt: Attempt) -> None:
        """Give up on an attempt: a thread cannot be stopped, so its result is ignored and another takes its place."""
        attempt.cancelled = True
        if not attempt.handed_out:
            self._loop.call_soon(attempt.done, None, asyncio.CancelledError())
        elif attempt.begun and not attempt.abandoned:
            attempt.abandoned = True
            self.abandoned += 1
            self._threads -= 1
            self._freed()

    def close(self) -> None:
        for _ in range(self._threads):
            self._queue.put(None)
