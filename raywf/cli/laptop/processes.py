"""Processes, told apart from others that later get the same number: a process is its id and the moment it began.

Linux's /proc where there is one, `ps` elsewhere; nothing to install.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

_PROC = Path("/proc")
_HAS_PROC = (_PROC / "self" / "stat").exists()


class Process(NamedTuple):
    """``began`` is an opaque text: equal for the same process only. ``name`` is for people."""

    pid: int
    began: str
    name: str


def began_at(pid: int) -> str | None:
    """When a process began; None when it is gone, or only waits for its parent to notice that."""
    if not _HAS_PROC:
        state, _, began = _ps(pid, "stat=,lstart=").strip().partition(" ")
        return None if not began or state.startswith("Z") else " ".join(began.split())
    try:
        fields = (_PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in ("Z", "X") else fields[19]


def name_of(pid: int) -> str:
    """What a process is, in a word or two."""
    if _HAS_PROC:
        try:
            line = (_PROC / str(pid) / "cmdline").read_bytes().decode(errors="replace").replace("\0", " ").strip()
        except OSError:
            return "?"
    else:
        line = _ps(pid, "args=").strip()
    return short_name(line)


def short_name(command_line: str) -> str:
    """``/…/gcs_server --log_dir=…`` -> ``gcs_server``; of Python, the script or module that it runs."""
    words = command_line.split()
    if not words:
        return "?"
    name = os.path.basename(words[0])
    if name.startswith("python") and len(words) > 1:
        rest = [word for word in words[1:] if word == "-m" or not word.startswith("-")]
        name = rest[1] if rest[:1] == ["-m"] and len(rest) > 1 else os.path.basename(rest[0]) if rest else name
    return name


def _ps(pid: int, columns: str) -> str:
    command = ["ps", "-o", columns, "-p", str(pid)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "LC_ALL": "C"})
    return done.stdout


def session_of(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except OSError:
        return None


def members_of(session: int) -> list[Process]:
    """The living processes of a session."""
    found = []
    for pid in _all_pids():
        began = began_at(pid) if session_of(pid) == session else None
        if began is not None:
            found.append(Process(pid, began, name_of(pid)))
    return found


def _all_pids() -> list[int]:
    if _HAS_PROC:
        return [int(each.name) for each in _PROC.iterdir() if each.name.isdigit()]
    listed = subprocess.run(["ps", "-axo", "pid="], capture_output=True, text=True, check=False).stdout
    return [int(word) for word in listed.split()]


def is_alive(process: Process) -> bool:
    """Whether it is still that process, and not another with its number."""
    return began_at(process.pid) == process.began


def send(process: Process, signal_number: int) -> None:
    """Send a signal to that process, if it is still there."""
    if is_alive(process):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal_number)


def wait_until_gone(
    processes: Iterable[Process], patience_s: float, pause: Callable[[float], None] = time.sleep
) -> list[Process]:
    """Those that are still there when patience ends."""
    left = [each for each in processes if is_alive(each)]
    give_up_at = time.monotonic() + patience_s
    while left and time.monotonic() < give_up_at:
        pause(0.05)
        left = [each for each in left if is_alive(each)]
    return left
