"""What `raywf up` writes down, and all that `raywf down` goes by."""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from raywf.cli.laptop.processes import Process, is_alive, session_of
from raywf.config import up_record
from raywf.journal.hosts import this_machine

TEMP_PREFIX = "rwup-"
"""How the folders begin that `raywf up` makes for Ray, below /tmp."""


@dataclass(frozen=True, slots=True)
class UpRecord:
    """``machine`` is the running kernel: after a restart all numbers mean other processes."""

    address: str
    session: int
    machine: str
    started_at: str
    temp_dir: str
    num_cpus: int
    processes: tuple[Process, ...]

    def alive(self) -> list[Process]:
        """The recorded processes that live: same machine, same number, same beginning, same session."""
        if self.machine != this_machine():
            return []
        return [each for each in self.processes if is_alive(each) and session_of(each.pid) == self.session]


def read_record(path: Path | None = None) -> UpRecord | None:
    """The record, None where there is none or where it is none of ours."""
    try:
        data = json.loads((path or up_record()).read_text())
        data["processes"] = tuple(Process(int(pid), str(began), str(name)) for pid, began, name in data["processes"])
        return UpRecord(**data)
    except (OSError, ValueError, TypeError, KeyError):
        return None


def write_record(record: UpRecord, path: Path | None = None) -> None:
    """In one step, for nobody but this user."""
    path = path or up_record()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle, aside = tempfile.mkstemp(dir=path.parent, prefix=".up-")  # made with mode 0600
    with os.fdopen(handle, "w") as file:
        json.dump(asdict(record), file, indent=2)
    os.replace(aside, path)


def remove_record(path: Path | None = None) -> None:
    (path or up_record()).unlink(missing_ok=True)
