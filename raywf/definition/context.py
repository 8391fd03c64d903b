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


@dataclass(frozen=True, slots=True)
class TaskContext:
    """The attempt that runs here. ``idempotency_key`` is the same for all attempts of a task; ``deadline`` is UTC."""

    execution_id: str
    task_id: str
    attempt: int
    idempotency_key: str
    deadline: datetime | None = None
    report: Callable[[Any], None] = field(default=_nobody_listens, repr=False, compare=False)

    @property
    def scheduled_at(self) -> datetime | None:
        """The instant (UTC) for which a schedule started this execution, backfilled ones too; None for any other."""
        return scheduled_at(self.execution_id)

    def heartbeat(self, progress: Any = None) -> None:
        """Say that the attempt is alive, and how far it is. Cheap; the last word counts."""
        self.report(progress)


_context: ContextVar[TaskContext | Callable[[], TaskContext] | None] = ContextVar("raywf_task_context", default=None)


enter: Callable[[Callable[[], TaskContext]], object] = _context.set
"""Make a context the current one for the rest of this ``contextvars.Context``, which must be the attempt's own. It is
built when it is first asked for."""


def current() -> TaskContext:
    """The context of the task that runs here. Raises ``RaywfError`` outside of a task."""
    context = _context.get()
    if context is not None and not isinstance(context, TaskContext):
        context = context()
        _context.set(context)
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
