"""Language identification on labelled texts: does a merge of four identifiers beat each, and is its confidence honest?

The data is a file of the user's, `--data` or RAYWF_BENCH_DATA: a CSV with the columns kind, lang, text. A sample is
drawn with a fixed seed, equally from every (kind, lang).
"""

from __future__ import annotations

import argparse
import collections
import csv
import random
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from benchmarks.figures import expected_calibration_error
from benchmarks.sample import emit
from raywf import Candidate, ResultAggregator
from raywf.demo import identifiers

STRATEGIES = ("log_pool", "majority")
Answer = tuple[float, bool]
"""How sure, and whether it was right."""


def draw(rows: Iterable[dict[str, str]], n: int, seed: int = 7) -> list[tuple[str, str]]:
    """(language, text): about n of them, the same number from every kind and language."""
    groups: dict[tuple[str, str], list[str]] = collections.defaultdict(list)
    for row in rows:
        groups[row["kind"], row["lang"]].append(row["text"])
    chance, each = random.Random(seed), max(1, n // max(1, len(groups)))
    return [
        (lang, text)
        for (_, lang), texts in sorted(groups.items())
        for text in chance.sample(texts, min(each, len(texts)))
    ]


def candidate(source: str, distribution: Mapping[str, float]) -> Candidate:
    """What one identifier says, as a vote; an empty distribution abstains."""
    if not distribution:
        return Candidate(value=None, source=source)
    best = max(distribution, key=distribution.__getitem__)
    return Candidate(value=best, source=source, confidence=distribution[best], probs=distribution)


def score(answers: Sequence[Answer]) -> dict[str, float]:
    """An abstention is an answer with confidence 0 that is not right."""
    confidences, hits = [confidence for confidence, _ in answers], [hit for _, hit in answers]
    return {"accuracy": sum(hits) / len(hits), "ece": expected_calibration_error(confidences, hits)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--n", type=int, default=2_160)
    given = parser.parse_args()
    with given.data.open(newline="", encoding="utf-8") as file:
        sample = draw(csv.DictReader(file), given.n)
    said: dict[str, list[Answer]] = collections.defaultdict(list)
    aggregators = {strategy: ResultAggregator(strategy=strategy) for strategy in STRATEGIES}
    merging_s = 0.0
    for lang, text in sample:
        truth = identifiers.SAME.get(lang, lang)  # both written forms of Norwegian count as Norwegian, as in the demo
        candidates = [candidate(source, identify(text)) for source, identify in identifiers.IDENTIFIERS.items()]
        for one in candidates:
            said[one.source].append((one.confidence or 0.0, one.value == truth))
        for strategy, aggregator in aggregators.items():
            start = time.perf_counter()
            merged = aggregator.merge(candidates)
            merging_s += time.perf_counter() - start
            said[strategy].append((merged.confidence, merged.value == truth))
    emit(
        {f"{source} {figure}": value for source, answers in said.items() for figure, value in score(answers).items()},
        n=len(sample),
        merge_ms=round(merging_s * 1000 / len(sample) / len(STRATEGIES), 4),
    )


if __name__ == "__main__":
    main()
