"""The statements of ``sql/queries.sql`` by name, and the same statement for many rows at once."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from itertools import chain
from typing import Any

import apsw

_NAMED = re.compile(r"^-- name: (\w+)\n(.*?)(?=^-- name: |\Z)", re.MULTILINE | re.DOTALL)
_GROUP = re.compile(r"/\*rows\*/ (\((?:\?, )*\?\))")
_MOST = 512
"""Rows in one statement. More are no faster, and fewer let go of the GIL more often: beside a busy thread each step of
a statement may wait for its turn, so a thousand rows must not be a thousand steps."""

_LONGEST = 16_000
"""Characters of a statement: apsw prepares longer ones anew each time."""


@cache
def _all() -> dict[str, str]:
    text = (files(__package__) / "sql" / "queries.sql").read_text(encoding="utf-8")
    return {name: body.strip().rstrip(";") for name, body in _NAMED.findall(text)}


def query(name: str) -> str:
    """The statement of that name."""
    return _all()[name]


@cache
def _for_rows(name: str, rows: int) -> str:
    def repeat(found: re.Match[str]) -> str:
        return ",".join([found[1].replace(" ", "")] * rows)

    return _GROUP.sub(repeat, query(name))


@cache
def _most(name: str) -> int:
    rows = _MOST
    while len(_for_rows(name, rows)) > _LONGEST:
        rows >>= 1
    return rows


def run_many(db: apsw.Connection, name: str, rows: Sequence[Sequence[Any]]) -> None:
    """Run a ``/*rows*/`` statement over all rows, in blocks whose sizes are powers of two: few shapes, few steps."""
    start, left, size = 0, len(rows), _most(name)
    while left:
        while size > left:
            size >>= 1
        db.execute(_for_rows(name, size), tuple(chain.from_iterable(rows[start : start + size])))
        start += size
        left -= size
