"""The functions of ``ray.workflow``: running, resuming and reading workflows."""

from __future__ import annotations

import asyncio
import time
import uuid
from typing import Any

import ray
from ray.dag import DAGNode
from ray.exceptions import RayTaskError

from raywf.client.handle import AsyncExecutionHandle
from raywf.client.reading import ExecutionDescription, HistoryEvent
from raywf.compat.ray_workflow import tasks
from raywf.compat.ray_workflow.common import ACTIVE, LIMIT, WorkflowStatus, check_metadata, status_of, statuses
from raywf.compat.ray_workflow.exceptions import (
    WorkflowCancellationError,
    WorkflowExecutionError,
    WorkflowNotFoundError,
    WorkflowNotResumableError,
    WorkflowStillActiveError,
)
from raywf.compat.ray_workflow.graph import build
from raywf.compat.ray_workflow.session import TAG, Session, execution_id, session
from raywf.compat.ray_workflow.stored import restored
from raywf.definition.lines import did_you_mean
from raywf.definition.model import WorkflowDefinition
from raywf.errors import AlreadyExists, NotFound, WorkflowCancelled, WorkflowFailed

_DELETED = WorkflowDefinition.model_validate({"id": "ray_workflow_deleted", "tasks": [], "result": None})
"""What stands in a deleted workflow's place, so that its id is free again."""


def init(
    *,
    max_running_workflows: int | None = None,
    max_pending_workflows: int | None = None,
    storage: str | None = None,
    namespace: str = "default",
) -> None:
    """Connect: to the Ray of this process, else to one as ``raywf.connect`` finds or starts it.

    ``storage`` is a store of raywf, ``sqlite:///path`` or ``postgresql://…`` (default: RAYWF_STORE, else
    ``sqlite:///.raywf/raywf.db``). ``max_running_workflows``: -1 for no limit, None leaves it as it is.
    """
    _whole("max_running_workflows", max_running_workflows, forbidden=0)
    if max_pending_workflows is not None and _whole("max_pending_workflows", max_pending_workflows) != -1:
        raise ValueError(
            f"max_pending_workflows={max_pending_workflows} is not kept: what waits is rows in the store, and raywf refuses "
            "none of it. Leave it out, or count list_all('PENDING') before you run more"
        )
    opened = session(storage, namespace)
    if storage is not None and _same_store(opened, storage) is False:
        raise RuntimeError(
            f"this process is connected to {opened.engine.store!r} already: call init(storage=…) before anything else"
        )
    if max_running_workflows is not None:
        opened.call(_limit(opened, max_running_workflows))


def _whole(name: str, value: Any, forbidden: int | None = None) -> int | None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
        raise TypeError(f"{name} is {value!r}: it is an integer, or None")
    if value is not None and (value < -1 or value == forbidden):
        raise ValueError(f"{name} is {value}: it is a positive integer, or -1 for no limit")
    return value


def _same_store(opened: Session, storage: str) -> bool:
    from raywf.client.locate import absolute

    return absolute(storage) == opened.engine.store


async def _limit(opened: Session, most: int) -> None:
    if most == -1:
        if opened.limited:
            await opened.engine.reset_limit(LIMIT)
        opened.limited = False
        return
    await opened.engine.set_limit(LIMIT, concurrency=most)
    opened.limited = True


# running


def run(
    dag: DAGNode, *args: Any, workflow_id: str | None = None, metadata: dict[str, Any] | None = None, **kwargs: Any
) -> Any:
    """Run a graph and wait for its result. A workflow of that id that exists is resumed instead.

    Raises ``WorkflowExecutionError`` and ``WorkflowCancellationError``, each of which is a ``RayTaskError`` too.
    """
    opened = session()
    handle = opened.call(_start(opened, dag, args, kwargs, workflow_id, metadata))
    return _result_now(opened, *handle)


def run_async(
    dag: DAGNode, *args: Any, workflow_id: str | None = None, metadata: dict[str, Any] | None = None, **kwargs: Any
) -> ray.ObjectRef[Any]:
    """Run a graph. Returns when it is on disk; the reference gives its result."""
    opened = session()
    handle, id_ = opened.call(_start(opened, dag, args, kwargs, workflow_id, metadata))
    return opened.promise(_result(opened, handle, id_))


