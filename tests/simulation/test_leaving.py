"""Hosts are drained and come back while everything else goes wrong, too: shards move between the real owners by the real supervisor."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from raywf.testing.simulation.faults import Fault
from raywf.testing.simulation.run import Scenario, draw, simulate


def scenario(seed: int) -> Scenario:
    """The scenario of a seed on two hosts, of which some leave."""
    random = Random(f"leaving {seed}")
    leaves = [
        Fault(
            "leave",
            round(random.uniform(0.0, 6.0), 3),
            random.choice(("here", "there")),
            random.choice((1.0, 4.0, 8.0)),
        )
        for _ in range(random.choice((1, 2, 3)))
    ]
    drawn = draw(seed)
    # Timers set by a clock that is an hour ahead are an hour late on another host: no fault of those who moved them.
    others = [fault for fault in drawn.faults if fault.kind != "clock-jump"]
    faults = tuple(sorted((*others, *leaves), key=lambda fault: fault.at))
    return replace(drawn, hosts=2, actors=random.choice((1, 2)), faults=faults)


def test_a_share_of_the_schedules_in_which_hosts_leave() -> None:
    for seed in range(60):
        verdict = simulate(scenario(seed))
        assert verdict.violation is None, f"{verdict.violation}\n{verdict.scenario}"


@pytest.mark.long
@pytest.mark.parametrize("part", range(20))
def test_many_schedules_in_which_hosts_leave(part: int) -> None:
    for seed in range(1000 * part, 1000 * (part + 1)):
        verdict = simulate(scenario(seed))
        assert verdict.violation is None, f"{verdict.violation}\n{verdict.scenario}"
