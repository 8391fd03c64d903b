"""Where the weights of a stack lean before the gold answers have moved them: whom to follow, by accuracy and by how sure that is.

Few gold answers cannot teach a weight per source, so what they are fitted around decides. Two mistakes are dear. To let many
poor sources outvote the one that towers over them, because together they fit the easy questions better; and to follow whoever
was luckiest on fifty questions. So a source weighs by its odds of being right beside those of its strongest rival, to a high
power, and as the mean over what those odds may truly be:

    direction(i) = min over j of E[min(1, log-odds(i) / log-odds(j)) ^ 6]

Sources that cannot be told apart share the weight; one that is surely better has nearly all of it. What the accuracies may be is
a normal posterior (empirical Bayes, Efron and Morris 1973): they scatter around a common mean, by a spread that the gold answers
show and that is integrated over, and the hits of two sources on one item go together, so their difference is known better
than either.

How far a source agrees with the others says nothing here: sources that err together agree most, and the one that towers
over them agrees least. That was tried in several ways (agreement as a prior of accuracy; the covariance of all votes, labelled or
not, in place of the power); each made panels of real models worse.
"""

import math
from collections.abc import Sequence
from typing import Any

from raywf.aggregation.ballot import Ballot
from raywf.aggregation.identity import Key

POWER = 6
"""How much less a source counts that is less often right. Errors are shared, so the second best adds less than its accuracy says,
and the tenth next to nothing. Between 4 and 8 little depends on it (docs/aggregation.md, "Whom a stack leans on")."""
KNOWN_LIKE = 50
"""Accuracies count as known from at most so many gold answers. How often a source is right says what it adds to the others only
roughly, however well it is known; the rest is for the fit to find."""
SPREADS = (0.005, 0.01, 0.02, 0.04, 0.06, 0.09, 0.13, 0.18, 0.25, 0.35, 0.5)
ALIKE = 10.0
"""The covariance of hits begins at one correlation for all pairs, worth so many items."""
NEGLIGIBLE = 0.02
NODES = 9


def direction(ballots: Sequence[Ballot], truths: Sequence[Key], columns: dict[str, int], width: int) -> Any:
    """The weight of each feature of a stack up to a factor, the largest 1: (width,), none negative.

    A source that was asked and gave no answer was not right: whoever is often silent is trusted less where it speaks. Against a
    right answer stands not one wrong answer of many but the one that others give as well: the odds are taken against as many
    wrong answers as there would have to be, all alike, for wrong sources to coincide as often as they do.
    """
    import numpy as np

    right, asked, outcomes = _graded(ballots, truths, columns)
    rate, uncertain = _rates(right, asked)
    found = np.zeros(len(columns))
    for share, mean, covariance in _accuracies(rate, uncertain):
        found += share * _beside_rivals(mean, covariance, outcomes)
    found /= found.max()
    return np.concatenate([found, found / 4]) if width > len(columns) else found


def _graded(ballots: Sequence[Ballot], truths: Sequence[Key], columns: dict[str, int]) -> tuple[Any, Any, float]:
    """How often each column was right and was asked, (items, columns) each, and against how many wrong answers."""
    import numpy as np

    right, asked = np.zeros((len(ballots), len(columns))), np.zeros((len(ballots), len(columns)))
    rest = columns.get("", -1)
    pairs = alike = 0
    for at, (ballot, truth) in enumerate(zip(ballots, truths, strict=True)):
        wrong: dict[Key, int] = {}
        for candidate in ballot.candidates:
            if candidate.weight > 0 and (column := columns.get(candidate.source, rest)) >= 0:
                asked[at, column] += 1
        for vote in ballot.votes:
            right[at, columns.get(vote.source, rest)] += vote.key == truth
            if vote.key != truth:
                wrong[vote.key] = wrong.get(vote.key, 0) + 1
        count = sum(wrong.values())
        pairs += count * (count - 1) // 2
        alike += sum(n * (n - 1) // 2 for n in wrong.values())
    return right, asked, (pairs + 2) / (alike + 1)


def _rates(right: Any, asked: Any) -> tuple[Any, Any]:
    """The share of right answers of each column, and the covariance of what these shares are off by."""
    import numpy as np

    hits, tries = right.sum(axis=0), asked.sum(axis=0)
    rate = np.where(tries > 0, hits / np.maximum(tries, 1), hits.sum() / max(tries.sum(), 1))
    off = right - asked * rate
    together = off.T @ off
    size = np.sqrt(np.maximum(together.diagonal(), 1e-3 * np.maximum(tries, 1)))
    others = ~np.eye(len(rate), dtype=bool)
    common = float(np.clip((together / np.outer(size, size))[others].mean(), 0.0, 0.9)) if len(rate) > 1 else 0.0
    smooth = (hits + 1) / (tries + 2)
    deviation = np.sqrt(smooth * (1 - smooth))
    begin = np.outer(deviation, deviation) * np.where(others, common, 1.0)
    tries = np.maximum(tries, 1)
    worth = np.sqrt(tries * (tries + ALIKE) / np.maximum(tries / KNOWN_LIKE, 1))
    return rate, (together + ALIKE * begin) / np.outer(worth, worth)


def _accuracies(rate: Any, uncertain: Any) -> list[tuple[float, Any, Any]]:
    """(share, mean, covariance) of the accuracies for each spread around their mean, which may be anything."""
    import numpy as np

    n = len(rate)
    parts, likely = [], []
    for spread in SPREADS:
        whole = uncertain + spread**2 * np.eye(n)
        inverse = np.linalg.inv(whole)
        weight = inverse.sum(axis=0)
        mean = float(weight @ rate) / float(weight.sum())
        apart = rate - mean
        likely.append(
            -0.5 * (np.linalg.slogdet(whole)[1] + math.log(float(weight.sum())) + float(apart @ inverse @ apart))
        )
        parts.append((mean + spread**2 * (inverse @ apart), spread**2 * (np.eye(n) - spread**2 * inverse)))
    share = np.exp(np.array(likely) - max(likely))
    share /= share.sum()
    return [(float(s), *part) for s, part in zip(share, parts, strict=True) if s >= NEGLIGIBLE]


def _beside_rivals(mean: Any, covariance: Any, outcomes: float) -> Any:
    """For each source E[min(1, its log-odds / its rival's)^POWER] beside the rival that leaves it least.

    Of two accuracies only the difference is taken as uncertain: what both share moves neither ahead. By Gauss and Hermite's rule.
    """
    import numpy as np

    points, weights = np.polynomial.hermite_e.hermegauss(NODES)
    variance = covariance.diagonal()
    spread = np.sqrt(np.maximum(variance[:, None] + variance[None, :] - 2 * covariance, 0.0))
    middle, apart = (mean[:, None] + mean[None, :]) / 2, mean[:, None] - mean[None, :]
    kept = np.zeros(spread.shape)
    for point, weight in zip(points, weights / weights.sum(), strict=True):
        half = (apart + point * spread) / 2
        ratio = _log_odds(middle + half, outcomes) / _log_odds(middle - half, outcomes)
        kept += weight * np.minimum(ratio, 1.0) ** POWER
    np.fill_diagonal(kept, 1.0)
    return kept.min(axis=1)


def _log_odds(accuracy: Any, outcomes: float) -> Any:
    import numpy as np

    q = np.clip(accuracy, 0.01, 0.99)
    return np.maximum(np.log(q * outcomes / (1 - q)), 0.05)
