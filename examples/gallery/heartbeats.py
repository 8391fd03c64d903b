"""Heartbeats: an attempt that falls silent is ended, and the next goes on from its last progress. No Ray.

    python examples/gallery/heartbeats.py

prints::

    attempt 1 begins at row 0
    attempt 2 begins at row 300
    copied 1000 rows
"""

import asyncio

import raywf
import raywf.testing
from raywf import task, workflow


@task(heartbeat_timeout=5, retry=raywf.Retry(max_attempts=3))
async def copy(rows: int) -> str:
    me = raywf.current()
    begin = me.last_progress or 0
    print(f"attempt {me.attempt} begins at row {begin}")
    for row in range(begin, rows, 100):
        await asyncio.sleep(2)  # the clock of raywf.testing jumps over it
        me.heartbeat(row + 100)
        if me.attempt == 1 and row == 200:
            await asyncio.sleep(86_400)  # the other side does not answer any more
    return f"copied {rows} rows"


@workflow
def nightly(rows: int) -> str:
    return copy(rows)


if __name__ == "__main__":
    print(raywf.testing.run(nightly, 1000))
