"""Every import of the house points inwards, and the reader that says so really notices when one does not."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.rooms import HOUSE, read_house, room_of, violations

ROOT = Path(__file__).resolve().parents[2]


def test_every_arrow_points_inwards() -> None:
    found = violations(ROOT)
    assert not found, "\n" + "\n".join(found)


def test_the_reader_sees_actors_once_and_under_its_real_name() -> None:
    house = read_house(ROOT)
    assert house["raywf.actors"].shown_as == "actors/__init__.py"
    assert not [s.shown_as for s in house.values() if s.shown_as.startswith("raywf/actors")]


def test_every_room_is_in_the_table_that_people_read() -> None:
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = " ".join(line.split("|")[1] for line in page.splitlines() if line.startswith("|"))
    assert set(HOUSE) - {"raywf"} <= set(re.findall(r"\w+", rows))


def test_every_room_says_what_lives_there() -> None:
    """Its `__init__` names what lives in the room, what it may import and what is always true."""
    silent = []
    for source in read_house(ROOT).values():
        is_room = source.module.count(".") <= 1
        if is_room and not (source.tree.body and _docstring(source.path)):
            silent.append(source.shown_as)
    assert not silent, f"no docstring at the top of {', '.join(silent)}"


def _docstring(path: Path) -> str | None:
    import ast

    return ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))


def test_the_link_gives_actors_its_name() -> None:
    link = ROOT / "raywf" / "actors"
    if not link.is_symlink():
        pytest.skip("a checkout without symbolic links")
    assert os.readlink(link) == os.path.join("..", "actors")


def test_actors_cannot_be_imported_under_a_second_name() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import actors"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "import it as 'raywf.actors'" in done.stderr


# -- the reader itself: a small house with one thing wrong ---------------------------------------------------------------------------


def build(root: Path, files: dict[str, str]) -> list[str]:
    for name in ("raywf/__init__.py", "raywf/errors.py", "raywf/core/__init__.py", "actors/__init__.py", *files):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(files.get(name, ""), encoding="utf-8")
    return violations(root)


@pytest.mark.parametrize(
    ("file", "text", "expected"),
    [
        ("raywf/core/brain.py", "x = 1\nimport time", "raywf/core/brain.py:2: core → time points outwards"),
        ("raywf/core/brain.py", "import random", "core → random points outwards"),
        (
            "raywf/core/brain.py",
            "def f():\n    import asyncio",
            "raywf/core/brain.py:2: core → asyncio points outwards",
        ),
        ("raywf/core/brain.py", "import logging, json", "core → logging points outwards"),
        ("raywf/core/brain.py", "import os.path", "core → os points outwards"),
        ("raywf/core/brain.py", "import pydantic", "core → pydantic points outwards"),
        ("raywf/core/brain.py", "import ray", "Ray is imported in actors/, raywf/runtime/ray.py and raywf/compat/"),
        (
            "raywf/core/brain.py",
            "from raywf.journal import x",
            "core → journal points outwards (imports raywf.journal)",
        ),
        ("raywf/core/brain.py", "from ..runtime.loop import x", "core → runtime points outwards"),
        ("raywf/core/brain.py", "from .. import client", "core → the shop window"),
        ("raywf/core/brain.py", "from raywf import task", "core → the shop window"),
        ("raywf/core/brain.py", "import datetime\nnow = datetime.datetime.now()", ":2: core calls datetime.now"),
        ("raywf/core/brain.py", "from uuid import uuid4", "core calls uuid4"),
        ("raywf/core/brain.py", "open('x')", "core calls open()"),
        ("raywf/core/brain.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import ray", "core → ray"),
        ("raywf/core/deep/er/brain.py", "import threading", "raywf/core/deep/er/brain.py:1: core → threading"),
        ("raywf/aggregation/a.py", "import numpy", "aggregation → numpy is allowed inside a function only"),
        ("raywf/journal/a.py", "import raywf.client", "journal → client points outwards"),
        (
            "raywf/journal/a.py",
            "async def f():\n    from raywf.actors.workflow import W",
            "journal → actors points outwards",
        ),
        (
            "raywf/runtime/loop.py",
            "import importlib\nimportlib.import_module('ray')",
            "raywf/runtime/loop.py:2: runtime → ray",
        ),
        ("raywf/runtime/loop.py", "__import__('raywf.cli')", "runtime → cli points outwards"),
        ("raywf/providers/a.py", "import openai", "providers → openai points outwards"),
        (
            "raywf/client.py",
            "from raywf.journal.sqlite import Sqlite",
            "client → raywf.journal.sqlite reaches inside a store",
        ),
        ("raywf/client/a.py", "import apsw", "client → apsw points outwards"),
        ("raywf/cli/a.py", "import raywf.actors.workflow", "cli → actors points outwards"),
        ("raywf/testing/a.py", "def f():\n    import ray", "testing → ray points outwards"),
        ("raywf/attic/__init__.py", "", "raywf/attic/__init__.py:1: there is no room named 'attic'"),
        (
            "actors/workflow.py",
            "from raywf.client import connect",
            "actors/workflow.py:1: actors → client points outwards",
        ),
        ("actors/deep/w.py", "from raywf import testing", "actors/deep/w.py:1: actors → the shop window"),
        ("raywf/cli/b.py", "import actors", "the name is raywf.actors"),
        ("raywf/__init__.py", "from raywf.client import connect", "costs every `import raywf`"),
    ],
)
def test_a_planted_arrow_is_found(tmp_path: Path, file: str, text: str, expected: str) -> None:
    found = build(tmp_path, {"raywf/journal/sqlite.py": "", "raywf/journal/__init__.py": "", file: text})
    assert len(found) == 1, found
    assert expected in found[0]


@pytest.mark.parametrize(
    ("file", "text"),
    [
        (
            "raywf/core/brain.py",
            "from __future__ import annotations\nimport math\nfrom raywf.errors import E\nfrom . import ids",
        ),
        ("raywf/core/brain.py", "from datetime import datetime\nx = datetime.fromisoformat('2020-01-01')"),
        ("raywf/aggregation/a.py", "def f():\n    import numpy"),
        ("raywf/runtime/ray.py", "import ray"),
        ("actors/workflow.py", "import ray\nfrom raywf.runtime.ray import x\nfrom raywf.actors import y"),
        ("raywf/client.py", "from raywf.journal import open_store\nfrom raywf.actors import x"),
        ("raywf/cli/a.py", "from raywf import connect\nfrom raywf.client import y"),
        ("raywf/__init__.py", "def __getattr__(name):\n    from raywf.client import connect"),
        ("raywf/compat/a.py", "import ray"),
    ],
)
def test_an_arrow_that_points_inwards_is_left_alone(tmp_path: Path, file: str, text: str) -> None:
    assert build(tmp_path, {"raywf/runtime/__init__.py": "", "raywf/client.py": "", file: text}) == []


def test_modules_that_import_each_other_are_found_with_the_whole_circle(tmp_path: Path) -> None:
    found = build(
        tmp_path,
        {
            "raywf/core/a.py": "from raywf.core.b import x",
            "raywf/core/b.py": "import json\nfrom . import c",
            "raywf/core/c.py": "from raywf.core import a",
        },
    )
    assert len(found) == 1
    assert "raywf/core/a.py:1 imports raywf.core.b" in found[0]
    assert "raywf/core/b.py:2 imports raywf.core.c" in found[0]


def test_a_circle_broken_by_a_function_or_by_type_checking_is_none(tmp_path: Path) -> None:
    found = build(
        tmp_path,
        {
            "raywf/core/a.py": "from raywf.core import b",
            "raywf/core/b.py": "import typing\nif typing.TYPE_CHECKING:\n    from raywf.core import a\ndef f():\n    import raywf.core.a",
        },
    )
    assert found == []


def test_the_message_says_what_would_be_allowed(tmp_path: Path) -> None:
    (found,) = build(tmp_path, {"raywf/definition/graph.py": "import raywf.runtime"})
    assert found == (
        "raywf/definition/graph.py:1: definition → runtime points outwards (imports raywf.runtime); definition may import aggregation, "
        "core, errors"
    )


def test_rooms_have_names() -> None:
    assert [room_of(m) for m in ("raywf", "raywf.errors", "raywf.core.ids", "raywf.__main__")] == [
        "raywf",
        "errors",
        "core",
        "cli",
    ]
