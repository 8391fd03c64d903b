"""Stacking: one non-negative weight per source, learned from gold answers (conditional logit, McFadden 1974).

    p(v) ∝ exp(Σ β_w [w says v] + Σ γ_w log-evidence_w(v)),   p(none of these) ∝ exp(o)

The weights β, γ ≥ 0 minimise the log loss on the gold answers plus a ridge around a common direction m, which accuracy alone
gives (`raywf.aggregation.leaning`). No ridge is chosen: the fits of all are averaged by their evidence (MacKay 1992). Few golds
lean on m, many follow the data. Sources that repeat each other share a weight
by themselves, which is why no independence is assumed anywhere.

Numbers are float64. Nothing here is random: equal golds give equal weights.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from raywf.aggregation.ballot import Ballot
from raywf.aggregation.identity import Key

RIDGES = (1.0, 4.0, 16.0, 64.0, 256.0)
NEGLIGIBLE = 0.01
"""Fits of less evidence than this part of the best one's are left out."""
FOLDS = 10
PROBABILITY_FLOOR = 1e-4
LISTED = 5
"""Of a whole distribution, so many of the likeliest values stand for election; the rest is noise and memory."""
WIDEST = 64
"""More sources than this share one weight for all but those with the most gold: weights need evidence each."""

Features = dict[Key, dict[int, float]]


@dataclass(frozen=True, slots=True)
class Stack:
    """A fitted stack: `weights` by feature, `columns` from source to feature, `other` the score of an unnamed value."""

    columns: dict[str, int]
    weights: tuple[float, ...]
    other: float

    def weight(self, source: str) -> float:
        column = self.columns.get(source, self.columns.get("", -1))
        return self.weights[column] if column >= 0 else 0.0

    def scores(self, ballot: Ballot) -> dict[Key, float]:
        found = {
            key: math.fsum(self.weights[column] * x for column, x in row.items())
            for key, row in features(ballot, self.columns, len(self.weights)).items()
        }
        top = max(self.other, *found.values())
        odds = {key: math.exp(score - top) for key, score in found.items()}
        total = math.fsum([*odds.values(), math.exp(self.other - top)])
        return {key: odd / total for key, odd in odds.items()}


def columns_of(ballots: Sequence[Ballot]) -> dict[str, int]:
    """A feature per source; with more than `WIDEST`, the rest share the one named ''."""
    counts: dict[str, int] = {}
    for ballot in ballots:
        for vote in ballot.votes:
            counts[vote.source] = counts.get(vote.source, 0) + 1
    busiest = sorted(counts, key=lambda source: (-counts[source], source))[:WIDEST]
    names = sorted(busiest) + ([""] if len(counts) > len(busiest) else [])
    return {name: index for index, name in enumerate(names)}


def features(ballot: Ballot, columns: dict[str, int], width: int) -> Features:
    """For each value that stands for election what each source contributes; beyond `columns`, its log-evidence."""
    found: Features = {vote.key: {} for vote in ballot.votes}
    with_probs = width > len(columns)
    for vote in ballot.votes:
        if with_probs:
            for key in sorted(vote.distribution, key=lambda k: -vote.distribution[k])[:LISTED]:
                found.setdefault(key, {})
    for vote in ballot.votes:
        column = columns.get(vote.source, columns.get("", -1))
        if column < 0:
            continue
        row = found[vote.key]
        row[column] = row.get(column, 0.0) + 1.0
        if with_probs:
            for key, row in found.items():
                if (p := vote.distribution.get(key, 0.0)) > PROBABILITY_FLOOR:
                    at = len(columns) + column
                    row[at] = row.get(at, 0.0) + math.log(p / PROBABILITY_FLOOR)
    return found


class Golds:
    """The gold items as arrays: `x` (items, candidates + 1, features + 1), the last candidate is "none of these"."""

    def __init__(self, ballots: Sequence[Ballot], truths: Sequence[Key], columns: dict[str, int], width: int) -> None:
        import numpy as np

        rows = [features(ballot, columns, width) for ballot in ballots]
        widest = max(len(row) for row in rows)
        self.x = np.zeros((len(rows), widest + 1, width + 1))
        self.mask = np.full((len(rows), widest + 1), -np.inf)
        self.mask[:, widest] = 0.0
        self.x[:, widest, width] = 1.0
        self.truth = np.full(len(rows), widest)
        for i, (row, truth) in enumerate(zip(rows, truths, strict=True)):
            for j, (key, values) in enumerate(row.items()):
                self.mask[i, j] = 0.0
                for column, value in values.items():
                    self.x[i, j, column] = value
                if key == truth:
                    self.truth[i] = j

    def some(self, chosen: Any) -> "Golds":
        part = object.__new__(Golds)
        part.x, part.mask, part.truth = self.x[chosen], self.mask[chosen], self.truth[chosen]
        return part

    def probabilities(self, b: Any) -> Any:
        import numpy as np

        s = self.x @ b + self.mask
        e = np.exp(s - s.max(axis=1, keepdims=True))
        return e / e.sum(axis=1, keepdims=True)

    def losses(self, b: Any) -> Any:
        import numpy as np

        return -np.log(np.maximum(self.probabilities(b)[np.arange(len(self.truth)), self.truth], 1e-12))


