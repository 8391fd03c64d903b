"""Whether the process of an owner is gone."""

from __future__ import annotations

import socket
from pathlib import Path

from raywf.ports import OwnerRow


def is_dead(row: OwnerRow) -> bool:
    """Whether an owner of this host has no process any more."""
    if row.host != socket.gethostname():
        return False
    if not Path("/proc").is_dir():
        return False
    try:
        command = Path(f"/proc/{row.pid}/cmdline").read_bytes()
    except OSError:
        return True
    return b"ray" not in command.lower()
