"""Where nodes and arrows go: layers from top to bottom, few crossings, neighbours above each other.

The classic four steps: each node one layer below the lowest it depends on; long arrows bent at an invisible node per
layer; the order within layers by the mean place of the neighbours, back and forth; and places that are as near to the
neighbours as order and width allow. Deterministic, and linear enough for a thousand tasks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count, pairwise
from typing import TypeAlias

Point: TypeAlias = tuple[float, float]

MAX_BENDS = 4000
"""With more invisible nodes than this, long arrows go straight: such a graph is not read arrow by arrow."""

_SWEEPS = 8


@dataclass(frozen=True, slots=True)
class Layout:
    """``centers`` of the nodes; ``routes`` of the arrows, from node to node by way of their bends."""

    centers: Mapping[int, Point]
    routes: Mapping[tuple[int, int], tuple[Point, ...]]
    width: float
    height: float


def lay_out(
    widths: Mapping[int, float],
    edges: Iterable[tuple[int, int]],
    *,
    labels: Mapping[tuple[int, int], float] | None = None,
    row_height: float = 48,
    row_gap: float = 44,
    gap: float = 28,
) -> Layout:
    """Place nodes of these widths. ``edges`` must not form a circle, and name known nodes only.

    ``labels`` says how wide the label of an arrow is: it gets that much room at the arrow's first bend.
    """
    arrows = list(dict.fromkeys(edges))
    layer = layers_of(list(widths), arrows)
    chains = _chains(arrows, layer)
    rows = _rows(widths, chains, layer)
    above, below = _neighbours(chains)
    _reduce_crossings(rows, above, below)
    room = {key: 0.0 for row in rows for key in row}
    room.update((chains[arrow][1], width) for arrow, width in (labels or {}).items())
    room |= widths
    x = _places(rows, room, above, below, gap)
    left = min((x[key] - room[key] / 2 for key in room), default=0.0)
    y = {key: at * (row_height + row_gap) + row_height / 2 for at, row in enumerate(rows) for key in row}
    point = {key: (x[key] - left, y[key]) for key in x}
    return Layout(
        {key: point[key] for key in widths},
        {arrow: tuple(point[key] for key in chain) for arrow, chain in chains.items()},
        max((point[key][0] + room[key] / 2 for key in room), default=0.0),
        max(len(rows) * (row_height + row_gap) - row_gap, 0.0),
    )


def layers_of(nodes: Sequence[int], edges: Sequence[tuple[int, int]]) -> dict[int, int]:
    """The layer of each node: one below the lowest of those it depends on."""
    waits = dict.fromkeys(nodes, 0)
    after: dict[int, list[int]] = {node: [] for node in nodes}
    for source, target in edges:
        waits[target] += 1
        after[source].append(target)
    layer = dict.fromkeys(nodes, 0)
    ready = [node for node in nodes if not waits[node]]
    for node in ready:
        for target in after[node]:
            layer[target] = max(layer[target], layer[node] + 1)
            waits[target] -= 1
            if not waits[target]:
                ready.append(target)
    if len(ready) < len(nodes):
        raise ValueError("the graph has a circle")
    return layer


def _chains(edges: Sequence[tuple[int, int]], layer: Mapping[int, int]) -> dict[tuple[int, int], list[int]]:
    """Each arrow as a chain of nodes one layer apart; bends are nodes with numbers that nobody else has."""
    fresh = count(max(layer, default=0) + 1)
    bends = sum(layer[target] - layer[source] - 1 for source, target in edges)
    chains: dict[tuple[int, int], list[int]] = {}
    for source, target in edges:
        inner = range(layer[source] + 1, layer[target]) if bends <= MAX_BENDS else ()
        chains[source, target] = [source, *(next(fresh) for _ in inner), target]
    return chains


def _rows(
    widths: Mapping[int, float], chains: Mapping[tuple[int, int], list[int]], layer: Mapping[int, int]
) -> list[list[int]]:
    rows: list[list[int]] = [[] for _ in range(max(layer.values(), default=-1) + 1)]
    for key in widths:
        rows[layer[key]].append(key)
    for (source, _), chain in chains.items():
        for step, key in enumerate(chain[1:-1], 1):
            rows[layer[source] + step].append(key)
    return rows


def _neighbours(chains: Mapping[tuple[int, int], list[int]]) -> tuple[dict[int, list[int]], dict[int, list[int]]]:
    above: dict[int, list[int]] = {}
    below: dict[int, list[int]] = {}
    for chain in chains.values():
        for upper, lower in pairwise(chain):
            above.setdefault(lower, []).append(upper)
            below.setdefault(upper, []).append(lower)
    return above, below


def _reduce_crossings(rows: list[list[int]], above: Mapping[int, list[int]], below: Mapping[int, list[int]]) -> None:
    place = {key: float(at) for row in rows for at, key in enumerate(row)}
    for sweep in range(_SWEEPS):
        down = sweep % 2 == 0
        near = above if down else below
        for row in rows if down else reversed(rows):
            wanted = {key: _mean([place[each] for each in near.get(key, ())], place[key]) for key in row}
            row.sort(key=lambda key: wanted[key])
            place.update((key, float(at)) for at, key in enumerate(row))


def _mean(values: Sequence[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _places(
    rows: Sequence[Sequence[int]],
    widths: Mapping[int, float],
    above: Mapping[int, list[int]],
    below: Mapping[int, list[int]],
    gap: float,
) -> dict[int, float]:
    x = {key: at * gap for row in rows for at, key in enumerate(row)}
    for sweep in range(_SWEEPS):
        down = sweep % 2 == 0
        near = above if down else below
        for row in rows if down else reversed(rows):
            wanted = [_mean([x[each] for each in near.get(key, ())], x[key]) for key in row]
            x.update(zip(row, spread(wanted, [widths[key] for key in row], gap), strict=True))
    return x


def spread(wanted: Sequence[float], widths: Sequence[float], gap: float) -> list[float]:
    """Centers as near as possible to ``wanted``, in this order, with ``gap`` between the boxes (least squares)."""
    offsets, at = [], 0.0
    for index, width in enumerate(widths):
        at += 0.0 if index == 0 else (widths[index - 1] + width) / 2 + gap
        offsets.append(at)
    blocks: list[
        tuple[float, int]
    ] = []  # (sum of wishes, how many): pooled while a later one wishes to be further left
    for wish, offset in zip(wanted, offsets, strict=True):
        total, size = wish - offset, 1
        while blocks and blocks[-1][0] / blocks[-1][1] > total / size:
            before = blocks.pop()
            total, size = total + before[0], size + before[1]
        blocks.append((total, size))
    bases = [total / size for total, size in blocks for _ in range(size)]
    return [base + offset for base, offset in zip(bases, offsets, strict=True)]
