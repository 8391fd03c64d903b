"""Which names tasks, workflows and parameters may have."""

import re

ID = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*\Z")
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
FUNCTION = re.compile(r"[^\s:]+:[^\s:]+\Z")
RESERVED_PARAMETERS = frozenset({"execution_id", "priority", "deadline", "tags", "isolation"})
"""Options of ``submit``: a parameter of that name could not be given by keyword."""

MAX_DEPTH = 100
MAX_WIDTH = 100_000
