"""The yardstick: 7 events per execution and nothing else, committed in groups by one Ray actor.

What any engine that waits for the disk between two steps has to do at least: each event is on disk (WAL,
synchronous=FULL) before the next one of its execution is made. No engine is here: no graph, no failure,
no timer, no second reader.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import ray

from benchmarks.group_commit import GroupCommitter, commit_p50_ms
from benchmarks.private_ray import private_ray
from benchmarks.sample import emit

BATCH = 500


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=5_000)
    n = parser.parse_args().n
    with private_ray():
        actor = ray.remote(num_cpus=0, max_concurrency=1000)(GroupCommitter).remote(str(Path.cwd() / "limit.db"))
        ray.get(actor.many.remote(list(range(10_000_000, 10_000_050))))
        before = ray.get(actor.counted.remote())
        start = time.perf_counter()
        batches = [actor.many.remote(list(range(first, min(first + BATCH, n)))) for first in range(0, n, BATCH)]
        results = [x for batch in ray.get(batches) for x in batch]
        taken_s = time.perf_counter() - start
        commits = ray.get(actor.counted.remote()) - before
    if results != [i + 5 for i in range(n)]:
        raise AssertionError("the yardstick itself gives wrong results")
    emit(
        {"per_s": n / taken_s, "commit_p50_ms": commit_p50_ms(str(Path.cwd() / "single.db"))},
        n=n, commits=commits, batch=BATCH,
    )  # fmt: skip


if __name__ == "__main__":
    main()
