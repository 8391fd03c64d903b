"""What every figure depends on: the disk, SQLite, the processor, and how busy they are."""

from __future__ import annotations

import contextlib
import datetime as dt
import importlib.metadata
import os
import platform
import sqlite3
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.figures import percentile

ROOT = Path(__file__).resolve().parents[1]
IN_MEMORY = frozenset({"tmpfs", "ramfs", "devtmpfs"})
NETWORK = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "fuse.sshfs", "fuse.s3fs"}
)
PACKAGES = ("raywf", "ray", "apsw", "pydantic", "pyarrow", "opentelemetry-sdk")


@dataclass(frozen=True, slots=True)
class Mount:
    point: str
    type: str
    source: str
    options: str

    def option(self, name: str) -> str | None:
        for item in self.options.split(","):
            key, _, value = item.partition("=")
            if key == name:
                return value
        return None


def parse_mounts(mountinfo: str) -> list[Mount]:
    """The lines of /proc/self/mountinfo: `id parent maj:min root POINT options [fields] - TYPE SOURCE OPTIONS`."""
    mounts = []
    for line in mountinfo.splitlines():
        left, separator, right = line.partition(" - ")
        if not separator:
            continue
        point = left.split()[4]
        type_, source, *options = right.split(maxsplit=2)
        mounts.append(Mount(_unescape(point), type_, _unescape(source), _unescape(options[0]) if options else ""))
    return mounts


def mount_of(path: str, mounts: Sequence[Mount]) -> Mount | None:
    """The mount that holds an absolute path; of several on one point the last covers the others."""
    best: Mount | None = None
    for mount in mounts:
        inside = path == mount.point or path.startswith(mount.point.rstrip("/") + "/")
        if inside and (best is None or len(mount.point) >= len(best.point)):
            best = mount
    return best


def refusal(path: str, mounts: Sequence[Mount]) -> str | None:
    """Why figures taken here would say nothing about a disk, or None."""
    mount = mount_of(path, mounts)
    if mount is None:
        return None
    if mount.type in IN_MEMORY:
        return f"{path} lies on {mount.type} ({mount.point}), which is memory: a commit there costs nothing"
    if mount.type in NETWORK:
        return f"{path} lies on {mount.type} ({mount.point}), a network file system: SQLite's locks are not safe there"
    if mount.type == "overlay":
        upper = mount.option("upperdir")
        below = mount_of(upper, [m for m in mounts if m is not mount]) if upper else None
        if below is not None and below.type in IN_MEMORY:
            return f"{path} lies on an overlay whose upper layer is {below.type} ({upper}), which is memory"
    return None


def check_disk(directory: Path) -> dict[str, str]:
    """The file system under `directory`; raises SystemExit where timing a commit would be meaningless."""
    mountinfo = Path("/proc/self/mountinfo")
    if not mountinfo.exists():
        return {"type": "unknown", "note": "this system has no /proc/self/mountinfo: make sure that it is a disk"}
    mounts = parse_mounts(mountinfo.read_text())
    path = str(directory.resolve())
    reason = refusal(path, mounts)
    if reason:
        raise SystemExit(f"benchmarks: {reason}. Choose a directory on a disk with --dir.")
    mount = mount_of(path, mounts)
    return {"type": mount.type, "mounted on": mount.point} if mount else {"type": "unknown"}


def fsync_p50_ms(directory: Path, times: int = 200) -> float:
    """Half of 4 KB appends with an fsync after each take no longer than this."""
    path = directory / "fsync.probe"
    block = os.urandom(4096)
    taken = []
    with path.open("wb", buffering=0) as file:
        for _ in range(times):
            start = time.perf_counter()
            file.write(block)
            os.fsync(file.fileno())
            taken.append((time.perf_counter() - start) * 1000)
    path.unlink()
    return percentile(taken, 0.5)


def calibration_ms() -> float:
    """A fixed piece of Python: when it takes longer, the machine is slower just now, whatever else a row says."""
    start = time.perf_counter()
    total = 0
    for i in range(1_000_000):
        total += i & 7
    if total != 3_500_000:
        raise AssertionError(f"the calibration loop adds up to {total}")
    return (time.perf_counter() - start) * 1000


@dataclass(slots=True)
class Busy:
    """How busy each core was; filled when the block of `busy_cores` ends."""

    cores: list[float]


def parse_cpu(stat: str) -> list[tuple[int, int]]:
    """(busy, total) jiffies of each core, from /proc/stat. Guest time is already in user time."""
    cores = []
    for line in stat.splitlines():
        name, *fields = line.split()
        if name.startswith("cpu") and name != "cpu":
            values = [int(field) for field in fields[:8]]
            cores.append((sum(values) - values[3] - values[4], sum(values)))
    return cores


@contextlib.contextmanager
def busy_cores() -> Iterator[Busy]:
    """Shares in [0, 1] per core over the block; none where the system does not say."""
    stat = Path("/proc/stat")
    busy = Busy([])
    before = parse_cpu(stat.read_text()) if stat.exists() else []
    yield busy
    after = parse_cpu(stat.read_text()) if stat.exists() else []
    for (busy_0, total_0), (busy_1, total_1) in zip(before, after, strict=True):
        busy.cores.append((busy_1 - busy_0) / max(1, total_1 - total_0))


def sqlite_facts(directory: Path) -> dict[str, object]:
    """Versions, and the pragmas that a store in `directory` really gets."""
    facts: dict[str, object] = {"python": sqlite3.sqlite_version}
    try:
        import apsw
    except ImportError:
        return facts | {"apsw": "missing"}
    path = directory / "pragmas.probe"
    connection = apsw.Connection(str(path))
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    for pragma in ("journal_mode", "synchronous", "wal_autocheckpoint", "page_size"):
        facts[pragma] = next(iter(connection.execute(f"PRAGMA {pragma}")))[0]
    connection.close()
    for leftover in directory.glob("pragmas.probe*"):
        leftover.unlink()
    return facts | {"apsw": apsw.sqlite_lib_version()}


def cpu_model() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def version_of(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def facts(directory: Path) -> dict[str, object]:
    """Everything that a reader needs to know before believing a figure."""
    return {
        "at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "system": f"{platform.system()} {platform.release()}",
        "cpu": {"model": cpu_model(), "cores": os.cpu_count()},
        "load": [round(load, 2) for load in os.getloadavg()],
        "calibration_ms": round(min(calibration_ms() for _ in range(3)), 1),
        "file system": check_disk(directory),
        "fsync p50 ms": round(fsync_p50_ms(directory), 3),
        "sqlite": sqlite_facts(directory),
        "python": sys.version.split()[0],
        "packages": {name: version for name in PACKAGES if (version := version_of(name))},
    }


def _unescape(field: str) -> str:
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        field = field.replace(code, character)
    return field
