"""What tells a repeated submit from another one."""

from __future__ import annotations

import hashlib

from raywf.definition.model import WorkflowDefinition


def fingerprint(definition: WorkflowDefinition, input_: bytes) -> str:
    """The workflow and its arguments, not the version or the options."""
    return hashlib.sha256(definition.id.encode() + b"\0" + input_).hexdigest()[:32]
