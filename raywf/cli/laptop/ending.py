"""`raywf down`: end the recorded processes, and what they have started in their session. Nothing else, ever.

A number alone names no process: each is checked against its beginning and its session before every signal. The session
is ours as long as one recorded process lives in it, since the kernel gives a session's number to nobody meanwhile.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
from collections.abc import Sequence
from pathlib import Path

from raywf.cli.laptop.processes import Process, members_of, send, wait_until_gone
from raywf.cli.laptop.record import TEMP_PREFIX, UpRecord, remove_record

_RAYLET_S = 5.0
_TERM_S = 5.0
_KILL_S = 5.0


def end_session(record: UpRecord) -> list[Process]:
    """End what the record names; gives the processes that were ended. Removes the record and what Ray left on disk.

    The raylet goes first: it takes the workers along, and each has a moment to end well.
    """
    alive = record.alive()
    ours = members_of(record.session) if alive else []
    raylets = [each for each in ours if each.name == "raylet"]
    _end(raylets, signal.SIGTERM, _RAYLET_S)
    left = _end(_now(record, ours), signal.SIGTERM, _TERM_S)
    _end(_now(record, left), signal.SIGKILL, _KILL_S)
    _tidy(record)
    remove_record()
    return ours


def _end(processes: Sequence[Process], signal_number: int, patience_s: float) -> list[Process]:
    for each in processes:
        send(each, signal_number)
    return wait_until_gone(processes, patience_s)


def _now(record: UpRecord, known: Sequence[Process]) -> list[Process]:
    """Those known to be ours, and what has joined their session since, while one of them still holds it."""
    known_by = {(each.pid, each.began): each for each in known}
    now = {(each.pid, each.began): each for each in members_of(record.session)}
    return list((known_by | now if known_by.keys() & now.keys() else known_by).values())


def _tidy(record: UpRecord) -> None:
    place = Path(record.temp_dir)
    if place.parent == Path("/tmp") and place.name.startswith(TEMP_PREFIX) and not place.is_symlink():
        with contextlib.suppress(OSError):
            if place.stat().st_uid == os.getuid():
                shutil.rmtree(place, ignore_errors=True)
    current = Path("/tmp/ray/ray_current_cluster")
    with contextlib.suppress(OSError):  # a plain ray.init() would take it for a Ray that runs
        if current.read_text().strip() == record.address:
            current.unlink()
