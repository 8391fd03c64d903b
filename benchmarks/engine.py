"""raywf beside its peers and beside the limits of this machine, interleaved in one run.

    python benchmarks/engine.py                     all rows, three rounds: about a quarter of an hour on two cores
    python benchmarks/engine.py --only throughput   a group, a row, or several with commas
    python benchmarks/engine.py --quick             does every program run? (its figures mean nothing)

Exit 0: all chosen rows ran. 1: a row failed, or with --strict a bar was missed.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from benchmarks import bars, catalogue, machine, report
from benchmarks.figures import number
from benchmarks.sample import Sample, take


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", default=[], metavar="NAME[,NAME]", help="rows or groups; see --list")
    parser.add_argument("--list", action="store_true", help="name the rows and what is missing for them, and stop")
    parser.add_argument("--rounds", type=int, default=None, help="default 3, with --quick 1")
    parser.add_argument(
        "--chains", type=int, help="executions of a throughput row of raywf or its limit (default 5,000)"
    )
    parser.add_argument("--quick", action="store_true", help="tiny sizes: proves that the programs run")
    parser.add_argument(
        "--dir", type=Path, default=Path(".bench"), help="where all stores are; a real disk (default .bench)"
    )
    parser.add_argument("--out", type=Path, help="JSON with every sample (default DIR/engine.json)")
    parser.add_argument("--data", type=Path, help="CSV with kind,lang,text for the row langid; else RAYWF_BENCH_DATA")
    parser.add_argument("--keep", action="store_true", help="keep the stores and outputs of all samples")
    parser.add_argument("--strict", action="store_true", help="exit 1 when a bar is missed")
    parsed = parser.parse_args(given)
    if parsed.rounds is None:
        parsed.rounds = 1 if parsed.quick else 3
    if parsed.rounds < 1:
        parser.error("--rounds must be 1 or more")
    if parsed.chains is not None and parsed.chains < 1:
        parser.error("--chains must be 1 or more")
    if parsed.data is None and os.environ.get("RAYWF_BENCH_DATA"):
        parsed.data = Path(os.environ["RAYWF_BENCH_DATA"])
    if parsed.data is not None:
        parsed.data = parsed.data.resolve()
    parsed.dir = parsed.dir.resolve()
    parsed.out = parsed.out or parsed.dir / "engine.json"
    return parsed


def measure(rows: Sequence[catalogue.Row], given: argparse.Namespace) -> list[Sample]:
    """Each round takes every row once. Every second round goes backwards, so that a drift favours no row."""
    samples: list[Sample] = []
    for turn in range(1, given.rounds + 1):
        for row in rows if turn % 2 else reversed(rows):
            print(f"round {turn}: {row.name} ... ", end="", file=sys.stderr, flush=True)
            sample = take(row.name, turn, row.command, given.dir, timeout_s=row.timeout_s, keep=given.keep)
            samples.append(sample)
            said = sample.error or f"{number(sample.figures.get(row.figure, float('nan')))} {row.unit}"
            print(f"{said} ({sample.took_s:.0f} s)", file=sys.stderr, flush=True)
    return samples


def main() -> int:
    given = arguments()
    sizes = catalogue.QUICK if given.quick else catalogue.FULL
    all_rows = catalogue.rows(sizes if given.chains is None else replace(sizes, chains=given.chains), given.data)
    chosen = catalogue.choose(all_rows, given.only)
    skipped = catalogue.missing(chosen, given.data)
    if given.list:
        print(
            report.table(
                ["row", "group", "what", "missing"],
                [[r.name, r.group, r.title, skipped.get(r.name, "")] for r in chosen],
            )
        )
        return 0
    machine.check_disk(given.dir)
    given.dir.mkdir(parents=True, exist_ok=True)
    (given.dir / ".gitignore").write_text("*\n")
    facts = machine.facts(given.dir)
    print(report.facts_text(facts), end="\n\n")
    for reason in dict.fromkeys(skipped.values()):
        print(f"skipped: {', '.join(name for name in skipped if skipped[name] == reason)}: {reason}")
    samples = measure([row for row in chosen if row.name not in skipped], given)
    facts["load at the end"] = [round(load, 2) for load in os.getloadavg()]
    facts["calibration_ms at the end"] = round(min(machine.calibration_ms() for _ in range(3)), 1)
    judged = bars.verdicts(samples)
    print("\n" + report.rows_table(chosen, samples, given.rounds))
    if any(verdict.measured for verdict in judged):
        print("\n" + report.verdicts_table(judged, judged=not given.quick))
    options = {"rounds": given.rounds, "quick": given.quick, "chains": given.chains, "only": given.only}
    report.write(given.out, report.as_json(facts, chosen, samples, judged, skipped, options))
    print(f"\nload at the end: {facts['load at the end']}, calibration: {facts['calibration_ms at the end']} ms")
    print(f"every sample: {given.out}")
    failed = [sample for sample in samples if sample.error]
    for sample in failed:
        print(f"failed: {sample.row}, round {sample.round}: {sample.error}", file=sys.stderr)
    missed = given.strict and not given.quick and any(verdict.met is False for verdict in judged)
    return 1 if failed or missed else 0


if __name__ == "__main__":
    sys.exit(main())
