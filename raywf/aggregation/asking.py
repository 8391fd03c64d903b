"""Whoever has to be asked while a merge goes on: the two ways to run a merge that asks, at once and awaited.

A merge that asks is a generator. It yields questions to judges and takes a reply for each; or a step of a policy, and takes its answer.
"""

from collections.abc import Awaitable, Callable, Generator
from typing import Any, TypeAlias

from raywf.aggregation.judging import Question, ask_now, asked_later
from raywf.aggregation.resolving import Step
from raywf.aggregation.result import AggregateResult

Asking: TypeAlias = Generator[Step | list[Question], Any, AggregateResult]
Ask: TypeAlias = Callable[[Step], Any]
Gather: TypeAlias = Callable[..., Awaitable[list[Any]]]


def _nobody(step: Step) -> None:
    raise AssertionError(f"a merge without a policy asked for {step}")


def drive(work: Asking, ask: Ask = _nobody) -> AggregateResult:
    """Runs a merge whose judges and sources answer at once."""
    reply: Any = None
    while True:
        try:
            asked = work.send(reply)
        except StopIteration as done:
            result: AggregateResult = done.value
            return result
        reply = ask_now(asked) if isinstance(asked, list) else ask(asked)


async def drive_async(work: Asking, ask: Ask = _nobody, gather: Gather | None = None) -> AggregateResult:
    """Runs a merge whose judges or sources are awaited; judges one after another, or all at once by `gather`."""
    reply: Any = None
    while True:
        try:
            asked = work.send(reply)
        except StopIteration as done:
            result: AggregateResult = done.value
            return result
        if not isinstance(asked, list):
            reply = ask(asked)
            reply = await reply if hasattr(reply, "__await__") else reply
        elif gather is not None:
            reply = list(await gather(*map(asked_later, asked)))
        else:
            reply = [await asked_later(question) for question in asked]
