"""How soon an execution goes on that somebody signals who is no client of its engine: `wakeups.py`, in a private Ray.

The command goes into the store's inbox and nobody is poked, as from the command line, the dashboard or another host. Beside a
server (`on_postgres.py python -m benchmarks.wakeups`) the store is there, else a file here. Signals are so far apart that each comes
alone, at any moment of the owner's pause.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import time

from benchmarks import workflows
from benchmarks.figures import percentile
from benchmarks.on_postgres import VARIABLE
from benchmarks.raywf_rows import connect, wait_for_status
from benchmarks.sample import emit
from raywf.client.commands import Commands
from raywf.client.reading import Readings

IDLE_S = 5.0


async def send(store: str, ids: list[str]) -> dict[str, tuple[float, float]]:
    """Signal each; the moments before, and when the command was stored."""
    readings = Readings(store, "default")
    commands = Commands(store, "default", readings)
    chance, at = random.Random(1), {}
    try:
        await commands.signal(ids[0], "go", 7)
        for id_ in ids[1:]:
            await asyncio.sleep(chance.uniform(0.05, 0.25))
            row = await readings.row(id_)
            began = time.time()
            await commands.send(row, "signal", {"name": "go", "value": "7"}, None, None)
            at[id_] = (began, time.time())
    finally:
        await commands.close()
        await readings.close()
    return at


async def transactions(url: str) -> int:
    import asyncpg

    db = await asyncpg.connect(url)
    try:
        await db.execute("SELECT pg_stat_force_next_flush()")
        return int(await db.fetchval("SELECT sum(xact_commit + xact_rollback) FROM pg_stat_database"))
    finally:
        await db.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=100)
    n = parser.parse_args().n
    server = os.environ.get(VARIABLE)
    with connect() as engine:
        ids = [handle.id for handle in engine.submit_many(workflows.until_told, range(n + 1))]
        wait_for_status(engine, ids[-1], "waiting", timeout_s=60)
        time.sleep(1)
        at = asyncio.run(send(engine.store, ids))
        taken, stored = [], []
        for id_, (began, sent) in at.items():
            engine.get(id_).result(timeout=60)
            history = engine.get(id_).history()
            received = next(event.at.timestamp() for event in history if event.kind == "signal_received")
            taken.append((received - began) * 1000)
            stored.append((sent - began) * 1000)
        figures = {
            "p50_ms": percentile(taken, 0.5),
            "p99_ms": percentile(taken, 0.99),
            "send_p50_ms": percentile(stored, 0.5),
        }
        if server:
            before = asyncio.run(transactions(server))
            time.sleep(IDLE_S)
            figures["idle_transactions_per_s"] = (asyncio.run(transactions(server)) - before) / IDLE_S
    emit(figures, n=n)


if __name__ == "__main__":
    main()
