"""The yardstick on PostgreSQL: 7 events per execution and nothing else, in commits of 250 executions, by COPY or by executemany.

No actor and no dependence between the events: what one connection writes at all. `postgres_limit.py copy|executemany`.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import time
from typing import Any

from benchmarks.figures import percentile
from benchmarks.on_postgres import VARIABLE
from benchmarks.sample import emit

PER_COMMIT = 250
TABLE = (
    "CREATE TABLE event (execution text, seq int, kind text, at float8, payload bytea, PRIMARY KEY (execution, seq))"
)


def _rows(first: int, last: int) -> list[tuple[str, int, str, float, bytes]]:
    return [(f"w{i:09d}", seq, "step_completed", time.time(), b"1") for i in range(first, last) for seq in range(7)]


async def _singles(db: Any, times: int = 200) -> float:
    """Half of the commits of one row take no longer than this."""
    taken = []
    for i in range(times):
        began = time.perf_counter()
        await db.execute("INSERT INTO event VALUES ($1, 0, 'probe', 0, '1')", f"single-{i}")
        taken.append((time.perf_counter() - began) * 1000)
    return percentile(taken, 0.5)


def server_commit_p50_ms(url: str) -> float:
    async def single() -> float:
        db = await _bare(url)
        try:
            return await _singles(db)
        finally:
            await db.close()

    return asyncio.run(single())


async def _bare(url: str) -> Any:
    import asyncpg

    db = await asyncpg.connect(url)
    await db.execute(f"CREATE SCHEMA IF NOT EXISTS bare; SET search_path TO bare; DROP TABLE IF EXISTS event; {TABLE}")
    return db


async def measure(how: str, n: int) -> None:
    db = await _bare(os.environ[VARIABLE])
    start = time.perf_counter()
    for first in range(0, n, PER_COMMIT):
        rows = _rows(first, min(first + PER_COMMIT, n))
        async with db.transaction():
            if how == "copy":
                await db.copy_records_to_table("event", records=rows)
            else:
                await db.executemany("INSERT INTO event VALUES ($1, $2, $3, $4, $5)", rows)
    taken_s = time.perf_counter() - start
    commit_ms = await _singles(db)
    if await db.fetchval("SELECT count(*) FROM event") != 7 * n + 200:
        raise AssertionError("the yardstick itself lost rows")
    version = await db.fetchval("SHOW server_version")
    synchronous = await db.fetchval("SHOW synchronous_commit")
    await db.close()
    emit(
        {"per_s": n / taken_s, "commit_p50_ms": commit_ms},
        n=n, server=version, synchronous_commit=synchronous,
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("how", choices=("copy", "executemany"))
    parser.add_argument("--n", type=int, default=5_000)
    given = parser.parse_args()
    asyncio.run(measure(given.how, given.n))


if __name__ == "__main__":
    main()
