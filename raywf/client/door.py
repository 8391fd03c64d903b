"""The sync engine: a door to the async one, whose loop runs in a thread. Safe in notebooks and from any thread."""

from __future__ import annotations

import asyncio
import atexit
import builtins
import threading
import weakref
from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from raywf.client.aggregators import Aggregator
from raywf.client.archive import Archived
from raywf.client.bulk import BulkResult
from raywf.client.caching import CachedResult
from raywf.client.deploying import Target
from raywf.client.engine import AsyncWorkflowEngine
from raywf.client.events import Emitted, TriggerDescription
from raywf.client.exporting import ExportedExecution
from raywf.client.handle import AsyncExecutionHandle
from raywf.client.limits import LimitStatus
from raywf.client.migrating import DeploymentPlan, MigrationResult
from raywf.client.nodes import NodeStatus
from raywf.client.reading import ExecutionDescription, ExecutionSummary, HistoryEvent
from raywf.client.schedules import ABSENT, Schedule, ScheduleDescription
from raywf.client.streams import StreamItem
from raywf.client.versions import Deployment, Version
from raywf.client.webhooks import Webhook
from raywf.client.why import Explanation
from raywf.client.workers import PoolStatus
from raywf.config import shown
from raywf.definition.limits import Rate
from raywf.definition.model import WorkflowDefinition
from raywf.definition.workflows import Workflow
from raywf.errors import NotConnected
from raywf.sealing import Codec

if TYPE_CHECKING:
    import pyarrow as pa

T = TypeVar("T")


class _Loop:
    """An event loop in a daemon thread."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="raywf-client", daemon=True)
        started = threading.Event()
        self.loop.call_soon(started.set)
        self._thread.start()
        started.wait()  # on a busy machine the thread may not have come to it yet

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        if not self.loop.is_running():
            work.close()
            raise NotConnected("this engine is closed: call raywf.connect() again")
        if threading.current_thread() is self._thread:
            work.close()
            raise NotConnected("the sync engine was called from its own loop: use raywf.connect_async() in async code")
        future = asyncio.run_coroutine_threadsafe(work, self.loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def stop(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(timeout=5)
        if not self._thread.is_alive():
            self.loop.close()


def _followed(loop: _Loop, items: AsyncIterator[T]) -> Iterator[T]:
    """An async iterator of the engine's loop, item by item."""

    async def following() -> tuple[bool, Any]:
        try:
            return True, await items.__anext__()
        except StopAsyncIteration:
            return False, None

    while True:
        more, value = loop.call(following())
        if not more:
            return
        yield value


