"""The commonest attempt has a path of its own, which gives what the general one gives."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import raywf
from raywf.definition.workflows import as_workflow
from raywf.runtime import work
from raywf.runtime.code import Function
from raywf.runtime.plain import Plain, is_plain
from tests.unit.runtime.engines import Engine, Ledger, live_through, new_store

LEDGERS: list[Ledger] = []


@raywf.task
async def one_more(x: int) -> int:
    return x + 1


@raywf.task
async def slowly(x: int) -> int:
    await asyncio.sleep(1)
    return x + 1


@raywf.task
async def true(x: int) -> bool:
    return x > 0


@raywf.task
async def nothing(x: Any) -> None:
    return None


@raywf.task
async def text(x: Any) -> str:
    return f"«{x}»" * 2


@raywf.task
async def a_number_too_large(x: int) -> int:
    return 10**40 + x


@raywf.task
async def not_what_it_says(x: int) -> int:
    return str(x)  # type: ignore[return-value]


@raywf.task
async def nonsense(x: int) -> int:
    return "no number"  # type: ignore[return-value]


@raywf.task(retry=raywf.Retry(max_attempts=3, initial=0))
async def fails_twice(x: int) -> int:
    if LEDGERS[-1].fails(2):
        raise ValueError(f"not yet: {x}")
    return x


@raywf.task
async def fails(x: int) -> int:
    raise ValueError("never")


@raywf.task
async def cancels_itself(x: int) -> int:
    raise asyncio.CancelledError


@raywf.task
async def stops(x: int) -> int:
    raise StopIteration(x)


@raywf.workflow
def straight(x: int):
    return nothing(text(true(one_more(slowly(one_more(x))))))


@raywf.workflow
def wide(x: int):
    first = one_more(x)
    return one_more(first), slowly(first), text([first, one_more(x)])


@raywf.workflow
def large(x: int):
    return a_number_too_large(x)


@raywf.workflow
def coerced(x: int):
    return one_more(not_what_it_says(x))


@raywf.workflow
def misfit(x: int):
    return one_more(nonsense(x))


@raywf.workflow
def retried(x: int):
    return one_more(fails_twice(x)), one_more(x)


@raywf.workflow
def broken(x: int):
    return one_more(fails(x)), slowly(slowly(x))


@raywf.workflow
def cancelled(x: int):
    return cancels_itself(x)


@raywf.workflow
def stopped(x: int):
    return stops(x)


async def life(workflow: Any, plain: bool) -> tuple[Any, list[Any], dict[str, int]]:
    LEDGERS.append(Ledger())
    engine = Engine(workflow, new_store())
    await engine.claim()
    await engine.submit(1)
    ending = await engine.to_the_end()
    events = [(row.seq, row.kind, row.task, row.attempt, row.data) for row in await engine.history() if row.seq > 0]
    await engine.close()
    functions = [each for prepared in engine.host._prepared.values() for each in prepared.functions]
    assert any(isinstance(each, Plain) for each in functions) is plain
    if any(kind == "attempt_failed" for _, kind, *_ in events):  # a traceback names the lines of its path
        events = [event[:4] for event in events]
    return ending, events, engine.telemetry.attempts


@pytest.mark.parametrize(
    "workflow", [straight, wide, large, coerced, misfit, retried, broken, cancelled, stopped], ids=lambda each: each.id
)
def test_it_gives_what_the_general_path_gives(workflow: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = live_through(lambda: life(workflow, True))
    monkeypatch.setattr(work, "is_plain", lambda node, function: False)
    assert plain == live_through(lambda: life(workflow, False))


@raywf.task(timeout=5)
async def with_timeout(x: int) -> int:
    return x


@raywf.task(heartbeat_timeout=5)
async def with_heartbeat(x: int) -> int:
    return x


@raywf.task(cleanup_timeout=5)
async def with_cleanup(x: int) -> int:
    return x


@raywf.task(limits=[raywf.Limit("few", concurrency=1)])
async def with_limit(x: int) -> int:
    return x


@raywf.task(runs_on="ray")
async def on_ray(x: int) -> int:
    return x


@raywf.task
def in_a_thread(x: int) -> int:
    return x


@pytest.mark.parametrize(
    ("one", "plain"),
    [
        (one_more, True),
        (fails_twice, True),
        (with_timeout, False),
        (with_heartbeat, False),
        (with_cleanup, False),
        (with_limit, False),
        (on_ray, False),
        (in_a_thread, False),
    ],
    ids=lambda each: getattr(each, "__name__", None) or str(each),
)
def test_which_tasks_take_it(one: Any, plain: bool) -> None:
    @raywf.workflow
    def alone(x: int):
        return one(x)

    (node,) = plan_of(alone).nodes
    assert is_plain(node, Function("here", one.function)) is plain


@raywf.workflow
def mapped(xs: list[int]):
    return one_more.map(xs)


@raywf.workflow
def named(x: int):
    return one_more(x=x)


def test_items_and_named_arguments_do_not() -> None:
    for workflow, expected in ((mapped, False), (named, False)):
        (node,) = plan_of(workflow).nodes
        assert is_plain(node, Function("here", one_more.function)) is expected


def plan_of(workflow: Any) -> Any:
    from raywf.runtime.definitions import Definitions, definition_row

    row = definition_row(as_workflow(workflow).definition)
    known = Definitions()
    known.add(row)
    return known.plan(row.hash)
