"""Tasks that leave a trace outside of everything: one line in the ledger when they begin and one when they end."""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import time
from pathlib import Path

import raywf
from raywf import task, workflow

HERE = Path(__file__).parent
LEDGER = HERE / "ledger.jsonl"


def note(what: str) -> None:
    context = raywf.current()
    line = {
        "what": what,
        "execution": context.execution_id,
        "task": context.task_id,
        "attempt": context.attempt,
        "key": context.idempotency_key,
        "pid": os.getpid(),
        "at": time.time(),
    }
    file = os.open(LEDGER, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    os.write(file, json.dumps(line).encode() + b"\n")
    os.close(file)


@task
async def fetch(n: int) -> int:
    note("start")
    await asyncio.sleep(0.05 + n % 7 * 0.05)
    note("end")
    return n + 1


@task
def shape(n: int) -> int:
    note("start")
    time.sleep(0.002 + n % 3 * 0.01)
    note("end")
    return n * 2


@task(runs_on="ray")
def crunch(n: int) -> int:
    note("start")
    time.sleep(0.002 + n % 3 * 0.002)
    note("end")
    return n + 3


@task
async def part(n: int) -> int:
    note("start")
    await asyncio.sleep(n % 4 * 0.05)
    note("end")
    return n % 1000


@task
async def total(parts: list[int], extra: int) -> int:
    note("start")
    note("end")
    return sum(parts) + extra


@workflow
def mixed(n: int):
    """Each kind of task once, a fan-out among them."""
    first = fetch(n)
    second = shape(first)
    third = crunch(second)
    return total(part.map([first, second, third]), third)


def mixed_result(n: int) -> int:
    first = n + 1
    second = first * 2
    third = second + 3
    return sum(each % 1000 for each in (first, second, third)) + third


@workflow
def inside(n: int):
    """The same without Ray tasks: nothing but the workflow actor is needed."""
    first = fetch(n)
    second = shape(first)
    return total(part.map([first, second]), second)


def inside_result(n: int) -> int:
    first = n + 1
    second = first * 2
    return first % 1000 + second % 1000 + second


@task
async def linger(n: int, seconds: float) -> int:
    note("start")
    await asyncio.sleep(seconds)
    note("end")
    return n


@task
async def after(n: int) -> int:
    note("start")
    note("end")
    return n


@workflow
def lingering(n: int, seconds: float):
    return after(linger(n, seconds))


@workflow
def asking(n: int):
    """Waits for a person and for a signal, with a task before and after each."""
    approved = raywf.approval("Go on?", data=fetch(n))
    word = raywf.wait_signal("word").after(approved)
    return total([shape(approved)], word)


# Ray tasks of one batch, some of which take their worker along


@task(runs_on="ray")
def maybe(n: int, fatal: str) -> int:
    """The first attempt of every 50th ends its worker."""
    note("start")
    if n % 50 == 25 and raywf.current().attempt == 1:
        die(fatal)
    note("end")
    return n


@workflow
def batch(n: int, fatal: str):
    return maybe(n, fatal)


def die(how: str) -> None:
    match how:
        case "exit":
            os._exit(1)
        case "segfault":
            ctypes.string_at(0)
        case "kill":
            os.kill(os.getpid(), 9)
        case "raise":
            raise ValueError("this one raises")


# poison


@task
async def poison(how: str) -> int:
    note("start")
    if how == "block":
        time.sleep(10_000)
    die(how)
    return 0


@task
def poison_thread(how: str) -> int:
    note("start")
    die(how)
    return 0


@workflow
def poisoned(how: str):
    return poison(how)


@workflow
def poisoned_thread(how: str):
    return poison_thread(how)


RESULTS = {"mixed": mixed_result, "inside": inside_result}
