"""Statuses and user metadata, as the removed library had them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from enum import Enum, unique
from typing import Any, TypeAlias

from raywf.client.reading import ExecutionSummary
from raywf.definition.lines import did_you_mean

Event: TypeAlias = Any


@unique
class WorkflowStatus(str, Enum):  # noqa: UP042 - str() of a member is what it was there
    """What ``get_status`` gives. Compares equal to its name."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    CANCELED = "CANCELED"
    SUCCESSFUL = "SUCCESSFUL"
    FAILED = "FAILED"
    RESUMABLE = "RESUMABLE"


_STATUS = {
    "pending": WorkflowStatus.PENDING,
    "completed": WorkflowStatus.SUCCESSFUL,
    "failed": WorkflowStatus.FAILED,
    "cancelled": WorkflowStatus.CANCELED,
}
ACTIVE = (WorkflowStatus.RUNNING, WorkflowStatus.PENDING)
LIMIT = "ray_workflow"
"""The limit behind ``init(max_running_workflows=…)``."""


def status_of(summary: ExecutionSummary) -> WorkflowStatus:
    """The status of an execution in the words of the removed library."""
    if (summary.waiting_for or "").startswith("limit") and LIMIT in (summary.waiting_for or ""):
        return WorkflowStatus.PENDING
    return _STATUS.get(summary.status, WorkflowStatus.RUNNING)


def statuses(given: object) -> frozenset[WorkflowStatus]:
    """The statuses that a filter names; None is all. Raises ``TypeError`` and ``ValueError``."""
    if given is None:
        return frozenset(WorkflowStatus)
    each: Iterable[object] = (
        (given,) if isinstance(given, str) else given if isinstance(given, (set, frozenset)) else ()
    )
    found = []
    for name in each:
        if not isinstance(name, str):
            raise TypeError(f"a status is a WorkflowStatus or its name, not {name!r}")
        if name not in WorkflowStatus.__members__:
            raise ValueError(
                f"{name!r} is no status of a workflow.{did_you_mean(name.upper(), WorkflowStatus.__members__)} Statuses are "
                f"{', '.join(WorkflowStatus.__members__)}."
            )
        found.append(WorkflowStatus(name))
    if not found:
        raise TypeError(f"status_filter is {given!r}: give a status, or a set of them, as in {{'RUNNING', 'FAILED'}}")
    return frozenset(found)


def check_metadata(metadata: Any) -> dict[str, Any]:
    """User metadata: a dict that JSON can hold. Raises ``ValueError``."""
    if metadata is None:
        return {}
    if not isinstance(metadata, dict):
        raise ValueError(f"metadata must be a dict, not {metadata!r:.80}")
    try:
        json.dumps(metadata, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"metadata must be JSON serializable, and it is not: {error}") from None
    return metadata
