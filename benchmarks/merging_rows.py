"""Rows of `benchmarks/aggregation.py` beside the panels of models: languages, texts, and Dawid-Skene beside crowd-kit."""

from __future__ import annotations

import csv
import json
import random
import statistics
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.figures import Line, expected_calibration_error
from benchmarks.langid import candidate, draw
from benchmarks.peer_rows import CROWDKIT
from raywf import Candidate, ResultAggregator
from raywf.aggregation.ballot import Ballot, collect
from raywf.aggregation.consensus import Table, dawid_skene
from raywf.aggregation.identity import identity
from raywf.aggregation.learning import learn_from

ITERATIONS = 20


def _judged(scores: Sequence[dict[Any, float]], truths: Sequence[Any]) -> tuple[float, float]:
    """(accuracy, ECE); nobody's answer is an answer with confidence 0 that is not right."""
    tops = [max(each, key=each.__getitem__) if each else None for each in scores]
    hits = [top == truth for top, truth in zip(tops, truths, strict=True)]
    sure = [0.0 if top is None else each[top] for each, top in zip(scores, tops, strict=True)]
    return statistics.fmean(hits), expected_calibration_error(sure, hits)


def languages(file: Path, splits: int, texts: int) -> list[Line]:
    """The four identifiers of the demo over their full label sets: 36 languages asked, whatever they can answer."""
    from raywf.demo import identifiers

    with file.open(newline="", encoding="utf-8") as rows:
        sample = draw(csv.DictReader(rows), texts)
    truths = [identifiers.SAME.get(lang, lang) for lang, _ in sample]
    said = [[candidate(name, ask(text)) for name, ask in identifiers.IDENTIFIERS.items()] for _, text in sample]
    ballots: list[Ballot] = [collect(each) for each in said]

    def best(items: Sequence[int]) -> float:
        return max(
            statistics.fmean(said[i][s].value == truths[i] for i in items) for s in range(len(identifiers.IDENTIFIERS))
        )

    everything = range(len(sample))
    merged = ResultAggregator().merge_many(said)
    plain = [{} if each.value is None else {each.value: each.confidence} for each in merged]
    accuracy, error = _judged(plain, truths)
    gain = accuracy - best(everything)
    lines = [
        Line("four language identifiers, no gold: over the best single", gain, ">= 0.025", gain >= 0.025),
        Line("four language identifiers, no gold: ECE", error, "no bar", True),
    ]
    gains, errors = [], []
    for seed in range(splits):
        order = list(everything)
        random.Random(seed).shuffle(order)
        given, items = sorted(order[:200]), sorted(order[200:])
        known = set(given)
        learned = learn_from(ballots, [identity(t) if i in known else None for i, t in enumerate(truths)])
        assert learned.stack is not None
        scores = [learned.stack.scores(ballots[i]) if ballots[i].votes else {} for i in items]
        accuracy, error = _judged(scores, [identity(truths[i]) for i in items])
        gains.append(accuracy - best(items))
        errors.append(error)
    gain = statistics.fmean(gains)
    lines += [
        Line("four language identifiers, 200 gold: over the best single", gain, ">= 0.035", gain >= 0.035),
        Line("four language identifiers, 200 gold: ECE", statistics.fmean(errors), "no bar", True),
    ]
    return lines


def texts(file: Path) -> list[Line]:
    """`text` reads the answer out of each text; beside it, the majority of the answers that the parser of the data
    read, by the same rule for ties."""
    with file.open(encoding="utf-8") as rows:
        items = [json.loads(row) for row in rows]
    read, majority = ResultAggregator("text"), ResultAggregator("majority")
    right, parsed = [], []
    for item in items:
        outputs = item["outputs"]
        result = read.merge(Candidate(each["text"], name) for name, each in outputs.items())
        chosen = next((each["pred"] for each in outputs.values() if each["text"] == result.value), None)
        right.append(chosen == item["truth"])
        voted = majority.merge(Candidate(each["pred"] or None, name) for name, each in outputs.items())
        parsed.append(voted.value == item["truth"])
    less = statistics.fmean(parsed) - statistics.fmean(right)
    return [
        Line("free text: accuracy of the chosen text's answer", statistics.fmean(right), "no bar", True),
        Line("free text: below voting on the parsed answers", less, "<= 0.01", less <= 0.01),
    ]


def beside_crowdkit(ballots: Sequence[Ballot], base: Path) -> list[Line]:
    """The same votes, no priors, as many iterations; theirs from a data frame, ours from arrays, both in memory."""
    if missing := CROWDKIT.missing():
        print(f"skipped, no peer: {missing}")
        return []
    import numpy as np

    table, _ = Table.named(ballots)
    lines = []
    for times in (1, 10):
        item = np.concatenate([table.item + n * table.items for n in range(times)])
        whole = Table(
            item,
            np.tile(table.source, times),
            np.tile(table.label, times),
            table.items * times,
            table.sources,
            table.labels,
        )
        base.mkdir(parents=True, exist_ok=True)
        votes, found = base / "votes.npz", base / "posteriors.npy"
        np.savez(votes, item=whole.item, source=whole.source, label=whole.label, items=whole.items, labels=whole.labels)
        start = time.perf_counter()
        ours = dawid_skene(whole, diagonal=0.0, off=0.0, iterations=ITERATIONS, tolerance=0.0)
        ours_s = time.perf_counter() - start
        done = subprocess.run(
            CROWDKIT.command(str(votes), str(ITERATIONS), str(found)), capture_output=True, text=True, check=False
        )
        name = f"Dawid-Skene, {len(table.sources)} x {whole.items:,}"
        if done.returncode:
            lines.append(Line(f"{name}: {done.stderr.strip()[-200:]}", 0.0, "crowd-kit to run", False))
            continue
        theirs_s = json.loads(done.stdout.splitlines()[-1])["seconds"]
        voted = np.bincount(whole.item, minlength=whole.items) > 0
        apart = float(np.abs(ours - np.load(found))[voted].max())
        lines += [
            Line(f"{name}: times as fast as crowd-kit", theirs_s / ours_s, ">= 5", theirs_s / ours_s >= 5),
            Line(f"{name}: posteriors apart by", apart, "<= 1e-6", apart <= 1e-6),
        ]
        votes.unlink()
        found.unlink()
    return lines
