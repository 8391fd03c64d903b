"""Results that are kept for reuse, looked at and cleared. Rows in the store: no engine is needed."""

from __future__ import annotations

from datetime import datetime
from math import isfinite
from typing import Any

from pydantic import BaseModel, ConfigDict

from raywf.client.of_engine import OfEngine
from raywf.client.reading import instant
from raywf.errors import InvalidInput
from raywf.journal.factory import ReadingInbox
from raywf.ports import CachedRow, Reader

_BATCH = 10_000


class CachedResult(BaseModel):
    """A kept result: of which task (``module:function``), computed when and by whom, ``size`` its encoded bytes as kept (a
    large value is kept once, elsewhere). ``expires_at`` None: it stays until it is cleared."""

    model_config = ConfigDict(frozen=True)

    key: str
    task: str
    workflow: str
    stored_at: datetime
    expires_at: datetime | None
    source: str
    source_task: str
    size: int


async def cached_results(reader: Reader, namespace: str, task: Any = None, limit: int = 100) -> list[CachedResult]:
    """Kept results, newest first. Raises ``InvalidInput``."""
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:  # type: ignore[redundant-expr]
        raise InvalidInput(f"limit={limit!r}: it is a whole number from 1")
    return [_result(row) for row in await reader.list_cached(namespace, task_name(task), limit)]


def _result(row: CachedRow) -> CachedResult:
    return CachedResult(
        key=row.key,
        task=row.task,
        workflow=row.workflow,
        stored_at=instant(row.stored_at),
        expires_at=instant(row.expires_at) if isfinite(row.expires_at) else None,
        source=row.source,
        source_task=row.source_task,
        size=len(row.value),
    )


async def clear_cache(
    inbox: ReadingInbox, namespace: str, task: Any = None, key: str | None = None, expired_at: float | None = None
) -> int:
    """Forget results; returns how many. Raises ``InvalidInput``."""
    name, gone = task_name(task), 0
    if key is not None and not isinstance(key, str):
        raise InvalidInput(f"key={key!r:.80}: it is the key of a kept result, as `raywf cache ls` shows it")
    while True:
        some = await inbox.clear_cached(namespace, name, key=key, expired_at=expired_at, limit=_BATCH)
        gone += some
        if some < _BATCH:
            return gone


def task_name(task: Any) -> str | None:
    """What a task is listed under: its path, from the task itself or from its name."""
    if task is None or (isinstance(task, str) and task):
        return task
    path = getattr(getattr(task, "ref", None), "path", None)
    if not isinstance(path, str):
        raise InvalidInput(f"task={task!r:.80}: give a task, its function's name, or 'module:function'")
    return path


class CacheOfEngine(OfEngine):
    """What an engine offers about kept results."""

    async def cached(self, task: Any = None, *, limit: int = 100) -> list[CachedResult]:
        """Results kept for reuse, newest first; of one ``task`` (the task, or its name). Raises ``InvalidInput``."""
        return await cached_results(self._readings().reader, self.namespace, task, limit)

    async def clear_cache(self, task: Any = None, *, key: str | None = None) -> int:
        """Forget kept results: of a task, of a key, or all; returns how many. Executions keep what they have. Raises
        ``InvalidInput``."""
        return await clear_cache(self._commands().inbox, self.namespace, task, key)
