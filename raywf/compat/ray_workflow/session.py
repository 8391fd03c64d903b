"""The connection behind the functions of this library: one engine per process, made when it is first needed.

The engine lives on a loop in a thread. What is promised to the program as an ``ObjectRef`` comes from a small actor: its
method waits until this process hands in how the workflow ended, so ``ray.get``, ``ray.wait`` and passing the reference on do
what they always did, and ``ray.get`` raises Ray's own kind of error.
"""

from __future__ import annotations

import asyncio
import atexit
import threading
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any, TypeVar

import ray

from raywf.client.engine import AsyncWorkflowEngine
from raywf.client.handle import AsyncExecutionHandle
from raywf.client.locate import absolute, live_engine
from raywf.client.reading import ExecutionSummary, Readings
from raywf.compat.ray_workflow.common import ACTIVE, LIMIT, status_of
from raywf.config import Settings
from raywf.errors import NotFound, RaywfError, StoreUnavailable

T = TypeVar("T")
TAG = "ray_workflow"
"""The tag of an execution that came through this door. Its value is the workflow's id."""


class _Outcomes:
    """Waits for outcomes on behalf of references."""

    def __init__(self) -> None:
        self._known: dict[str, asyncio.Future[Any]] = {}

    def _future(self, key: str) -> asyncio.Future[Any]:
        return self._known.setdefault(key, asyncio.get_running_loop().create_future())

    async def take(self, key: str) -> Any:
        try:
            return await self._future(key)
        finally:
            self._known.pop(key, None)

    async def give(self, key: str, value: Any, error: BaseException | None) -> None:
        future = self._future(key)
        if error is None:
            future.set_result(value)
        else:
            future.set_exception(error)


class Session:
    """An engine, and what this process knows of its workflows."""

    def __init__(self, storage: str | None, namespace: str) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="raywf-compat", daemon=True)
        self._thread.start()
        self.engine = AsyncWorkflowEngine(None, storage, namespace, ())
        self.interrupted: set[str] = set()
        """Workflows that nobody held when this process came, and that were not asked for since, however they do by now."""
        self.limited = False
        self.ray: tuple[str, str] | None = None
        self._open = False
        self._outcomes: Any = None
        self._background: set[Any] = set()

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the loop of the engine, and wait for it."""
        future = asyncio.run_coroutine_threadsafe(work, self.loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    async def open(self) -> None:
        store = absolute(self.engine.store)
        if await live_engine(store, Settings.from_env({}, None).lease_s) is None:
            self.interrupted = await _open_in(store, self.engine.namespace)  # before anybody goes on with them
        await self.engine.open()
        self._open = True
        self.limited = any(limit.name == LIMIT for limit in await self.engine.limits())
        self.ray = here()

    async def close(self) -> None:
        if not self._open:
            return
        try:
            await asyncio.wait_for(self.engine.close(), timeout=20)
        except (RaywfError, TimeoutError, OSError, RuntimeError):
            # Its Ray is gone; or the interpreter is ending and starts no thread any more, and Ray ends by itself. What was
            # open goes on with the next connect.
            return

    def end(self) -> None:
        """Leave, and end the thread."""
        if self.loop.is_running():
            self.call(self.close())
            self.loop.call_soon_threadsafe(self.loop.stop)
            self._thread.join(timeout=5)
            if not self._thread.is_alive():
                self.loop.close()

    def promise(self, work: Coroutine[Any, Any, Any]) -> ray.ObjectRef[Any]:
        """A reference to what a coroutine will give."""
        if self._outcomes is None:
            # One for this process, and gone with it: so are the references, which this process owns.
            actor = ray.remote(num_cpus=0, max_concurrency=100_000)(_Outcomes)
            self._outcomes = actor.remote()
        key, outcomes = uuid.uuid4().hex, self._outcomes
        ref: ray.ObjectRef[Any] = outcomes.take.remote(key)

        async def settling() -> None:
            try:
                value = await work
            except Exception as error:
                outcomes.give.remote(key, None, error)
            else:
                outcomes.give.remote(key, value, None)

        future = asyncio.run_coroutine_threadsafe(settling(), self.loop)
        self._background.add(future)
        future.add_done_callback(self._background.discard)
        return ref

    # workflows and the executions behind them

    async def find(self, workflow_id: str) -> tuple[AsyncExecutionHandle | None, int]:
        """The newest execution of a workflow, and its number. None and 0 where it was never run.

        A workflow that was deleted and run again is another execution: ``id``, then ``id~2``, ``id~3``.
        """
        found: AsyncExecutionHandle | None = None
        number = 0
        while True:
            try:
                found = await self.engine.get(execution_id(workflow_id, number + 1))
            except NotFound:
                return found, number
            number += 1

    def workflows(self) -> AsyncIterator[tuple[str, ExecutionSummary]]:
        """(id, summary) of each workflow that came through this door, newest first; the deleted too."""
        return _workflows(self.engine.list)


async def _workflows(
    listing: Callable[..., Awaitable[list[ExecutionSummary]]],
) -> AsyncIterator[tuple[str, ExecutionSummary]]:
    seen: set[str] = set()
    after: str | None = None
    while True:
        page = await listing(limit=500, after=after)
        for summary in page:
            id_ = summary.tags.get(TAG)
            if id_ is not None and summary.parent is None and id_ not in seen:
                seen.add(id_)
                yield id_, summary
        if len(page) < 500:
            return
        after = page[-1].id


async def _open_in(store: str, namespace: str) -> set[str]:
    """The workflows in a store that have not ended."""
    try:
        readings = Readings(store, namespace)
    except StoreUnavailable:  # none is there yet; if it is another trouble, connecting says so
        return set()
    try:
        return {id_ async for id_, summary in _workflows(readings.list) if status_of(summary) in ACTIVE}
    except StoreUnavailable:
        return set()
    finally:
        await readings.close()


def execution_id(workflow_id: str, number: int) -> str:
    return workflow_id if number == 1 else f"{workflow_id}~{number}"


def here() -> tuple[str, str] | None:
    """What tells the Ray of this process, and this connection to it, from another."""
    if not ray.is_initialized():
        return None
    context = ray.get_runtime_context()
    return str(context.gcs_address), str(context.get_job_id())


_session: Session | None = None
_lock = threading.RLock()


def session(storage: str | None = None, namespace: str = "default") -> Session:
    """The session of this process. A new one where there is none, or where Ray is another than it was."""
    global _session
    with _lock:
        if _session is not None and _session.ray == here():
            return _session
        if _session is not None:
            storage, namespace = storage or _session.engine.store, _session.engine.namespace
            _session.end()
            _session = None
        fresh = Session(storage, namespace)
        try:
            fresh.call(fresh.open())
        except BaseException:
            fresh.end()
            raise
        _session = fresh
        return fresh


@atexit.register
def _leave() -> None:
    if _session is not None:
        _session.end()
