"""Which panel is worth its price: pure functions over dossiers whose truth is known.

Items are split in two by a hash of their name: trust is learned on one half and accuracy is counted on the other, so a
panel is never praised for items it was chosen on. The vote is weighted by log-odds of trust, the same for every panel.
"""

import math
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from itertools import combinations
from typing import Any, NamedTuple

from raywf.aggregation.evidence import Dossier, Standing, spelled
from raywf.errors import InvalidInput

EVERY_PANEL_UP_TO = 10
"""Sources of which all panels, 1,023 at most, are counted."""


class Panel(NamedTuple):
    """Some sources, what asking all of them costs per item, and how often their vote was right of `items`."""

    sources: tuple[str, ...]
    price: float
    accuracy: float
    items: int


class _Half(NamedTuple):
    votes: list[dict[str, str]]
    truths: list[str]


def cost_curve(gold: Mapping[str, Dossier], prices: Mapping[str, float]) -> list[Panel]:
    """Panels from the cheapest single source up, each the best next step: accuracy gained per price.

    `prices` is per answer, in any unit, and names every source that may be asked. A step that gains nothing is taken
    only if a later one does. Raises `InvalidInput` for a price that is negative or no number, and without gold.
    """
    for source, price in prices.items():
        if not math.isfinite(price) or price < 0:
            raise InvalidInput(f"the price of {source!r} is {price!r}: give a number of at least 0")
    weights, half = _halves(gold, prices)
    chosen: list[str] = []
    curve: list[Panel] = []
    reached = 0.0
    while len(chosen) < len(weights):
        best: tuple[float, float, str] | None = None
        for source in sorted(set(weights) - set(chosen)):
            accuracy = _accuracy([*chosen, source], weights, half)
            gain = (accuracy - reached) / max(prices[source], 1e-9)
            if best is None or (gain, accuracy) > best[:2]:
                best = (gain, accuracy, source)
        assert best is not None
        chosen.append(best[2])
        reached = best[1]
        curve.append(
            Panel(tuple(sorted(chosen)), math.fsum(prices[each] for each in chosen), reached, len(half.truths))
        )
    return curve


def cheapest_panel(gold: Mapping[str, Dossier], prices: Mapping[str, float], target: float) -> Panel | None:
    """The cheapest panel found that reaches `target` accuracy; None where none does.

    Of up to ten sources every panel is looked at, so there is no cheaper one; of more, every source, every pair and the
    steps of `cost_curve`.
    """
    weights, half = _halves(gold, prices)
    names = sorted(weights)
    largest = len(names) if len(names) <= EVERY_PANEL_UP_TO else 2
    groups = [group for size in range(1, largest + 1) for group in combinations(names, size)]
    found = [
        Panel(each, math.fsum(prices[n] for n in each), _accuracy(each, weights, half), len(half.truths))
        for each in groups
    ]
    good = [panel for panel in [*found, *cost_curve(gold, prices)] if panel.accuracy >= target]
    return min(good, key=lambda panel: (panel.price, -panel.accuracy, panel.sources), default=None)


def _halves(gold: Mapping[str, Dossier], prices: Mapping[str, Any]) -> tuple[dict[str, float], _Half]:
    standing = Standing()
    half = _Half([], [])
    for item in sorted(gold):
        dossier = gold[item]
        if dossier.truth is None:
            continue
        if blake2b(item.encode(), digest_size=1).digest()[0] % 2:
            standing.exchange(None, dossier)
        else:
            half.votes.append(
                {name: spelled(each.value) for name, each in dossier.said.items() if each.value is not None}
            )
            half.truths.append(spelled(dossier.truth.value))
    trust = standing.trust()
    if not trust or not half.truths:
        raise InvalidInput(
            f"{len(gold)} items with known truth are too few to learn trust on one half and count on the other: give "
            "feedback on at least some dozens"
        )
    # Where two disagree the better one decides; where many do, log-odds add up. Below a coin's toss counts for little.
    weights = {name: max(math.log(each.mean / (1 - each.mean)), 0.01) for name, each in trust.items() if name in prices}
    return weights, half


def _accuracy(sources: Iterable[str], weights: Mapping[str, float], half: _Half) -> float:
    asked = list(sources)
    right = 0
    for votes, truth in zip(half.votes, half.truths, strict=True):
        sums: dict[str, float] = {}
        for source in asked:
            value = votes.get(source)
            if value is not None:
                sums[value] = sums.get(value, 0.0) + weights[source]
        if sums and min(sums, key=lambda value: (-sums[value], value)) == truth:
            right += 1
    return right / len(half.truths)
