"""What tells a repeated submit from another one."""

from __future__ import annotations

import hashlib

from raywf.definition.model import WorkflowDefinition


def fingerprint(workflow: WorkflowDefinition | str, input_: bytes) -> str:
    """The workflow (or its id) and its arguments, not the version or the options."""
    id_ = workflow if isinstance(workflow, str) else workflow.id
    return hashlib.sha256(id_.encode() + b"\0" + input_).hexdigest()[:32]
