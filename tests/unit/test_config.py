"""How the command line names itself in the commands it suggests."""

from __future__ import annotations

from pathlib import Path

import pytest

from raywf.config import command_name


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    found = tmp_path / ".venv" / "bin" / "raywf"
    found.parent.mkdir(parents=True)
    found.write_text("#!/bin/sh\n")
    found.chmod(0o755)
    return found


def test_a_command_that_is_on_the_path_is_called_by_its_name(script: Path) -> None:
    assert command_name(str(script), str(script.parent)) == "raywf"


def test_a_command_that_is_not_on_the_path_is_called_by_where_it_is(
    script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert command_name(str(script), "") == ".venv/bin/raywf"
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert command_name(str(script), "") == str(script)


def test_another_raywf_on_the_path_is_not_this_one(script: Path, tmp_path: Path) -> None:
    other = tmp_path / "usr" / "raywf"
    other.parent.mkdir()
    other.write_text("#!/bin/sh\n")
    other.chmod(0o755)
    assert command_name(str(script), str(other.parent)) == ".venv/bin/raywf"


def test_a_program_that_is_not_the_command_line_says_raywf() -> None:
    assert command_name("/usr/lib/python3/site-packages/pytest/__main__.py", "") == "raywf"
