"""The programs of examples/gallery that need no Ray print what they say they print."""

from __future__ import annotations

import contextlib
import io
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, WITHOUT_RAY, printed_by

_HERE = ROOT / "examples" / "gallery"


@pytest.mark.parametrize("path", WITHOUT_RAY, ids=lambda path: path.stem)
def test_a_program_of_the_gallery_prints_what_it_says(path: Path) -> None:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        runpy.run_path(str(path), run_name="__main__")
    assert printed.getvalue() == printed_by(path)


@pytest.mark.long
@pytest.mark.cluster
@pytest.mark.parametrize("name", ["collecting", "conversation", "deploy", "from_ray", "operate"])
def test_a_program_of_the_gallery_with_an_engine_prints_what_it_says(name: str, tmp_path: Path) -> None:
    program = _HERE / f"{name}.py"
    done = subprocess.run([sys.executable, str(program)], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout == printed_by(program)
