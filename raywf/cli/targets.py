"""TARGET as the command line means it: from the working directory, as Python means its own."""

from __future__ import annotations

import os
import sys
from typing import Any

from raywf.definition.targets import load_target
from raywf.definition.workflows import Workflow


def load(target: str) -> Workflow[Any, Any]:
    """The workflow that a target names. Raises ``NotFound``, ``DefinitionError``."""
    if target.endswith((".json", ".yaml", ".yml")):
        # Such a file names its functions by module; a module or .py target brings its own directory along.
        import_from_here()
    return load_target(target)


def import_from_here() -> None:
    """Let modules of the working directory be imported, as ``python -m`` does."""
    here = os.getcwd()
    if here not in (os.path.abspath(each or here) for each in sys.path):
        sys.path.insert(0, here)
