"""Hosts are drained and come back while everything else goes wrong, too: shards move between the real owners by the real supervisor."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from raywf.testing.simulation.faults import Fault
from raywf.testing.simulation.run import Scenario, _Run, draw, simulate


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
    return replace(drawn, hosts=2, actors=random.choice((1, 2)), faults=faults, autoscale=random.choice((0, 0, 3)))


def test_nodes_drain_by_the_supervisor_and_room_is_asked_for() -> None:
    """Not beside it: through ``Supervisor.drain`` and the request that it makes of the autoscaler."""
    asked: list[int] = []
    leaves = Fault("leave", 0.5, "here", 11.0)
    run = _Run(Scenario(11, ("ray_takes_time",) * 15, (leaves,), actors=2, hosts=2, autoscale=3))
    check = run.network.on_request

    def on_request() -> None:
        check()
        asked.append(len(run.network.requested))

    run.network.on_request = on_request
    assert run.go().violation is None
    assert list(run.network.leaving) == ["here"]
    assert {run.judge.processes[owner].host.name for owner, _ in run.store.leases.values() if owner} == {"there"}
    assert 0 < max(asked) <= 3


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