class ExecutionHandle:
    """One execution. Cheap to make; every method may be called any number of times, from any thread."""

    __slots__ = ("_async", "_loop")

    def __init__(self, inner: AsyncExecutionHandle, loop: _Loop) -> None:
        self._async = inner
        self._loop = loop

    @property
    def id(self) -> str:
        return self._async.id

    def __repr__(self) -> str:
        return repr(self._async)

    def status(self) -> str:
        """The execution's status, from the store."""
        return self._loop.call(self._async.status())

    def result(self, timeout: float | None = None) -> Any:
        """The result, once the execution has ended.

        Raises ``WorkflowFailed``, ``WorkflowCancelled``, or ``ResultTimeout`` after ``timeout`` seconds (the execution
        goes on).
        """
        outcome = self._async._waiting.outcome
        if outcome is not None:  # known already: no need to go through the loop
            return self._async._engine._results.settled(self._async.id, outcome)
        return self._loop.call(self._async.result(timeout))

    def describe(self) -> ExecutionDescription:
        return self._loop.call(self._async.describe())

    def why(self) -> Explanation:
        """What the execution waits for and who holds it, in words."""
        return self._loop.call(self._async.why())

    def history(self) -> list[HistoryEvent]:
        return self._loop.call(self._async.history())

    def export(self) -> ExportedExecution:
        """The execution with its children as it is now: ``save(path)`` writes it. Raises ``InvalidInput`` for a child."""
        return self._loop.call(self._async.export())

    def graph(self) -> str:
        """Mermaid, with the state of each task."""
        return self._loop.call(self._async.graph())

    def cancel(self, reason: str = "") -> bool:
        """Ask the execution to end. Returns at once; a no-op, and False, on one that has ended or is compensating."""
        return self._loop.call(self._async.cancel(reason))

    def pause(self, reason: str = "") -> bool:
        """Let nothing new start: what runs ends and is kept, signals are kept, no timer fires. Returns at once; False if
        it is paused already. Raises ``ExecutionClosed``."""
        return self._loop.call(self._async.pause(reason))

    def resume(self) -> None:
        """Let a paused execution go on. Raises ``ExecutionClosed``."""
        self._loop.call(self._async.resume())

    def retry(self) -> bool:
        """Open the execution again, if it failed or was cancelled: what completed is kept, what did not is run, and what
        was taken back is run once more. ``result()`` then waits for the new end. Returns at once; False where this end has
        been retried already. Raises ``ExecutionClosed`` for a completed one, ``InvalidInput`` for one that is open."""
        return self._loop.call(self._async.retry())

    def resolve(self, task: str, outcome: str, value: Any = None, *, by: str | None = None, comment: str = "") -> None:
        """Say what became of an at-most-once task in doubt: ``outcome`` is ``"retry"``, ``"completed"`` (its result is
        ``value``) or ``"failed"``. The first answer counts."""
        self._loop.call(self._async.resolve(task, outcome, value, by=by, comment=comment))

    def signal(self, name: str, payload: Any = None, id: str | None = None) -> None:
        """Send a signal. With an ``id``, a repeat is a no-op."""
        self._loop.call(self._async.signal(name, payload, id))

    def update(self, name: str, payload: Any = None, timeout: float | None = None, id: str | None = None) -> Any:
        """Send an update, and wait for its answer: what the task that ``raywf.wait_update`` names gave, or None where the
        workflow only takes it. With an ``id`` a repeat counts once and gets the same answer. Raises ``InvalidInput`` when the
        validator refuses it, ``ResultTimeout`` after ``timeout`` seconds, ``ExecutionClosed``, and what ``result`` raises
        where the execution ends without an answer."""
        return self._loop.call(self._async.update(name, payload, timeout, id))

    def query(self, path: str) -> Any:
        """The recorded value at a path, of an open or a closed execution: ``input.user``, ``result``, or a task and the keys
        inside its result, as in ``write.title``, ``score[3].value``, ``step@2``. Raises ``NotFound`` where there is none (yet),
        ``InvalidInput`` for what is no path."""
        return self._loop.call(self._async.query(path))

    def stream(self, task: str | None = None, offset: int = 0, wait: bool = True) -> Iterator[StreamItem]:
        """What ``task`` (or every task) emits, from item ``offset`` on, until it or the execution has ended; afterwards too.
        ``wait=False``: what is there now. Raises ``NotFound``, ``InvalidInput``."""
        return _followed(self._loop, self._async.stream(task, offset, wait))

    def approve(self, by: str, comment: str = "", task: str | None = None) -> bool:
        """Approve what the execution waits for. ``task`` says which, where there are several. False: ``by`` has approved it
        before. Raises ``PermissionDenied`` for a person who is not asked, ``InvalidInput`` where nothing is asked or ``by``
        has rejected it, ``ExecutionClosed``."""
        return self._loop.call(self._async.approve(by, comment, task))

    def reject(self, by: str, comment: str = "", task: str | None = None) -> bool:
        """Reject it; as ``approve``."""
        return self._loop.call(self._async.reject(by, comment, task))


