"""Tickets from the package or from a user's file: .txt (one a line), .csv (column text) or .jsonl (objects with text).

The truth is optional in every row: `language`, `topic` and `urgency` are compared with the answer where they are given.
A file that cannot be used is refused before anything runs, with the line and with what to do.
"""

import csv
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from raywf.demo.identifiers import SAME
from raywf.demo.rules import TOPICS, URGENCIES
from raywf.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class Ticket:
    """One text, and its truth where somebody knows it; `kind` says what makes a ticket of the demo hard."""

    id: str
    text: str
    language: str | None = None
    topic: str | None = None
    urgency: str | None = None
    kind: str | None = None


def demo_tickets() -> list[Ticket]:
    """The tickets that come with the package, all with their truth."""
    content = files("raywf.demo").joinpath("tickets.jsonl").read_text(encoding="utf-8")
    return _tickets("tickets.jsonl", _from_jsonl("tickets.jsonl", content))


def read_tickets(path: str | Path) -> list[Ticket]:
    """The tickets of a .txt, .csv or .jsonl file. Raises `InvalidInput`, naming file and line."""
    path = Path(path)
    readers = {".txt": _from_txt, ".csv": _from_csv, ".jsonl": _from_jsonl}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise InvalidInput(
            f"{path}: tickets are read from .txt, .csv and .jsonl files, not from {path.suffix or 'a file without ending'!r}"
        )
    return _tickets(str(path), reader(str(path), _content(path)))


def _content(path: Path) -> str:
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise InvalidInput(f"there is no file {path}; give the path of a .txt, .csv or .jsonl file") from None
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror or error}") from None
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise InvalidInput(f"{path}, line {line}: this is not UTF-8; save the file as UTF-8 and try again") from None


def _tickets(name: str, rows: Iterator[tuple[int, Mapping[str, Any]]]) -> list[Ticket]:
    tickets = [_ticket(f"{name}, line {line}", line, row) for line, row in rows]
    if not tickets:
        raise InvalidInput(f"{name}: there are no tickets in it; give at least one line with a text")
    return tickets


def _from_txt(name: str, content: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for line, text in enumerate(content.split("\n"), start=1):
        if text.strip():
            yield line, {"text": text.strip()}


def _from_csv(name: str, content: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    reader = csv.DictReader(io.StringIO(content, newline=""), strict=True)
    try:
        columns = reader.fieldnames or []
        if "text" not in columns:
            raise InvalidInput(
                f"{name}, line 1: a column named text is needed, but the columns are {', '.join(columns) or 'missing'}; "
                "rename one, or save as .txt with a ticket per line"
            )
        for row in reader:
            yield reader.line_num, row
    except csv.Error as error:
        raise InvalidInput(f"{name}, line {reader.reader.line_num}: this is not CSV: {error}") from None


def _from_jsonl(name: str, content: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for line, text in enumerate(content.split("\n"), start=1):
        if not text.strip():
            continue
        try:
            row = json.loads(text)
        except json.JSONDecodeError as error:
            raise InvalidInput(f"{name}, line {line}: this is not JSON: {error.msg} at column {error.colno}") from None
        if not isinstance(row, dict):
            raise InvalidInput(
                f'{name}, line {line}: an object like {{"text": "..."}} is needed, not {text.strip():.60}'
            )
        yield line, row


def _ticket(place: str, line: int, row: Mapping[str, Any]) -> Ticket:
    text = row.get("text")
    if not isinstance(text, str) or not text.strip():
        raise InvalidInput(f"{place}: the text is {text!r}, but a ticket needs one; write it or delete the line")
    return Ticket(
        id=str(row.get("id") or f"line-{line}"),
        text=text.strip(),
        language=_language(place, row.get("language")),
        topic=_label(place, "topic", row.get("topic"), TOPICS),
        urgency=_label(place, "urgency", row.get("urgency"), URGENCIES),
        kind=str(row["kind"]) if row.get("kind") else None,
    )


def _language(place: str, given: Any) -> str | None:
    if given is None or given == "":
        return None
    code = str(given).strip().lower()
    code = SAME.get(code, code)
    if len(code) != 2 or not code.isalpha():
        raise InvalidInput(
            f"{place}: the language {given!r} is not a two-letter ISO 639-1 code such as 'da'; or leave it out"
        )
    return code


def _label(place: str, name: str, given: Any, known: tuple[str, ...]) -> str | None:
    if given is None or given == "":
        return None
    label = str(given).strip().lower()
    if label not in known:
        raise InvalidInput(f"{place}: the {name} {given!r} is none of {', '.join(known)}; change it or leave it out")
    return label
