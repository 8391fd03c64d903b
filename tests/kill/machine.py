"""A Ray of its own for tests that end processes: started in a session of its own, so that exactly its processes can be
named, and ended by their ids whatever happened to it meanwhile."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


class Head:
    """A Ray head on the loopback, or at another address of this machine. ``address`` is what drivers connect to."""

    def __init__(self, cpus: int = 2, env: Mapping[str, str] | None = None, ip: str = "127.0.0.1") -> None:
        self.temporary = Path(tempfile.mkdtemp(prefix="rwk-", dir="/tmp"))
        self.env = {**os.environ, **(env or {})}
        self.address = ""
        self.ip = ip
        self._cpus = cpus
        self._session = 0
        self._others: list[int] = []

    def start(self) -> Head:
        for _ in range(3):
            try:
                self._start()
                return self
            except RuntimeError:  # on a busy machine a raylet may give up on its agent: Ray says to try again
                self._end_session()
        self._start()
        return self

    def _start(self) -> None:
        port = free_port(self.ip)
        self.address = f"{self.ip}:{port}"
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", f"--node-ip-address={self.ip}"]
        command += [f"--port={port}", f"--num-cpus={self._cpus}", f"--temp-dir={self.temporary}"]
        command += ["--disable-usage-stats", "--object-store-memory=150000000", *self.extra_arguments()]
        started = self._run(command)
        self._session = started.pid
        _checked(started)

    def _run(self, command: list[str]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            command,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def add_node(self, ip: str | None = None, within: Sequence[str] = ()) -> int:
        """One more node of this cluster, at an address of its own and ``within`` another host; gives its session, whose
        processes are the node's."""
        command = [*within, sys.executable, "-m", "ray.scripts.scripts", "start", f"--address={self.address}"]
        command += [f"--node-ip-address={ip or self.ip}", f"--num-cpus={self._cpus}", "--disable-usage-stats"]
        started = self._run([*command, "--object-store-memory=150000000"])
        self._others.append(started.pid)
        _checked(started)
        return started.pid

    def kill_node(self, session: int) -> None:
        """A whole node at once."""
        for pid in session_pids(session):
            send(pid, signal.SIGKILL)

    def extra_arguments(self) -> list[str]:
        return ["--include-dashboard=false"]

    def pids(self, title: str = "") -> list[int]:
        """The processes of this Ray whose command line holds ``title``. Only its own sessions are looked at."""
        sessions = [self._session, *self._others]
        return [pid for each in sessions for pid in session_pids(each) if title in command_line(pid)]

    def is_on_the_head(self, pid: int) -> bool:
        return pid in session_pids(self._session)

    def the(self, title: str) -> int:
        """The one process of this Ray with that title; that of the test before may be on its way out still."""
        found: list[int] = []
        for _ in range(100):
            found = self.pids(title)
            if len(found) == 1:
                return found[0]
            time.sleep(0.1)
        raise AssertionError(f"{len(found)} processes are called {title!r}: {found}")

    def kill_all(self) -> None:
        """All of Ray at once, as when the machine loses its power but the disk keeps what it has."""
        for pid in self.pids():
            send(pid, signal.SIGKILL)

    def signal_all(self, which: signal.Signals) -> None:
        for pid in self.pids():
            send(pid, which)

    def _end_session(self) -> None:
        for _ in range(200):
            left = self.pids()
            if not left:
                return
            for pid in left:
                send(pid, signal.SIGKILL)
            time.sleep(0.05)

    def end(self) -> None:
        try:
            self._end_session()
        finally:
            shutil.rmtree(self.temporary, ignore_errors=True)

    def logs(self, word: str, limit: int = 30) -> str:
        """Lines of Ray's log files with this word: what a failed test shows."""
        found = []
        for file in sorted(self.temporary.glob("session_*/logs/*")):
            with contextlib.suppress(OSError, IsADirectoryError):
                lines = file.read_text(errors="replace").splitlines()
                found += [f"{file.name}: {line}" for line in lines if word in line]
        return "\n".join(found[-limit:])


def _checked(started: subprocess.Popen[bytes]) -> None:
    said = started.communicate(timeout=120)[0].decode(errors="replace")
    if started.returncode:
        raise RuntimeError(f"ray start ended with {started.returncode}:\n{said}")


def free_port(ip: str = "127.0.0.1") -> int:
    with socket.socket() as listener:
        listener.bind((ip, 0))
        return int(listener.getsockname()[1])


def session_pids(session: int) -> list[int]:
    """The processes of a session, zombies left out."""
    found = []
    for entry in os.listdir("/proc") if session else []:
        if entry.isdigit():
            with contextlib.suppress(OSError):
                fields = Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()
                if int(fields[3]) == session and fields[0] not in "ZX":
                    found.append(int(entry))
    return found


def command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def send(pid: int, which: signal.Signals) -> float:
    """Send a signal; gives the moment. A process that has gone already is no matter."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, which)
    return time.time()


def until(what: Callable[[], T], timeout_s: float, why: str, pause_s: float = 0.02) -> T:
    """Wait until ``what()`` is true, and give that."""
    give_up_at = time.monotonic() + timeout_s
    while True:
        found = what()
        if found:
            return found
        assert time.monotonic() < give_up_at, f"after {timeout_s:g} s: not {why}"
        time.sleep(pause_s)
