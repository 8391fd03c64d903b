"""What must be reached, and whether the samples reach it. Comparisons are made round by round; their median decides."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from benchmarks.catalogue import DBOS_POSTGRES_ROWS, DBOS_ROWS, LANGGRAPH_ROWS, SAYIIR_ROWS
from benchmarks.figures import Spread, number, ratios
from benchmarks.sample import Sample


@dataclass(frozen=True, slots=True)
class Verdict:
    """One bar. `met` is None where nothing could be compared, and where a figure is for information and has no bar."""

    what: str
    measured: str
    bar: str
    met: bool | None
    samples: list[float] = field(default_factory=list)

    @property
    def word(self) -> str:
        if self.met is None:
            return "-" if self.bar == "" else "not measured"
        return "met" if self.met else "NOT MET"


class Measured:
    """The samples by row and round."""

    def __init__(self, samples: Iterable[Sample]) -> None:
        self._samples = [sample for sample in samples if not sample.error]

    def by_round(self, row: str, figure: str) -> dict[int, float]:
        return {s.round: s.figures[figure] for s in self._samples if s.row == row and figure in s.figures}

    def values(self, row: str, figure: str) -> list[float]:
        return list(self.by_round(row, figure).values())

    def faster(self, names: Sequence[str], figure: str = "per_s") -> str | None:
        """Of a peer's modes the one with the best median."""
        medians = {name: statistics.median(values) for name in names if (values := self.values(name, figure))}
        return max(medians, key=medians.__getitem__) if medians else None


def verdicts(samples: Iterable[Sample]) -> list[Verdict]:
    measured = Measured(samples)
    dbos, langgraph = measured.faster(DBOS_ROWS), measured.faster(LANGGRAPH_ROWS)
    dbos_postgres, sayiir = measured.faster(DBOS_POSTGRES_ROWS), measured.faster(SAYIIR_ROWS)
    return [
        _ratio(
            measured, "durable 5-step executions, async tasks, to the bare group commit", "actor-async", "bare", 0.4
        ),
        _ratio(measured, "the same, sync tasks", "actor-sync", "bare", None),
        _ratio(
            measured,
            f"durable 5-step executions to {dbos or 'DBOS on SQLite'}, its fastest mode",
            "actor-async",
            dbos,
            40,
        ),
        _ratio(
            measured,
            f"the same to {langgraph or 'LangGraph on SQLite'}, its fastest mode",
            "actor-async",
            langgraph,
            None,
        ),
        _ratio(
            measured,
            "20,000 of them on one workflow actor, to the bare group commit",
            "many-one-actor",
            "many-bare",
            0.55,
        ),
        _ratio(measured, "the same on two workflow actors", "many-two-actors", "many-bare", 1.0),
        _limit(measured, "durable 5-step executions on PostgreSQL, 1/s", "pg-raywf", "per_s", at_least=2500),
        _ratio(
            measured,
            f"the same to {dbos_postgres or 'DBOS on PostgreSQL'}, its fastest mode",
            "pg-raywf",
            dbos_postgres,
            30,
        ),
        _ratio(measured, f"the same to {sayiir or 'Sayiir on PostgreSQL'}, its fastest mode", "pg-raywf", sayiir, None),
        _ratio(measured, "the same to the limit by COPY", "pg-raywf", "pg-copy", None),
        _ratio(measured, "chains of 5 trivial Ray tasks to raw Ray chains", "ray-raywf", "ray-raw", 10),
        _ratio(measured, "chains of 5 Ray tasks of 20 ms CPU to raw Ray chains", "cpu-raywf", "cpu-raw", 0.9),
        _limit(measured, "the less busy core meanwhile", "cpu-raywf", "idlest", at_least=0.85),
        single_execution(measured),
        _limit(measured, "import raywf, s", "import", "import_s", at_most=0.3),
        _limit(measured, "from raywf import connect, task, workflow, s", "import", "names_s"),
        _limit(measured, "import raywf: Ray imported (1) or not (0)", "import", "ray_imported", at_most=0),
        _limit(measured, "`raywf run` in an empty directory, to its result, s", "cold", "result_s"),
        _limit(
            measured,
            "executions waiting for a signal, MB PSS over the idle engine",
            "memory",
            "over_idle_mb",
            at_most=40,
        ),
        _limit(measured, "kill -9, to the last execution's next event, s", "kill", "next_event_s", at_most=4),
        _limit(
            measured, "kill -9, runs of the attempt that ran most often", "kill", "most_runs_of_an_attempt", at_most=2
        ),
        _limit(measured, "language identification, accuracy of log_pool", "langid", "log_pool accuracy"),
        _limit(measured, "language identification, ECE of log_pool", "langid", "log_pool ece"),
        _limit(measured, "language identification, accuracy of majority", "langid", "majority accuracy"),
        _limit(measured, "language identification, ECE of majority", "langid", "majority ece"),
    ]


def single_execution(measured: Measured) -> Verdict:
    """p50 ≤ 5 ms and p99 ≤ 25 ms; or, with a slow disk or Ray, p50 ≤ ping + 6 bare commits + 2 ms of the process."""
    what, bar = "one execution of 5 tasks, ms", "p50 ≤ 5 and p99 ≤ 25, or p50 ≤ ping + 6 commits + 2"
    p50, p99 = measured.values("single", "p50_ms"), measured.values("single", "p99_ms")
    if not p50:
        return Verdict(what, "", bar, None)
    ping, commit = measured.values("single", "ping_p50_ms"), measured.values("single", "commit_p50_ms")
    allowed = statistics.median(a + 6 * b + 2 for a, b in zip(ping, commit, strict=True))
    within = statistics.median(p50) <= 5 and statistics.median(p99) <= 25
    said = f"p50 {Spread.of(p50).format()}, p99 {Spread.of(p99).format()}; ping + 6 commits + 2 = {number(allowed)}"
    return Verdict(what, said, bar, within or statistics.median(p50) <= allowed, p50)


def _ratio(measured: Measured, what: str, ours: str, theirs: str | None, at_least: float | None) -> Verdict:
    bar = "" if at_least is None else f"≥ {at_least:g} ×"
    samples = (
        list(ratios(measured.by_round(ours, "per_s"), measured.by_round(theirs, "per_s")).values()) if theirs else []
    )
    if not samples:
        return Verdict(what, "", bar, None)
    spread = Spread.of(samples)
    return Verdict(what, spread.format("×"), bar, None if at_least is None else spread.median >= at_least, samples)


def _limit(
    measured: Measured, what: str, row: str, figure: str, *, at_least: float | None = None, at_most: float | None = None
) -> Verdict:
    bar = f"≥ {at_least:g}" if at_least is not None else f"≤ {at_most:g}" if at_most is not None else ""
    samples = measured.values(row, figure)
    if not samples:
        return Verdict(what, "", bar, None)
    spread = Spread.of(samples)
    met = None if not bar else spread.median >= at_least if at_least is not None else spread.median <= (at_most or 0)
    return Verdict(what, spread.format(), bar, met, samples)
