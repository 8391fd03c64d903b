"""``why``: what an execution waits for and who holds it, in words. From the store alone; an engine adds what it knows."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

from raywf.client.reading import Readings, instant
from raywf.core import waiting
from raywf.core.admission import Slot
from raywf.core.plan import NodeKind
from raywf.core.state import CLOSED, ExecutionState, TaskStatus
from raywf.ports import ExecutionRow, OwnerRow

PATIENCE_S = 3.0
"""How long the cluster is waited for; the store is enough of an answer."""

DEEPEST = 10
"""Children of children that are looked into."""


class WaitReason(BaseModel):
    """One thing that has to happen. ``kind``: signal, approval, timer, retry, child, task, code, resources, limit, cache, pool,
    paused, closing, engine, store or more. ``who`` has to act, ``until`` is when time itself moves it. A child's own reasons
    have ``execution`` set to its id."""

    model_config = ConfigDict(frozen=True)

    kind: str
    text: str
    execution: str
    task: str | None = None
    who: str | None = None
    until: datetime | None = None

    def __str__(self) -> str:
        return self.text if self.until is None else f"{self.text}, until {self.until.isoformat()}"


class Explanation(BaseModel):
    """Why an execution stands where it stands. ``str()`` gives it as lines of text."""

    model_config = ConfigDict(frozen=True)

    id: str
    status: str
    holder: str
    reasons: list[WaitReason]

    def __str__(self) -> str:
        head = f"{self.id} is {self.status}" + (" and waits for:" if self.reasons else "")
        return "\n".join([head, *(f"- {reason}" for reason in self.reasons), f"held by: {self.holder}"])


async def explain(
    readings: Readings,
    execution_id: str,
    *,
    now: float | None = None,
    nodes: Sequence[dict[str, float]] | None = None,
    trouble: str | None = None,
) -> Explanation:
    """Why an execution stands where it stands. Raises ``NotFound``, ``StoreUnavailable``.

    ``nodes``: the resources of each node of the cluster, where somebody knows them; ``trouble``: what its owner says of
    the store.
    """
    row = await readings.row(execution_id)
    now = time.time() if now is None else now
    if row.status in CLOSED:
        return Explanation(id=row.id, status=row.status, holder="nobody: it has ended", reasons=[])
    holder, absent = _holder(row, await readings.reader.owners(), now)
    found = [] if absent is None else [WaitReason(kind="engine", text=absent, execution=row.id)]
    if trouble:
        text = f"the store, which cannot be written now: {trouble}"
        found.append(WaitReason(kind="store", text=text, execution=row.id, who="the store"))
    found += await _reasons(readings, row, nodes, DEEPEST)
    return Explanation(id=row.id, status=row.status, holder=holder, reasons=found)


async def cluster_facts(supervisor: Any, lane: str) -> dict[str, Any]:
    """What only the cluster knows, as arguments of ``explain``; nothing of it where the cluster does not answer."""
    from raywf.runtime import ray as adapter

    found: dict[str, Any] = {}
    try:
        found["nodes"] = await asyncio.wait_for(asyncio.to_thread(adapter.node_resources), PATIENCE_S)
        stats = await asyncio.wait_for(asyncio.wrap_future(supervisor.stats.remote().future()), PATIENCE_S)
    except (TimeoutError, *adapter.OutOfReach):
        return found
    found["trouble"] = next((each["trouble"] for each in stats if each["lane"] == lane and each["trouble"]), None)
    return found


async def _reasons(
    readings: Readings, row: ExecutionRow, nodes: Sequence[dict[str, float]] | None, deeper: int
) -> list[WaitReason]:
    state, _ = await readings.state(row)
    if state.closed is not None:
        return []
    found = [WaitReason(kind=kind, text=text, execution=row.id) for kind, text in _noted(row)]
    if found and found[0].kind == "limit":
        holders = _holders_of_room(row.id, await readings.reader.slots(readings.namespace))
        if holders:
            found[0] = found[0].model_copy(update={"text": f"{found[0].text}; held by {holders}", "who": holders})
    for reason in waiting.reasons(state):
        until = None if reason.until is None else instant(reason.until)
        found.append(
            WaitReason(
                kind=reason.kind, text=reason.text, execution=row.id, task=reason.task, who=reason.who, until=until
            )
        )
        if reason.kind == "child" and deeper and reason.who is not None:
            child = await readings.reader.execution(readings.namespace, reason.who)
            if child is not None and child.status not in CLOSED:
                found += await _reasons(readings, child, nodes, deeper - 1)
    if nodes is not None:
        found += _unplaceable(row, state, nodes)
    return found


_NOTES = ("code", "resources", "limit", "cache", "pool", "paused")
"""What an owner notes of an execution that its history does not say: ``kind: words``."""


def _noted(row: ExecutionRow) -> list[tuple[str, str]]:
    kind, colon, text = (row.waiting_for or "").partition(": ")
    if row.status == "paused":
        return [("paused", f"`raywf resume {row.id}`: it is paused, and nothing new starts")]
    if not colon or kind not in _NOTES:
        return []
    return [(kind, f"code that no engine here has: {text}" if kind == "code" else text)]


def _holders_of_room(execution: str, slots: Sequence[Slot]) -> str:
    """Which executions hold what this one waits for."""
    wanted = {(claim.limit, claim.key) for slot in slots if slot.execution == execution for claim in slot.claims
              if slot.held_at is None}  # fmt: skip
    names = dict.fromkeys(slot.execution for slot in slots if slot.held_at is not None
                          and any((claim.limit, claim.key) in wanted for claim in slot.claims))  # fmt: skip
    rest = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(list(names)[:3]) + rest


def _unplaceable(row: ExecutionRow, state: ExecutionState, nodes: Sequence[dict[str, float]]) -> list[WaitReason]:
    if (row.waiting_for or "").startswith(("resources: ", "pool: ")):
        return []  # its owner has said so already
    found = []
    for node, task in zip(state.plan.nodes, state.tasks, strict=True):
        items = task.items if task.items is not None else (task,)
        runs = any(each.status in (TaskStatus.READY, TaskStatus.RUNNING) for each in items)
        if runs and node.kind is NodeKind.CALL and node.options.runs_on == "ray":
            why = waiting.unplaceable(waiting.demand(node), nodes)
            if why is not None:
                text = f"resources: no node of the Ray cluster can take {node.id}: {why}"
                found.append(WaitReason(kind="resources", text=text, execution=row.id, task=node.id, who="Ray"))
    return found


def _holder(row: ExecutionRow, owners: Sequence[OwnerRow], now: float) -> tuple[str, str | None]:
    """Who holds an execution, and what has to happen first where nobody does."""
    mine = [owner for owner in owners if owner.lane == row.lane]
    live = [owner for owner in mine if owner.expires_at > now]
    if live:
        return f"the engine of process {live[0].pid} on {live[0].host}", None
    if mine:
        last = mine[-1]
        who = f"process {last.pid} on {last.host}"
        since = instant(last.expires_at).isoformat(timespec="seconds")
        return (
            f"a dead owner: the engine of {who}, whose lease lapsed at {since}",
            f"an engine: that of {who} is silent since its lease lapsed at {since}; its successor or the next one goes on",
        )
    return "nobody", "an engine: none holds this project's executions now; connect one, or `raywf run` it again"
