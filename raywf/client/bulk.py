"""One command to many executions: those that a query finds. Rows in the inbox: no engine is needed."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from pydantic import BaseModel, ConfigDict

from raywf.client import rerunning
from raywf.client.checks import check_started, check_status, check_tags
from raywf.client.commands import Commands
from raywf.client.of_engine import OfEngine
from raywf.client.reading import Readings
from raywf.definition.lines import did_you_mean
from raywf.errors import ExecutionClosed, InvalidInput, NotFound
from raywf.ports import ExecutionRow

APPLIES: Mapping[str, tuple[str, ...]] = {
    "cancel": ("pending", "running", "waiting", "paused"),
    "pause": ("pending", "running", "waiting"),
    "resume": ("paused",),
    "retry": ("failed", "cancelled"),
}
"""What can be done to many executions, and to those of which statuses."""

_PAGE = 500


class BulkResult(BaseModel):
    """What became of a bulk command. ``ids``: the executions it was meant for, newest first. ``sent``: to how many it is on
    its way now. ``refused``: why not to others, by id; what moved on meanwhile is no error."""

    model_config = ConfigDict(frozen=True)

    action: str
    ids: list[str]
    sent: int = 0
    refused: dict[str, str] = {}


@dataclass(frozen=True, slots=True)
class Query:
    """Which executions are meant: all that is given must hold. Instants are epoch seconds, from the first on and before the
    second."""

    status: str | None = None
    workflow: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    started_after: float | None = None
    started_before: float | None = None

    @property
    def is_all(self) -> bool:
        return not (self.status or self.workflow or self.tags or self.started_after or self.started_before)


async def found(readings: Readings, action: str, query: Query) -> list[str]:
    """The ids of those that the command is for, newest first. A child is meant with its root, never by itself.

    Raises ``InvalidInput`` for an unknown action, for a status to which it does not apply, and for no query at all.
    """
    statuses = APPLIES.get(action)
    if statuses is None:
        raise InvalidInput(
            f"{action!r} cannot be done to many: it is one of {', '.join(APPLIES)}.{did_you_mean(action, APPLIES)}"
        )
    check_status(query.status)
    if query.status is not None and query.status not in statuses:
        raise InvalidInput(f"{action} is for executions that are {' or '.join(statuses)}, not {query.status}")
    if query.is_all:
        raise InvalidInput(
            f"{action} of which executions? Give at least one of status, workflow, tags, started_after, started_before"
        )
    wanted = statuses if query.status is None else (query.status,)
    rows = [row for status in wanted for row in await _rows(readings, query, status)]
    return [row.id for row in sorted(rows, key=lambda row: row.key, reverse=True) if row.parent is None]


async def _rows(readings: Readings, query: Query, status: str) -> list[ExecutionRow]:
    rows: list[ExecutionRow] = []
    after: str | None = None
    while True:
        page = await readings.reader.executions(
            readings.namespace,
            status=status,
            workflow=query.workflow,
            tags=query.tags or None,
            started_after=query.started_after,
            started_before=query.started_before,
            limit=_PAGE,
            after=after,
        )
        rows += page
        if len(page) < _PAGE:
            return rows
        after = page[-1].id


async def send(commands: Commands, action: str, ids: list[str], reason: str, by: str | None) -> BulkResult:
    """Send the command to each of them."""
    sent, refused = 0, {}
    for id_ in ids:
        try:
            sent += await _send(commands, action, id_, reason, by)
        except (ExecutionClosed, InvalidInput, NotFound) as error:
            refused[id_] = str(error)
    return BulkResult(action=action, ids=ids, sent=sent, refused=refused)


async def _send(commands: Commands, action: str, id_: str, reason: str, by: str | None) -> bool:
    if action == "retry":
        return (await rerunning.retry(commands, id_, by)).new
    if action == "resume":
        await commands.resume(id_, by)
        return True
    act = commands.cancel if action == "cancel" else commands.pause
    return await act(id_, reason, by)


class BulkOfEngine(OfEngine):
    """What an engine offers for many executions at once."""

    async def bulk(
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
        commands, now = self._commands(), time.time()
        query = Query(
            status,
            workflow,
            check_tags(tags or {}),
            check_started("started_after", started_after, now),
            check_started("started_before", started_before, now),
        )
        ids = await found(commands.readings, action, query)
        if dry_run:
            return BulkResult(action=action, ids=ids)
        result = await send(commands, action, ids, reason, None)
        for id_ in ids[:1000]:
            self._poke(id_)
        return result
