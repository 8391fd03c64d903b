"""Programs as users write them, which must pass ``mypy --strict``. ``type: ignore`` marks what must not.

`test_programs.py` hands the file to mypy, for which an ignore that is not needed is an error too, and builds the graphs.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta

from pydantic import BaseModel

import raywf
from raywf import task, workflow


class Draft(BaseModel):
    title: str
    score: float


@task
async def search(question: str) -> list[str]:
    return [question]


@task(retry=raywf.Retry(max_attempts=4, initial=0.2, backoff=2.0, max_delay=10.0, non_retryable=(ValueError,)),
      timeout=30.0, runs_on="ray", num_cpus=1, effect="at_least_once")  # fmt: skip
def summarize(hit: str, words: int = 50) -> str:
    return hit[:words]


@task(timeout=timedelta(minutes=1))
async def write(question: str, notes: list[str]) -> Draft:
    return Draft(title=question, score=len(notes) / 10)


@task
def publish(draft: Draft) -> str:
    raywf.current().heartbeat({"done": 1})
    return draft.title


@workflow(version="1")
def answer(question: str) -> str:
    hits = search(question)
    notes = summarize.map(hits, words=20)
    draft = write(question, notes)
    check = raywf.when(
        (draft.score < 0.7) & (draft.score > 0.1),
        then=lambda: raywf.approval(f"Publish {draft.title}?", data=draft, timeout=3600),
        otherwise=lambda: draft,
    )
    return publish(check)


@workflow
def several(questions: list[str], limit: int = 3) -> list[str]:
    answers = answer.map(questions)
    first = answer.with_options(id="first")("why?")
    last = summarize.with_options(timeout=5, after=answers)(first, words=limit)
    rested = raywf.sleep(60, last)
    paid = raywf.wait_signal("paid", timeout=60, default=None, schema=Draft)
    both: list[str] = raywf.gather(rested, paid)
    maybe: str | None = raywf.when(paid["score"] > 0.5, then=lambda: rested)
    sure: float = raywf.aggregate([first, last], strategy="majority").confidence
    return raywf.gather(both, maybe, sure)


def test_of_tasks() -> None:
    """Outside of a body a task is the plain function, sync or async."""
    assert summarize("abc", words=2) == "ab"
    assert asyncio.run(search("sky")) == ["sky"]


async def test_of_async_tasks() -> None:
    assert (await write("sky", [])).title == "sky"
    hits: list[str] = await search("sky")
    assert hits


def runs() -> None:
    with raywf.connect() as engine:
        text: str = engine.run(answer, "why is the sky blue?")
        handle = engine.submit(answer, question=text)
        print(handle.id, handle.status(), handle.result(timeout=60))
        for each in engine.map(answer, ["a", "b"]):
            print(each)
        definition: raywf.WorkflowDefinition = answer.definition
        print(definition.to_mermaid(), definition.content_hash)


async def runs_async() -> None:
    async with raywf.connect_async() as engine:
        print(await engine.run(answer, "why?"))


def mistakes() -> None:
    summarize(5)  # type: ignore[arg-type]
    summarize("a", wrds=3)  # type: ignore[call-arg]
    search()  # type: ignore[call-arg]
    answer(5)  # type: ignore[arg-type]
    number: int = summarize("a")  # type: ignore[assignment]
    print(number)
    raywf.Retry(max_attempts="3")  # type: ignore[arg-type]
    task(timeout="soon")  # type: ignore[call-overload]
