"""What users write type-checks under ``mypy --strict``, and what is wrong does not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("mypy", reason="mypy comes with the extra dev")

ROOT = Path(__file__).resolve().parents[2]


def test_programs_build_their_graphs() -> None:
    from tests.typing.programs import answer, several

    assert [task.id for task in answer.definition.tasks] == [
        "search",
        "summarize",
        "write",
        "when",
        "approval",
        "publish",
    ]
    assert len(several.plan.nodes) == 9


def test_programs_type_check() -> None:
    program = Path(__file__).with_name("programs.py")
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file", str(ROOT / "pyproject.toml"), str(program)]
    environment = {**os.environ, "MYPYPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
