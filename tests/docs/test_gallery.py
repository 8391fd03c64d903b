"""The programs of examples/gallery that need no Ray print what they say they print."""

from __future__ import annotations

import contextlib
import io
import runpy
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, printed_by

_HERE = ROOT / "examples" / "gallery"
GALLERY = sorted(path for path in _HERE.glob("*.py") if "connect" not in path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", GALLERY, ids=lambda path: path.stem)
def test_a_program_of_the_gallery_prints_what_it_says(path: Path) -> None:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        runpy.run_path(str(path), run_name="__main__")
    assert printed.getvalue() == printed_by(path)