class WorkflowEngine:
    """An engine on a Ray. Made by ``connect``; safe from any thread."""

    def __init__(self, inner: AsyncWorkflowEngine, loop: _Loop) -> None:
        self._async = inner
        self._loop = loop
        self._closed = False
        atexit.register(_close_at_exit, weakref.ref(self))

    @property
    def store(self) -> str:
        """The store's URL."""
        return self._async.store

    @property
    def namespace(self) -> str:
        return self._async.namespace

    def submit(
        self,
        wf: Target,
        /,
        *args: Any,
        execution_id: str | None = None,
        priority: int = 0,
        deadline: datetime | timedelta | None = None,
        tags: Mapping[str, str] | None = None,
        isolation: str = "shared",
        **kwargs: Any,
    ) -> ExecutionHandle:
        """Start an execution; returns when it is on disk.

        Larger ``priority`` first; ``deadline`` is an aware datetime or a timedelta. The same ``execution_id`` with the
        same workflow and arguments gives the same execution. Raises ``InvalidInput``, ``AlreadyExists``,
        ``DefinitionError``, ``StoreUnavailable``.
        """
        work = self._async.submit(
            wf,
            *args,
            execution_id=execution_id,
            priority=priority,
            deadline=deadline,
            tags=tags,
            isolation=isolation,
            **kwargs,
        )
        return ExecutionHandle(self._loop.call(work), self._loop)

    def submit_many(
        self,
        wf: Workflow[..., Any] | WorkflowDefinition,
        inputs: Iterable[Any],
        execution_ids: Sequence[str] | None = None,
    ) -> builtins.list[ExecutionHandle]:
        """Start one execution per input, all checked before the first is stored. Returns when all are on disk."""
        handles = self._loop.call(self._async.submit_many(wf, list(inputs), execution_ids))
        return [ExecutionHandle(handle, self._loop) for handle in handles]

    def run(self, wf: Target, /, *args: Any, **kwargs: Any) -> Any:
        """Submit and wait for the result."""
        return self._loop.call(self._async.run(wf, *args, **kwargs))

    def map(
        self,
        wf: Workflow[..., Any] | WorkflowDefinition,
        inputs: Iterable[Any],
        max_in_flight: int = 1000,
        return_exceptions: bool = False,
    ) -> Iterator[Any]:
        """The results of one execution per input, in order. Inputs are taken as results are, so they may be endless."""
        return _followed(self._loop, self._async.map(wf, inputs, max_in_flight, return_exceptions).__aiter__())

    def get(self, execution_id: str) -> ExecutionHandle:
        """The handle of an execution. Raises ``NotFound``."""
        return ExecutionHandle(self._loop.call(self._async.get(execution_id)), self._loop)

    def fork(self, execution_id: str, from_task: str, args: Any = None) -> ExecutionHandle:
        """A new execution, with an id and keys of its own, that keeps the results of another one which are not downstream
        of ``from_task``; returns when it is on disk. ``args`` takes the place of the input: one value stands for the
        arguments. ``from_task`` may be one item, ``"parse[3]"``. Raises ``NotFound`` and ``InvalidInput``."""
        return ExecutionHandle(self._loop.call(self._async.fork(execution_id, from_task, args)), self._loop)

    def list(
        self,
        status: str | None = None,
        workflow: str | None = None,
        tags: Mapping[str, str] | None = None,
        limit: int = 100,
        after: str | None = None,
        *,
        started_after: datetime | timedelta | None = None,
        started_before: datetime | timedelta | None = None,
    ) -> list[ExecutionSummary]:
        """Executions, newest first. ``after`` is the id of the last one of the page before. Instants are aware datetimes,
        or a timedelta: so long ago; those started from the one on and before the other."""
        between = {"started_after": started_after, "started_before": started_before}
        return self._loop.call(self._async.list(status, workflow, tags, limit, after, **between))

    def bulk(
        self,
        action: str,
        *,
        status: str | None = None,
        workflow: str | None = None,
        tags: Mapping[str, str] | None = None,
        started_after: datetime | timedelta | None = None,
        started_before: datetime | timedelta | None = None,
        reason: str = "",
        dry_run: bool = False,
    ) -> BulkResult:
        """Cancel, pause, resume or retry all executions that a query finds; children go with their roots. Returns when
        every command is on disk. ``dry_run``: only say which. Instants are aware datetimes, or a timedelta: so long ago.

        Raises ``InvalidInput`` where nothing is asked for, and for a status to which the action does not apply.
        """
        work = self._async.bulk(
            action,
            status=status,
            workflow=workflow,
            tags=tags,
            started_after=started_after,
            started_before=started_before,
            reason=reason,
            dry_run=dry_run,
        )
        return self._loop.call(work)

    def versions(self, workflow: Target) -> builtins.list[Version]:
        """Every version of a workflow that the store has seen, in that order; which one is current, and how many open executions
        go on under each. Raises ``NotFound``."""
        return self._loop.call(self._async.versions(workflow))

    def definition(self, workflow: Target, version: str | None = None) -> WorkflowDefinition:
        """A stored version: by hash (four characters or more) or label; None: the current one. Raises ``NotFound``."""
        return self._loop.call(self._async.definition(workflow, version))

    def deploy(self, workflow: Workflow[..., Any] | WorkflowDefinition, *, by: str | None = None) -> Deployment:
        """Store a version and make it the current one: executions started by name get it, and so do schedules and triggers made with
        ``follow=True``. Open executions keep theirs. Twice is once. Raises ``InvalidInput`` where what follows does not fit."""
        return self._loop.call(self._async.deploy(workflow, by=by))

    def rollback(self, workflow: Target, *, to: str | None = None, by: str | None = None) -> Deployment:
        """Make the version before the current one (or ``to``, a hash or a label) current again. Raises ``NotFound``,
        ``InvalidInput``."""
        return self._loop.call(self._async.rollback(workflow, to=to, by=by))

    def plan(self, workflow: Target, **options: Any) -> DeploymentPlan:
        """What would become of open executions under this version. Changes nothing. Options are those of the async engine: ``ids``,
        ``rerun``, ``keep``, ``drop``, ``limit``. Raises ``DefinitionError`` and ``InvalidInput``."""
        return self._loop.call(self._async.plan(workflow, **options))

    def migrate(self, workflow: Target, **options: Any) -> MigrationResult:
        """Let open executions go on under this version, where their plan does not block. Options are those of the async engine:
        ``ids``, ``rerun``, ``keep``, ``drop``, ``by``, ``timeout``. Twice is once."""
        return self._loop.call(self._async.migrate(workflow, **options))

    def why(self, execution_id: str) -> Explanation:
        """What an execution waits for and who holds it, in words. Raises ``NotFound``."""
        return self._loop.call(self._async.why(execution_id))

    def aggregator(self, name: str, *, strategy: str = "auto", accept_at: float = 0.7) -> Aggregator:
        """The aggregator of that name: merges answers and learns how far to trust each source. Raises ``InvalidInput``."""
        return Aggregator(self._async.aggregator(name, strategy=strategy, accept_at=accept_at), self._loop)

    def set_limit(
        self, name: str, *, concurrency: int | None = None, rate: Rate | None = None, by: str | None = None
    ) -> None:
        """Change a limit while it is used, from the next start on, whatever definitions declare. ``concurrency=0`` closes
        it. Raises ``InvalidInput``."""
        self._loop.call(self._async.set_limit(name, concurrency=concurrency, rate=rate, by=by))

    def reset_limit(self, name: str) -> None:
        """Let definitions decide on a limit again. Raises ``NotFound``."""
        self._loop.call(self._async.reset_limit(name))

    def nodes(self) -> builtins.list[NodeStatus]:
        """The live nodes of the cluster, the head first, with the workflow actors on them."""
        return self._loop.call(self._async.nodes())

    def drain(self, node: str, deadline: float = 60.0) -> None:
        """Prepare the removal of a node: nothing starts there any more, its shards move to others, and what runs may end for
        ``deadline`` seconds. Returns when the node can be ended. Raises ``NotFound``, ``InvalidInput``."""
        self._loop.call(self._async.drain(node, deadline))

    def limits(self) -> builtins.list[LimitStatus]:
        """Every limit, how it is used now, and who holds it."""
        return self._loop.call(self._async.limits())

    def cached(self, task: Any = None, *, limit: int = 100) -> builtins.list[CachedResult]:
        """Results kept for reuse, newest first; of one ``task`` (the task, or its name). Raises ``InvalidInput``."""
        return self._loop.call(self._async.cached(task, limit=limit))

    def clear_cache(self, task: Any = None, *, key: str | None = None) -> int:
        """Forget kept results: of a task, of a key, or all; returns how many. Executions keep what they have. Raises
        ``InvalidInput``."""
        return self._loop.call(self._async.clear_cache(task, key=key))

    def workers(self) -> builtins.list[PoolStatus]:
        """Every pool that runs now, in all projects of this namespace, with its workers."""
        return self._loop.call(self._async.workers())

    def history_table(
        self,
        status: str | None = None,
        workflow: str | None = None,
        tags: Mapping[str, str] | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int | None = None,
    ) -> pa.Table:
        """The events of executions that started in [since, until), the newest ``limit`` of them, as an Arrow table."""
        return self._loop.call(self._async.history_table(status, workflow, tags, since, until, limit))

    def import_execution(
        self, exported: ExportedExecution | str | Path, *, go_on: bool = False, by: str | None = None
    ) -> str:
        """Store an exported execution here under its id; gives its status. An open one comes paused, unless it is to
        ``go_on``. Raises ``AlreadyExists``, ``InvalidInput``, ``NotFound``."""
        return self._loop.call(self._async.import_execution(exported, go_on=go_on, by=by))

    def archive(
        self, to: str | Path, older_than: timedelta | str, *, workflow: str | None = None, delete: bool = True
    ) -> Archived:
        """Write executions that ended so long ago to a folder as Parquet, and delete them from the store."""
        return self._loop.call(self._async.archive(to, older_than, workflow=workflow, delete=delete))

    def schedule(
        self,
        wf: Workflow[..., Any] | WorkflowDefinition,
        args: Any = ABSENT,
        *,
        cron: str | None = None,
        every: float | timedelta | None = None,
        timezone: str = "UTC",
        overlap: str = "skip",
        id: str | None = None,
        jitter: float | timedelta = 0.0,
        start: datetime | None = None,
        end: datetime | None = None,
        catch_up: float | timedelta = 3600.0,
        priority: int = 0,
        tags: Mapping[str, str] | None = None,
        paused: bool = False,
        follow: bool = False,
    ) -> Schedule:
        """Start a workflow at the instants of a cron line (or ``every`` so many seconds), from the next one on.

        ``args`` is one value that stands for the arguments, as in ``map``. ``overlap`` says what an instant does while the last
        execution runs: ``skip``, ``allow``, ``buffer_one``, ``cancel_previous``. ``catch_up``: instants that were missed
        because no engine ran start late, up to so many seconds. ``jitter``: it fires a constant part of this later.
        ``id`` (default: the workflow's) names it: the same id changes it. ``follow``: it starts the version of its workflow that
        is deployed, from the next deployment on, not the one it was made with. Raises ``InvalidInput``, ``AlreadyExists``.
        """
        work = self._async.schedule(
            wf,
            args,
            cron=cron,
            every=every,
            timezone=timezone,
            overlap=overlap,
            id=id,
            jitter=jitter,
            start=start,
            end=end,
            catch_up=catch_up,
            priority=priority,
            tags=tags,
            paused=paused,
            follow=follow,
        )
        return Schedule(self._loop.call(work), self._loop)

    def schedules(self) -> builtins.list[ScheduleDescription]:
        """Every schedule of the namespace, by id."""
        return self._loop.call(self._async.schedules())

    def get_schedule(self, id: str) -> Schedule:
        """The schedule of that id. Raises ``NotFound``."""
        return Schedule(self._loop.call(self._async.get_schedule(id)), self._loop)

    def register(
        self, wf: Workflow[..., Any] | WorkflowDefinition, triggers: Sequence[Mapping[str, Any]] | None = None
    ) -> builtins.list[str]:
        """Put a workflow's own triggers (``@workflow(triggers=[…])``) into effect; those that it had before and has no
        more are deleted. Or put ``triggers`` into effect beside them. Returns the ids of what is in effect. Raises
        ``InvalidInput``, ``DefinitionError``, ``AlreadyExists``."""
        return self._loop.call(self._async.register(wf, triggers))

    def emit(self, name: str, payload: Any = None, id: str | None = None) -> Emitted:
        """Emit an event: returns when every execution that it starts is accepted. With an ``id``, a repeat starts nothing
        again. Raises ``InvalidInput`` where the payload does not fit a workflow that wants it; nothing is stored then."""
        return self._loop.call(self._async.emit(name, payload, id))

    def receive(self, webhook: Webhook, headers: Mapping[str, str], body: bytes) -> Emitted:
        """Emit the event of a webhook's request. Raises ``PermissionDenied`` for a signature that is not right,
        ``InvalidInput`` for a body that cannot be read."""
        return self._loop.call(self._async.receive(webhook, headers, body))

    def triggers(self) -> builtins.list[TriggerDescription]:
        """The triggers by event that are in effect, by id."""
        return self._loop.call(self._async.triggers())

    def drop_trigger(self, id: str) -> None:
        """Let events start it no more; what they have started goes on. Raises ``NotFound``."""
        self._loop.call(self._async.drop_trigger(id))

    def close(self) -> None:
        """Leave. With a private Ray, open executions are parked, and the next connect goes on with them."""
        if not self._closed:
            self._closed = True
            try:
                self._loop.call(self._async.close())
            finally:
                self._loop.stop()

    def __enter__(self) -> WorkflowEngine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<WorkflowEngine {shown(self.store)} namespace={self.namespace!r}{' closed' if self._closed else ''}>"


