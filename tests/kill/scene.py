"""One store, one ledger, and the drivers that work on them."""

from __future__ import annotations

import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from raywf.config import shown
from tests.kill import verdict
from tests.kill.machine import Head, is_alive, send, until
from tests.kill.witness import SQLITE

ONE, TWO = "one node", "two nodes"
on_one_node = pytest.mark.parametrize("nodes", [ONE], indirect=True)
on_both = pytest.mark.parametrize("store", ["sqlite", "postgresql"], indirect=True)
"""For a test that is tried on both kinds of store each time; all others are tried on PostgreSQL with the long ones."""

PROGRAMS = Path(__file__).parent / "programs"


class Refused(Exception):
    """What a driver was told instead of an answer: the error's name, then its message."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(name, message)
        self.name, self.message = name, message


class Driver:
    """A program of its own that uses raywf. See ``programs/driver.py``."""

    def __init__(self, scene: Scene, address: str, env: Mapping[str, str] | None, program: str) -> None:
        self.stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed in end()
        self._answers: queue.Queue[Any] = queue.Queue()
        self.process = subprocess.Popen(
            [sys.executable, program, address, scene.url],
            cwd=scene.folder,
            env={**os.environ, **(env or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.stderr,
            text=True,
            start_new_session=True,
        )
        self.session = self.process.pid
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("@@ "):
                self._answers.put(json.loads(line[3:]))
        self._answers.put(None)

    def ready(self, timeout_s: float = 90) -> Driver:
        """Wait until it is connected. Raises ``Refused``."""
        self._answer(timeout_s)
        return self

    def _answer(self, timeout_s: float) -> Any:
        try:
            answer = self._answers.get(timeout=timeout_s)
        except queue.Empty:
            raise AssertionError(f"the driver said nothing for {timeout_s:g} s\n{self.said()}") from None
        if answer is None:
            raise AssertionError(f"the driver ended ({self.process.wait(10)})\n{self.said()}")
        if "error" in answer:
            raise Refused(answer["error"], answer["message"])
        return answer.get("is")

    def ask(self, what: str, timeout_s: float = 150, **asked: Any) -> Any:
        """Have something done and wait for the answer. Raises ``Refused``."""
        self.tell(what, **asked)
        return self._answer(timeout_s)

    def tell(self, what: str, **asked: Any) -> None:
        """Have something done; ``heard`` gives the answer."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"do": what, **asked}) + "\n")
        self.process.stdin.flush()

    def heard(self, timeout_s: float = 150) -> Any:
        return self._answer(timeout_s)

    def said(self) -> str:
        self.stderr.seek(0)
        return self.stderr.read().decode(errors="replace")[-4000:]

    def leave(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(60)

    def kill(self) -> None:
        send(self.process.pid, signal.SIGKILL)
        self.process.wait(10)

    def end(self) -> None:
        """The driver and everything it has started itself."""
        from tests.kill.machine import session_pids

        for pid in session_pids(self.session):
            send(pid, signal.SIGKILL)
        self.process.wait(10)
        for stream in (self.process.stdin, self.process.stdout, self.stderr):
            if stream is not None:
                stream.close()


class Scene:
    """A folder with the store, the ledger, the tasks' module and the drivers' program. ``url``: a store elsewhere."""

    def __init__(self, head: Head | None, url: str = "", env: Mapping[str, str] | None = None) -> None:
        self.head = head
        self.env = env or {}
        self.folder = Path(tempfile.mkdtemp(prefix="rwkill-", dir="/tmp"))
        for program in PROGRAMS.glob("*.py"):
            shutil.copy(program, self.folder)
        self.put_store(self.folder / "store.db")
        self.url = url or self.url
        self.ledger = self.folder / "ledger.jsonl"
        self.accepted = self.folder / "accepted"
        self.drivers: list[Driver] = []

    def put_store(self, place: Path) -> None:
        """Where drivers that start from now on find the store."""
        self.url = f"sqlite:///{place}"

    @property
    def shown(self) -> str:
        """The store as messages name it."""
        return shown(self.url).removeprefix(SQLITE)

    def driver(
        self,
        address: str | None = None,
        env: Mapping[str, str] | None = None,
        wait: bool = True,
        program: str = "driver.py",
    ) -> Driver:
        """A new driver, connected. By default to this scene's Ray; ``""``: to whichever raywf finds."""
        if address is None:
            address = self.head.address if self.head else ""
        driver = Driver(self, address, {**self.env, **(env or {})}, program)
        self.drivers.append(driver)
        return driver.ready() if wait else driver

    def owner_pids(self) -> list[int]:
        """The processes of the workflow actors that hold the store now."""
        return [pid for _, pid in verdict.owners(self.url) if is_alive(pid)]

    def kill_owner(self) -> float:
        """End a workflow actor; gives the moment."""
        pids = until(self.owner_pids, 30, "a workflow actor that lives")
        return send(pids[-1], signal.SIGKILL)

    def begun(self) -> int:
        return sum(entry.what == "start" for entry in verdict.read_ledger(self.ledger))

    def wait_begun(self, count: int, timeout_s: float = 60) -> None:
        until(lambda: self.begun() >= count, timeout_s, f"{count} attempts begun")

    def all_ended(self, timeout_s: float = 120) -> float:
        """Wait, without any driver's help, until the store knows no open execution; gives the seconds."""
        began = time.monotonic()
        try:
            until(lambda: verdict.count_open(self.url) == 0, timeout_s, "every execution has ended", 0.1)
        except AssertionError as error:
            raise AssertionError(f"{error}: {verdict.count_open(self.url)} open\n{self.logs()}") from None
        return time.monotonic() - began

    def judged(self, results: Mapping[str, Callable[[Any], Any]], *may_fail: str) -> verdict.Verdict:
        """Everything promised is true, or the test fails with what is not."""
        found = verdict.judge(self.url, self.ledger, self.accepted, results, may_fail=frozenset(may_fail))
        text = "\n".join(found.wrong[:20])
        assert not found.wrong, f"{len(found.wrong)} promises are broken ({found}):\n{text}\n{self.logs()}"
        return found

    def logs(self) -> str:
        said = "\n".join(driver.said() for driver in self.drivers if not driver.stderr.closed)
        return said + ("\n" + self.head.logs("raywf") if self.head else "")

    def end(self) -> None:
        for driver in self.drivers:
            driver.end()
        self.remove()

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
