"""Tasks that live in a script: nobody can import them, so only a driver that runs it can send them."""

from __future__ import annotations

import asyncio
import sys
import time

import killwork
from driver import main

import raywf
from raywf import task, workflow


@task
async def slowly(n: int) -> int:
    killwork.note("start")
    await asyncio.sleep(0.3)
    killwork.note("end")
    return n + 1


@task
def threaded(n: int) -> int:
    killwork.note("start")
    time.sleep(0.01)
    killwork.note("end")
    return n * 2


@task(runs_on="ray")
def elsewhere(n: int) -> int:
    killwork.note("start")
    killwork.note("end")
    return n - 3


@workflow
def scripted(n: int):
    again = slowly.with_options(id="again")
    return again(elsewhere(threaded(slowly(n))))


if __name__ == "__main__":
    killwork.scripted = scripted
    assert raywf.current is not None and len(sys.argv) == 3
    main()
