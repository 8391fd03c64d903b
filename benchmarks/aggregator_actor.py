"""One aggregator actor: candidates per second, counted when committed, with trust and journal on; and its memory.

    python -m benchmarks.aggregator_actor [--candidates 1500000] [--batch 500] [--sources 5] [--curve FILE]

Batches of --batch items go one after another through the public client; an answer comes when its batch is on disk. Every
tenth batch gets its truths, so trust moves. Memory is the actor's own (PSS less what is mapped from files): `grown_mb` since its
first batch, of which SQLite's page cache is 16 MB once it is full, and `memory_mb_per_million` over the second half, which is flat
where that half begins after it (from 2.5 million candidates on). --curve writes both, and the rate, at forty points as a line of JSON
each. `last_tenth_per_s` is the rate at the end: a store that grows must not slow it down. `recovered_s` is from SIGKILL to the next
answer, and `same` whether it then knew the same, bit for bit.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

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


POINTS = 40


class Memory(NamedTuple):
    """In MB: all that is resident; its share of what several processes have mapped; and what nobody else has and no file holds."""

    rss_mb: float
    pss_mb: float
    own_mb: float


def memory_of(pid: int) -> Memory:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    found = {name: int(rest.split()[0]) / 1024 for name, rest in (line.split(":") for line in lines)}
    return Memory(found["Rss"], found["Pss"], found["Anonymous"])


def measure(candidates: int, items: int, sources: int, curve: Path | None = None) -> dict[str, float | bool]:
    """Figures of one run on a Ray of its own."""
    prepared = batches(items, sources)
    rounds = max(20, candidates // (items * sources))
    points: list[str] = []
    with (
        tempfile.TemporaryDirectory(prefix="rwb-") as folder,
        raywf.connect(address="local", store=f"sqlite:///{folder}/raywf.db") as engine,
    ):
        triage = engine.aggregator("bench", strategy="majority")
        triage.merge_many(prepared[0], items=[f"warm-{n}" for n in range(items)])
        pid = triage.state().pid
        merging, before_last = 0.0, 0.0
        first = half = memory_of(pid)
        for number in range(rounds):
            if number == rounds - rounds // 10:
                before_last = merging
            names = [f"item-{number}-{n}" for n in range(items)]
            began = time.perf_counter()
            triage.merge_many(prepared[number % POOL], items=names)
            merging += time.perf_counter() - began
            if number % 10 == 0:
                triage.feedback_many(dict.fromkeys(names, "a"))
            if number == rounds // 2:
                half = memory_of(pid)
            if curve is not None and (number + 1) % max(1, rounds // POINTS) == 0:
                done = (number + 1) * items * sources
                points.append(json.dumps({"candidates": done, "per_s": done / merging, **memory_of(pid)._asdict()}))
        last = memory_of(pid)
        before = triage.state()
        os.kill(pid, signal.SIGKILL)
        began = time.perf_counter()
        after = triage.state()
        recovered_s = time.perf_counter() - began
        size_mb = sum(path.stat().st_size for path in Path(folder).iterdir()) / 2**20
    if curve is not None:
        curve.write_text("\n".join(points) + "\n")
    total = rounds * items * sources
    return {
        "candidates": total,
        "candidates_per_s": total / merging,
        "last_tenth_per_s": rounds // 10 * items * sources / (merging - before_last),
        "resident_mb": last.rss_mb,
        "own_mb": last.own_mb,
        "grown_mb": last.own_mb - first.own_mb,
        "memory_mb_per_million": (last.own_mb - half.own_mb) / (total / 2 / 1e6),
        "recovered_s": recovered_s,
        "same": before._replace(pid=0) == after._replace(pid=0),
        "store_bytes_per_candidate": size_mb * 2**20 / total,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--candidates", type=int, default=1_500_000)
    parser.add_argument("--batch", type=int, default=500)
    parser.add_argument("--sources", type=int, default=5)
    parser.add_argument("--curve", type=Path, help="a file for memory and rate by candidates, a line of JSON each")
    asked = parser.parse_args(arguments)
    emit(measure(asked.candidates, asked.batch, asked.sources, asked.curve))
    return 0


if __name__ == "__main__":
    sys.exit(main())
