"""What tells a repeated submit from another one."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from raywf.definition.model import WorkflowDefinition


def fingerprints(workflow: WorkflowDefinition | str, inputs: Sequence[bytes]) -> list[str]:
    """The workflow (or its id) and its arguments, not the version or the options."""
    id_ = workflow if isinstance(workflow, str) else workflow.id
    begin = id_.encode() + b"\0"
    return [hashlib.sha256(begin + input_).hexdigest()[:32] for input_ in inputs]


def fingerprint(workflow: WorkflowDefinition | str, input_: bytes) -> str:
    """The same for one input."""
    return fingerprints(workflow, (input_,))[0]
