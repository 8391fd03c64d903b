"""N durable workflows of 5 steps on DBOS: `dbos_chain.py MODE JOURNAL N`.

MODE: `sequential` (one after another), `threads` (all started, then awaited) or `async` (the same with coroutines).
JOURNAL: on SQLite `default` (what DBOS sets up: a rollback journal) or `wal`, synchronous=FULL in both; or `postgres`, the server in
RAYWF_BENCH_POSTGRES.
"""

import asyncio
import importlib.metadata
import json
import os
import sqlite3
import sys
import time

from dbos import DBOS, DBOSConfig

mode, journal, n = sys.argv[1], sys.argv[2], int(sys.argv[3])

if journal == "wal":  # a property of the file, so that every later connection has it
    with sqlite3.connect("dbos.db") as file:
        file.execute("PRAGMA journal_mode=WAL")
    file.close()

store = os.environ["RAYWF_BENCH_POSTGRES"] if journal == "postgres" else "sqlite:///dbos.db"
DBOS(config=DBOSConfig(name="bench", system_database_url=store, log_level="ERROR", run_admin_server=False))


@DBOS.step()
def step(x):
    return x + 1


@DBOS.workflow()
def chain(x):
    for _ in range(5):
        x = step(x)
    return x


@DBOS.step()
async def async_step(x):
    return x + 1


@DBOS.workflow()
async def async_chain(x):
    for _ in range(5):
        x = await async_step(x)
    return x


def sequential(numbers):
    return [chain(x) for x in numbers]


def threads(numbers):
    handles = [DBOS.start_workflow(chain, x) for x in numbers]
    return [handle.get_result() for handle in handles]


async def coroutines(numbers):
    handles = [await DBOS.start_workflow_async(async_chain, x) for x in numbers]
    return [await handle.get_result() for handle in handles]


async def timed_coroutines():
    await coroutines(range(10))
    start = time.perf_counter()
    return await coroutines(range(n)), time.perf_counter() - start


def timed(run):
    run(range(10))
    start = time.perf_counter()
    return run(range(n)), time.perf_counter() - start


DBOS.launch()
results, taken_s = asyncio.run(timed_coroutines()) if mode == "async" else timed({"sequential": sequential, "threads": threads}[mode])
assert results == [x + 5 for x in range(n)], "wrong results"
DBOS.destroy()
found = "postgres"
if journal != "postgres":
    with sqlite3.connect("dbos.db") as file:
        found = file.execute("PRAGMA journal_mode").fetchone()[0]
version = importlib.metadata.version("dbos")
details = {"n": n, "version": version, "journal_mode": found, "sqlite": sqlite3.sqlite_version}
print(json.dumps({"figures": {"per_s": n / taken_s}, "details": details}))