def newton(golds: Golds, centre: Any, ridge: Any, steps: int = 25, start: Any = None) -> Any:
    """Projected Newton: the weights that minimise loss + ridge, all but the last not negative (Bertsekas 1982). `start` is
    where to look first; the optimum is one, wherever it is looked for."""
    import numpy as np

    x, rows = golds.x, np.arange(len(golds.truth))
    b = (centre if start is None else start).copy()

    def value(at: Any) -> float:
        return float(golds.losses(at).sum() + 0.5 * (ridge * (at - centre) ** 2).sum())

    before = value(b)
    for _ in range(steps):
        p = golds.probabilities(b)
        mean = np.einsum("nk,nks->ns", p, x)
        slope = (mean - x[rows, golds.truth]).sum(axis=0) + ridge * (b - centre)
        flat = (x * p[:, :, None]).reshape(-1, x.shape[2])
        curve = flat.T @ x.reshape(-1, x.shape[2]) - mean.T @ mean + np.diag(ridge)
        free = np.ones(len(b), bool)
        free[:-1] = ~((b[:-1] <= 0) & (slope[:-1] > 0))
        step = np.zeros(len(b))
        step[free] = -np.linalg.solve(curve[np.ix_(free, free)], slope[free])
        size, after = 1.0, before
        while size > 1e-6:
            trial = b + size * step
            trial[:-1] = np.maximum(trial[:-1], 0.0)
            after = value(trial)
            if after < before:
                break
            size /= 2
        if after >= before:
            break
        b, gained, before = trial, before - after, after
        if gained < 1e-7:
            break
    return b


def along(golds: Golds, direction: Any) -> Any:
    """The best multiple of `direction`, and the score of "none of these": two numbers, which few golds can give."""
    import numpy as np

    line = object.__new__(Golds)
    line.x = np.stack([golds.x[:, :, :-1] @ direction, golds.x[:, :, -1]], axis=2)
    line.mask, line.truth = golds.mask, golds.truth
    scale, other = newton(line, np.array([0.1, 0.0]), np.array([1e-3, 1.0]))
    return np.concatenate([scale * direction, [other]])


def averaged(golds: Golds, leaning: Callable[[Any], Any]) -> tuple[Any, Any]:
    """The averaged weights, and the out-of-fold probabilities (items, candidates) that such weights gave.

    `leaning` gives the direction that the gold items at these places teach: a fold that is judged teaches none, or the
    direction that follows its accidents would look best on it.
    """
    import numpy as np

    places = np.arange(len(golds.truth))
    fold = places % FOLDS
    models = [_fitted(golds, *each) for each in _models(golds, leaning(places))]
    evidence = np.array([each for each, _ in models])
    share = np.exp(evidence - evidence.max())
    share[share < NEGLIGIBLE] = 0.0
    share /= share.sum()
    fitted = np.array([b for _, b in models])
    held_out = np.zeros(golds.mask.shape)
    for k in range(FOLDS):
        seen = golds.some(fold != k)
        again = _models(seen, leaning(places[fold != k]))
        parts = [part * newton(seen, *again[at], start=fitted[at]) for at, part in enumerate(share) if part > 0]
        held_out[fold == k] = golds.some(fold == k).probabilities(np.sum(parts, axis=0))
    return share @ fitted, held_out


def _models(golds: Golds, direction: Any) -> list[tuple[Any, Any]]:
    """The centre and the ridge of every fit that is averaged."""
    centre = along(golds, direction)
    return [(centre, _ridge(ridge, len(centre))) for ridge in RIDGES]


def _fitted(golds: Golds, centre: Any, strength: Any) -> tuple[float, Any]:
    """(the log evidence of this centre and ridge, the weights). Laplace's approximation at the optimum: the fit, what
    the prior makes of it, and how many weights would fit as well; weights held at 0 are no freedom."""
    import numpy as np

    b = newton(golds, centre, strength)
    p = golds.probabilities(b)
    mean = np.einsum("nk,nks->ns", p, golds.x)
    flat = (golds.x * p[:, :, None]).reshape(-1, golds.x.shape[2])
    curve = flat.T @ golds.x.reshape(-1, golds.x.shape[2]) - mean.T @ mean + np.diag(strength)
    free = np.append(b[:-1] > 0, True)
    volume = np.log(strength[free]).sum() - np.linalg.slogdet(curve[np.ix_(free, free)])[1]
    return float(-golds.losses(b).sum() + 0.5 * (volume - (strength * (b - centre) ** 2).sum())), b


def _ridge(ridge: float, n: int) -> Any:
    import numpy as np

    found = np.full(n, ridge)
    found[-1] = 1.0
    return found
