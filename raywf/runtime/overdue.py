"""Attempts that run past a limit: what they come to, and the grace in which an async one may clean up.

A coroutine can be asked to end, and is given its task's ``cleanup_timeout`` for its ``except`` and ``finally``; the attempt
has failed when it has ended, or when that time is over. So the next attempt never meets the clean-up of the last. A thread
cannot be asked and a Ray task is ended by force: their attempts fail at once.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from raywf.core.execution import is_current, task_at
from raywf.core.failures import Failure
from raywf.core.state import passes_of
from raywf.runtime.attempts import Attempt
from raywf.runtime.live import Live, address

if TYPE_CHECKING:
    from raywf.runtime.host import Host


def timed_out(host: Host, live: Live, task: int, item: int | None) -> None:
    """An attempt ran past its timeout."""
    options = live.state.plan.nodes[task].options
    message = f"{address(live, task, item)} ran longer than its timeout of {options.timeout:g} s"
    give_up(host, live, task, item, Failure("TimeoutError", message, "", task_at(live.state, task, item).attempt))


def give_up(host: Host, live: Live, task: int, item: int | None, failure: Failure) -> None:
    """The attempt fails, whatever it still comes to."""
    attempt = task_at(live.state, task, item).attempt
    if not is_current(live.state, task, item, attempt, passes_of(live.state, task)):
        return
    handle = live.inflight.get((task, item)) if live.inflight else None
    if isinstance(handle, Attempt) and handle.is_async:
        if not handle.cancelled:  # else it is cleaning up already, and has a limit for that
            host.overruled[live.id, task, item] = failure
            host.work.cancel(handle)
        return
    host.forget_attempt(live, task, item)
    node, where = live.state.plan.nodes[task], address(live, task, item)
    queued_at = getattr(handle, "queued_at", live.row.created_at)
    host.telemetry.attempt_ended(live, where, attempt, failure, queued_at)
    host.turn(live, host.failed(live, node, item, where, attempt, failure))
    if handle is not None:
        host.work.cancel(handle)


def verdict(failure: Failure, handle: Any, cleanup_s: float) -> Failure:
    """The failure of an attempt that was given up on and has ended, or has not."""
    if not getattr(handle, "abandoned", False):
        return failure
    said = (
        f"{failure.message}; its clean-up did not end within its cleanup_timeout of {cleanup_s:g} s and was given up on"
    )
    return replace(failure, message=said)
