"""``python -m raywf.testing.simulate``: try seeds, and print those that go wrong, with their schedules trimmed."""

from __future__ import annotations

import argparse
import gc
import sys
import time
from collections.abc import Sequence

from raywf.testing.simulation.catalogue import CASES
from raywf.testing.simulation.faults import KINDS
from raywf.testing.simulation.run import Verdict, shrink, simulate_seed


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit 0: all seeds are well; 1: some are not; 2: wrong usage."""
    parser = argparse.ArgumentParser(prog="python -m raywf.testing.simulate", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000, help="how many (default 1000)")
    parser.add_argument("--from", type=int, default=1, dest="first", help="the first seed (default 1)")
    parser.add_argument("--workflow", choices=sorted(CASES), help="this one only; else each seed draws some")
    parser.add_argument("--faults", help=f"only these kinds, with commas: {', '.join(KINDS)}")
    parser.add_argument("--stop", action="store_true", help="stop at the first seed that goes wrong")
    given = parser.parse_args(arguments)
    kinds = tuple(given.faults.split(",")) if given.faults else KINDS
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown:
        parser.error(f"there is no fault {unknown[0]!r}: choose from {', '.join(KINDS)}")
    began, wrong = time.perf_counter(), 0
    for number, seed in enumerate(range(given.first, given.first + given.seeds), 1):
        verdict = simulate_seed(seed, given.workflow, kinds)
        if verdict.violation is not None:
            wrong += 1
            _say(verdict, given.workflow)
            if given.stop:
                break
        if number % 100 == 0:
            gc.collect()
    seconds = time.perf_counter() - began
    sys.stderr.write(f"{number} seeds in {seconds:.1f} s ({number / seconds:.0f}/s), {wrong} went wrong\n")
    return 1 if wrong else 0


def _say(verdict: Verdict, workflow: str | None) -> None:
    trimmed = shrink(verdict.scenario)
    again = f"--seeds 1 --from {verdict.scenario.seed}" + (f" --workflow {workflow}" if workflow else "")
    print(f"{verdict.violation}\n  {trimmed}\n  again: python -m raywf.testing.simulate {again}\n")


if __name__ == "__main__":
    sys.exit(main())
