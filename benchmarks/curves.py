"""Figures against sizes: which there are, and how a curve of them is measured."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.drawing import Chart, Series
from benchmarks.growth import Point
from benchmarks.sample import Sample


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of a curve's samples, and the words of the chart that shows it."""

    chart: str
    key: str
    title: str
    unit: str


@dataclass(frozen=True, slots=True)
class Curve:
    """A sample at each of ``sizes``, whose ``arguments`` have {n} for it."""

    name: str
    against: str
    arguments: str
    sizes: tuple[int, ...]
    figures: tuple[Figure, ...]

    def points(self, quick: bool) -> list[tuple[int, str]]:
        """The sizes and the arguments at each. ``quick``: sizes that only prove that the programs run."""
        sizes = [max(300, n // 50) if quick and n > 300 else n for n in self.sizes]
        return [(n, self.arguments.format(n=n)) for n in dict.fromkeys(sizes)]


CURVES = (
    Curve("tasks", "tasks in one execution", "fan --n {n} --small 1000 --rounds 3", (1_000, 5_000, 20_000, 50_000), (
        Figure("tasks", "per_task_us", "A task of a fan-out, against its width", "µs per task"),)),
    Curve("executions", "executions submitted at once", "throughput --n {n}", (500, 2_000, 8_000, 20_000), (
        Figure("executions", "per_task_us", "A task of a chain of five, against how many executions", "µs per task"),)),
    Curve("history", "events in one history", "history --n {n}", (1_000, 10_000, 50_000, 100_000), (
        Figure("history", "step_late_ms", "A task at the end of a history, against its length", "ms per task, with its commit"),
        Figure("resume", "resume_s", "From a signal to the result in a new engine", "seconds"))),
    Curve("waiting", "executions that wait", "sleepers --n {n}", (1_000, 10_000, 50_000, 100_000), (
        Figure("waiting", "per_task_us", "A task of other executions, while so many wait", "µs per task"),
        Figure("answers", "answer_p50_ms", "From a signal to the result of one that waits, p50", "ms"),
        Figure("memory", "over_idle_mb", "Memory of executions that wait, over the idle engine", "MB PSS"),
        Figure("restart", "restart_s", "A new engine on executions that wait, beside ray.init", "seconds"))),
    Curve("actors", "workflow actors on two cores", "throughput --n 20000 --actors {n}", (1, 2), (
        Figure("actors", "per_task_us", "A task of a chain of five, 20,000 executions at once", "µs per task"),)),
)  # fmt: skip


def measure(
    curves: Sequence[Curve], sample: Callable[[str, str], Sample], quick: bool = False, rounds: int = 1
) -> dict[str, Chart]:
    """The charts of each curve, of the points that could be measured: medians of some rounds, each of which takes every size."""
    charts: dict[str, Chart] = {}
    for curve in curves:
        taken: dict[int, list[Sample]] = defaultdict(list)
        for _ in range(rounds):
            for size, arguments in curve.points(quick):
                taken[size].append(sample(f"curve-{curve.name}-{size}", arguments))
        for figure in curve.figures:
            found = {
                size: [s.figures[figure.key] for s in samples if figure.key in s.figures]
                for size, samples in taken.items()
            }
            points = [(size, statistics.median(values)) for size, values in found.items() if values]
            if points:
                charts[figure.chart] = Chart(figure.title, curve.against, figure.unit, (Series("raywf", points),))
    return charts


def by_the_model(lines: Mapping[str, Sequence[Point]]) -> dict[str, Chart]:
    """Growth over nodes, a line for each number of stores; and what linear would be."""
    if not lines:
        return {}
    series = [
        Series(name.partition(" of ")[0], [(each.nodes, each.per_s) for each in line]) for name, line in lines.items()
    ]
    nodes, one = [each.nodes for each in next(iter(lines.values()))], max(line[0].per_s for line in lines.values())
    linear = Series("linear", [(n, n * one / nodes[0]) for n in (nodes[0], nodes[-1])], is_guide=True)
    each_server = next(iter(lines)).partition(" of ")[2]
    title = f"By the model: two workflow actors on each node, servers of {each_server}"
    return {"nodes": Chart(title, "nodes of two cores", "executions/s", (*series, linear), is_log=True)}
