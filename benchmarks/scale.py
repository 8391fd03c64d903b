"""raywf long and wide, and what a task costs against what there is of everything: bars, and curves as SVG and JSON.

    python benchmarks/scale.py                    all bars, once: about ten minutes on two cores
    python benchmarks/scale.py --only sleepers    a row, or several with commas
    python benchmarks/scale.py --curves           the curves as well: about ten minutes more
    python benchmarks/scale.py --only none --curves tasks,history     some curves, and no row
    python benchmarks/scale.py --curves --charts docs/curves          those of docs/scale.md
    python benchmarks/scale.py --quick            does every program run? (its figures mean nothing)

Exit 0: all chosen rows ran. 1: a row failed, or with --strict a bar was missed.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from benchmarks import curves, drawing, growth, machine, report
from benchmarks.figures import number
from benchmarks.sample import Sample, module, take


@dataclass(frozen=True, slots=True)
class Bar:
    """One figure of a row's sample, and the most it may be."""

    row: str
    figure: str
    what: str
    at_most: float


@dataclass(frozen=True, slots=True)
class Row:
    """A sample: a program with its arguments, and with those that only prove that it runs; perhaps beside a server."""

    name: str
    full: str
    quick: str
    program: str = "scale_rows"
    on_postgres: bool = False

    def command(self, quick: bool) -> list[str]:
        server = module("on_postgres") if self.on_postgres else []
        return [*server, *module(self.program), *(self.quick if quick else self.full).split()]


ROWS = (
    Row("sleepers", "sleepers --n 100000", "sleepers --n 2000"),
    Row("timers", "timers --n 100000 --spread 60", "timers --n 500 --spread 3"),
    Row("history", "history --n 100000", "history --n 3000"),
    Row("fan", "fan --n 50000 --small 1000 --rounds 5", "fan --n 2000 --small 200 --rounds 1"),
    Row("chain40", "chain40 --n 20", "chain40 --n 2"),
    Row("takeover-kill", "takeover kill --n 10000", "takeover kill --n 100"),
    Row("takeover-stop", "takeover stop --n 10000", "takeover stop --n 100"),
    Row("flow-1", "throughput --n 20000 --actors 1", "throughput --n 400 --actors 1"),
    Row("flow-2", "throughput --n 20000 --actors 2", "throughput --n 400 --actors 2"),
    Row("flow-pg-1", "throughput --n 20000 --actors 1", "throughput --n 400 --actors 1", on_postgres=True),
    Row("flow-pg-2", "throughput --n 20000 --actors 2", "throughput --n 400 --actors 2", on_postgres=True),
    Row("pg-limit", "copy --n 20000", "copy --n 500", "postgres_limit", on_postgres=True),
)
BARS = (
    Bar("sleepers", "over_idle_mb", "100,000 waiting executions, MB PSS over the idle engine", 120),
    Bar("sleepers", "restart_s", "a new engine on them, s beside ray.init", 3),
    Bar("timers", "late_p99_s", "100,000 timers spread over 60 s, late at p99, s", 1),
    Bar("history", "resume_s", "100,000 events: from a signal to the result in a new engine, s", 1),
    Bar("history", "step_ratio", "the same: a step at the end to one at the beginning", 1.2),
    Bar("fan", "peak_over_idle_mb", "fan-out of 50,000, MB PSS over the idle engine", 500),
    Bar("fan", "ratio", "the same: cost per task to that at 1,000", 1.2),
    Bar("chain40", "p50_s", "chain of 40 tasks of 10 ms, s", 0.6),
    Bar("takeover-kill", "next_event_s", "10,000 on 2 actors, one killed, last execution's next event, s", 1.5),
    Bar("takeover-stop", "next_event_s", "the same without a notice, by lease expiry alone, s", 4),
)
NODES = (1, 2, 3, 4, 6, 8, 12, 16)
STORES = (1, 4, 16)
FULL = 0.7
"""How busy a store may be before its queue is what is measured."""


def verdicts(samples: Sequence[Sample]) -> list[tuple[Bar, float, bool]]:
    """Each bar whose row was measured, its figure, and whether it is met."""
    found = {sample.row: sample.figures for sample in samples if not sample.error}
    figures = [(bar, found[bar.row][bar.figure]) for bar in BARS if bar.figure in found.get(bar.row, {})]
    return [(bar, figure, figure <= bar.at_most) for bar, figure in figures]


FAMILIES: dict[str, str | None] = {"flow-": None, "flow-pg-": "here"}
"""Rows of the same store with 1, 2, … workflow actors, and where the store's work is done."""
WITHIN = 0.2
"""How far the model may be from what was measured."""


