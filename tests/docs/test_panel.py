"""The panel example prints what its page says, and what the page says of the figures is so."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.docs.pages import ROOT

FOLDER = ROOT / "examples" / "panel"


def test_the_panel_prints_what_its_page_says() -> None:
    done = subprocess.run(
        [sys.executable, str(FOLDER / "panel.py")], capture_output=True, text=True, cwd=ROOT, check=True
    )
    shown = re.search(r"```text\n(.*?)```", (FOLDER / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert shown is not None
    assert done.stdout == shown[1]
    ace, plain, trusted, early = (float(figure) for figure in re.findall(r"([\d.]+)%(?= |\n)", done.stdout)[:4])
    assert plain < ace - 10, "copies outvote the best"
    assert abs(trusted - ace) < 1.5, "trust undoes it"
    assert early == trusted, "whoever is not asked could not have changed the answer"


def test_the_identifiers_print_what_their_page_says() -> None:
    pytest.importorskip("lingua", reason="needs the extra demo")
    done = subprocess.run(
        [sys.executable, str(FOLDER / "languages.py")], capture_output=True, text=True, cwd=ROOT, check=True
    )
    page = (FOLDER / "README.md").read_text(encoding="utf-8").partition("## Real identifiers")[2]
    shown = re.search(r"```text\n(.*?)```", page, re.DOTALL)
    assert shown is not None
    assert done.stdout == shown[1]
    figures = [float(figure) for figure in re.findall(r"([\d.]+)%", done.stdout)]
    assert min(figures[4:8]) >= max(figures[:4]), "the panel is not below its best member"
    assert figures[8] < 20, "the slow one is hardly ever asked"
