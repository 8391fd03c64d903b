"""Inside a worker of a pool: make its state once, run chunks of tasks with it, take it down.

Setup and tasks share one *slot thread* (with ``concurrency`` above one, so many), async ones one loop beside it: a library
that binds its objects to a thread or a loop finds the same one in every task. The actor's own loop runs none of the user's
code, so a worker can be asked, stopped and ended whatever its tasks do.

What ends a task early depends on what can be ended: a coroutine is cancelled and may clean up; a plain function that has the
process to itself takes it along, as in a Ray task; one that shares the process is abandoned, and the worker is *worn*: it ends
what else it runs and is replaced.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import inspect
import logging
import os
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from raywf.core.plan import FunctionRef
from raywf.definition.warmth import Warmth
from raywf.runtime.bundle import enter_bundle
from raywf.runtime.code import Code, Function
from raywf.runtime.crews import CrewSpec
from raywf.runtime.evaluate import failure_of
from raywf.runtime.speaking import Tell
from raywf.runtime.spool import SpoolWriter
from raywf.runtime.worker import Attempt, Chunk, Run, _in_context, _with_timeout

log = logging.getLogger("raywf.warm")

KEPT_S = 60.0
"""For how long the notes of a chunk that has ended are kept: its owner may not have its answer yet."""
OVERTIME_S = 10.0
"""How far past its timeout a task may hold up its worker's interpreter before that is ended."""


class _Ended(Exception):
    """The task was asked to end, and has ended or was given up on."""


