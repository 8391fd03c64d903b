"""What a fork keeps of another execution, as bytes in its first event.

Unlike a snapshot this is an authority: the execution it came from may be gone. So it is kept by the names of tasks, not
by their places, and whatever is an event inside goes through the codec, whose upcasters keep old ones readable.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from raywf.core.plan import Plan
from raywf.core.snapshot import task_of, task_record
from raywf.core.state import TaskState


def kept_bytes(kept: Mapping[int, TaskState], plan: Plan) -> bytes:
    """A JSON object from task id to what is kept of it."""
    body = {plan.nodes[at].id: task_record(task) for at, task in kept.items()}
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()


def kept_tasks(data: bytes, plan: Plan) -> dict[int, TaskState]:
    """The same by place in the plan. Raises ``LookupError`` for a task that the plan does not have."""
    body: dict[str, Any] = json.loads(data)
    return {plan.index[id_]: task_of(record) for id_, record in body.items()}
