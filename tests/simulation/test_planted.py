"""Simulation finds what it is there to find: each of these bugs, within 2,000 seeds."""

from __future__ import annotations

import pytest

from raywf.testing.simulation.run import calm_ending, simulate_seed
from tests.simulation.planted import PLANTED, planted

WITHIN = 2000


def seeds_until_found(name: str) -> int | None:
    """How many seeds it takes; None when 2,000 are not enough."""
    with planted(name):
        for seed in range(1, WITHIN + 1):
            if simulate_seed(seed).violation is not None:
                return seed
    return None


def test_there_are_at_least_twenty() -> None:
    assert len(PLANTED) >= 20


@pytest.mark.parametrize("name", PLANTED)
def test_what_is_changed_is_there(name: str) -> None:
    """Or the long test below would say nothing."""
    with planted(name):
        assert PLANTED[name]()


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_bug_is_found(name: str, every_calm_ending: None) -> None:
    needed = seeds_until_found(name)
    print(f"{name}: {needed} seeds")
    assert needed is not None


@pytest.fixture(scope="module")
def every_calm_ending() -> None:
    """Known before a bug is planted: what is right must not be learned from what is wrong."""
    from raywf.testing.simulation.catalogue import CASES

    for name in CASES:
        calm_ending(name)
