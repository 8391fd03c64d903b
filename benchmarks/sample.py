"""One sample: a program runs in a process and a directory of its own, and its last line of JSON is the result."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import processes
from benchmarks.machine import ROOT, calibration_ms

ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "disabled",
    "RAY_worker_niceness": "0",  # at Ray's default of 15 a busy client starves the workers it is timing
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "RAYWF_WORKFLOW_ACTORS": "1",
    "PYTHONHASHSEED": "0",
}
# What a shell may have set and what must not decide where a sample runs or stores.
NOT_INHERITED = (
    "RAY_ADDRESS",
    "RAYWF_STORE",
    "RAYWF_NAMESPACE",
    "PYTHONPATH",
    "PYTHONSTARTUP",
    "PYTHONDONTWRITEBYTECODE",  # what is installed is compiled: with this, each process of a checkout compiles all of raywf, 0.2 s
)


@dataclass(frozen=True, slots=True)
class Sample:
    """What one program measured, or why it did not."""

    row: str
    round: int
    figures: Mapping[str, float] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)
    error: str = ""
    calibration_ms: float = 0.0
    load: float = 0.0
    took_s: float = 0.0
    left_behind: int = 0


def emit(figures: Mapping[str, float], **details: Any) -> None:
    """What a program says at its end."""
    print(json.dumps({"figures": dict(figures), "details": details}), flush=True)


def last_json(output: str) -> dict[str, Any] | None:
    """The last line that is a result; libraries may print before and after it."""
    for line in reversed(output.splitlines()):
        if line.startswith('{"figures"'):
            found: dict[str, Any] = json.loads(line)
            return found
    return None


def module(name: str) -> list[str]:
    """How to start one of our own programs. -P: the directory of the sample is not searched for modules."""
    return [sys.executable, "-P", "-m", f"benchmarks.{name}"]


def take(row: str, turn: int, command: Sequence[str], base: Path, *, timeout_s: float, keep: bool = False) -> Sample:
    """Runs one program to its end. Never raises: a row that fails is a result, and the others go on."""
    directory = base / f"{row}-{turn}"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    mark = uuid.uuid4().hex
    inherited = {key: value for key, value in os.environ.items() if key not in NOT_INHERITED}
    environment = inherited | ENVIRONMENT | {"PYTHONPATH": str(ROOT), processes.MARK: mark}
    calibration, load, start = calibration_ms(), os.getloadavg()[0], time.perf_counter()
    output, error = _run(command, directory, environment, timeout_s)
    took_s = time.perf_counter() - start
    left_behind = processes.end(mark) if processes.of_sample(mark) else 0
    found = None if error else last_json(output)
    if found is None and not error:
        error = "the program printed no result"
    if not keep and not error:
        shutil.rmtree(directory, ignore_errors=True)
    return Sample(
        row,
        turn,
        figures=found["figures"] if found else {},
        details=found["details"] if found else {},
        error=error,
        calibration_ms=round(calibration, 1),
        load=round(load, 2),
        took_s=round(took_s, 1),
        left_behind=left_behind,
    )


def _run(command: Sequence[str], directory: Path, environment: Mapping[str, str], timeout_s: float) -> tuple[str, str]:
    """(stdout, error). A grandchild may hold the pipes open for long after the program ended, so both are files."""
    out, err = directory / "stdout.txt", directory / "stderr.txt"
    with out.open("wb") as stdout, err.open("wb") as stderr:
        try:
            ended = subprocess.run(
                list(command),
                cwd=directory,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                timeout=timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return "", f"not done after {timeout_s:.0f} s; {_tail(err)}"
        except OSError as problem:
            return "", f"could not be started: {problem}"
    if ended.returncode != 0:
        return "", f"exit {ended.returncode}; {_tail(err)}"
    return out.read_text(errors="replace"), ""


def _tail(path: Path) -> str:
    """The last line that says something; the whole stays where it is."""
    lines = [line.strip() for line in path.read_text(errors="replace").splitlines() if any(map(str.isalpha, line))]
    return f"{lines[-1][:300]} (all of it: {path})" if lines else "nothing on stderr"
