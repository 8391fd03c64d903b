"""One aggregator actor: candidates per second, counted when committed, with trust and journal on; and its memory.

    python -m benchmarks.aggregator_actor [--candidates 1500000] [--batch 500] [--sources 5]

Batches of --batch items go one after another through the public client; an answer comes when its batch is on disk. Every
tenth item gets its truth, so trust moves. `memory` is the growth of the actor's resident memory over the second half,
per million candidates: flat means that items leave nothing behind. `recovered_s` is from SIGKILL to the next answer, and
`same` whether it then knew the same, bit for bit.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import raywf
from benchmarks.sample import emit
from raywf import Candidate

POOL = 20
"""Prepared batches, used again under new item names: making candidates is not what is timed."""


def batches(items: int, sources: int, seed: int = 7) -> list[list[list[Candidate]]]:
    """Sources of different skill that name one of six labels, with a confidence."""
    chance = random.Random(seed)
    labels = "abcdef"

    def ballot() -> list[Candidate]:
        truth = chance.choice(labels)
        return [
            Candidate(truth if chance.random() < 0.5 + 0.08 * (n % 5) else chance.choice(labels), f"source-{n}", 0.8)
            for n in range(sources)
        ]

    return [[ballot() for _ in range(items)] for _ in range(POOL)]


def resident_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def measure(candidates: int, items: int, sources: int) -> dict[str, float | bool]:
    """Figures of one run on a Ray of its own."""
    prepared = batches(items, sources)
    rounds = max(2, candidates // (items * sources))
    with (
        tempfile.TemporaryDirectory(prefix="rwb-") as folder,
        raywf.connect(address="local", store=f"sqlite:///{folder}/raywf.db") as engine,
    ):
        triage = engine.aggregator("bench", strategy="majority")
        triage.merge_many(prepared[0], items=[f"warm-{n}" for n in range(items)])
        pid = triage.state().pid
        merging, half_mb = 0.0, 0.0
        for number in range(rounds):
            names = [f"item-{number}-{n}" for n in range(items)]
            began = time.perf_counter()
            triage.merge_many(prepared[number % POOL], items=names)
            merging += time.perf_counter() - began
            if number % 10 == 0:
                triage.feedback_many(dict.fromkeys(names, "a"))
            if number == rounds // 2:
                half_mb = resident_mb(pid)
        grown_mb = resident_mb(pid) - half_mb
        before = triage.state()
        os.kill(pid, signal.SIGKILL)
        began = time.perf_counter()
        after = triage.state()
        recovered_s = time.perf_counter() - began
        size_mb = sum(path.stat().st_size for path in Path(folder).iterdir()) / 2**20
    total = rounds * items * sources
    return {
        "candidates": total,
        "candidates_per_s": total / merging,
        "resident_mb": half_mb + grown_mb,
        "memory_mb_per_million": grown_mb / (total / 2 / 1e6),
        "recovered_s": recovered_s,
        "same": before._replace(pid=0) == after._replace(pid=0),
        "store_bytes_per_candidate": size_mb * 2**20 / total,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--candidates", type=int, default=1_500_000)
    parser.add_argument("--batch", type=int, default=500)
    parser.add_argument("--sources", type=int, default=5)
    asked = parser.parse_args(arguments)
    emit(measure(asked.candidates, asked.batch, asked.sources))
    return 0


if __name__ == "__main__":
    sys.exit(main())
