"""`raywf up`: start a Ray that stays when this command has ended, and listens to this machine only."""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

from raywf.cli.laptop.ending import end_session
from raywf.cli.laptop.processes import members_of
from raywf.cli.laptop.record import TEMP_PREFIX, UpRecord, read_record, write_record
from raywf.cli.net import answers, free_port
from raywf.config import up_record
from raywf.errors import InvalidInput, StoreUnavailable
from raywf.journal.hosts import this_machine

HOST = "127.0.0.1"
_PATIENCE_S = 180.0

_ENVIRONMENT = {
    "RAY_AUTH_MODE": "disabled",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_worker_niceness": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "RAY_enable_metrics_collection": "0",
    "RAY_idle_worker_killing_time_threshold_ms": "60000",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
"""What this Ray runs with, unless the environment says otherwise."""

_LOOPBACK = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
"""Where clusters are off Ray listens at 127.0.0.1 only. It has no other switch for that: on Linux it takes even
``--node-ip-address=127.0.0.1`` for the machine's address in the network, and would let everybody there run code."""


def environment(env: Mapping[str, str]) -> dict[str, str]:
    """The environment of the Ray to start."""
    out = {**_ENVIRONMENT, **env, _LOOPBACK: "0"}
    for name in ("RAY_ADDRESS", "RAY_NAMESPACE", "RAY_JOB_CONFIG_JSON_ENV_VAR"):
        out.pop(name, None)
    return out


def start_command(port: int, num_cpus: int, temp_dir: str, client_port: int | None) -> list[str]:
    """The command line of `ray start`. Every port that would be fixed is a free one."""
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", f"--node-ip-address={HOST}"]
    command += [f"--port={port}", "--dashboard-agent-listen-port=0", f"--num-cpus={num_cpus}", f"--temp-dir={temp_dir}"]
    command += ["--include-dashboard=False", "--include-log-monitor=False", "--no-monitor", "--disable-usage-stats"]
    return command + ([f"--ray-client-server-port={client_port}"] if client_port is not None else [])


def already_up() -> UpRecord | None:
    """The record of a Ray that runs and answers."""
    record = read_record()
    if record is not None and record.alive() and answers(record.address):
        return record
    return None


def up(num_cpus: int | None = None, port: int | None = None) -> tuple[UpRecord, bool]:
    """Start a Ray unless one is up; gives its record, and whether it is new.

    Raises ``StoreUnavailable`` with the end of Ray's own output where it does not start, ``InvalidInput`` for a port
    that is taken.
    """
    with _one_at_a_time():
        found = already_up()
        if found is not None:
            return found, False
        left_over = read_record()
        if left_over is not None:
            end_session(left_over)
        if port is not None and answers(f"{HOST}:{port}"):
            raise InvalidInput(f"--port {port}: something else listens there: choose another, or leave it out")
        cpus = num_cpus or max(2, os.cpu_count() or 2)
        try:
            record = _start(port or free_port(), cpus)
        except StoreUnavailable:  # on a busy machine Ray gives up on its own parts; its advice is to try again
            record = _start(port or free_port(), cpus)
        write_record(record)
        return record, True


@contextlib.contextmanager
def _one_at_a_time() -> Iterator[None]:
    path = up_record().with_suffix(".lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = path.open("w")
    except OSError as error:
        raise StoreUnavailable(
            f"{path.parent}: what `raywf up` starts is recorded there, and it cannot be written: {error.strerror}. "
            "Make it writable, or set XDG_STATE_HOME to a folder that is."
        ) from error
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _start(port: int, num_cpus: int) -> UpRecord:
    temp_dir = tempfile.mkdtemp(prefix=TEMP_PREFIX, dir="/tmp")  # short: Unix sockets below it have 107 bytes
    client_port = free_port() if importlib.util.find_spec("grpc") else None
    log = Path(temp_dir, "start.log")
    with log.open("w") as output:
        starting = subprocess.Popen(
            start_command(port, num_cpus, temp_dir, client_port),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment(os.environ),
            cwd=temp_dir,
            start_new_session=True,
        )
    address = f"{HOST}:{port}"
    try:
        code = starting.wait(timeout=_PATIENCE_S)
        if code != 0 or not answers(address):
            raise StoreUnavailable(f"Ray did not start (exit code {code}): {_why(log)}")
        return UpRecord(
            address=address,
            session=starting.pid,
            machine=this_machine(),
            started_at=datetime.now(UTC).isoformat(timespec="seconds"),
            temp_dir=temp_dir,
            num_cpus=num_cpus,
            processes=tuple(members_of(starting.pid)),
        )
    except BaseException as error:
        _give_up(starting, temp_dir)
        if isinstance(error, subprocess.TimeoutExpired):
            raise StoreUnavailable(f"Ray did not start within {_PATIENCE_S:g} s: {_why(log)}") from None
        raise


def _give_up(starting: subprocess.Popen[bytes], temp_dir: str) -> None:
    """The session is that of our own child, so everything in it is ours."""
    for each in members_of(starting.pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(each.pid, signal.SIGKILL)
    starting.wait()
    shutil.rmtree(temp_dir, ignore_errors=True)


def _why(log: Path) -> str:
    try:
        lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    except OSError:
        return "its output is gone"
    return " / ".join(lines[-3:]) or "it said nothing"
