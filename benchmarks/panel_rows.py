"""Panels drawn at random beside the named ones: who picks the sources picks the figures, so nobody picks these."""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Sequence
from typing import NamedTuple

from benchmarks.figures import Line

PANELS = 10
SMALLEST, LARGEST = 3, 12
LEAST = -0.005
Gain = Callable[[Sequence[str], int, int], float]
"""(sources, gold answers, seed of the split) -> accuracy over the best of the sources, on the items that are not gold."""


class Drawn(NamedTuple):
    """A panel, and by how much it is over its best source in the mean of the splits."""

    sources: tuple[str, ...]
    gain: float


def drawn(sources: Sequence[str], seed: int = 1) -> list[tuple[str, ...]]:
    """The same panels for the same sources, whatever their order."""
    chance, known = random.Random(seed), sorted(sources)
    most = min(LARGEST, len(known))
    return [tuple(sorted(chance.sample(known, chance.randint(min(SMALLEST, most), most)))) for _ in range(PANELS)]


def random_panels(sources: Sequence[str], gain: Gain, gold_sizes: Sequence[int], seeds: int) -> list[Line]:
    """By gold size: the worst panel, how many are further below their best source than is allowed, and the mean of all."""
    lines = []
    for gold in gold_sizes:
        found = [
            Drawn(each, statistics.fmean(gain(each, gold, seed) for seed in range(seeds))) for each in drawn(sources)
        ]
        worst = min(found, key=lambda each: each.gain)
        below = sum(each.gain < LEAST for each in found)
        what = f"{PANELS} random panels, {gold} gold"
        lines += [
            Line(
                f"{what}: the worst over its best source ({len(worst.sources)} sources)",
                worst.gain,
                f">= {LEAST}",
                worst.gain >= LEAST,
            ),
            Line(f"{what}: panels below {LEAST}", float(below), "0", below == 0),
            Line(
                f"{what}: in the mean over the best source",
                statistics.fmean(each.gain for each in found),
                "no bar",
                True,
            ),
        ]
    return lines
