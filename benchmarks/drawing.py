"""Charts as plain SVG, without a library: ``python -m benchmarks.drawing FILE.json …`` draws each into FILE.svg.

The horizontal axis is logarithmic, because sizes are tried in leaps. The vertical one begins at nought unless a chart says otherwise,
so that what is flat looks flat and what doubles looks doubled. Colours follow the reader's light or dark.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path
from typing import Any

from benchmarks.figures import number

Points = Sequence[tuple[float, float]]

_WIDTH, _HEIGHT = 640, 360
_LEFT, _RIGHT, _TOP, _BOTTOM = 78, 24, 64, 56
_STYLE = """
.bg{fill:#fff}.t{fill:#1f2328}.m{fill:#59636e}.g{stroke:#d1d9e0}.a{stroke:#59636e}
.s0{stroke:#0969da}.s1{stroke:#bc4c00}.s2{stroke:#1a7f37}.s3{stroke:#59636e;stroke-dasharray:5 4}
.f0{fill:#0969da}.f1{fill:#bc4c00}.f2{fill:#1a7f37}.f3{fill:#59636e}
@media (prefers-color-scheme:dark){
.bg{fill:#0d1117}.t{fill:#f0f6fc}.m{fill:#9198a1}.g{stroke:#30363d}.a{stroke:#9198a1}
.s0{stroke:#4493f8}.s1{stroke:#f0883e}.s2{stroke:#3fb950}.s3{stroke:#9198a1}
.f0{fill:#4493f8}.f1{fill:#f0883e}.f2{fill:#3fb950}.f3{fill:#9198a1}}
""".replace("\n", "")


@dataclass(frozen=True, slots=True)
class Series:
    """A line. ``is_guide``: not measured but drawn for comparison, dashed and without marks."""

    name: str
    points: Points
    is_guide: bool = False


@dataclass(frozen=True, slots=True)
class Chart:
    """``x`` and ``y`` are the words at the axes, with their units. ``is_log``: the vertical axis, too, is logarithmic."""

    title: str
    x: str
    y: str
    series: tuple[Series, ...]
    is_log: bool = False

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Chart:
        """From its JSON."""
        series = (
            Series(each["name"], [(x, y) for x, y in each["points"]], each["is_guide"]) for each in data["series"]
        )
        return cls(data["title"], data["x"], data["y"], tuple(series), data["is_log"])

    def to_data(self) -> dict[str, Any]:
        return asdict(self)


def svg(chart: Chart) -> str:
    """The picture. Raises ``ValueError`` for a chart without points."""
    every = [point for series in chart.series for point in series.points]
    if not every:
        raise ValueError(f"the chart {chart.title!r} has no points")
    xs = sorted({x for x, _ in every})
    frame = _Frame(xs, [y for _, y in every], chart.is_log)
    size = f'viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}"'
    font = f'font-family="system-ui,sans-serif" font-size="12" role="img" aria-label="{escape(chart.title)}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} {font}>',
        f"<style>{_STYLE}</style>",
        f'<rect class="bg" width="{_WIDTH}" height="{_HEIGHT}" rx="6"/>',
        f'<text class="t" x="{_LEFT}" y="24" font-size="14" font-weight="600">{escape(chart.title)}</text>',
        *_axes(chart, frame, xs),
    ]
    styles = [3 if series.is_guide else place % 3 for place, series in enumerate(chart.series)]
    together = sorted(zip(chart.series, styles, strict=True), key=lambda each: not each[0].is_guide)  # guides lie below
    for series, style in together:
        parts.extend(_line(series, style, frame, values=len(chart.series) == 1))
    if len(chart.series) > 1:
        parts.extend(_legend([series.name for series in chart.series], styles))
    return "\n".join((*parts, "</svg>", ""))


class _Frame:
    """Where values are on the page."""

    def __init__(self, xs: Sequence[float], ys: Sequence[float], is_log: bool) -> None:
        self._is_log = is_log
        low, high = math.log10(xs[0]), math.log10(xs[-1])
        pad = (high - low) * 0.04 or 0.5
        self._left, self._right = low - pad, high + pad
        self.ticks = _decades(min(ys), max(ys)) if is_log else _even(max(ys))
        self._bottom, self._top = self._up(self.ticks[0]), self._up(self.ticks[-1])

    def _up(self, y: float) -> float:
        return math.log10(max(y, 1e-12)) if self._is_log else y

    def x(self, value: float) -> float:
        return _LEFT + (math.log10(value) - self._left) / (self._right - self._left) * (_WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        share = (self._up(value) - self._bottom) / ((self._top - self._bottom) or 1.0)
        return _HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM)


def _even(top: float) -> list[float]:
    """From nought in a few even steps of 1, 2, 2.5 or 5 times a power of ten, with room above the highest."""
    if top <= 0:
        return [0.0, 1.0]
    rough = top * 1.12 / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * nice for nice in (1, 2, 2.5, 5, 10) if power * nice >= rough)
    return [step * k for k in range(math.ceil(top * 1.12 / step) + 1)]


def _decades(low: float, high: float) -> list[float]:
    """1, 2 and 5 times powers of ten around both, or the powers alone where they are many."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    nice = (1, 2, 5) if last - first <= 3 else (1,)
    ticks = [10.0**power * each for power in range(first, last + 1) for each in nice]
    below, above = [each for each in ticks if each <= low], [each for each in ticks if each >= high]
    return [each for each in ticks if below[-1] <= each <= above[0]]


def _axes(chart: Chart, frame: _Frame, xs: Sequence[float]) -> list[str]:
    bottom, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
    parts = []
    for tick in frame.ticks:
        y = frame.y(tick)
        parts.append(f'<line class="g" x1="{_LEFT}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}"/>')
        parts.append(f'<text class="m" x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{_short(tick)}</text>')
    taken = -math.inf
    for value in xs:
        x = frame.x(value)
        parts.append(f'<line class="a" x1="{x:.1f}" y1="{bottom}" x2="{x:.1f}" y2="{bottom + 5}"/>')
        if x - taken > 34:
            parts.append(f'<text class="m" x="{x:.1f}" y="{bottom + 19}" text-anchor="middle">{_short(value)}</text>')
            taken = x
    middle = (_TOP + bottom) / 2
    return [
        *parts,
        f'<line class="a" x1="{_LEFT}" y1="{bottom}" x2="{right}" y2="{bottom}"/>',
        f'<text class="t" x="{(_LEFT + right) / 2:.0f}" y="{_HEIGHT - 14}" text-anchor="middle">{escape(chart.x)}</text>',
        f'<text class="t" x="18" y="{middle:.0f}" text-anchor="middle" transform="rotate(-90 18 {middle:.0f})">{escape(chart.y)}</text>',
    ]


def _line(series: Series, style: int, frame: _Frame, *, values: bool) -> list[str]:
    at = [(frame.x(x), frame.y(y)) for x, y in series.points]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in at)
    parts = [f'<polyline class="s{style}" points="{line}" fill="none" stroke-width="2" stroke-linejoin="round"/>']
    if series.is_guide:
        return parts
    for (x, y), (_, value) in zip(at, series.points, strict=True):
        parts.append(f'<circle class="f{style}" cx="{x:.1f}" cy="{y:.1f}" r="3.5"/>')
        if values:
            parts.append(f'<text class="t" x="{x:.1f}" y="{y - 10:.1f}" text-anchor="middle">{number(value)}</text>')
    return parts


def _legend(names: Sequence[str], styles: Sequence[int]) -> list[str]:
    """Side by side under the title. Raises ``ValueError`` where there is no room for them."""
    parts, x = [], float(_LEFT)
    for name, style in zip(names, styles, strict=True):
        parts.append(f'<line class="s{style}" x1="{x:.0f}" y1="44" x2="{x + 22:.0f}" y2="44" stroke-width="2"/>')
        parts.append(f'<text class="t" x="{x + 28:.0f}" y="48">{escape(name)}</text>')
        x += 44 + 7 * len(name)
    if x > _WIDTH:
        raise ValueError(f"the names {', '.join(names)} are too long to stand side by side")
    return parts


def _short(value: float) -> str:
    if value >= 1_000_000:
        return f"{value / 1_000_000:g} M"
    return f"{value:,.0f}" if value >= 10 or value == 0 else f"{value:g}"


def main() -> None:
    for name in sys.argv[1:]:
        path = Path(name)
        path.with_suffix(".svg").write_text(svg(Chart.of(json.loads(path.read_text())["chart"])), encoding="utf-8")


if __name__ == "__main__":
    main()
