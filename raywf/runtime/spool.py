"""What a worker has done so far, in a file that survives it.

A chunk of tasks shares its worker's fate. So that a task which ends its worker costs exactly its own attempt, the worker
appends a line before and a record after each task; the page cache outlives the process. After a crash the owner reads
which tasks have ended (their results count), which one was running (its attempt is lost) and which never began (they
queue again as if nothing had happened). Where the store is encrypted, results are hidden here under a key that the owner holds
in memory: nobody reads them from a disk that outlives it.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from dataclasses import dataclass, field
from json.encoder import encode_basestring_ascii as quoted
from pathlib import Path
from typing import Any

from raywf.sealing.passing import hide, show


def spool_path(owner: str, chunk: int) -> Path:
    """Where the worker of a chunk keeps its notes, on whichever node it runs."""
    return Path(tempfile.gettempdir()) / f"raywf-spool-{os.getuid()}" / f"{owner}-{chunk}"


class SpoolWriter:
    """Appends to the notes of one chunk."""

    def __init__(self, path: Path, key: bytes | None = None) -> None:
        self._key = key
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path = path
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def started(self, item: int) -> None:
        os.write(self._file, self._begins(item).encode())

    def ended(self, item: int, outcome: list[Any], begins: int | None = None) -> None:
        """Note the outcome of an item, and in the same write that the next one begins."""
        if self._key is not None:
            note = f'["r",{item},"{hide(self._key, json.dumps(outcome))}"]\n'
        elif outcome[0] == "ok" and len(outcome) == 2:
            note = f'["r",{item},["ok",{quoted(outcome[1])}]]\n'
        else:
            note = json.dumps(["r", item, outcome]) + "\n"
        os.write(self._file, (note if begins is None else note + self._begins(begins)).encode())

    @staticmethod
    def _begins(item: int) -> str:
        # In whole milliseconds: the shortest words for a float cost more than the rest of a small task's notes.
        return f'["s",{item},{int(time.time() * 1000)}]\n'

    @property
    def fileno(self) -> int:
        return self._file

    def close(self) -> None:
        os.close(self._file)


@dataclass(slots=True)
class Progress:
    """What the notes of a chunk say: ``running`` is the item that had begun and not ended, and since when."""

    outcomes: dict[int, Any] = field(default_factory=dict)
    running: int | None = None
    running_since: float = 0.0
    last_words: str = ""


def read_spool(path: Path) -> Progress | None:
    """The notes of a chunk; None when there are none on this node. Removes them."""
    try:
        text = path.read_bytes().decode(errors="replace")
        path.unlink(missing_ok=True)
    except OSError:
        return None
    progress = Progress()
    words = []
    for line in text.splitlines():
        try:
            kind, item, what = json.loads(line)
        except (ValueError, TypeError):
            words.append(line)  # a torn record, or the traceback of a worker that ran out of time
            continue
        if kind == "s":
            progress.running, progress.running_since = item, what / 1000
        else:
            progress.outcomes[item] = what
            progress.running = None
    progress.last_words = "\n".join(words)
    return progress


def shown(outcome: Any, key: bytes | None) -> Any:
    """An outcome from notes that were written with a key, or without. Raises ``ValueError`` for what was changed."""
    return json.loads(show(key, outcome)) if key is not None and isinstance(outcome, str) else outcome
