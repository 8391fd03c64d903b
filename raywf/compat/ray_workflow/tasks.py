"""What runs in the cluster: a function of the program, found again and called with what it waits for."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
import time
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from typing import Any

import ray
from ray.dag import DAGNode

from raywf.compat.ray_workflow.stored import loads, restored, stored
from raywf.definition.context import current
from raywf.definition.continuation import continuation

inside: ContextVar[bool] = ContextVar("raywf_compat_inside", default=False)
"""Whether a task of a workflow runs here: then ``workflow.continuation`` gives a graph, elsewhere its result."""


@dataclasses.dataclass(frozen=True)
class Slot:
    """Where the result of another task is an argument by itself."""

    number: int


def _arguments(arguments: bytes, results: list[Any]) -> tuple[list[Any], dict[str, Any]]:
    """Arguments as Ray gives them: a result that is an argument comes as its value, one inside another as a reference."""
    args, kwargs = loads(arguments, results)

    def value(given: Any) -> Any:
        if type(given) is Slot:
            return restored(results[given.number])
        return ray.get(given) if isinstance(given, ray.ObjectRef) else given

    return [value(each) for each in args], {name: value(each) for name, each in kwargs.items()}


def call(function: bytes, arguments: bytes, results: list[Any], catch: bool, attempts: int, checkpoint: bool) -> Any:
    """One attempt of a task."""
    body: Callable[..., Any] = loads(function)
    args, kwargs = _arguments(arguments, results)
    token = inside.set(True)
    try:
        result = body(*args, **kwargs)
        while isinstance(result, ray.ObjectRef):
            result = ray.get(result)
    except Exception as error:
        if catch and current().attempt >= attempts:
            return stored((None, error))
        raise
    finally:
        inside.reset(token)
    if isinstance(result, DAGNode):
        return _grown(result, catch, checkpoint)
    return stored((result, None) if catch else result)


def _grown(dag: DAGNode, catch: bool, checkpoint: bool) -> Any:
    from raywf.compat.ray_workflow.graph import Inherited, build
    from raywf.definition.workflows import as_workflow

    built = build(dag, inherited=Inherited(catch, checkpoint))
    return continuation(as_workflow(built.definition), **built.input)


def until(arguments: bytes, results: list[Any]) -> float:
    """How many seconds it is to the timestamp that another task gave."""
    (_, timestamp), _ = _arguments(arguments, results)
    return max(0.0, float(timestamp) - time.time())


async def listen(arguments: bytes, results: list[Any]) -> Any:
    """Wait for an event. In a thread and a loop of its own, because a listener may block, and beside the executions, because
    a wait must hold no worker."""

    async def waiting() -> Any:
        (listener, *args), kwargs = _arguments(arguments, results)
        return stored(await listener().poll_for_event(*args, **kwargs))

    return await _aside(waiting)


async def _aside(work: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    here = asyncio.get_running_loop()
    outcome: asyncio.Future[Any] = here.create_future()
    there = asyncio.new_event_loop()
    running = there.create_task(work())

    def settle(result: Any, error: BaseException | None) -> None:
        if outcome.done():
            return
        if error is None:
            outcome.set_result(result)
        else:
            outcome.set_exception(error)

    def run() -> None:
        result: Any = None
        error: BaseException | None = None
        try:
            result = there.run_until_complete(running)
        except asyncio.CancelledError:
            error = RuntimeError("the listener was cancelled")
        except BaseException as raised:
            error = raised
        finally:
            there.close()
        if not here.is_closed():
            here.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=run, name="raywf-event", daemon=True).start()
    try:
        return await outcome
    finally:
        if not there.is_closed():
            there.call_soon_threadsafe(running.cancel)
