"""Plain arithmetic on samples."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Spread:
    """Where a handful of samples lie. With three rounds a median and the range say all that is known."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, samples: Sequence[float]) -> Spread:
        if not samples:
            raise ValueError("no samples to summarise")
        return cls(statistics.median(samples), min(samples), max(samples))

    def format(self, unit: str = "") -> str:
        tail = f" {unit}" if unit else ""
        if self.low == self.high:
            return f"{number(self.median)}{tail}"
        return f"{number(self.median)} [{number(self.low)}-{number(self.high)}]{tail}"


def percentile(samples: Sequence[float], share: float) -> float:
    """The nearest-rank percentile: always a value that was measured, never one between two."""
    if not samples:
        raise ValueError("no samples to rank")
    if not 0 < share <= 1:
        raise ValueError(f"a share lies in (0, 1], not {share}")
    return sorted(samples)[math.ceil(share * len(samples)) - 1]


def ratios(ours: dict[int, float], theirs: dict[int, float]) -> dict[int, float]:
    """Ratio by round, for rounds in which both were measured: machines drift, so only neighbours in time compare."""
    return {turn: ours[turn] / theirs[turn] for turn in sorted(ours) if theirs.get(turn)}


def number(value: float) -> str:
    """Three significant digits or more, thousands with a comma."""
    if value == 0:
        return "0"
    size = abs(value)
    if size >= 100:
        return f"{value:,.0f}"
    if size >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if size >= 1 else f"{value:.3g}"


def expected_calibration_error(confidences: Sequence[float], hits: Sequence[bool], bins: int = 15) -> float:
    """How far confidence is from accuracy, over equal-width bins of the confidence in the answer given."""
    if len(confidences) != len(hits):
        raise ValueError(f"{len(confidences)} confidences for {len(hits)} answers")
    groups: dict[int, list[tuple[float, bool]]] = {}
    for confidence, hit in zip(confidences, hits, strict=True):
        groups.setdefault(min(int(confidence * bins), bins - 1), []).append((confidence, hit))
    gap = sum(abs(sum(c for c, _ in group) - sum(h for _, h in group)) for group in groups.values())
    return gap / len(hits) if hits else 0.0


@dataclass(frozen=True, slots=True)
class Line:
    """One figure beside its bar."""

    what: str
    measured: float
    bar: str
    met: bool
