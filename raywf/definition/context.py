"""What a task may ask about itself while it runs: ``raywf.current()``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from raywf.core.schedules import scheduled_at
from raywf.errors import RaywfError


def _nobody_listens(progress: Any) -> None:
    return None


def _nobody_follows(item: Any, number: int | None) -> None:
    return None


@dataclass(frozen=True, slots=True)
class TaskContext:
    """The attempt that runs here. ``idempotency_key`` is the same for all attempts of a task; ``deadline`` is UTC.

    ``last_progress`` is the last progress on record from the attempts before this one (None without any), and ``emitted``
    how many items of the task's stream they left there.
    """

    execution_id: str
    task_id: str
    attempt: int
    idempotency_key: str
    deadline: datetime | None = None
    report: Callable[[Any], None] = field(default=_nobody_listens, repr=False, compare=False)
    pass_on: Callable[[Any, int | None], None] = field(default=_nobody_follows, repr=False, compare=False)
    last_progress: Any = None
    emitted: int = 0
    warm: Any = field(default=None, repr=False, compare=False)
    """The state of the worker, in a task that runs in a pool (``warmth.Warmth``)."""
    aggregators: Any = field(default=None, repr=False, compare=False)
    """The way to the store's aggregators, for the task that merges by one (``raywf.client.learned``)."""

    @property
    def scheduled_at(self) -> datetime | None:
        """The instant (UTC) for which a schedule started this execution, backfilled ones too; None for any other."""
        return scheduled_at(self.execution_id)

    def heartbeat(self, progress: Any = None) -> None:
        """Say that the attempt is alive, and how far it is. Cheap, from any thread; the last word counts.

        What is said is on disk within 5 s, and when the attempt fails; ``progress`` encodes to 64 KB at most
        (``InvalidInput``). Raises ``AttemptEnded`` once the attempt counts no more: it was cancelled, or ran out of time.
        """
        self.report(progress)

    def emit(self, item: Any, number: int | None = None) -> None:
        """Add an item to the task's stream, which ``handle.stream`` follows while the task runs and afterwards.

        The n-th item of an attempt is number n, from 0, in every attempt: of a number that is on record the first item
        stays, and what a later attempt says under it is dropped. One that need not begin again goes on with
        ``number=current().emitted``. Items are on disk within 100 ms, and before the task's end is. Raises
        ``InvalidInput`` for an item that encodes to more than 64 KB, for a number that would leave a gap, and past
        100,000 items or 64 MB; ``AttemptEnded`` as ``heartbeat`` does.
        """
        self.pass_on(item, number)


_context: ContextVar[TaskContext | Callable[[], TaskContext] | None] = ContextVar("raywf_task_context", default=None)


enter: Callable[[Callable[[], TaskContext]], object] = _context.set
"""Make a context the current one for the rest of this ``contextvars.Context``, which must be the attempt's own. It is
built when it is first asked for."""


def current_or_none() -> TaskContext | None:
    """The context of the task that runs here; None outside of a task."""
    context = _context.get()
    if context is not None and not isinstance(context, TaskContext):
        context = context()
        _context.set(context)
    return context


def current() -> TaskContext:
    """The context of the task that runs here. Raises ``RaywfError`` outside of a task."""
    context = current_or_none()
    if context is None:
        raise RaywfError(
            "raywf.current() was called outside of a task: it is known only while an engine runs one. "
            "Call it inside a function marked @task; in tests, run the workflow with raywf.testing.run."
        )
    return context


@contextmanager
def entered(context: TaskContext) -> Iterator[TaskContext]:
    """Make ``context`` the current one, for the engine that runs a task."""
    token = _context.set(context)
    try:
        yield context
    finally:
        _context.reset(token)
