"""A log on SQLite and the least actor that commits to it in groups; a module, so that Ray's workers import it."""

from __future__ import annotations

import asyncio
import concurrent.futures
import json
import time

import apsw

from benchmarks.figures import percentile

Row = tuple[str, int, str, float, bytes]


def open_log(path: str) -> apsw.Connection:
    connection = apsw.Connection(path)
    connection.set_busy_timeout(30_000)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute(
        "CREATE TABLE IF NOT EXISTS event (execution TEXT, seq INTEGER, kind TEXT, at REAL, payload BLOB,"
        " PRIMARY KEY (execution, seq)) WITHOUT ROWID"
    )
    return connection


def commit_p50_ms(path: str, times: int = 300) -> float:
    """One row, one commit: what one dependent step costs on this disk."""
    log, taken = open_log(path), []
    for i in range(times):
        start = time.perf_counter()
        log.execute("INSERT INTO event VALUES (?, ?, ?, ?, ?)", ("single", i, "probe", time.time(), b"1"))
        taken.append((time.perf_counter() - start) * 1000)
    log.close()
    return percentile(taken, 0.5)


class GroupCommitter:
    """One writer; the commit in flight is the window, and whatever came meanwhile goes into the next."""

    def __init__(self, path: str) -> None:
        self.log = open_log(path)
        self.rows: list[Row] = []
        self.waiters: list[asyncio.Future[None]] = []
        self.thread = concurrent.futures.ThreadPoolExecutor(1)
        self.flushing: asyncio.Task[None] | None = None
        self.commits = 0

    async def append(self, row: Row) -> None:
        self.rows.append(row)
        on_disk: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.waiters.append(on_disk)
        if self.flushing is None:
            self.flushing = asyncio.create_task(self.flush())
        await on_disk

    async def flush(self) -> None:
        while self.rows:
            rows, waiters, self.rows, self.waiters = self.rows, self.waiters, [], []
            await asyncio.get_running_loop().run_in_executor(self.thread, self.write, rows)
            for on_disk in waiters:
                on_disk.set_result(None)
        self.flushing = None

    def write(self, rows: list[Row]) -> None:
        self.log.execute("BEGIN IMMEDIATE")
        self.log.executemany("INSERT INTO event VALUES (?, ?, ?, ?, ?)", rows)
        self.log.execute("COMMIT")
        self.commits += 1

    async def one(self, i: int) -> int:
        execution, x = f"w{i:09d}", i
        await self.append((execution, 0, "started", time.time(), json.dumps(x).encode()))
        for step in range(5):
            x += 1
            await self.append((execution, step + 1, "step_completed", time.time(), json.dumps(x).encode()))
        await self.append((execution, 6, "completed", time.time(), json.dumps(x).encode()))
        return x

    async def many(self, numbers: list[int]) -> list[int]:
        return list(await asyncio.gather(*[self.one(i) for i in numbers]))

    async def counted(self) -> int:
        return self.commits