def _close_at_exit(reference: weakref.ref[WorkflowEngine]) -> None:
    engine = reference()
    if engine is not None:
        engine.close()


def connect(
    address: str | None = None,
    store: str | None = None,
    namespace: str = "default",
    pools: Sequence[Any] = (),
    actors: int | str | None = None,
    codec: Codec | None = None,
) -> WorkflowEngine:
    """Connect to an engine, or start one.

    Ray: ``address``, else RAY_ADDRESS, else a Ray already initialised in this process, else the live engine recorded in
    the store, else the Ray of ``raywf up``, else a private one that ends with this process.
    ``store``: ``sqlite:///path`` or ``postgresql://…``; default RAYWF_STORE, else ``sqlite:///.raywf/raywf.db``.
    ``actors``: how many workflow actors share the executions of this project, a number or ``"per-node"``; default
    RAYWF_WORKFLOW_ACTORS, else as many as there are, else one on each node with PostgreSQL and one with SQLite.
    ``codec``: how values are compressed and encrypted there; default RAYWF_COMPRESS and RAYWF_KEYS, else not at all.

    A store has one engine: a second connect joins it, or raises ``StoreUnavailable`` that says who holds it. Leaving
    ``with`` parks open executions of a private Ray and says how many; the next connect goes on with them.
    """
    inner = AsyncWorkflowEngine(address, store, namespace, pools, actors, codec)
    loop = _Loop()
    try:
        loop.call(inner.open())
    except BaseException:
        loop.stop()
        raise
    return WorkflowEngine(inner, loop)
