"""What the pages contain: blocks of code, programs that must run, links."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
_RAY = re.compile(r"raywf\.connect|^import ray$", re.MULTILINE)
WITHOUT_RAY = sorted(
    path for path in (ROOT / "examples" / "gallery").glob("*.py") if not _RAY.search(path.read_text(encoding="utf-8"))
)
"""The programs of the gallery that need no Ray."""

_BLOCK = re.compile(r"^(?:<!-- program: (?P<name>\S+) -->\n)?```python\n(?P<code>.*?)^```", re.MULTILINE | re.DOTALL)
_PRINTED = re.compile(r"\A[^`]{0,120}```text\n(.*?)^```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
_IMPORT = re.compile(r"^(import|from) ", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A Python block. ``name`` is that of a whole program; ``printed`` what the page says it prints."""

    page: Path
    line: int
    code: str
    name: str | None
    printed: str | None

    @property
    def where(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(page: Path) -> Iterator[Block]:
    text = page.read_text(encoding="utf-8")
    for found in _BLOCK.finditer(text):
        name = found["name"]
        if name is None and page.name == "README.md" and _IMPORT.search(found["code"]):
            name = "review.py"
        printed = _PRINTED.match(text[found.end() :])
        line = text[: found.start("code")].count("\n") + 1
        yield Block(page, line, found["code"], name, printed[1] if printed else None)


def programs() -> list[Block]:
    return [block for page in PAGES for block in blocks(page) if block.name]


def links(page: Path) -> Iterator[tuple[str, str]]:
    """(path, anchor) of the links of a page that stay in the repository."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target in _LINK.findall(text):
        if not re.match(r"[a-z]+:", target):
            path, _, anchor = target.partition("#")
            yield path, anchor


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def printed_by(example: Path) -> str | None:
    """What the docstring of an example says it prints."""
    found = re.search(r"prints::\n\n((?:    .*\n)+)", example.read_text(encoding="utf-8"))
    return "".join(line[4:] + "\n" for line in found[1].splitlines()) if found else None
