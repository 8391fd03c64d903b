"""What a user waits for: `import raywf`, and the first result of `raywf run` in an empty directory."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.sample import emit

HELLO = """
from raywf import task, workflow

@task
async def greet(name: str) -> str:
    return f"hello {name}"

@workflow(version="1")
def hello(name: str):
    return greet(name)
"""


def seconds_of(code: str) -> tuple[float, str]:
    """One fresh interpreter: how long it lived, and what it printed."""
    start = time.perf_counter()
    ended = subprocess.run([sys.executable, "-P", "-c", code], check=False, capture_output=True, text=True)
    taken_s = time.perf_counter() - start
    if ended.returncode:
        raise SystemExit(f"{ended.stderr.strip().splitlines()[-1]}, at: {code}")
    return taken_s, ended.stdout.strip()


def imports(n: int) -> None:
    """Best of n, less the best bare interpreter; they take turns, after one of each that fills the caches.

    Names are loaded when they are first used, so a program's usual ones are timed as well.
    """
    said = "; import sys; print('ray' in sys.modules, len(sys.modules))"
    codes = {
        "bare": "pass",
        "raywf": "import raywf" + said,
        "names": "from raywf import connect, task, workflow" + said,
    }
    for code in codes.values():
        seconds_of(code)
    taken_s: dict[str, list[float]] = {name: [] for name in codes}
    ray_imported, modules = {}, {}
    for _ in range(n):
        for name, code in codes.items():
            seconds, words = seconds_of(code)
            taken_s[name].append(seconds)
            if words:
                ray_imported[name], modules[name] = words.split()
    best = {name: min(seconds) for name, seconds in taken_s.items()}
    emit(
        {
            "import_s": best["raywf"] - best["bare"],
            "names_s": best["names"] - best["bare"],
            "ray_imported": float(ray_imported["raywf"] == "True"),
        },
        modules=modules, ray_imported=ray_imported, taken_s=taken_s,
    )  # fmt: skip


def command() -> list[str]:
    installed = Path(sys.executable).with_name("raywf")
    return [str(installed)] if installed.exists() else [sys.executable, "-m", "raywf"]


def cold() -> None:
    """From the command to its result on stdout, and to its end, where no Ray and no store are."""
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as directory:
        (Path(directory) / "hello.py").write_text(HELLO)
        line = [*command(), "run", "hello.py:hello", "--input", '"you"']
        start = time.perf_counter()
        with open("cold.err", "wb") as errors:
            running = subprocess.Popen(line, cwd=directory, env=dict(os.environ), stdout=subprocess.PIPE, stderr=errors)
            assert running.stdout is not None
            said = b""
            while b"hello you" not in said and (chunk := running.stdout.readline()):
                said += chunk
            result_s = time.perf_counter() - start
            code = running.wait(timeout=120)
            ended_s = time.perf_counter() - start
    if b"hello you" not in said or code:
        raise SystemExit(f"{' '.join(line)}: exit {code}, said {said[-300:]!r}, {Path('cold.err').read_text()[-600:]}")
    emit({"result_s": result_s, "ended_s": ended_s})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("row", choices=("import", "cold"))
    parser.add_argument("--n", type=int, default=5)
    given = parser.parse_args()
    if given.row == "import":
        imports(given.n)
    else:
        cold()


if __name__ == "__main__":
    main()
