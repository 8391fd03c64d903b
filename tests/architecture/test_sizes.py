"""Look after the tail: the longest file and the longest function tell more about a house than the typical ones."""

from __future__ import annotations

import ast
from pathlib import Path

from tests.architecture.rooms import read_house

ROOT = Path(__file__).resolve().parents[2]

FILE_LINES = 600
FUNCTION_LINES = 70

# Longer on purpose. Each with its reason; shortening a list is a pleasure.
LONG_FILES: dict[str, str] = {}
LONG_FUNCTIONS: dict[str, str] = {}


def long_files(root: Path, limit: int = FILE_LINES) -> dict[str, int]:
    lengths = {s.shown_as: len(s.path.read_text(encoding="utf-8").splitlines()) for s in read_house(root).values()}
    return {name: lines for name, lines in lengths.items() if lines > limit}


def long_functions(root: Path, limit: int = FUNCTION_LINES) -> dict[str, int]:
    """Functions by `file:name` with their lines, less the docstring: explaining oneself at length is no fault."""
    found = {}
    for source in read_house(root).values():
        for node in ast.walk(source.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1 - _docstring_lines(node)
                if lines > limit:
                    found[f"{source.shown_as}:{node.name}"] = lines
    return found


def _docstring_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    if ast.get_docstring(node, clean=False) is None:
        return 0
    first = node.body[0]
    return (first.end_lineno or first.lineno) - first.lineno + 1


def test_no_file_is_longer_than_600_lines() -> None:
    found = long_files(ROOT)
    assert set(found) == set(LONG_FILES), f"too long: {found}; on the list: {sorted(LONG_FILES)}"


def test_no_function_is_longer_than_70_lines() -> None:
    found = long_functions(ROOT)
    assert set(found) == set(LONG_FUNCTIONS), f"too long: {found}; on the list: {sorted(LONG_FUNCTIONS)}"


def test_a_long_file_and_a_long_function_are_found(tmp_path: Path) -> None:
    (tmp_path / "actors").mkdir()
    (tmp_path / "raywf").mkdir()
    body = "\n".join(
        ["def short():", "    pass", "def long():", '    """Three', "    lines.", '    """', *["    pass"] * 70]
    )
    (tmp_path / "raywf" / "a.py").write_text(body, encoding="utf-8")
    assert long_files(tmp_path, limit=75) == {"raywf/a.py": 76}
    assert long_functions(tmp_path) == {"raywf/a.py:long": 71}
