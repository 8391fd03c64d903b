"""Workflows that the command line's tests look at. None of them runs."""

from __future__ import annotations

import raywf
from raywf import task, workflow


@task
def search(question: str) -> list[str]:
    raise AssertionError("a unit test of the command line runs no task")


@task
def summarize(hit: str) -> str:
    raise AssertionError("a unit test of the command line runs no task")


@task(retry=raywf.Retry(max_attempts=3))
def publish(notes: list[str], approved: object) -> str:
    raise AssertionError("a unit test of the command line runs no task")


@workflow(version="2")
def review(question: str):  # type: ignore[no-untyped-def]
    notes = summarize.map(search(question))
    return publish(notes, raywf.approval(f"Publish {question}?", timeout=3600))


@workflow
def two_persons():  # type: ignore[no-untyped-def]
    return raywf.gather(raywf.approval("one?"), raywf.approval("two?"))


@workflow
def parent(question: str):  # type: ignore[no-untyped-def]
    return review(question)


@workflow
def signalled():  # type: ignore[no-untyped-def]
    return raywf.wait_signal("go", schema={"type": "integer"})


@workflow
def hello(name: str = "world"):  # type: ignore[no-untyped-def]
    return f"hello {name}"


@workflow
def branching(score: float):  # type: ignore[no-untyped-def]
    found = search("x")
    return raywf.when(found[0] == "a", then=lambda: publish(found, 1), otherwise=lambda: found)


@raywf.task(effect="at_most_once")
async def pay() -> str:
    return "paid"


@raywf.workflow
def payment():
    return pay()
