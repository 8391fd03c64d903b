"""Formats of the file, forward only: migration N turns format N-1 into format N."""

from __future__ import annotations

import re
from importlib.resources import files
from importlib.resources.abc import Traversable

import apsw

_NAME = re.compile(r"^(\d{4})_\w+\.sql$")


def load(folder: Traversable | None = None) -> list[str]:
    """The migrations in order. ``load()[n - 1]`` leads to format n."""
    folder = folder or files(__package__) / "sql" / "migrations"
    found = {int(match[1]): item for item in folder.iterdir() if (match := _NAME.match(item.name))}
    if sorted(found) != list(range(1, len(found) + 1)):
        raise RuntimeError(f"migrations are not numbered 1 to {len(found)}: {sorted(found)}")
    return [found[number].read_text(encoding="utf-8") for number in sorted(found)]


def format_of(db: apsw.Connection) -> int:
    """The format of an open store."""
    return int(str(db.pragma("user_version")))


def migrate(db: apsw.Connection, migrations: list[str]) -> None:
    """Bring a store to the newest format. To be called inside a transaction: all steps happen, or none."""
    for number in range(format_of(db) + 1, len(migrations) + 1):
        db.execute(migrations[number - 1])
        db.pragma("user_version", number)
