"""`import raywf` starts nothing and brings in nothing heavy: it happens in every script, every worker and every `--help`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

HEAVY = (
    "ray pyarrow numpy pydantic httpx aiohttp apsw opentelemetry typer rich click yaml jsonschema tenacity cloudpickle asyncio "
    "raywf.actors raywf.runtime raywf.journal raywf.cli"
).split()


def modules_after(statement: str) -> set[str]:
    code = f"{statement}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_import_raywf_brings_in_nothing_heavy() -> None:
    brought = (modules_after("import raywf") - modules_after("pass")) & set(HEAVY)
    assert not brought


def test_raywf_can_be_listed_without_bringing_in_ray() -> None:
    """Completion in an editor or a notebook calls dir()."""
    assert "ray" not in modules_after("import raywf; dir(raywf)")