@dataclass(eq=False)
class _Working:
    """One chunk that runs now, under the slot's token. ``end`` asks the task that it is in to end, from any thread."""

    number: int
    home: asyncio.AbstractEventLoop
    end: Callable[[], None] | None = None
    stopped: bool = False
    worn: bool = False
    over: asyncio.Event = field(default_factory=asyncio.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def stop(self) -> None:
        """Ask once: what cleans up is not interrupted."""
        with self.lock:
            asked, self.stopped = self.stopped, True
            if self.end is not None and not asked:
                self.end()

    def begin(self, end: Callable[[], None]) -> None:
        """A task begins, and this is how it is asked to end. Raises ``_Ended`` where the chunk has been asked before."""
        with self.lock:
            if self.stopped:
                raise _Ended
            self.end = end

    def finish(self) -> None:
        with self.lock:
            self.end = None


class WarmProcess:
    """One worker. ``end`` ends the process at once; every method runs on the actor's loop."""

    def __init__(self, spec: CrewSpec, end: Callable[[], None] = lambda: os._exit(1)) -> None:
        self.spec = spec
        self.warmth: Warmth | None = None
        self.code = Code()
        self.is_shared = spec.pool.rule.concurrency > 1
        self.end = end
        self._received: set[int] = set()
        self._slots = ThreadPoolExecutor(spec.pool.rule.concurrency, "raywf-slot")
        self._working: dict[int, _Working] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._starting = threading.Lock()
        self._notes: list[tuple[float, Path]] = []

    # its life

    async def begin(self) -> tuple[float, dict[str, object] | None]:
        """Load the code and run ``setup``. Returns the seconds it took, and the failure as data if it failed."""
        began = time.perf_counter()
        error = await self._in_slot(self._set_up)
        return time.perf_counter() - began, error

    def _set_up(self) -> dict[str, object] | None:
        setup, pool = self.spec.pool.setup, self.spec.pool.name
        try:
            enter_bundle(self.spec.bundle)
            for blob in self.spec.blobs:
                self._receive(blob)
            if setup is None:
                self.warmth = Warmth(pool, None, None)
            else:
                function = self.code.callable(setup)
                self.warmth = Warmth(pool, function, self._call_plainly(function))
        except BaseException as error:
            return failure_of(error, 0).to_data()
        return None

    async def leave(self) -> str | None:
        """Run ``teardown``; returns what went wrong with it, if anything did."""
        said: str | None = await self._in_slot(self._tear_down)
        for _, path in self._notes:
            path.unlink(missing_ok=True)
        return said

    def _tear_down(self) -> str | None:
        ref: FunctionRef | None = self.spec.pool.teardown
        if ref is None or self.warmth is None:
            return None
        try:
            self._call_plainly(self.code.callable(ref), self.warmth.state)
        except BaseException as error:
            return f"{type(error).__name__}: {error}"
        return None

    def _call_plainly(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call a function, sync or async, outside of any task."""
        result = contextvars.Context().run(function, *args)
        if inspect.iscoroutine(result):
            return asyncio.run_coroutine_threadsafe(result, self.loop()).result()
        return result

    async def _in_slot(self, work: Callable[..., Any], *args: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._slots, work, *args)

    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop of the user's coroutines, in a thread of its own; made when there is a first one."""
        with self._starting:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=self._loop.run_forever, name="raywf-warm", daemon=True).start()
            return self._loop

    def _receive(self, blob: bytes) -> None:
        if hash(blob) not in self._received:
            self.code.receive(blob)
            self._received.add(hash(blob))

    # its work

    async def run(
        self, token: int, chunk: Chunk, sent: bytes | None, hot: Sequence[bytes], tell: Tell | None
    ) -> tuple[float, list[Any], bool]:
        """Run a chunk in the slot ``token``. As ``worker.run_chunk``; and whether the worker is worn since."""
        working = self._working[token] = _Working(chunk.number, asyncio.get_running_loop())
        try:
            if sent is not None:
                await self._in_slot(self._receive, sent)
            seconds, outcomes = await self._in_slot(self._run_in_slot, working, chunk, hot, tell)
        finally:
            del self._working[token]
            working.over.set()
        return seconds, outcomes, working.worn

    def _run_in_slot(
        self, working: _Working, chunk: Chunk, hot: Sequence[bytes], tell: Tell | None
    ) -> tuple[float, list[Any]]:
        self._clean_up()
        spool = SpoolWriter(chunk.spool)
        began = time.perf_counter()
        try:
            run = _WarmRun(self, working, chunk, dict(zip(chunk.hot, hot, strict=True)), spool, tell)
            outcomes = run.all()
        finally:
            spool.close()
            self._notes.append((time.monotonic(), chunk.spool))
        return time.perf_counter() - began, outcomes

    def _clean_up(self) -> None:
        before = time.monotonic() - KEPT_S
        while self._notes and self._notes[0][0] < before:
            self._notes.pop(0)[1].unlink(missing_ok=True)

    async def stop(self, token: int, number: int) -> None:
        """Ask the chunk ``number`` of a slot to end. It ends as the head of this page says."""
        working = self._working.get(token)
        if working is not None and working.number == number:
            working.stop()

    async def until_free(self, token: int) -> None:
        """Returns when nothing runs in a slot; what runs there is asked to end."""
        working = self._working.get(token)
        if working is not None:
            await self.stop(token, working.number)
            await working.over.wait()


class _WarmRun(Run):
    """The tasks of a chunk, with the worker's state."""

    def __init__(
        self,
        process: WarmProcess,
        working: _Working,
        chunk: Chunk,
        hot: dict[str, bytes],
        spool: SpoolWriter,
        tell: Tell | None,
    ) -> None:
        super().__init__(chunk, hot, spool, tell, process.code)
        self.process = process
        self.working = working
        self.warm = process.warmth

    def failed(self, error: BaseException, attempt: Attempt) -> list[Any]:
        return ["cancelled", None] if isinstance(error, _Ended) else super().failed(error, attempt)

    def _call(self, function: Function, attempt: Attempt, args: list[Any], kwargs: dict[str, Any]) -> Any:
        timeout = self.chunk.timeout
        limit = None if timeout is None else _end_after(timeout + OVERTIME_S, self.process)
        try:
            if function.is_async:
                return self._await(_with_timeout(function.call, attempt.context, args, kwargs, timeout))
            if self.process.is_shared:
                return self._aside(function, attempt, args, kwargs)
            self.working.begin(self.process.end)
            return super()._call(function, attempt, args, kwargs)
        finally:
            self.working.finish()
            if limit is not None:
                limit.cancel()

    def _await(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine on the worker's loop, and wait for its end: also for that of its clean-up, if it is asked to end."""
        loop = self.process.loop()
        over: concurrent.futures.Future[Any] = concurrent.futures.Future()
        begun: list[asyncio.Task[Any]] = []

        def begin() -> None:
            task = loop.create_task(work, context=contextvars.Context())
            begun.append(task)
            task.add_done_callback(lambda ended: _settle(over, ended, None))

        def end() -> None:
            loop.call_soon_threadsafe(lambda: begun[0].cancel())  # it comes after ``begin``, on the same loop
            home = self.working.home
            home.call_soon_threadsafe(home.call_later, self.chunk.cleanup, give_up)

        def give_up() -> None:
            if _settle(over, None, _Ended()):
                self.working.worn = True

        try:
            self.working.begin(end)
        except _Ended:
            work.close()
            raise
        loop.call_soon_threadsafe(begin)
        try:
            return over.result().result()
        except asyncio.CancelledError:
            if self.working.stopped:
                raise _Ended from None
            raise RuntimeError("the task was cancelled from inside: it raised asyncio.CancelledError") from None

    def _aside(self, function: Function, attempt: Attempt, args: list[Any], kwargs: dict[str, Any]) -> Any:
        """Run a plain function in a thread that can be abandoned."""
        over: concurrent.futures.Future[Any] = concurrent.futures.Future()

        def work() -> None:
            try:
                _settle(over, _in_context(function.call, attempt.context, args, kwargs), None)
            except BaseException as error:
                _settle(over, None, error)

        def end() -> None:
            if _settle(over, None, _Ended()):
                self.working.worn = True

        self.working.begin(end)
        threading.Thread(target=contextvars.Context().run, args=(work,), name="raywf-task", daemon=True).start()
        try:
            return over.result(self.chunk.timeout)
        except concurrent.futures.TimeoutError:
            if over.done():  # the function's own
                raise
            self.working.worn = True
            message = f"{attempt.item.context[1]} ran longer than its timeout of {self.chunk.timeout:g} s"
            raise TimeoutError(message) from None


def _settle(over: concurrent.futures.Future[Any], result: Any, error: BaseException | None) -> bool:
    """Whether this was how it ended; what comes second, of a task that was given up on, is ignored."""
    try:
        if error is None:
            over.set_result(result)
        else:
            over.set_exception(error)
    except concurrent.futures.InvalidStateError:
        return False
    return True


def _end_after(seconds: float, process: WarmProcess) -> threading.Timer:
    """End the process if a task holds it up for so long: its timeout should have ended it before."""
    timer = threading.Timer(seconds, process.end)
    timer.daemon = True
    timer.start()
    return timer