def modelled(samples: Sequence[Sample]) -> list[tuple[str, float, float]]:
    """(row, executions/s measured, executions/s by the model). The model's costs are those of one actor, so that two are
    foretold and not fitted."""
    found = {sample.row: sample for sample in samples if not sample.error}
    answers = []
    for family, server in FAMILIES.items():
        if family + "1" not in found:
            continue
        costs = growth.Costs.of(found[family + "1"].figures)
        for name in sorted(row for row in found if row.startswith(family) and row[len(family) :].isdigit()):
            actors, n, cores = (int(found[name].details[key]) for key in ("actors", "n", "cores"))
            flow = growth.flow(costs, growth.Shape(cores=cores, actors=actors, server=server), n // actors)
            answers.append((name, found[name].figures["per_s"], flow.per_s))
    return answers


def grown(samples: Sequence[Sample]) -> dict[str, list[growth.Point]]:
    """The model taken to 16 nodes, with one server and with more; empty without the rows ``flow-pg-1`` and ``pg-limit``.
    A server is busy with an execution for as long as it was, or as its limit by COPY says, whichever is longer."""
    found = {sample.row: sample for sample in samples if not sample.error}
    if not {"flow-pg-1", "pg-limit"} <= found.keys():
        return {}
    costs = growth.Costs.of(found["flow-pg-1"].figures)
    costs = dataclasses.replace(costs, server_us=max(costs.server_us, 1e6 / found["pg-limit"].figures["per_s"]))
    return {
        f"{stores} server{'s' if stores > 1 else ''} of {1e6 / costs.server_us:,.0f}/s": growth.growth(
            costs, growth.server(stores), NODES, 4_000
        )
        for stores in STORES
    }


def growth_text(foretold: list[tuple[str, float, float]], points: dict[str, list[growth.Point]]) -> str:
    """The model beside what was measured, and where it goes."""
    if not foretold:
        return ""
    rows = [
        [
            name,
            number(real),
            number(model),
            f"{model / real:.2f}",
            "met" if abs(model / real - 1) <= WITHIN else "NOT MET",
        ]
        for name, real, model in foretold
    ]
    text = "\n" + report.table(["row", "executions/s", "by the model", "ratio", f"within {WITHIN:.0%}"], rows)
    for name, line in points.items():
        rows = [
            [f"{each.nodes}", number(each.per_s), f"{each.linear:.2f}", f"{each.store_busy:.0%}", each.saturated]
            for each in line
        ]
        text += f"\n\nby the model, {name}:\n"
        text += report.table(["nodes", "executions/s", "to linear", "store busy", "busiest"], rows)
        least = min((each.linear for each in line if each.store_busy <= FULL), default=None)
        text += (
            "" if least is None else f"\nwhile the store is busy for at most {FULL:.0%}: {least:.2f} of linear, or more"
        )
    return text


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", metavar="ROW[,ROW]", help="these rows; none: no row")
    parser.add_argument("--curves", nargs="?", const="all", default="", metavar="NAME[,NAME]", help="draw curves, too")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: proves that the programs run")
    parser.add_argument("--dir", type=Path, default=Path(".bench"), help="where stores and results are; a real disk")
    parser.add_argument(
        "--rounds", type=int, default=1, help="samples of each point of a curve; their median counts (default 1)"
    )
    parser.add_argument("--charts", type=Path, help="where the curves go, NAME.svg and NAME.json (default --dir)")
    parser.add_argument("--strict", action="store_true", help="exit 1 when a bar is missed")
    given = parser.parse_args()
    wanted = {name for name in given.only.split(",") if name}
    unknown = wanted - {row.name for row in ROWS} - {"none"}
    if unknown:
        parser.error(f"no row is called {', '.join(sorted(unknown))}. There are: {', '.join(row.name for row in ROWS)}")
    asked = {name for name in given.curves.split(",") if name}
    names = [curve.name for curve in curves.CURVES]
    if unknown := asked.difference(names, ["all"]):
        parser.error(f"no curve is called {', '.join(sorted(unknown))}. There are: {', '.join(names)}")
    directory = given.dir.resolve()
    machine.check_disk(directory)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / ".gitignore").write_text("*\n")

    def sample(name: str, arguments: str) -> Sample:
        return sampled(name, [*module("scale_rows"), *arguments.split()])

    def sampled(name: str, command: Sequence[str]) -> Sample:
        print(f"{name} ... ", end="", file=sys.stderr, flush=True)
        taken = take(name, 1, command, directory, timeout_s=300)
        said = taken.error or ", ".join(f"{key} {number(value)}" for key, value in taken.figures.items())
        print(f"{said} ({taken.took_s:.0f} s)", file=sys.stderr, flush=True)
        return taken

    facts = machine.facts(directory)
    chosen = [row for row in ROWS if not wanted or row.name in wanted]
    samples = [sampled(row.name, row.command(given.quick)) for row in chosen]
    judged = verdicts(samples)
    words = {True: "met", False: "NOT MET"}
    lines = [
        [bar.what, number(figure), f"<= {bar.at_most:g}", "not judged" if given.quick else words[met]]
        for bar, figure, met in judged
    ]
    print(report.facts_text(facts) + "\n\n" + report.table(["bar", "measured", "must be", "verdict"], lines))
    foretold, points = modelled(samples), grown(samples)
    print(growth_text(foretold, points))
    wanted_curves = [each for each in curves.CURVES if "all" in asked or each.name in asked]
    charts = curves.measure(wanted_curves, sample, given.quick, max(1, given.rounds)) | curves.by_the_model(points)
    where = directory if given.charts is None else given.charts.resolve()
    for name, chart in charts.items():
        report.write(where / f"{name}.json", {"machine": facts, "chart": chart.to_data()})
        (where / f"{name}.svg").write_text(drawing.svg(chart), encoding="utf-8")
    document = {
        "machine": facts,
        "samples": [dataclasses.asdict(each) for each in samples],
        "bars": [dataclasses.asdict(bar) | {"measured": figure, "met": met} for bar, figure, met in judged],
        "model": [
            {"row": row, "measured_per_s": real, "model_per_s": model, "met": abs(model / real - 1) <= WITHIN}
            for row, real, model in foretold
        ],
        "growth": {name: [dataclasses.asdict(each) for each in line] for name, line in points.items()},
        "charts": {name: chart.to_data() for name, chart in charts.items()},
    }
    report.write(directory / "scale.json", document)
    print(f"\nevery sample: {directory / 'scale.json'}")
    failed = [each for each in samples if each.error]
    missed = given.strict and not given.quick and not all(met for _, _, met in judged)
    return 1 if failed or missed else 0


if __name__ == "__main__":
    sys.exit(main())
