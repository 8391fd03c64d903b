"""Which machine this is, so that a store held elsewhere is recognised.

SQLite's writers and readers share memory, so all must run under one kernel. Linux names the running kernel (its boot
id, the same in all containers on it); elsewhere the host's name has to do.
"""

from __future__ import annotations

import platform
from functools import cache
from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@cache
def this_machine() -> str:
    """An identity shared by exactly those processes that can share memory with this one."""
    try:
        return "boot:" + _BOOT_ID.read_text().strip()
    except OSError:
        return "name:" + platform.node()


def this_host() -> str:
    """The host's name, for people to read."""
    return platform.node() or "unknown host"
