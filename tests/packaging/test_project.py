"""The files that say how raywf is installed agree with each other."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pinned() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    assert all(len(pair) == 2 and re.fullmatch(r"[\w.+!-]+", pair[1]) for pair in pairs), (
        "only names and versions belong there"
    )
    return {normal(name): version for name, version in pairs}


def test_every_requirement_has_a_version_that_was_tested() -> None:
    requirements = [
        *PROJECT["dependencies"],
        *[r for extra in PROJECT["optional-dependencies"].values() for r in extra],
    ]
    names = {normal(re.split(r"[\[<>=~! ;]", r)[0]) for r in requirements} - {"raywf"}
    assert names <= set(pinned())


def test_the_tested_versions_are_allowed_ones() -> None:
    from packaging.requirements import Requirement

    versions = pinned()
    for text in [*PROJECT["dependencies"], *[r for extra in PROJECT["optional-dependencies"].values() for r in extra]]:
        requirement = Requirement(text)
        if requirement.name != "raywf":
            assert requirement.specifier.contains(versions[normal(requirement.name)]), text


def test_every_make_target_is_explained() -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    explained = set(re.findall(r"@echo 'make ([\w-]+)", text)) | set(re.findall(r"\(make ([\w-]+) ", text))
    targets = set(re.findall(r"^([\w-]+):", text, re.MULTILINE)) - {"help", "stale"}
    assert targets == explained


@pytest.mark.parametrize("script", ["run", "venv", "pythons"])
def test_the_scripts_can_be_read_by_bash(script: str) -> None:
    path = ROOT / ".ci" / script
    assert path.stat().st_mode & 0o111
    subprocess.run(["bash", "-n", str(path)], check=True)
