"""The verdicts and the curves of ``scale.py``."""

from __future__ import annotations

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


def test_only_what_was_measured_is_drawn() -> None:
    curve = curves.Curve(
        "n", "tasks", "at {n}", (1, 2), (curves.Figure("c", "f", "t", "µs"), curves.Figure("d", "none", "t", "s"))
    )

    def sample(name: str, arguments: str) -> Sample:
        return Sample(name, 1, {"f": 2.0} if arguments == "at 1" else {}, error="" if arguments == "at 1" else "failed")

    charts = curves.measure([curve], sample)
    assert {name: chart.series[0].points for name, chart in charts.items()} == {"c": [(1, 2.0)]}


def test_a_point_is_the_median_of_its_rounds_and_each_round_takes_every_size() -> None:
    figures = iter([1.0, 10.0, 3.0, 30.0, 2.0, 20.0])
    curve = curves.Curve("n", "tasks", "at {n}", (1, 2), (curves.Figure("c", "f", "t", "µs"),))
    charts = curves.measure([curve], lambda name, arguments: Sample(name, 1, {"f": next(figures)}), rounds=3)
    assert charts["c"].series[0].points == [(1, 2.0), (2, 20.0)]


def test_every_chart_has_a_name_of_its_own() -> None:
    names = [figure.chart for curve in curves.CURVES for figure in curve.figures] + ["nodes"]
    assert len(set(names)) == len(names)


FLOW = {"per_s": 5_000.0, "client_us": 60.0, "loop_us": 110.0, "writer_us": 60.0, "others_us": 20.0, "fixed_ms": 0.5}
SERVED = FLOW | {"writer_us": 0.0, "server_us": 50.0}


def test_the_model_is_set_beside_what_was_measured_and_taken_to_16_nodes() -> None:
    samples = [
        Sample("flow-1", 1, FLOW, {"n": 2_000, "actors": 1, "cores": 2}),
        Sample("flow-2", 1, FLOW | {"per_s": 7_000.0, "loop_us": 999.0}, {"n": 2_000, "actors": 2, "cores": 2}),
        Sample("flow-pg-1", 1, SERVED, {"n": 2_000, "actors": 1, "cores": 2}),
        Sample("pg-limit", 1, {"per_s": 10_000.0}),
    ]
    foretold, points = scale.modelled(samples), scale.grown(samples)
    assert [(row, real) for row, real, _ in foretold] == [
        ("flow-1", 5_000.0),
        ("flow-2", 7_000.0),
        ("flow-pg-1", 5_000.0),
    ]
    assert all(1e6 / 250 < model < 1e6 / 110 + 2e3 for _, _, model in foretold), "costs are those of one actor"
    assert list(points) == [f"{n} of 10,000/s" for n in ("1 server", "4 servers", "16 servers")], (
        "COPY's limit is longer"
    )
    assert [line[-1].nodes for line in points.values()] == [16] * len(scale.STORES)
    chart = curves.by_the_model(points)["nodes"]
    assert [series.is_guide for series in chart.series] == [False, False, False, True]
    assert chart.series[-1].points[1][1] == pytest.approx(16 * chart.series[-1].points[0][1])
    text = scale.growth_text(foretold, points)
    assert "16" in text and "within 20%" in text


def test_a_model_that_is_too_far_off_is_told() -> None:
    assert "NOT MET" in scale.growth_text([("flow-1", 100.0, 121.0)], {})
    assert "NOT MET" not in scale.growth_text([("flow-1", 100.0, 119.0), ("flow-2", 100.0, 81.0)], {})


def test_a_row_beside_a_server_starts_it_first() -> None:
    commands = {row.name: row.command(quick=True) for row in scale.ROWS}
    assert commands["flow-1"][3:] == ["benchmarks.scale_rows", "throughput", "--n", "400", "--actors", "1"]
    assert commands["pg-limit"][3::4][:2] == ["benchmarks.on_postgres", "benchmarks.postgres_limit"]


def test_without_a_measured_flow_there_is_no_model() -> None:
    samples = [Sample("flow-1", 1, error="failed"), Sample("flow-2", 1, FLOW, {"n": 1, "actors": 2, "cores": 2})]
    assert scale.modelled(samples) == [] and scale.grown(samples) == {} and scale.growth_text([], {}) == ""


def test_quick_curves_are_small_where_a_size_can_be_small() -> None:
    curve = curves.Curve("n", "tasks", "fan {n}", (1_000, 5_000, 50_000), ())
    assert curve.points(quick=True) == [(300, "fan 300"), (1_000, "fan 1000")]
    assert curves.Curve("n", "actors", "{n}", (1, 2), ()).points(quick=True) == [(1, "1"), (2, "2")]
