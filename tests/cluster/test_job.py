"""`ray job submit` of examples/triage to a Ray head that this test starts: the same file, unchanged, on a cluster."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from raywf.client.commands import Commands
from raywf.client.reading import Readings
from raywf.errors import RaywfError
from tests.kill.machine import Head, free_port

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.cluster, pytest.mark.long, pytest.mark.timeout(600)]  # a job server takes its time to come up


class JobHead(Head):
    """A head whose dashboard takes jobs."""

    def __init__(self) -> None:
        super().__init__(env={"PYTHONPATH": str(ROOT)})
        self.jobs = ""

    def extra_arguments(self) -> list[str]:
        port = free_port()
        self.jobs = f"http://127.0.0.1:{port}"
        dashboard = ["--include-dashboard=true", "--dashboard-host=127.0.0.1", f"--dashboard-port={port}"]
        # The agent that takes jobs listens to one fixed port, unless told otherwise: beside another Ray there was none.
        return [*dashboard, f"--dashboard-agent-listen-port={free_port()}"]


@pytest.fixture
def head() -> Iterator[JobHead]:
    if importlib.util.find_spec("aiohttp_cors") is None:
        pytest.skip("jobs need ray[default]: pip install 'raywf[cluster]'")
    running = JobHead()
    try:
        running.start()
        yield running
    finally:
        running.end()


def submit(head: JobHead, working_dir: Path, env: dict[str, str], *entrypoint: str) -> str:
    """Submit a job, wait for its end, and return what it printed."""
    variables = ", ".join(f'"{name}": "{value}"' for name, value in env.items())
    command = [sys.executable, "-m", "ray.scripts.scripts", "job", "submit", f"--address={head.jobs}"]
    command += [
        f"--working-dir={working_dir}",
        f'--runtime-env-json={{"env_vars": {{{variables}}}}}',
        "--",
        *entrypoint,
    ]
    for _ in range(60):
        done = subprocess.run(command, env=head.env, capture_output=True, text=True, timeout=240, check=False)
        if "No available agent" not in done.stdout + done.stderr:  # it says so until its agent has come up
            break
        time.sleep(1)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@contextlib.contextmanager
def someone_who_approves(store: str) -> Iterator[None]:
    """A person at another terminal: answers what waits, through the store alone."""
    done = threading.Event()

    async def answer() -> None:
        while not done.is_set():
            with contextlib.suppress(RaywfError):
                readings = Readings(store, "default")
                commands = Commands(store, "default", readings)
                for waiting in await readings.list(status="waiting"):
                    await commands.decide(waiting.id, True, "test", "", None)
                await commands.close()
                await readings.close()
            await asyncio.sleep(0.5)

    person = threading.Thread(target=lambda: asyncio.run(answer()))
    person.start()
    try:
        yield
    finally:
        done.set()
        person.join()


def test_the_example_runs_as_a_job_and_leaves_its_executions_in_the_store(head: JobHead, tmp_path: Path) -> None:
    """A job's driver finds the Ray it runs on, its code travels with the working directory, and rows come back."""
    store = f"sqlite:///{tmp_path}/store.db"
    tickets = (ROOT / "examples/triage/tickets.txt").read_text(encoding="utf-8").splitlines()
    env = {"RAYWF_STORE": store, "PYTHONPATH": str(ROOT), "HOME": os.environ["HOME"]}
    with someone_who_approves(store):
        printed = submit(head, ROOT / "examples/triage", env, sys.executable, "triage.py", "tickets.txt")
    for ticket in filter(None, map(str.strip, tickets)):
        assert ticket in printed
    listed = subprocess.run(
        [sys.executable, "-m", "raywf", "ls", "--store", store, "--status", "completed", "--json", "--limit", "1000"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout
    assert listed.count('"triage"') >= len([ticket for ticket in tickets if ticket.strip()])


def test_a_second_job_takes_up_what_the_first_left_open(head: JobHead, tmp_path: Path) -> None:
    """The driver of a job may go while its executions wait: the next job on the same store finishes them."""
    project = tmp_path / "project"
    project.mkdir()
    (project / "flows.py").write_text(
        "from raywf import task, workflow, wait_signal\n"
        "@task\ndef twice(x: int) -> int:\n    return 2 * x\n"
        "@workflow\ndef waits(x: int):\n    return twice(wait_signal('go'))\n"
    )
    (project / "first.py").write_text(
        "import raywf, flows\n"
        "with raywf.connect() as engine:\n    engine.submit(flows.waits, 1, execution_id='left')\n    print('submitted')\n"
    )
    (project / "second.py").write_text(
        "import raywf, flows\n"
        "with raywf.connect() as engine:\n"
        "    handle = engine.get('left')\n    handle.signal('go', 21)\n    print('result', handle.result(timeout=60))\n"
    )
    env = {"RAYWF_STORE": f"sqlite:///{tmp_path}/store.db", "PYTHONPATH": str(ROOT), "HOME": os.environ["HOME"]}
    assert "submitted" in submit(head, project, env, sys.executable, "first.py")
    (project / "note.py").write_text("edited = True\n")  # another package, another bundle: the actors are replaced
    assert "result 42" in submit(head, project, env, sys.executable, "second.py")
