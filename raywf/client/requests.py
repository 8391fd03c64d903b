"""What is sent to start executions of one workflow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from raywf.client.fingerprints import fingerprints
from raywf.core.ids import RANDOM_BITS, check_execution_id, new_execution_ids
from raywf.definition.workflows import Workflow
from raywf.ports import Clock, Entropy
from raywf.runtime.parts import SubmitRequest
from raywf.telemetry import current_trace_id, new_traceparent


class Requests:
    """Makes them, many at a time: what they have in common is worked out once."""

    def __init__(self, clock: Clock, entropy: Entropy) -> None:
        self._clock = clock
        self._entropy = entropy

    def __call__(
        self,
        workflow: Workflow[..., Any],
        inputs: Sequence[bytes],
        ids: Sequence[str] | None = None,
        priority: int = 0,
        deadline: float | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> list[SubmitRequest]:
        """One per encoded input, under ``ids`` or else under new ones. Raises ``InvalidInput`` for an id that is none."""
        count = len(inputs)
        if ids is None:
            named = new_execution_ids(int(self._clock.now() * 1000), self._entropy.bits(RANDOM_BITS * count), count)
        else:
            named = [check_execution_id(id_) for id_ in ids]
        hash_, fresh, tagged = workflow.definition.content_hash, ids is None, dict(tags or {}) or None
        trace = current_trace_id()
        parents = [new_traceparent(self._entropy.bits(192), trace) for _ in inputs] if trace else [None] * count
        prints = fingerprints(workflow.definition, inputs)
        return [
            SubmitRequest(id_, fresh, hash_, input_, print_, priority, deadline, tagged, parent, None)
            for id_, input_, print_, parent in zip(named, inputs, prints, parents, strict=True)
        ]