async def _start(
    opened: Session, dag: Any, args: Any, kwargs: Any, workflow_id: str | None, metadata: Any
) -> tuple[AsyncExecutionHandle, str]:
    metadata = check_metadata(metadata)
    loop = asyncio.get_running_loop()
    building = loop.run_in_executor(None, lambda: build(dag, args, kwargs, metadata, limited=opened.limited))
    id_ = workflow_id
    number = 0
    if id_ is None:
        id_ = f"{uuid.uuid4()}.{time.time():.9f}"
    else:
        _check_id(id_)
        found, number = await opened.find(id_)
        if found is not None and not await _is_deleted(found):
            await building
            return await _resume(opened, id_), id_
    built = await building
    try:
        handle = await opened.engine.submit(
            built.definition, execution_id=execution_id(id_, number + 1), tags={TAG: id_}, **built.input
        )
    except AlreadyExists:
        raise _running(id_) from None
    return handle, id_


def _check_id(workflow_id: Any) -> str:
    if not isinstance(workflow_id, str):
        raise TypeError(f"workflow_id is {workflow_id!r}: it has to be a string")
    if "~" in workflow_id:
        raise ValueError(
            f"workflow_id {workflow_id!r} has a '~', which tells runs of one id from each other: leave it out"
        )
    return workflow_id


def _running(workflow_id: str) -> RuntimeError:
    return RuntimeError(
        f"Workflow {workflow_id!r} is already running or pending: get_output({workflow_id!r}) waits for its result"
    )


async def _is_deleted(handle: AsyncExecutionHandle) -> bool:
    return (await handle._engine._readings().row(handle.id)).workflow == _DELETED.id


async def _existing(opened: Session, workflow_id: Any) -> tuple[AsyncExecutionHandle, int]:
    found, number = await opened.find(_check_id(workflow_id))
    if found is None or await _is_deleted(found):
        known = [id_ async for id_, summary in opened.workflows() if summary.workflow != _DELETED.id]
        raise WorkflowNotFoundError(workflow_id, did_you_mean(workflow_id, known))
    return found, number


async def _status(opened: Session, handle: AsyncExecutionHandle, workflow_id: str) -> WorkflowStatus:
    from raywf.client.reading import summary

    status = status_of(summary(await handle._engine._readings().row(handle.id)))
    return WorkflowStatus.RESUMABLE if workflow_id in opened.interrupted else status


# results


def _result_now(opened: Session, handle: AsyncExecutionHandle, workflow_id: str) -> Any:
    try:
        return opened.call(_result(opened, handle, workflow_id))
    except (WorkflowExecutionError, WorkflowCancellationError) as error:
        raise _as_ray_raises(error) from error.__cause__


def _as_ray_raises(error: Exception) -> Exception:
    """The error as ``ray.get`` would raise it: of its own class and a ``RayTaskError``."""
    raised = RayTaskError("workflow.run", f"{type(error).__module__}.{type(error).__qualname__}: {error}", error)
    return raised.as_instanceof_cause()  # type: ignore[no-any-return]


async def _result(opened: Session, handle: AsyncExecutionHandle, workflow_id: str) -> Any:
    opened.interrupted.discard(workflow_id)
    try:
        value = await handle.result()
    except WorkflowFailed as failed:
        raise WorkflowExecutionError(workflow_id, failed.task_id, failed.failure) from failed
    except WorkflowCancelled as cancelled:
        raise WorkflowCancellationError(workflow_id) from cancelled
    return await asyncio.get_running_loop().run_in_executor(None, restored, value)


# resuming


def resume(workflow_id: str) -> Any:
    """Go on with a workflow that was interrupted or has failed, and wait for its result; what has succeeded is not run
    again. Raises ``WorkflowNotFoundError``, ``WorkflowNotResumableError``, and ``RuntimeError`` for one that is running."""
    opened = session()
    return _result_now(opened, opened.call(_resume(opened, workflow_id)), workflow_id)


def resume_async(workflow_id: str) -> ray.ObjectRef[Any]:
    """``resume``, giving a reference."""
    opened = session()
    handle = opened.call(_resume(opened, workflow_id))
    return opened.promise(_result(opened, handle, workflow_id))


def resume_all(include_failed: bool = False) -> list[tuple[str, ray.ObjectRef[Any]]]:
    """Go on with all workflows that were interrupted, and with those that failed. Gives (id, reference)."""
    opened = session()
    wanted = {WorkflowStatus.RESUMABLE, *((WorkflowStatus.FAILED,) if include_failed else ())}
    ids = [id_ for id_, _ in opened.call(_list(opened, frozenset(wanted)))]
    return [(id_, resume_async(id_)) for id_ in reversed(ids)]


