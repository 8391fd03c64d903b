"""What a standing tells of its sources: tables, and sentences with the figures they rest on."""

import json
import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Literal, NamedTuple, TypeAlias

from raywf.aggregation.evidence import BINS, CLONE_ERRORS, Standing

Kind: TypeAlias = Literal["clones", "best", "dominant", "overconfident", "unproven"]


SHOWN = 40
"""Sources in a matrix that a person reads."""


class Insight(NamedTuple):
    """One finding: what it is, about whom, in words, and the figures behind it."""

    kind: Kind
    sources: tuple[str, ...]
    text: str
    evidence: dict[str, Any]


class SourceLine(NamedTuple):
    """One source. `accuracy` is None without gold; `agreement` is with the others, where there is no gold."""

    source: str
    answers: int
    gold: int
    right: int
    accuracy: float | None
    agreement: float | None
    trust: float
    low: float
    copies: int


class CalibrationLine(NamedTuple):
    """Of the answers a source was so sure of (`low` to `high`), how many were right."""

    source: str
    low: float
    high: float
    gold: int
    right: int


def source_table(standing: Standing) -> list[SourceLine]:
    """One line per source, the most trusted first."""
    counts: dict[str, dict[str, int]] = {}
    for key, count in standing.sums.items():
        if key[0] == "source":
            mine = counts.setdefault(key[1], {})
            mine[key[3]] = mine.get(key[3], 0) + count
    lines = []
    for source, trust in standing.trust().items():
        seen = counts[source].get
        graded, right, peers = seen("graded", 0), seen("right", 0), seen("peers", 0)
        lines.append(
            SourceLine(
                source,
                seen("answers", 0),
                graded,
                right,
                right / graded if graded else None,
                seen("agreed", 0) / peers if peers else None,
                trust.mean,
                trust.low,
                trust.copies,
            )
        )
    return sorted(lines, key=lambda line: (-line.trust, line.source))


def disagreement(standing: Standing, most: int | None = None) -> tuple[list[str], list[list[float | None]]]:
    """The sources, and for each pair the share of common items on which they differ; None where they share none. Of more than
    ``most`` sources those that answered most."""
    names = standing.sources()
    if most is not None and len(names) > most:
        busiest = sorted(source_table(standing), key=lambda line: (-line.answers, line.source))[:most]
        names = sorted(line.source for line in busiest)
    table: list[list[float | None]] = []
    for a in names:
        row: list[float | None] = []
        for b in names:
            both = standing.pair(a, b, "both")
            row.append(0.0 if a == b else 1.0 - standing.pair(a, b, "same") / both if both else None)
        table.append(row)
    return names, table


def calibration_table(standing: Standing) -> list[CalibrationLine]:
    """What sources claimed beside what came true, by tenths of the claimed confidence; only where there is gold."""
    claims: dict[tuple[str, int], dict[str, int]] = {}
    for key, count in standing.sums.items():
        if key[0] == "claim":
            claims.setdefault((key[1], key[2]), {})[key[3]] = count
    return [
        CalibrationLine(source, tenth / BINS, (tenth + 1) / BINS, found.get("graded", 0), found.get("right", 0))
        for (source, tenth), found in sorted(claims.items())
    ]


def right_when(standing: Standing, least: int = 5) -> dict[str, dict[str, tuple[int, int]]]:
    """Truth -> source -> (right, graded): who is right when. Only truths with at least `least` gold answers of a source."""
    found: dict[str, dict[str, list[int]]] = {}
    for key, count in standing.sums.items():
        if key[0] == "truth":
            _, truth, source, said = key
            line = found.setdefault(truth, {}).setdefault(source, [0, 0])
            line[1] += count
            if said == truth:
                line[0] += count
    return {
        truth: {source: (line[0], line[1]) for source, line in sorted(by.items())}
        for truth, by in sorted(found.items())
        if max(line[1] for line in by.values()) >= least
    }


def said_as(spelled: str) -> Any:
    """The value that `evidence.spelled` wrote so."""
    return spelled[1:] if spelled.startswith('"') else json.loads(spelled)


def insights(standing: Standing) -> list[Insight]:
    """What there is to say, the gravest first. Nothing is said without evidence."""
    lines = source_table(standing)
    return [*_clones(standing), *_best(lines), *_overconfident(standing), *_unproven(lines)]


def _clones(standing: Standing) -> list[Insight]:
    found = []
    for names in standing.clones():
        wrong = min(standing.pair(a, b, "wrong") for a, b in pairwise(names))
        text = (
            f"{' and '.join(names) if len(names) < 9 else listed(names)} give the same wrong answers: they count as one source. "
            f"In at least {wrong} items that both got wrong, they were wrong in the same way."
        )
        found.append(Insight("clones", names, text, {"both_wrong": wrong}))
    return found


def _best(lines: list[SourceLine]) -> list[Insight]:
    graded = sorted(
        (line for line in lines if line.accuracy is not None and line.gold >= CLONE_ERRORS),
        key=lambda line: (-(line.accuracy or 0.0), line.source),
    )
    if len(graded) < 2:
        return []
    best, second = graded[:2]
    assert best.accuracy is not None and second.accuracy is not None
    gap = best.accuracy - second.accuracy
    error = math.sqrt(sum(p * (1 - p) / n for p, n in ((best.accuracy, best.gold), (second.accuracy, second.gold))))
    figures = {"accuracy": best.accuracy, "gold": best.gold, "next": second.accuracy}
    if gap > max(1.645 * error, 0.05):
        text = (
            f"{best.source} alone is right in {best.accuracy:.1%} of {best.gold} gold answers, the next ({second.source}) "
            f"in {second.accuracy:.1%}: a vote of all is likely to be worse than this source."
        )
        return [Insight("dominant", (best.source,), text, figures)]
    text = f"{best.source} is right most often: in {best.accuracy:.1%} of {best.gold} gold answers."
    return [Insight("best", (best.source,), text, figures)]


def _overconfident(standing: Standing) -> list[Insight]:
    sums: dict[str, list[float]] = {}
    for line in calibration_table(standing):
        total = sums.setdefault(line.source, [0.0, 0.0, 0.0])
        total[0] += line.gold
        total[1] += line.right
        total[2] += line.gold * line.low
    found = []
    for source, (gold, right, claimed) in sums.items():
        if gold >= CLONE_ERRORS and claimed / gold - right / gold > 0.1:
            text = (
                f"{source} claims to be sure: {claimed / gold:.0%} or more on average, and is right in "
                f"{right / gold:.0%} of {gold:.0f} gold answers."
            )
            found.append(Insight("overconfident", (source,), text, {"claimed": claimed / gold, "right": right / gold}))
    return found


def listed(names: Sequence[str], most: int = 8) -> str:
    """Names for a sentence; of many the first."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _unproven(lines: list[SourceLine]) -> list[Insight]:
    names = tuple(line.source for line in lines if line.gold < CLONE_ERRORS)
    if not names:
        return []
    least = min(line.gold for line in lines if line.source in names)
    text = (
        f"{listed(names)}: fewer than {CLONE_ERRORS} gold answers (the fewest: {least}). Their trust rests on "
        "agreement with the others, which copies and common errors can fake; give feedback on some items."
    )
    return [Insight("unproven", names, text, {"fewest": least})]
