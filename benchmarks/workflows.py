"""The workflows that raywf is timed on. They live in a module of their own, as a user's would."""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any

import raywf
from benchmarks.work import burn
from raywf import task, workflow


@task
async def plus_one(x: int) -> int:
    return x + 1


@task
def plus_one_in_a_thread(x: int) -> int:
    return x + 1


@task(runs_on="ray")
def plus_one_on_ray(x: int) -> int:
    return x + 1


@task(runs_on="ray")
def burn_on_ray(x: int) -> int:
    burn()
    return x + 1


@workflow(version="1")
def chain(x: int) -> Any:
    return plus_one(plus_one(plus_one(plus_one(plus_one(x)))))


@workflow(version="1")
def chain_in_threads(x: int) -> Any:
    return plus_one_in_a_thread(
        plus_one_in_a_thread(plus_one_in_a_thread(plus_one_in_a_thread(plus_one_in_a_thread(x))))
    )


@workflow(version="1")
def chain_on_ray(x: int) -> Any:
    return plus_one_on_ray(plus_one_on_ray(plus_one_on_ray(plus_one_on_ray(plus_one_on_ray(x)))))


@workflow(version="1")
def chain_of_burning(x: int) -> Any:
    return burn_on_ray(burn_on_ray(burn_on_ray(burn_on_ray(burn_on_ray(x)))))


@workflow(version="1")
def until_told(x: int) -> Any:
    return raywf.wait_signal("go")


@task
async def linger(x: int, seconds: float, ledger: str) -> int:
    """Notes each start in a file outside the engine: what really ran, whatever the journal says."""
    line = f"{raywf.current().execution_id} {os.getpid()} {raywf.current().attempt} {time.time()}\n".encode()
    descriptor = os.open(ledger, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(descriptor, line)  # one write: lines of several processes never mix
    finally:
        os.close(descriptor)
    await asyncio.sleep(seconds)
    return x


@workflow(version="1")
def lingering(x: int, seconds: float, ledger: str) -> Any:
    return linger(x, seconds, ledger)


@task
async def count(x: int) -> int:
    return x


@workflow(version="1")
def wide(xs: list[int]) -> Any:
    return total(count.map(xs))


@task
async def total(xs: list[int]) -> int:
    return sum(xs)


STEPS = 100


def _steps(x: Any) -> Any:
    for _ in range(STEPS):
        x = plus_one(x)
    return x


@workflow(version="1")
def long(xs: list[int], x: int) -> Any:
    """STEPS steps, a fan-out over xs, STEPS steps, a wait for a signal, a step: a history of any length."""
    early = _steps(x)
    middle = total(count.map(xs).after(early))
    late = _steps(middle)
    return [early, middle, late, plus_one(raywf.wait_signal("go"))]


@task
async def ten_ms(x: int) -> int:
    await asyncio.sleep(0.01)
    return x + 1


@workflow(version="1")
def chain_of_40(x: int) -> Any:
    for _ in range(40):
        x = ten_ms(x)
    return x


@workflow(version="1")
def nap(seconds: float) -> Any:
    return plus_one(raywf.sleep(seconds, 1))