async def _resume(opened: Session, workflow_id: str) -> AsyncExecutionHandle:
    handle, _ = await _existing(opened, workflow_id)
    match await _status(opened, handle, workflow_id):
        case WorkflowStatus.CANCELED:
            raise WorkflowNotResumableError(workflow_id)
        case WorkflowStatus.RUNNING | WorkflowStatus.PENDING:
            raise _running(workflow_id)
        case WorkflowStatus.FAILED:
            await handle.retry()
        case _:
            opened.interrupted.discard(workflow_id)
    return handle


# reading


def get_status(workflow_id: str) -> WorkflowStatus:
    """The status of a workflow. Raises ``WorkflowNotFoundError``."""
    opened = session()

    async def asked() -> WorkflowStatus:
        handle, _ = await _existing(opened, workflow_id)
        return await _status(opened, handle, workflow_id)

    return opened.call(asked())


def list_all(status_filter: Any = None) -> list[tuple[str, WorkflowStatus]]:
    """(id, status) of all workflows, newest first. ``status_filter``: a status, its name, or a set of them."""
    wanted = statuses(status_filter)
    opened = session()
    return opened.call(_list(opened, wanted))


async def _list(opened: Session, wanted: frozenset[WorkflowStatus]) -> list[tuple[str, WorkflowStatus]]:
    found = []
    async for id_, summary in opened.workflows():
        if summary.workflow == _DELETED.id:
            continue
        status = WorkflowStatus.RESUMABLE if id_ in opened.interrupted else status_of(summary)
        if status in wanted:
            found.append((id_, status))
    return found


def get_output(workflow_id: str, *, task_id: str | None = None, name: str | None = None) -> Any:
    """The result of a workflow, or of one of its tasks (``name`` means ``task_id``). Waits for it.

    Raises what ``run`` does, ``WorkflowNotFoundError``, and ``ValueError`` for a task that was not run.
    """
    opened = session()
    handle, _ = opened.call(_existing(opened, workflow_id))
    wanted = task_id if task_id is not None else name
    if wanted is None:
        return _result_now(opened, handle, workflow_id)
    return opened.call(_task_output(opened, handle, workflow_id, wanted))


def get_output_async(workflow_id: str, *, task_id: str | None = None, name: str | None = None) -> ray.ObjectRef[Any]:
    """``get_output``, giving a reference."""
    opened = session()
    handle, _ = opened.call(_existing(opened, workflow_id))
    wanted = task_id if task_id is not None else name
    if wanted is None:
        return opened.promise(_result(opened, handle, workflow_id))
    return opened.promise(_task_output(opened, handle, workflow_id, wanted))


async def _task_output(opened: Session, handle: AsyncExecutionHandle, workflow_id: str, task_id: str) -> Any:
    pause = 0.02
    while True:
        closed = status_of_description(await handle.describe()) not in ACTIVE
        place = await _place(handle, task_id)
        if place is not None:
            described, said = place
            task = described.tasks[said["id"]]
            if task.status == "completed":
                return await asyncio.get_running_loop().run_in_executor(None, restored, described.results[said["id"]])
            if task.status in ("failed", "cancelled"):
                failure = f": {task.failure['type']}: {task.failure['message']}" if task.failure else ""
                raise ValueError(
                    f"task {task_id!r} of workflow {workflow_id!r} has no output: it {task.status}{failure}"
                )
        if closed:
            known = [each for each, _, _ in await _tree(handle)]
            raise ValueError(
                f"workflow {workflow_id!r} has ended and its task {task_id!r} was not run.{did_you_mean(task_id, known)} "
                f"Its tasks are {', '.join(known)}"
            )
        await asyncio.sleep(pause)
        pause = min(0.5, pause * 1.5)


def status_of_description(described: ExecutionDescription) -> WorkflowStatus:
    return {"completed": WorkflowStatus.SUCCESSFUL, "failed": WorkflowStatus.FAILED,
            "cancelled": WorkflowStatus.CANCELED}.get(described.status, WorkflowStatus.RUNNING)  # fmt: skip


async def _place(handle: AsyncExecutionHandle, task_id: str) -> tuple[ExecutionDescription, dict[str, Any]] | None:
    """Where a task is: by its id, else by the name of its function, the first of them."""
    tree = await _tree(handle)
    for name, described, said in tree:
        if name == task_id:
            return described, said
    for name, described, said in tree:
        if not said["named"] and name.rpartition(".")[2] == task_id:
            return described, said
    return None


