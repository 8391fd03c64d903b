"""What an engine offers about executions that leave and come: tables, export, import, archive."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from raywf.client.archive import Archived, archive
from raywf.client.exporting import ExportedExecution, export_execution, import_execution
from raywf.client.of_engine import OfEngine
from raywf.client.tabular import history_table, older_than

if TYPE_CHECKING:
    import pyarrow as pa


class MovesOfEngine(OfEngine):
    """Mixed into the engine."""

    async def history_table(
        self,
        status: str | None = None,
        workflow: str | None = None,
        tags: Mapping[str, str] | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int | None = None,
    ) -> pa.Table:
        """The events of executions that started in [since, until), the newest ``limit`` of them, as an Arrow table."""
        like = {"status": status, "workflow": workflow, "tags": tags, "since": since, "until": until, "limit": limit}
        return await history_table(self._readings().reader, self.namespace, **like)  # type: ignore[arg-type]

    async def export(self, execution_id: str) -> ExportedExecution:
        """An execution with its children, as it is now. Raises ``NotFound``."""
        return await export_execution(self._readings(), execution_id)

    async def import_execution(
        self, exported: ExportedExecution | str | Path, *, go_on: bool = False, by: str | None = None
    ) -> str:
        """Store an exported execution here under its id; gives its status. An open one comes paused, unless it is to
        ``go_on``. Raises ``AlreadyExists``, ``InvalidInput``, ``NotFound``."""
        found = exported if isinstance(exported, ExportedExecution) else ExportedExecution.load(exported)
        store, blobs = self._commands().inbox, self._readings().blobs
        return await import_execution(found, store, blobs, self.namespace, go_on=go_on, by=by)

    async def archive(
        self,
        to: str | Path,
        older_than: timedelta | str,
        *,
        workflow: str | None = None,
        delete: bool = True,
    ) -> Archived:
        """Write executions that ended so long ago to a folder as Parquet, and delete them from the store."""
        until = time.time() - older_than.total_seconds() if isinstance(older_than, timedelta) else _until(older_than)
        store, blobs = self._commands().inbox, self._readings().blobs
        return await archive(store, blobs, self.namespace, to, until, workflow=workflow, delete=delete)


_until = older_than
