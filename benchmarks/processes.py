"""Which processes belong to a sample, and how much memory is theirs.

A sample's first process carries a mark in its environment, which its children inherit, daemons too. Ray's workers
overwrite their environment when they set their title, so descendants of a marked process count as well.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

MARK = "RAYWF_BENCH_SAMPLE"
PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Process:
    pid: int
    parent: int
    title: str
    marked: bool

    @property
    def name(self) -> str:
        """What a person would call it: the program without its directory, or the title that Ray gave to a worker."""
        words = self.title.split()
        return words[0].rpartition("/")[2][:40] if words else "?"


def family(processes: Iterable[Process]) -> list[Process]:
    """The marked ones and all that descend from them."""
    known = {process.pid: process for process in processes}
    belongs = {pid: process.marked for pid, process in known.items()}

    def is_ours(pid: int) -> bool:
        trail: set[int] = set()
        while pid in known and not belongs[pid] and pid not in trail:  # ids are reused: parents can form a circle
            trail.add(pid)
            pid = known[pid].parent
        ours = belongs.get(pid, False)
        if ours:
            belongs.update(dict.fromkeys(trail, True))
        return ours

    return [process for pid, process in known.items() if is_ours(pid)]


def of_sample(mark: str) -> list[Process]:
    """The living processes of a sample. On a system without /proc: none."""
    return family(_read_all(f"{MARK}={mark}".encode()))


def pss_kb(rollup: str) -> int:
    """The proportional set size in one smaps_rollup: shared pages are divided among those who share them."""
    for line in rollup.splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    raise ValueError("a smaps_rollup without a Pss line")


def memory_mb(processes: Iterable[Process]) -> dict[int, float]:
    """PSS by process id; one that ended meanwhile is left out."""
    sizes = {}
    for process in processes:
        try:
            sizes[process.pid] = pss_kb((PROC / str(process.pid) / "smaps_rollup").read_text()) / 1024
        except (OSError, ValueError):
            continue
    return sizes


def settled_memory_mb(
    mark: str, *, tolerance_mb: float = 1.0, quiet_s: float = 3.0, limit_s: float = 40.0
) -> dict[Process, float]:
    """PSS by process, once the sum has stayed within the tolerance for a while, or when the limit is over."""
    deadline = time.monotonic() + limit_s
    since, reference = time.monotonic(), -1.0
    while True:
        processes = of_sample(mark)
        sizes = memory_mb(processes)
        total, now = sum(sizes.values()), time.monotonic()
        if abs(total - reference) > tolerance_mb:
            since, reference = now, total
        if now - since >= quiet_s or now > deadline:
            return {process: sizes[process.pid] for process in processes if process.pid in sizes}
        time.sleep(0.5)


def end(mark: str, patience_s: float = 5.0) -> int:
    """Ends what a sample left behind, by process id, and says how many had to be ended."""
    ended: set[int] = set()
    for signal_, wait_s in ((signal.SIGTERM, patience_s), (signal.SIGKILL, 2.0)):
        left = [process.pid for process in of_sample(mark) if process.pid != os.getpid()]
        ended.update(left)
        for pid in left:
            _send(pid, signal_)
        deadline = time.monotonic() + wait_s
        while time.monotonic() < deadline and any((PROC / str(pid) / "stat").exists() for pid in left):
            time.sleep(0.05)
    return len(ended)


def _send(pid: int, signal_: signal.Signals) -> None:
    try:
        os.kill(pid, signal_)
    except ProcessLookupError:
        pass


def _read_all(mark: bytes) -> list[Process]:
    if not PROC.exists():
        return []
    found = []
    for entry in PROC.iterdir():
        if not entry.name.isdigit():
            continue
        try:
            state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
            if state == "Z":
                continue
            title = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
            marked = mark in _environment(entry)
        except OSError:
            continue
        found.append(Process(int(entry.name), int(parent), title, marked))
    return found


def _environment(entry: Path) -> list[bytes]:
    try:
        return (entry / "environ").read_bytes().split(b"\0")
    except OSError:  # another user's process
        return []