async def _tree(handle: AsyncExecutionHandle) -> list[tuple[str, ExecutionDescription, dict[str, Any]]]:
    """(task id, execution, what is known of it) of every task of a workflow, those of its continuations after it. A name
    that comes again is counted: ``f``, ``f_1``, ``f_2``."""
    counts: dict[str, int] = {}
    found = []
    waiting = [handle.id]
    while waiting:
        id_ = waiting.pop(0)
        try:
            described = await handle._engine._readings().describe(id_)
        except NotFound:
            continue
        about = described.context["input"].get("about")
        for said in about["tasks"] if isinstance(about, dict) else ():
            number = counts.get(said["name"], 0)
            counts[said["name"]] = number + 1
            found.append((said["name"] + (f"_{number}" if number else ""), described, said))
            waiting.append(f"{id_}/{said['id']}")
    return found


def get_metadata(workflow_id: str, task_id: str | None = None, name: str | None = None) -> dict[str, Any]:
    """What is known of a workflow, or of one of its tasks: status, options, user metadata, times (seconds since the
    epoch). ``stats`` has an ``end_time`` once there is one. Raises ``WorkflowNotFoundError`` and ``ValueError``."""
    opened = session()
    return opened.call(_metadata(opened, workflow_id, task_id if task_id is not None else name))


async def _metadata(opened: Session, workflow_id: str, task_id: str | None) -> dict[str, Any]:
    handle, _ = await _existing(opened, workflow_id)
    if task_id is None:
        described = await handle.describe()
        stats = {"start_time": described.started_at.timestamp()}
        status = await _status(opened, handle, workflow_id)
        if described.ended_at is not None and status is WorkflowStatus.SUCCESSFUL:
            stats["end_time"] = described.ended_at.timestamp()
        return {"status": status, "user_metadata": described.context["input"]["about"]["metadata"], "stats": stats}
    place = await _place(handle, task_id)
    if place is None:
        known = [each for each, _, _ in await _tree(handle)]
        raise ValueError(f"workflow {workflow_id!r} has no task {task_id!r}.{did_you_mean(task_id, known)}")
    described, said = place
    history = await handle._engine._readings().history(described.id)
    return {
        "task_id": task_id,
        "task_options": said["options"],
        "user_metadata": said["metadata"],
        "workflow_refs": said["needs"],
        "stats": _times(history, said, described.started_at.timestamp()),
    }


_ENDS = ("task_completed", "result_reused", "timer_fired", "attempt_failed")


def _times(history: list[HistoryEvent], said: dict[str, Any], started: float) -> dict[str, float]:
    """When a task began and ended. A short one leaves only its end; it began when the last that it needed had ended."""
    began, ready = None, started
    stats: dict[str, float] = {}
    for event in history:
        if event.kind in _ENDS and event.task in said["needs"]:
            ready = max(ready, event.at.timestamp())
        if event.task == said["id"] and event.kind == "attempt_started":
            began = event.at.timestamp()
        if event.task == said["id"] and event.kind in _ENDS:
            stats["end_time"] = event.at.timestamp()
    return {"start_time": ready if began is None else began, **stats}


# ending


def cancel(workflow_id: str) -> None:
    """Cancel a workflow, and wait until it is: what runs is ended by force. One that has ended stays as it is."""
    opened = session()

    async def cancelled() -> None:
        handle, _ = await _existing(opened, workflow_id)
        opened.interrupted.discard(workflow_id)
        await handle.cancel("workflow.cancel")
        while await _status(opened, handle, workflow_id) in ACTIVE:
            await asyncio.sleep(0.02)

    opened.call(cancelled())


def delete(workflow_id: str) -> None:
    """Forget a workflow that has ended: its id is free again. Raises ``WorkflowNotFoundError``,
    ``WorkflowStillActiveError``."""
    opened = session()

    async def deleted() -> None:
        handle, number = await _existing(opened, workflow_id)
        if await _status(opened, handle, workflow_id) in (*ACTIVE, WorkflowStatus.RESUMABLE):
            raise WorkflowStillActiveError("DELETE", workflow_id)
        stands = await opened.engine.submit(
            _DELETED, execution_id=execution_id(workflow_id, number + 1), tags={TAG: workflow_id}
        )
        await stands.result()

    opened.call(deleted())


def continuation(dag_node: DAGNode) -> Any:
    """Returned by a task: its result becomes that of this graph. Outside of a workflow, the graph's result."""
    if not isinstance(dag_node, DAGNode):
        raise TypeError(f"workflow.continuation takes a graph, made with f.bind(…), not {dag_node!r:.80}")
    return dag_node if tasks.inside.get() else ray.get(dag_node.execute())
