"""`raywf` as people use it: processes that start, end and find each other through the store."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.cluster, pytest.mark.timeout(400)]

FLOWS = """
    import raywf
    from raywf import task, workflow


    @task
    def shout(text: str) -> str:
        return text.upper()


    @task
    def boom(text: str) -> str:
        raise ValueError(f"{text}\\nis too much")


    @workflow
    def review(text: str):
        return raywf.approval(f"Publish {text}?", data=shout(text), timeout=3600)


    @workflow
    def fails(text: str):
        return boom(text)


    @workflow
    def sleeps(seconds: float):
        return raywf.sleep(seconds, "slept")
"""


class Shell:
    """A directory with a program in it, and the commands typed there."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.started: list[subprocess.Popen[str]] = []
        (place / "flows.py").write_text(textwrap.dedent(FLOWS))
        self.env = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "XDG_STATE_HOME": str(place / "state"),
            "RAYWF_STORE": f"sqlite:///{place}/raywf.db",
        }

    def start(self, *words: str) -> subprocess.Popen[str]:
        running = subprocess.Popen(
            [sys.executable, "-P", "-m", "raywf", *words],
            cwd=self.place,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # Tests that run in a shell's background have inherited an ignored SIGINT.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
        self.started.append(running)
        return running

    def raywf(self, *words: str) -> tuple[int, str, str]:
        """Exit code, stdout, stderr."""
        running = self.start(*words)
        out, err = running.communicate(timeout=180)
        return running.returncode, out, err


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    shell = Shell(tmp_path)
    yield shell
    for started in shell.started:  # a test that failed has left its command running, and that command its Ray
        if started.poll() is None:
            started.kill()
            started.communicate()


def test_run_approve_and_go_on_each_in_a_process_and_a_ray_of_its_own(shell: Shell) -> None:
    code, out, err = shell.raywf("run", "flows.py:review", "--input", '"news"', "--id", "x-1")
    assert (code, out) == (5, ""), err
    assert "execution x-1 is waiting, and only a person can go on" in err
    assert "  raywf approve x-1\n" in err
    assert err.endswith("  raywf run flows.py:review --input '\"news\"' --id x-1\n")

    code, out, err = shell.raywf("approve", "x-1", "--by", "anna", "--comment", "fine")
    assert code == 0, err
    assert "no engine holds it now" in out
    assert shell.raywf("result", "x-1")[0] == 5, "nobody is there to take the approval"

    code, out, err = shell.raywf("run", "flows.py:review", "--input", '"news"', "--id", "x-1")
    assert (code, out) == (0, '"NEWS"\n'), err
    assert "✔ completed   execution x-1" in err

    assert shell.raywf("result", "x-1") == (0, '"NEWS"\n', "")
    history = json.loads(shell.raywf("history", "x-1", "--json")[1])
    assert [event["by"] for event in history if event["kind"] == "approval_decided"] == ["anna"]


@pytest.mark.long
def test_ctrl_c_parks_the_execution_and_says_how_to_go_on(shell: Shell) -> None:
    running = shell.start("run", "flows.py:sleeps", "--input", "3000", "--id", "long-1")
    assert running.stderr is not None
    for line in running.stderr:
        if "waiting" in line:
            break
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=60)
    assert (running.returncode, out) == (130, "")
    assert "interrupted; execution long-1 is on disk" in err
    assert err.endswith("  raywf run flows.py:sleeps --input 3000 --id long-1\n")
    assert json.loads(shell.raywf("show", "long-1", "--json")[1])["status"] == "waiting"


@pytest.mark.long
def test_a_failure_and_a_timeout_have_their_exit_codes(shell: Shell) -> None:
    """In one Ray, started by the first command and joined by the others."""
    holder = shell.start("run", "flows.py:sleeps", "--input", "3000", "--id", "holds-1")
    try:
        assert holder.stderr is not None
        for line in holder.stderr:
            if "waiting" in line:
                break
        code, out, err = shell.raywf("run", "flows.py:fails", "--input", '"this"')
        assert (code, out) == (1, "")
        assert "failed: ValueError: this is too much" in err

        code, out, err = shell.raywf("run", "flows.py:sleeps", "--input", "3000", "--timeout", "0.5")
        assert (code, out) == (5, "")
        assert "has not ended within 0.5 s; it waits for time" in err

        code, out, err = shell.raywf("run", "flows.py:review", "--input", '"news"', "--detach", "-q", "--id", "x-2")
        assert (code, out) == (0, "x-2\n"), err
        watching = shell.start("watch", "x-2", "--json")
        assert watching.stdout is not None
        assert any("approval_requested" in line for line in watching.stdout)
        assert "takes it within 200 ms" in shell.raywf("approve", "x-2")[1]
        assert any("execution_completed" in line for line in watching.stdout)
        assert watching.wait(timeout=30) == 0
        watching.communicate()
        assert shell.raywf("cancel", "holds-1", "--reason", "enough")[0] == 0
        _, err = holder.communicate(timeout=60)
        assert holder.returncode == 1
        assert "was cancelled: enough" in err
    finally:
        holder.kill()
        holder.communicate()
