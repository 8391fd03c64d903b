"""``raywf.worker_state``: what ``setup`` gave in the worker of a pool, for the tasks that run there."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar, overload

from raywf.definition.context import current_or_none
from raywf.errors import RaywfError

S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class Warmth:
    """The state of one worker: the pool it belongs to, the function that made it, and what that returned."""

    pool: str
    setup: Callable[..., Any] | None
    state: Any


_here: dict[Callable[..., Any], Any] = {}


@overload
def worker_state(setup: Callable[[], Awaitable[S]], /) -> S: ...
@overload
def worker_state(setup: Callable[[], S], /) -> S: ...
@overload
def worker_state() -> Any: ...
def worker_state(setup: Callable[[], Any] | None = None, /) -> Any:
    """What the ``setup`` of this task's ``raywf.Workers`` returned in this worker: the same object for all its tasks.

    Naming the function gives the type and catches a task that runs in the wrong pool. Outside of an engine, where a task is
    the plain function, ``setup`` is called once per process. Raises ``RaywfError`` in a task that runs in no pool.
    """
    context = current_or_none()
    if context is None:
        return _alone(setup)
    warmth = context.warm
    if warmth is None:
        raise RaywfError(
            f"raywf.worker_state() was called in {context.task_id}, which runs in no pool, so nothing was set up: give its task "
            "pool=raywf.Workers('NAME', setup=…). A fallback runs outside of the pool of its task"
        )
    if setup is not None and setup is not warmth.setup and _name(setup) != _name(warmth.setup):
        raise RaywfError(
            f"raywf.worker_state({_name(setup)}) was called in {context.task_id}, but the workers of its pool {warmth.pool!r} are "
            f"made by {_name(warmth.setup)}: name that one, or give the task the other pool"
        )
    return warmth.state


def _name(setup: Callable[..., Any] | None) -> str:
    return "nothing (it has no setup)" if setup is None else getattr(setup, "__qualname__", repr(setup))


def _alone(setup: Callable[[], Any] | None) -> Any:
    if setup is None or inspect.iscoroutinefunction(setup):
        what = "its setup is async" if setup is not None else "no setup was named"
        raise RaywfError(
            f"raywf.worker_state() was called outside of an engine, and {what}, so there is no state: run the workflow with "
            "raywf.testing.run, or name a sync setup, which is then called here"
        )
    if setup not in _here:
        _here[setup] = setup()
    return _here[setup]


__all__ = ["Warmth", "worker_state"]
