"""Curves of a figure against a size, as plain SVG: no library, both axes logarithmic."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from benchmarks.figures import number
from benchmarks.sample import Sample

_WIDTH, _HEIGHT, _EDGE = 560, 320, 56


@dataclass(frozen=True, slots=True)
class Curve:
    """A figure of a sample against a size; ``arguments`` of the sample have {n} for each of ``sizes``."""

    name: str
    against: str
    figure: str
    unit: str
    arguments: str
    sizes: tuple[int, ...]

    def points(self, quick: bool) -> list[tuple[int, str]]:
        """The sizes and the arguments at each. ``quick``: sizes that only prove that the programs run."""
        sizes = [max(300, n // 50) if quick and n > 300 else n for n in self.sizes]
        return [(n, self.arguments.format(n=n)) for n in dict.fromkeys(sizes)]


def measure(
    curves: Sequence[Curve], sample: Callable[[str, str], Sample], quick: bool = False
) -> dict[str, list[tuple[int, float]]]:
    """The points of each curve that could be measured."""
    drawn: dict[str, list[tuple[int, float]]] = {}
    for curve in curves:
        for size, arguments in curve.points(quick):
            taken = sample(f"curve-{curve.name}-{size}", arguments)
            if not taken.error and curve.figure in taken.figures:
                drawn.setdefault(curve.name, []).append((size, taken.figures[curve.figure]))
    return drawn


def drawings(curves: Sequence[Curve], drawn: Mapping[str, Sequence[tuple[int, float]]]) -> dict[str, str]:
    return {curve.name: svg(curve, drawn[curve.name]) for curve in curves if drawn.get(curve.name)}


def svg(curve: Curve, points: Sequence[tuple[int, float]]) -> str:
    """One curve, its points named by their values. The vertical axis spans at least a factor of ten, so that what is
    flat looks flat."""
    xs, ys = [math.log10(x) for x, _ in points], [math.log10(max(y, 1e-9)) for _, y in points]
    left, right = min(xs), max(max(xs), min(xs) + 1e-9)
    middle, span = (min(ys) + max(ys)) / 2, max(max(ys) - min(ys), 1.0) * 1.2

    def place(x: float, y: float) -> tuple[float, float]:
        across = _EDGE + (x - left) / (right - left) * (_WIDTH - 2 * _EDGE)
        return across, _HEIGHT / 2 - (y - middle) / span * (_HEIGHT - 2 * _EDGE)

    at = [place(x, y) for x, y in zip(xs, ys, strict=True)]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in at)
    marks = "".join(
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3"/><text x="{x:.1f}" y="{y - 8:.1f}" text-anchor="middle">'
        f'{number(value)}</text><text x="{x:.1f}" y="{_HEIGHT - 30}" text-anchor="middle">{size:,}</text>'
        for (x, y), (size, value) in zip(at, points, strict=True)
    )
    title = f"{escape(curve.unit)} against {escape(curve.against)}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" '
        f'font-size="11" role="img" aria-label="{title}"><rect width="100%" height="100%" fill="white"/>'
        f'<text x="{_EDGE}" y="20" font-size="13">{title}</text>'
        f'<polyline points="{line}" fill="none" stroke="currentColor" stroke-width="1.5"/>{marks}</svg>\n'
    )
