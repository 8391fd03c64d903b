"""The pages say what is: links lead somewhere, names exist, tables agree with the code."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import raywf
import raywf.errors
from raywf.core import events
from raywf.core.state import ExecutionStatus, TaskStatus
from raywf.definition import values
from tests.docs.pages import PAGES, ROOT, anchors, blocks, links
from tests.docs.transitions import PAGE, TASK_EVENTS, filled, tables

COMMANDS = (
    "retry fork demo run ls show query stream update why history watch result results cancel pause resume resolve signal approve reject "
    "limits cache "
    "schedule graph validate up down doctor version chaos emit triggers replay export import archive "
    "deploy versions nodes drain keys"
).split()


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("found", PAGES, ids=lambda path: path.name)
def test_every_link_leads_somewhere(found: Path) -> None:
    for path, anchor in links(found):
        target = (found.parent / path).resolve() if path else found
        assert target.exists(), f"{found.name} links to {path}, which is not there"
        if anchor:
            assert anchor in anchors(target), f"{found.name} links to #{anchor} of {target.name}: no such heading"


def test_every_page_of_the_docs_is_reached_from_the_readme() -> None:
    reached = {path for path, _ in links(ROOT / "README.md")}
    assert {f"docs/{path.name}" for path in PAGES[1:]} <= reached


@pytest.mark.parametrize("found", PAGES, ids=lambda path: path.name)
def test_every_python_block_compiles(found: Path) -> None:
    for block in blocks(found):
        compile(block.code, block.where, "exec")


def test_the_error_reference_names_every_error() -> None:
    errors = [
        name for name, found in vars(raywf.errors).items() if inspect.isclass(found) and issubclass(found, Exception)
    ]
    rows = set(re.findall(r"^\| `(\w+)` \|", page("errors.md").partition("## Failures")[0], re.MULTILINE))
    assert rows == set(errors) - {"LeaseLost"}
    assert "`raywf.errors.LeaseLost`" in page("errors.md")


def test_the_command_reference_names_every_command() -> None:
    documented = set(re.findall(r"^\| `raywf ([\w-]+)", page("cli.md"), re.MULTILINE))
    assert documented == set(COMMANDS)


@pytest.mark.skipif(not (ROOT / "raywf" / "cli" / "main.py").exists(), reason="no command line yet")
def test_the_commands_are_those_of_the_program() -> None:
    program = "import sys; from raywf.cli.main import main; sys.argv = ['raywf', '--help']; main()"
    wide = {**os.environ, "COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=ROOT, env=wide, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert [name for name in COMMANDS if not re.search(rf"^\W*{name}\b", done.stdout, re.MULTILINE)] == []


def test_the_api_reference_names_every_public_name() -> None:
    text = page("api.md") + page("errors.md") + page("concepts.md")
    missing = [name for name in raywf.__all__ if not name.startswith("_") and not re.search(rf"\b{name}\b", text)]
    assert missing == []


def test_the_settings_are_documented() -> None:
    sources = [*(ROOT / "raywf").rglob("*.py"), *(ROOT / "actors").glob("*.py")]
    used = {name for path in sources for name in re.findall(r"\bRAYWF_[A-Z_]+\b", path.read_text(encoding="utf-8"))}
    text = page("deployment.md")
    assert [name for name in sorted(used) if name not in text] == []


def test_the_table_of_values_names_every_tag() -> None:
    text = page("values.md").lower()
    words = {"batch": "recordbatch", "chunked": "chunkedarray", "model": "pydantic model", "namedtuple": "named tuple"}
    words |= {"npscalar": "scalar", "ndarray": "numpy array", "path": "pathlib", "float": "nan"}
    assert [tag for tag in values._READERS if words.get(tag, tag) not in text] == []


def test_the_tables_of_transitions_are_what_the_brain_does() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert text == filled(text), "run `python -m tests.docs.transitions`, and look at what has changed"


def test_the_tables_show_every_event_and_every_status() -> None:
    kinds = {
        name for name, found in vars(events).items() if inspect.isclass(found) and found.__module__ == events.__name__
    }
    shown = set(re.findall(r"^\| `(\w+)`", "".join(tables().values()), re.MULTILINE))
    assert shown == kinds
    assert len(TASK_EVENTS) > len(kinds) / 2
    head = tables()["task"].splitlines()[0]
    assert all(f"| {status} " in head for status in TaskStatus)
    text = page("concepts.md")
    assert all(f"`{status}`" in text for status in (*TaskStatus, *ExecutionStatus))


def test_a_link_a_heading_and_a_block_are_found(tmp_path: Path) -> None:
    found = tmp_path / "page.md"
    found.write_text(
        "# A (b) c\n[x](y.md#z) [w](https://a.b)\n\n<!-- program: p.py -->\n```python\nprint(1)\n```\n\nprints\n\n```text\n1\n```\n",
        encoding="utf-8",
    )
    assert list(links(found)) == [("y.md", "z")]
    assert anchors(found) == {"a-b-c"}
    (block,) = blocks(found)
    assert (block.line, block.code, block.name, block.printed) == (6, "print(1)\n", "p.py", "1\n")
