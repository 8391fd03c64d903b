"""The verdicts and the curves of ``scale.py``."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from benchmarks import curves, scale
from benchmarks.sample import Sample


def test_a_bar_is_met_at_its_figure_and_not_above_and_failed_rows_are_not_judged() -> None:
    samples = [
        Sample("sleepers", 1, {"over_idle_mb": 120.0, "restart_s": 3.01}),
        Sample("timers", 1, {"late_p99_s": 0.1}, error="failed"),
    ]
    found = {bar.figure: met for bar, _, met in scale.verdicts(samples)}
    assert found == {"over_idle_mb": True, "restart_s": False}


def test_every_bar_belongs_to_a_row() -> None:
    assert {bar.row for bar in scale.BARS} <= {row.name for row in scale.ROWS}


@pytest.mark.parametrize("points", [[(1, 3.0)], [(1000, 33.5), (50_000, 36.0)], [(1, 0.0), (2, 9e6)]])
def test_a_curve_is_a_picture_with_a_mark_for_each_point(points: list[tuple[int, float]]) -> None:
    curve = curves.Curve("n", "tasks <&>", "f", "µs", {})
    root = ET.fromstring(curves.svg(curve, points))
    assert len(root.findall("{*}circle")) == len(points)
    for mark in root.findall("{*}circle"):
        assert 0 <= float(mark.attrib["cx"]) <= 560
        assert 0 <= float(mark.attrib["cy"]) <= 320


def test_only_what_was_measured_is_drawn() -> None:
    curve = curves.Curve("n", "tasks", "f", "µs", {1: "a", 2: "b"})

    def sample(name: str, arguments: str) -> Sample:
        return Sample(name, 1, {"f": 2.0}, error="" if arguments == "a" else "failed")

    drawn = curves.measure([curve], sample)
    assert drawn == {"n": [(1, 2.0)]}
    assert set(curves.drawings([curve], drawn)) == {"n"}
    assert curves.drawings([curve], {}) == {}
