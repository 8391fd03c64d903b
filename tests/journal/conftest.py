"""Stores on disk, and what the tests here do to them."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from raywf.journal import open_inbox, open_journal, open_reader

NOBODY = 65534


@pytest.fixture(scope="session")
def postgres() -> Iterator[Any]:
    """One server for the session: ``url``, and ``restart`` where it is ours."""
    pytest.importorskip("asyncpg")
    from tests.journal.postgres_server import running

    with running() as server:
        yield server


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that any user can reach; ``tmp_path`` is for its owner only."""
    folder = Path(tempfile.mkdtemp(prefix="raywf-journal-", dir="/tmp"))
    folder.chmod(0o777)
    yield folder
    folder.chmod(0o777)
    shutil.rmtree(folder)


@pytest_asyncio.fixture
async def opening() -> AsyncIterator[Callable[..., Any]]:
    """``opening("journal" | "inbox" | "reader", path, …)``; closed when the test ends."""
    doors = {"journal": open_journal, "inbox": open_inbox, "reader": open_reader}
    opened: list[Any] = []

    def opening(door: str, path: Path, **options: Any) -> Any:
        opened.append(doors[door](f"sqlite:///{path}", **options))  # type: ignore[operator]
        return opened[-1]

    yield opening
    for store in reversed(opened):
        await store.close()


@contextmanager
def as_nobody() -> Iterator[None]:
    """Run as a user without rights where we are root, for whom rights mean nothing."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def snapshot(folder: Path) -> dict[str, tuple[int, float, bytes]]:
    """Everything in a folder: inode, time of change, content. Only for folders without an open store."""
    found = {}
    for path in sorted(folder.rglob("*")):
        about = path.stat()
        if stat.S_ISREG(about.st_mode):
            found[str(path.relative_to(folder))] = (about.st_ino, about.st_mtime, path.read_bytes())
    return found
