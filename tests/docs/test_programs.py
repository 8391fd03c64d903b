"""The programs of the pages and the examples are programs: they type-check, run, and print what is said."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.pages import EXAMPLES, ROOT, Block, printed_by, programs

PATIENCE_S = 150

PROGRAMS = {block.name or "": block for block in programs()}
CONNECTING = [
    path
    for path in sorted((ROOT / "examples" / "gallery").glob("*.py"))
    if "connect" in path.read_text(encoding="utf-8")
]
"""Programs of the gallery that need a Ray; the others run in test_gallery.py."""
FIRST = "review.py"
TESTS = [name for name in PROGRAMS if name.startswith("test_")]
QUIET = {"greet.py": "Hello, world.\n", "refund.py": "paid 120 for order 17\n"}
"""What programs print whose page says it in a sentence."""


@pytest.fixture
def place() -> Iterator[Path]:
    """An empty directory with a short path, as Ray's sockets want it."""
    with tempfile.TemporaryDirectory(prefix="rwd-", dir="/tmp", ignore_cleanup_errors=True) as found:
        yield Path(found)


def environment(place: Path, **more: str) -> dict[str, str]:
    kept = {name: text for name, text in os.environ.items() if not name.startswith(("RAYWF_", "PYTEST_"))}
    return {**kept, "RAY_TMPDIR": str(place), "PYTHONPATH": str(ROOT), **more}


def start(program: Path, place: Path, **more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(program)],
        cwd=place,
        env=environment(place, **more),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def output(program: Path, place: Path, **more: str) -> str:
    """What a program prints. It has ended well, or the test fails with what it said."""
    running = start(program, place, **more)
    try:
        printed, said = running.communicate(timeout=PATIENCE_S)
    except subprocess.TimeoutExpired:
        os.killpg(running.pid, signal.SIGKILL)
        printed, said = running.communicate()
        pytest.fail(f"{program.name} did not end within {PATIENCE_S} s:\n{printed}\n{said}")
    assert running.returncode == 0, f"{program.name} ended with {running.returncode}:\n{printed}\n{said}"
    # Many projects share one small Ray here, and the raylet says on everybody's terminal that it started many workers.
    return "".join(line for line in printed.splitlines(keepends=True) if "(raylet)" not in line)


def saved(block: Block, place: Path) -> Path:
    path = place / (block.name or "program.py")
    path.write_text(block.code, encoding="utf-8")
    return path


@pytest.mark.timeout(500)
def test_every_program_and_example_type_checks(tmp_path: Path) -> None:
    paths = [str(saved(block, tmp_path)) for block in programs()] + [str(path) for path in EXAMPLES]
    # Ray's own decorator has no types; that ours have is checked in tests/typing.
    options = ["--strict", "--allow-untyped-decorators", "--config-file", str(ROOT / "pyproject.toml")]
    command = [sys.executable, "-m", "mypy", *options, *paths]
    checked = {**os.environ, "MYPYPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=checked, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_examples_are_small_and_say_what_they_print() -> None:
    for path in EXAMPLES:
        assert len(path.read_text(encoding="utf-8").splitlines()) < 60, path.name
        assert printed_by(path), f"{path.name} does not say what it prints"


def test_programs_have_names_of_their_own() -> None:
    assert len(PROGRAMS) == len(programs())
    assert FIRST in PROGRAMS


@pytest.mark.parametrize("name", TESTS)
def test_a_test_shown_in_the_docs_passes(name: str) -> None:
    block = PROGRAMS[name]
    names: dict[str, object] = {"__name__": name.removesuffix(".py")}
    exec(compile(block.code, block.where, "exec"), names)
    tests = [found for called, found in names.items() if called.startswith("test_")]
    assert tests, f"{name} shows no test"
    for test in tests:
        assert callable(test)
        test()


@pytest.mark.cluster
@pytest.mark.timeout(500)
def test_the_program_of_the_readme_prints_what_the_readme_says(place: Path) -> None:
    block = PROGRAMS[FIRST]
    assert output(saved(block, place), place) == block.printed


@pytest.mark.cluster
@pytest.mark.timeout(500)
@pytest.mark.parametrize("name", [name for name in PROGRAMS if name not in (FIRST, *TESTS)])
def test_a_program_of_the_docs_prints_what_its_page_says(name: str, place: Path, shared_ray: str) -> None:
    block = PROGRAMS[name]
    printed = output(saved(block, place), place, RAY_ADDRESS=shared_ray)
    assert printed == (block.printed or QUIET[name])


@pytest.mark.cluster
@pytest.mark.timeout(500)
@pytest.mark.parametrize(
    "path",
    [
        *(path for path in EXAMPLES if path.stem != "crash"),
        *(pytest.param(path, marks=pytest.mark.long) for path in CONNECTING),
    ],
    ids=lambda path: path.stem,
)
def test_an_example_prints_what_it_says(path: Path, place: Path, shared_ray: str) -> None:
    assert output(path, place, RAY_ADDRESS=shared_ray) == printed_by(path)


@pytest.mark.cluster
@pytest.mark.kill
@pytest.mark.timeout(500)
def test_the_crash_of_the_readme(place: Path) -> None:
    example = ROOT / "examples" / "crash.py"
    ledger = place / "ledger.txt"
    first = start(example, place)
    wait_for(ledger, "step 2")
    first.kill()
    first.communicate()
    assert output(example, place) == printed_by(example)
    lines = ledger.read_text(encoding="utf-8").splitlines()
    assert lines.count("step 1, attempt 1") == 1
    assert not [line for line in lines if line.startswith("step 1") and line != "step 1, attempt 1"]
    assert {line.partition(",")[0] for line in lines} == {"step 1", "step 2", "step 3"}


def wait_for(path: Path, text: str) -> None:
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        if path.exists() and text in path.read_text(encoding="utf-8"):
            return
        time.sleep(0.1)
    pytest.fail(f"{path.name} never said {text!r}")
