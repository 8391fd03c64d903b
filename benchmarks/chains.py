"""Chains of 5 raw Ray tasks, each handing its reference to the next. Nothing is durable: what Ray itself can do."""

from __future__ import annotations

import argparse
import time

import ray

from benchmarks.machine import busy_cores
from benchmarks.private_ray import private_ray
from benchmarks.sample import emit
from benchmarks.work import burn_and_plus_one, plus_one


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=("trivial", "cpu"))
    parser.add_argument("--n", type=int, default=1_000)
    given = parser.parse_args()
    step = ray.remote(plus_one if given.kind == "trivial" else burn_and_plus_one)

    def run(n: int) -> list[int]:
        ends = []
        for x in range(n):
            reference = step.remote(x)
            for _ in range(4):
                reference = step.remote(reference)
            ends.append(reference)
        results: list[int] = ray.get(ends)
        return results

    with private_ray():
        run(20)
        with busy_cores() as busy:
            start = time.perf_counter()
            results = run(given.n)
            taken_s = time.perf_counter() - start
    if results != [x + 5 for x in range(given.n)]:
        raise AssertionError("raw Ray chains gave wrong results")
    emit(
        {"per_s": given.n / taken_s, "busiest": max(busy.cores, default=0), "idlest": min(busy.cores, default=0)},
        n=given.n,
    )


if __name__ == "__main__":
    main()
