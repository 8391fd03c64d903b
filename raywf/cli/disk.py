"""How fast the disk below the store keeps its word."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from pathlib import Path


def nearest_folder(path: Path) -> Path:
    """The folder itself, or the nearest one above that exists."""
    path = path.absolute()
    while not path.is_dir() and path != path.parent:
        path = path.parent
    return path


def fsync_p50_ms(folder: Path, rounds: int = 11) -> float | None:
    """Median time to write 4 KB and have them on the disk; None where that does not work."""
    took = []
    try:
        with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
            for _ in range(rounds):
                file.seek(0)
                started = time.perf_counter()
                file.write(b"\0" * 4096)
                os.fsync(file.fileno())
                took.append((time.perf_counter() - started) * 1000)
    except OSError:
        return None
    return statistics.median(took)
