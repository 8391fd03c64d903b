"""README's programs type-check as strictly as our own code, and its commands are the ones that CI runs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"

pytestmark = pytest.mark.skipif(not README.exists(), reason="no README yet")


def programs(text: str) -> list[tuple[int, str]]:
    """The Python blocks that import something, with the line they start on; the others are fragments."""
    blocks = re.finditer(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    imports = re.compile(r"^(import|from) ", re.MULTILINE)
    return [(text[: block.start()].count("\n") + 2, block[1]) for block in blocks if imports.search(block[1])]


def test_every_program_type_checks(tmp_path: Path) -> None:
    paths = []
    for line, program in programs(README.read_text(encoding="utf-8")):
        # As many empty lines as stand above it, so that mypy's line numbers are README's.
        path = tmp_path / f"readme_line_{line}.py"
        path.write_text("\n" * (line - 1) + program, encoding="utf-8")
        paths.append(str(path))
    if not paths:
        pytest.skip("README shows no whole program yet")
    environment = {**os.environ, "MYPYPATH": str(ROOT)}
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file", str(ROOT / "pyproject.toml"), *paths]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_ci_runs_the_two_commands_of_the_readme() -> None:
    shown = set(re.findall(r"\bmake (demo|test)\b", README.read_text(encoding="utf-8")))
    assert shown == {"demo", "test"}
    (loop,) = re.findall(r"^for target in (.*); do$", (ROOT / ".ci" / "run").read_text(encoding="utf-8"), re.MULTILINE)
    assert shown <= set(loop.split())


def test_a_program_is_told_from_a_fragment() -> None:
    text = "# x\n\n```python\nimport raywf\n```\n\n```python\nhandle.result()\n```\n"
    assert programs(text) == [(4, "import raywf\n")]
