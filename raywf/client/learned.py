"""The task of a workflow that merges by a named aggregator (``raywf.definition.learned`` puts it there).

Its name and its parameters are in stored definitions: they may gain parameters with defaults, and nothing else.
"""

from __future__ import annotations

from raywf.aggregation import AggregateResult, Candidate
from raywf.client.aggregators import AsyncAggregator
from raywf.definition.context import current
from raywf.errors import NotConnected


async def merged_by(
    candidates: list[Candidate], aggregator: str, item: str | None, strategy: str, accept_at: float
) -> AggregateResult:
    """Tell the aggregator what was said of ``item``, and give its answer, once both are on disk.

    Without an ``item`` it is told of under the execution's id; inside a loop, where the same merge comes again, the task's
    address stands behind it. Raises ``InvalidInput``, and ``StoreUnavailable`` while the aggregator cannot be reached: what was
    told may count already, and counts once however often it is told.
    """
    here = current()
    reach = here.aggregators
    if reach is None:
        raise NotConnected(
            f"aggregator {aggregator!r} cannot be reached from here: only an engine's own process knows the way"
        )
    if item is None:
        item = here.execution_id if "@" not in here.task_id else f"{here.execution_id}/{here.task_id}"
    key = aggregator, strategy, accept_at
    handle = reach.handles.get(key)
    if handle is None:
        handle = reach.handles[key] = AsyncAggregator(reach, aggregator, strategy, accept_at, reach.clock)
    return await handle.merge(candidates, item)  # type: ignore[no-any-return]
