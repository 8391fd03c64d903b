"""``raywf.testing.chaos``: a workflow killed at every boundary, with nothing lost and nothing doubled."""

from __future__ import annotations

import itertools
import runpy
from pathlib import Path
from typing import Any

import pytest

import raywf
import raywf.testing
from raywf.journal import memory
from raywf.testing import chaos
from raywf.testing.kills import MOMENTS, _spread
from tests.docs.pages import WITHOUT_RAY

GALLERY = Path(__file__).parents[3] / "examples" / "gallery"


@raywf.task
async def add(x: int) -> int:
    return x + 1


@raywf.task(effect="at_most_once")
def pay(x: int) -> int:
    return 2 * x


@raywf.task(retry=raywf.Retry(max_attempts=2))
def unsteady(x: int) -> int:
    if raywf.current().attempt == 1:
        raise ValueError("first")
    return x


@raywf.workflow
def child(x: int):
    return add(x)


@raywf.workflow
def everything(n: int):
    paid = pay(add(n))
    many = unsteady.map([1, 2, 3])
    slept = raywf.sleep(3600, paid)
    told = raywf.wait_signal("go")
    return raywf.approval("ok?", data=[slept, many, child(n), told])


@raywf.workflow
def late(n: int):
    return raywf.approval("ok?", data=add(n), timeout=100)


_numbers = itertools.count()


@raywf.task
def number(x: int) -> int:
    return next(_numbers)


@raywf.workflow
def numbered(x: int):
    return number(x)


def test_a_workflow_with_a_bit_of_everything_survives_every_kill() -> None:
    report = chaos(everything, 1, approve=True, signals={"go": 5})
    assert report.ok, report.wrong
    assert report.ended == "completed" and report.steady
    assert {(kill.boundary, kill.moment) for kill in report.kills} == {
        (number, moment) for number in range(1, len(report.boundaries) + 1) for moment in MOMENTS
    }
    assert all(kill.reached for kill in report.kills)
    assert sum(kill.lost for kill in report.kills) > 0 and sum(kill.doubts for kill in report.kills) > 0


def test_an_execution_that_fails_ends_as_failed_wherever_it_is_killed() -> None:
    report = chaos(late, 1)
    assert report.ok, report.wrong
    assert report.ended == "failed"


def test_a_result_that_differs_from_run_to_run_is_said_to() -> None:
    report = chaos(numbered, 1)
    assert report.ok and not report.steady


def test_a_store_that_forgets_a_result_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    load = memory._load

    def forgetful(store: Any, row: Any) -> Any:
        loaded = load(store, row)
        return loaded._replace(events=[event for event in loaded.events if event.kind != "task_completed"])

    monkeypatch.setattr(memory, "_load", forgetful)
    report = chaos(everything, 1, approve=True, signals={"go": 5})
    assert not report.ok
    assert report.wrong


def test_many_boundaries_are_tried_evenly_spread() -> None:
    assert _spread(5, 200) == [1, 2, 3, 4, 5]
    assert _spread(1000, 3) == [1, 500, 1000] or _spread(1000, 3) == [1, 501, 1000]
    assert _spread(9, 1) == [1]
    report = chaos(everything, 1, approve=True, signals={"go": 5}, limit=2)
    assert report.tried == (1, len(report.boundaries)) and len(report.kills) == 6


CONNECTING: dict[str, tuple[Any, ...]] = {"history.py:order": (7,)}
"""Workflows of programs that need a Ray, and what they are killed with; the others are killed with what they run with."""


@pytest.mark.parametrize("path", WITHOUT_RAY, ids=lambda path: path.stem)
def test_every_workflow_that_the_gallery_runs_survives_every_kill(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, runs = raywf.testing.run, []

    def noted(workflow: Any, *args: Any, **more: Any) -> Any:
        runs.append((workflow, args, {name: more[name] for name in more if name not in ("faults", "clock", "ledger")}))
        return run(workflow, *args, **more)

    monkeypatch.setattr(raywf.testing, "run", noted)
    runpy.run_path(str(path), run_name="__main__")
    for workflow, args, more in runs:
        report = chaos(workflow, *args, **more)
        assert report.ok, report.wrong


@pytest.mark.parametrize("place", CONNECTING)
def test_a_workflow_of_a_program_that_needs_ray_survives_every_kill(place: str) -> None:
    file, name = place.split(":")
    report = chaos(runpy.run_path(str(GALLERY / file), run_name="gallery")[name], *CONNECTING[place])
    assert report.ok, report.wrong
