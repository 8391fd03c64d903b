"""Spans and counts: one span per execution and attempt, in one trace, whatever happens to the process in between."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest

import raywf
from raywf.telemetry import (
    Exported,
    Telemetry,
    current_trace_id,
    new_traceparent,
    telemetry,
    trace_id_of,
)
from tests.unit.runtime.engines import Engine, live_through, new_store

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"


@raywf.task(retry=raywf.Retry(max_attempts=2, initial=0.1))
async def flaky(x: int) -> int:
    if raywf.current().attempt == 1:
        raise ValueError("not yet")
    return x


@raywf.task
async def step(x: int) -> int:
    await asyncio.sleep(10)
    return x + 1


@raywf.task
async def broken() -> None:
    raise RuntimeError("it broke")


@raywf.workflow
def inner(x: int):
    return step(x)


@raywf.workflow
def traced(x: int):
    return step(flaky(x)), inner(x)


@raywf.workflow
def failing():
    return broken()


def live(workflow: Any, file: Path, *args: Any, store: str | None = None, life: int = 1, die_at: int = 0) -> None:
    async def main() -> None:
        exported = telemetry({"RAYWF_TRACE": str(file)}, {"raywf.namespace": "unit"})
        assert exported.spans
        engine = Engine(workflow, store or new_store(), life, now=1_700_000_000.0 + 5 * life, telemetry=exported)
        engine.journal.die_at, engine.journal.die_after_writing = die_at, True
        await engine.claim()
        if life == 1:
            await engine.submit(*args, traceparent=PARENT)
        ends = asyncio.ensure_future(engine.to_the_end())
        dies = asyncio.ensure_future(engine.journal.died.wait())
        await asyncio.wait({ends, dies}, return_when=asyncio.FIRST_COMPLETED)
        await engine.close()
        exported.close()

    live_through(main)


def spans(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def named(found: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    names: dict[str, list[dict[str, Any]]] = {}
    for span in found:
        names.setdefault(span["name"], []).append(span)
    return names


def check_tree(found: list[dict[str, Any]]) -> None:
    """All are of one trace; each attempt's parent is the span of its execution."""
    assert {span["context"]["trace_id"] for span in found} == {f"0x{TRACE}"}
    of = {span["attributes"]["raywf.execution"]: span for span in found if span["name"].startswith("execution ")}
    for span in found:
        if span["name"].startswith("task "):
            assert span["parent_id"] == of[span["attributes"]["raywf.execution"]]["context"]["span_id"]
    assert len({span["context"]["span_id"] for span in found}) == len(found)


def test_one_span_per_execution_and_attempt_with_the_right_parent(tmp_path: Path) -> None:
    file = tmp_path / "spans.jsonl"
    live(traced, file, 5)
    found = spans(file)
    counts = {name: len(each) for name, each in named(found).items()}
    assert counts == {"task flaky": 2, "task step": 2, "execution traced": 1, "execution inner": 1}
    check_tree(found)
    whole = named(found)["execution traced"][0]
    assert whole["context"]["span_id"] == "0xb7ad6b7169203331"
    assert whole["attributes"] == {
        "raywf.execution": "x", "raywf.workflow": "traced", "raywf.status": "completed"
    }  # fmt: skip
    assert whole["resource"]["attributes"]["raywf.namespace"] == "unit"
    first, second = sorted(named(found)["task flaky"], key=lambda span: span["attributes"]["raywf.attempt"])
    assert (first["status"]["status_code"], second["status"]["status_code"]) == ("ERROR", "UNSET")
    assert first["events"][0]["attributes"]["exception.type"] == "ValueError"


def test_a_failed_execution_is_marked_with_its_failure(tmp_path: Path) -> None:
    file = tmp_path / "spans.jsonl"
    live(failing, file)
    whole = named(spans(file))["execution failing"][0]
    assert whole["attributes"]["raywf.status"] == "failed"
    assert whole["status"] == {"status_code": "ERROR", "description": "RuntimeError: it broke"}


@pytest.mark.parametrize("die_at", range(2, 7))
def test_a_trace_goes_on_after_a_crash(tmp_path: Path, die_at: int) -> None:
    """Trace and span of the execution are those of its journal, whoever ends it."""
    file, store = tmp_path / "spans.jsonl", new_store()
    live(traced, file, 5, store=store, die_at=die_at)
    before = len(spans(file))
    live(traced, file, store=store, life=2)
    found = spans(file)
    assert len(found) > before
    check_tree(found)
    assert {name: len(each) for name, each in named(found).items() if name.startswith("execution")} == {
        "execution traced": 1, "execution inner": 1
    }  # fmt: skip


def test_without_a_wish_nothing_is_exported_and_everything_is_counted() -> None:
    for env in ({}, {"RAYWF_TRACE": "x", "OTEL_SDK_DISABLED": "true"}):
        assert type(telemetry(env, {})) is Telemetry
    counter = Telemetry()

    async def main() -> None:
        engine = Engine(traced, new_store(), telemetry=counter)
        await engine.claim()
        await engine.submit(5)
        await engine.to_the_end()

    live_through(main)
    counts = counter.counts()
    assert counts["executions_started"] == 2
    assert counts["executions_ended"] == {"completed": 2}
    assert counts["attempts_ended"] == {"failed": 1, "completed": 3}
    assert counts["commits"] > 3
    assert counts["rows"] > counts["commits"]


def test_metrics_go_to_a_file(tmp_path: Path) -> None:
    file = tmp_path / "metrics.json"
    exported = telemetry({"RAYWF_METRICS": str(file)}, {})

    async def main() -> None:
        engine = Engine(traced, new_store(), telemetry=exported)
        await engine.claim()
        await engine.submit(5)
        await engine.to_the_end()

    live_through(main)
    assert isinstance(exported, Exported)
    assert not exported.spans
    exported.close()
    names = set(re.findall(r'"name": "(raywf\.[a-z._]+)"', file.read_text()))
    assert names == {
        "raywf.executions.started", "raywf.executions.ended", "raywf.executions.open",
        "raywf.attempts.ended", "raywf.attempt.duration", "raywf.commit.duration",
    }  # fmt: skip


def test_a_traceparent_is_what_w3c_says() -> None:
    pattern = r"00-[0-9a-f]{32}-[0-9a-f]{16}-01"
    for bits in (0, 1, 2**192 - 1, 2**64):
        made = new_traceparent(bits)
        assert re.fullmatch(pattern, made)
        assert "0" * 32 not in made
        assert "-" + "0" * 16 + "-" not in made
    assert trace_id_of(new_traceparent(5, TRACE)) == TRACE
    assert (trace_id_of(None), trace_id_of("nonsense"), trace_id_of(PARENT)) == (None, None, TRACE)


def test_the_trace_of_the_caller_is_joined() -> None:
    from opentelemetry.sdk.trace import TracerProvider

    assert current_trace_id() is None
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("app")
    with tracer.start_as_current_span("request") as span:
        assert current_trace_id() == f"{span.get_span_context().trace_id:032x}"
    assert current_trace_id() is None
