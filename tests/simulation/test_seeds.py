"""The simulation itself: seeds that once found something, the same run twice, and a share of the random schedules."""

from __future__ import annotations

import json
import multiprocessing
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from raywf.core import codec
from raywf.testing import simulate as command
from raywf.testing.simulation import faults
from raywf.testing.simulation.catalogue import CASES
from raywf.testing.simulation.run import Scenario, calm_ending, draw, simulate, simulate_seed
from tests.simulation.planted import planted

SEEDS = sorted((Path(__file__).parent / "seeds").glob("*.json"))


def scenario_of(path: Path) -> Scenario:
    data: dict[str, Any] = json.loads(path.read_text())["scenario"]
    return Scenario(**{**data, "cases": tuple(data["cases"]), "faults": tuple(faults.from_json(data["faults"]))})


@pytest.mark.parametrize("path", SEEDS, ids=lambda path: path.stem)
def test_a_seed_that_once_found_something(path: Path) -> None:
    verdict = simulate(scenario_of(path))
    assert verdict.violation is None, f"{verdict.violation}\n{verdict.scenario}"


@pytest.mark.parametrize("name", CASES)
def test_every_workflow_ends_as_it_should_when_nothing_goes_wrong(name: str) -> None:
    verdict = simulate(Scenario(7, (name,)))
    assert verdict.violation is None
    assert verdict.endings["x0"] is not None


def test_the_catalogue_is_wide() -> None:
    assert len(CASES) >= 30


def test_a_share_of_the_random_schedules() -> None:
    for seed in range(1, 101):
        verdict = simulate_seed(seed)
        assert verdict.violation is None, f"{verdict.violation}\n{verdict.scenario}"


def test_the_same_seed_is_the_same_run() -> None:
    for seed in range(20):
        assert simulate_seed(seed).trace == simulate_seed(seed).trace, draw(seed)


@pytest.mark.long
def test_the_same_seed_is_the_same_run_in_another_process() -> None:
    """Nothing hangs on addresses or on the hashes of strings."""
    code = "from raywf.testing.simulation.run import simulate_seed\nprint([simulate_seed(s).trace for s in range(40)])"
    said = [
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": seed}
        ).stdout
        for seed in ("1", "2")
    ]
    assert said[0] == said[1]


def test_the_command_says_which_seeds_went_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--seeds", "3", "--workflow", "chain", "--faults", "kill,pause"]) == 0
    assert "3 seeds" in capsys.readouterr().err


@pytest.mark.skipif(multiprocessing.get_start_method() != "fork", reason="what is planted here must be there, too")
def test_any_number_of_processes_says_the_same_in_the_same_order(capsys: pytest.CaptureFixture[str]) -> None:
    said = []
    calm_ending("retried")  # what is right must not be learned from what is wrong
    for jobs in ("1", "2"):
        with planted("each attempt has a key of its own"):
            assert command.main(["--seeds", "120", "--workflow", "retried", "--jobs", jobs]) == 1
        said.append(capsys.readouterr())
    assert said[0].out == said[1].out
    assert said[0].out.count("again: ") > 1
    assert said[0].err.rpartition(",")[2] == said[1].err.rpartition(",")[2]


def test_faults_are_data() -> None:
    drawn = draw(12345).faults
    assert tuple(faults.from_json(faults.to_json(drawn))) == drawn


def crash_points(name: str) -> list[Scenario]:
    """An owner that dies in each commit of a workflow in turn, before it is written and after (so before its effects
    leave); and between commits, when effects have left and their outcomes have not come."""
    calm = simulate(Scenario(7, (name,)))
    deaths = [
        faults.Fault("kill-at-commit", 0.0, "owner", how=number, written=written)
        for number in range(1, calm.commits + 1)
        for written in (False, True)
    ]
    deaths += [faults.Fault("kill-at-step", at, "owner", how=how) for at in (0.02, 0.3, 1.7) for how in range(1, 12, 2)]
    return [Scenario(7, (name,), (death,)) for death in deaths]


def test_every_kind_of_event_is_in_some_history() -> None:
    """So that there is a crash before and after each of them."""
    seen = Counter[str]()
    for name in CASES:
        for scenario in (Scenario(7, (name,)), *crash_points(name)[-3:]):
            seen += simulate(scenario).kinds
    assert set(codec_kinds()) - set(seen) <= {"doubt_resolved", "result_failed"}


def codec_kinds() -> set[str]:
    """The event kinds of the stored form."""
    return {kind for kind in (*codec._READERS, *codec._VALUES) if "@" not in kind}


@pytest.mark.parametrize("name", CASES)
def test_every_crash_point(name: str) -> None:
    for scenario in crash_points(name):
        verdict = simulate(scenario)
        assert verdict.violation is None, f"{verdict.violation}\n{scenario}"


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("part", range(20))
def test_a_hundred_thousand_random_schedules(part: int) -> None:
    for seed in range(1_000_000 + 5000 * part, 1_000_000 + 5000 * (part + 1)):
        verdict = simulate_seed(seed)
        assert verdict.violation is None, f"{verdict.violation}\n{verdict.scenario}"
