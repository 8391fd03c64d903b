"""How good the answers are, measured on the tickets whose truth is known."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeAlias

from raywf.demo.inputs import Ticket

Row: TypeAlias = Mapping[str, Any]
"""What the workflow's `record` gave for one ticket."""

EDGES = (0.0, 0.5, 0.7, 0.9, 0.99, 1.0)


@dataclass(frozen=True, slots=True)
class Share:
    """`right` of `of`; `rate` is None where nothing could be compared, never a made-up 0."""

    right: int
    of: int

    @property
    def rate(self) -> float | None:
        return self.right / self.of if self.of else None


@dataclass(frozen=True, slots=True)
class Bin:
    """The merged answers with a confidence from `low` up to `high`: what they claim and how many are right."""

    low: float
    high: float
    confidence: float
    share: Share


@dataclass(frozen=True, slots=True)
class Scores:
    """All that the demo reports about quality. `final` is the language after the person, `merged` before.

    A baseline is what the commonest label alone gets right.
    """

    sources: dict[str, Share]
    merged: Share
    final: Share
    all_agree: Share
    by_kind: dict[str, dict[str, Share]]
    bins: tuple[Bin, ...]
    calibration_error: float | None
    topic: Share
    topic_baseline: Share
    urgency: Share
    urgency_baseline: Share
    asked: int
    asked_wrong: int

    @property
    def best_source(self) -> tuple[str, Share] | None:
        """The identifier that was right most often, known only because the truth is."""
        known = [(name, share) for name, share in self.sources.items() if share.of]
        return max(known, key=lambda item: item[1].right) if known else None


def score(tickets: Sequence[Ticket], rows: Sequence[Row | None]) -> Scores:
    """Compares rows with tickets of the same position; a row that is None (it failed) is not counted."""
    pairs = [(ticket, row) for ticket, row in zip(tickets, rows, strict=True) if row is not None]
    told = [(ticket, row) for ticket, row in pairs if ticket.language]
    names = list(dict.fromkeys(name for _, row in pairs for name in row["votes"]))
    bins = _bins(told)
    kinds = list(dict.fromkeys(ticket.kind for ticket, _ in told if ticket.kind))
    return Scores(
        sources=_by_source(told, names),
        merged=_merged(told),
        final=_share(row["language"] == ticket.language for ticket, row in told),
        all_agree=_share(len(set(row["votes"].values())) == 1 for _, row in pairs),
        by_kind={kind: _of_kind([pair for pair in told if pair[0].kind == kind], names) for kind in sorted(kinds)},
        bins=bins,
        calibration_error=_calibration_error(bins),
        topic=_share(row["topic"] == ticket.topic for ticket, row in pairs if ticket.topic),
        topic_baseline=_commonest([ticket.topic for ticket, _ in pairs if ticket.topic]),
        urgency=_share(row["urgency"] == ticket.urgency for ticket, row in pairs if ticket.urgency),
        urgency_baseline=_commonest([ticket.urgency for ticket, _ in pairs if ticket.urgency]),
        asked=sum(bool(row["asked"]) for _, row in pairs),
        asked_wrong=sum(bool(row["asked"]) and row["merged_language"] != ticket.language for ticket, row in told),
    )


def _share(hits: Iterable[bool]) -> Share:
    found = list(hits)
    return Share(sum(found), len(found))


def _commonest(truths: Sequence[str]) -> Share:
    """What always giving the commonest label would get right: the least that rules must beat to be worth anything."""
    return Share(max(Counter(truths).values(), default=0), len(truths))


def _merged(told: Sequence[tuple[Ticket, Row]]) -> Share:
    return _share(row["merged_language"] == ticket.language for ticket, row in told)


def _by_source(told: Sequence[tuple[Ticket, Row]], names: Sequence[str]) -> dict[str, Share]:
    return {name: _share(row["votes"].get(name) == ticket.language for ticket, row in told) for name in names}


def _of_kind(told: Sequence[tuple[Ticket, Row]], names: Sequence[str]) -> dict[str, Share]:
    return {**_by_source(told, names), "merged": _merged(told)}


def _bins(told: Sequence[tuple[Ticket, Row]]) -> tuple[Bin, ...]:
    bins = []
    for low, high in pairwise(EDGES):
        inside = [pair for pair in told if low <= pair[1]["confidence"] < high or pair[1]["confidence"] == high == 1.0]
        if inside:
            mean = math.fsum(row["confidence"] for _, row in inside) / len(inside)
            bins.append(Bin(low, high, mean, _merged(inside)))
    return tuple(bins)


def _calibration_error(bins: Sequence[Bin]) -> float | None:
    """Mean distance between what a bin claims and how often it is right, weighted by its size."""
    total = sum(one.share.of for one in bins)
    if not total:
        return None
    return math.fsum(abs(one.confidence - (one.share.rate or 0.0)) * one.share.of for one in bins) / total
