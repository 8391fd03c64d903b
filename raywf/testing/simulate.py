"""``python -m raywf.testing.simulate``: try seeds, and print those that go wrong, with their schedules trimmed."""

from __future__ import annotations

import argparse
import concurrent.futures
import functools
import gc
import sys
import time
from collections.abc import Iterator, Sequence

from raywf.testing.simulation.catalogue import CASES
from raywf.testing.simulation.faults import KINDS
from raywf.testing.simulation.run import Verdict, shrink, simulate_seed

_PART = 50
"""Seeds that a process tries before it says what came of them and sweeps up."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit 0: all seeds are well; 1: some are not; 2: wrong usage."""
    parser = argparse.ArgumentParser(prog="python -m raywf.testing.simulate", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000, help="how many (default 1000)")
    parser.add_argument("--from", type=int, default=1, dest="first", help="the first seed (default 1)")
    parser.add_argument(
        "--jobs", type=int, default=1, help="processes to try them in (default 1); the verdict is the same"
    )
    parser.add_argument("--workflow", choices=sorted(CASES), help="this one only; else each seed draws some")
    parser.add_argument("--faults", help=f"only these kinds, with commas: {', '.join(KINDS)}")
    parser.add_argument("--stop", action="store_true", help="stop at the first seed that goes wrong")
    given = parser.parse_args(arguments)
    kinds = tuple(given.faults.split(",")) if given.faults else KINDS
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown:
        parser.error(f"there is no fault {unknown[0]!r}: choose from {', '.join(KINDS)}")
    if given.seeds < 1 or given.jobs < 1:
        parser.error("--seeds and --jobs must be 1 or more")
    began, tried, wrong = time.perf_counter(), 0, 0
    end = given.first + given.seeds
    parts = [range(first, min(first + _PART, end)) for first in range(given.first, end, _PART)]
    trying = functools.partial(_try, workflow=given.workflow, kinds=kinds, stop=given.stop)
    for part, said in zip(parts, _each(trying, parts, given.jobs), strict=False):
        for text in said:
            print(text, flush=True)
        tried, wrong = tried + len(part), wrong + len(said)
        if said and given.stop:
            break
    seconds = time.perf_counter() - began
    sys.stderr.write(f"{tried} seeds in {seconds:.1f} s ({tried / seconds:.0f}/s), {wrong} went wrong\n")
    return 1 if wrong else 0


def _each(trying: functools.partial[list[str]], parts: Sequence[range], jobs: int) -> Iterator[list[str]]:
    """What came of each part, in their order, whoever was first."""
    if jobs == 1:
        yield from map(trying, parts)
        return
    with concurrent.futures.ProcessPoolExecutor(min(jobs, len(parts))) as pool:
        try:
            yield from pool.map(trying, parts)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _try(seeds: range, workflow: str | None, kinds: Sequence[str], stop: bool) -> list[str]:
    """What is to be said of the seeds that went wrong."""
    said = []
    for seed in seeds:
        verdict = simulate_seed(seed, workflow, kinds)
        if verdict.violation is not None:
            said.append(_words(verdict, workflow))
            if stop:
                break
    gc.collect()
    return said


def _words(verdict: Verdict, workflow: str | None) -> str:
    trimmed = shrink(verdict.scenario)
    again = f"--seeds 1 --from {verdict.scenario.seed}" + (f" --workflow {workflow}" if workflow else "")
    return f"{verdict.violation}\n  {trimmed}\n  again: python -m raywf.testing.simulate {again}\n"


if __name__ == "__main__":
    sys.exit(main())
