"""`raywf up` and `down`: a Ray that outlives the commands, and ends with them and takes nobody along."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.test_cli import Shell

pytestmark = [pytest.mark.cluster, pytest.mark.kill, pytest.mark.timeout(600)]

PROGRAM = """
import flows, raywf

if __name__ == "__main__":
    with raywf.connect() as engine:
        engine.submit(flows.sleeps, 6.0, execution_id="sleeps-1")
        print(engine.submit(flows.review, "news", execution_id="x-1").id)
"""


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    shell = Shell(tmp_path)
    (tmp_path / "program.py").write_text(PROGRAM)
    yield shell
    shell.raywf("down")


def record(shell: Shell) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((shell.place / "state" / "raywf" / "up.json").read_text())
    return found


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return not Path("/proc/self").exists()


def network_address() -> str | None:
    """This machine's address in the network, if it has one. Nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return None
        address = str(probe.getsockname()[0])
    return None if address.startswith("127.") else address


def test_a_ray_that_stays_and_ends_when_told_to(shell: Shell) -> None:
    bystanders = [subprocess.Popen(["sleep", "600"]), subprocess.Popen(["sleep", "600"], start_new_session=True)]
    try:
        code, out, err = shell.raywf("up", "--num-cpus", "2")
        assert code == 0, err
        up = record(shell)
        assert f"Ray is up at {up['address']}: 2 CPUs" in out
        assert stat.S_IMODE((shell.place / "state" / "raywf" / "up.json").stat().st_mode) == 0o600
        assert {"gcs_server", "raylet"} <= {name for _, _, name in up["processes"]}
        assert len(up["temp_dir"]) <= 60
        check_loopback_only(up["address"])
        check_second_up_joins(shell, up)
        check_programs_find_it_and_it_outlives_them(shell)
        check_down(shell, up)
        assert [each.poll() for each in bystanders] == [None, None]
    finally:
        for each in bystanders:
            each.kill()
            each.wait()


def check_loopback_only(address: str) -> None:
    host, _, port = address.partition(":")
    assert host == "127.0.0.1"
    outside = network_address()
    if outside is not None:
        with pytest.raises(OSError):
            socket.create_connection((outside, int(port)), timeout=2)


def check_second_up_joins(shell: Shell, up: dict[str, Any]) -> None:
    code, out, _ = shell.raywf("up")
    assert code == 0
    assert f"Ray is up already at {up['address']}" in out
    assert record(shell) == up
    checks = {check["name"]: check for check in json.loads(shell.raywf("doctor", "--json")[1])}
    assert checks["up"]["state"] == "ok"
    assert up["address"] in checks["up"]["found"]


def check_programs_find_it_and_it_outlives_them(shell: Shell) -> None:
    import sys

    done = subprocess.run(
        [sys.executable, "program.py"], cwd=shell.place, env=shell.env, capture_output=True, text=True, timeout=180
    )
    assert (done.returncode, done.stdout) == (0, "x-1\n"), done.stderr
    assert "takes it within 200 ms" in shell.raywf("approve", "x-1")[1]
    assert shell.raywf("result", "x-1") == (0, '"NEWS"\n', "")
    code, out, err = shell.raywf("result", "sleeps-1")
    assert (code, out) == (0, '"slept"\n'), err
    code, out, err = shell.raywf("run", "flows.py:sleeps", "--input", "3000", "--detach", "-q", "--id", "stays-1")
    assert (code, out) == (0, "stays-1\n"), err


def check_down(shell: Shell, up: dict[str, Any]) -> None:
    code, out, err = shell.raywf("down")
    assert code == 0, err
    assert f"Ray at {up['address']} has ended" in out
    assert "1 execution stays open in" in out
    assert not [pid for pid, _, _ in up["processes"] if is_running(pid)]
    assert not Path(up["temp_dir"]).exists()
    assert not (shell.place / "state" / "raywf" / "up.json").exists()
    assert shell.raywf("down") == (0, "No Ray is up here: nothing to end.\n", "")
    assert json.loads(shell.raywf("show", "stays-1", "--json")[1])["status"] == "waiting"


@pytest.mark.long
def test_what_is_left_of_a_ray_that_died_is_ended_by_the_next_up(shell: Shell) -> None:
    assert shell.raywf("up", "--num-cpus", "1")[0] == 0
    dead = record(shell)
    killed = [pid for pid, _, name in dead["processes"] if name == "gcs_server"]
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    code, out, err = shell.raywf("up", "--num-cpus", "1")
    assert code == 0, err
    alive = record(shell)
    assert alive["address"] in out
    assert alive["session"] != dead["session"]
    assert not [pid for pid, _, _ in dead["processes"] if is_running(pid)]
    assert all(is_running(pid) for pid, _, name in alive["processes"] if name in ("gcs_server", "raylet"))
