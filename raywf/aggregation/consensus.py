"""What can be learned without a single gold answer: who agrees with whom, and who merely repeats somebody.

All functions take a `Table`: one row per (item, source) that voted, in canonical order. Figures are sums in that order,
so equal tables give equal figures. EM posteriors (`dawid_skene`, `one_coin`) order answers well and overstate how sure
one may be: sources make the same mistakes. They are never a calibrated confidence.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from raywf.aggregation.ballot import Ballot
from raywf.aggregation.identity import Key, spelling
from raywf.aggregation.kernel import Runs, alike

CLONE_AGREEMENT = 0.75
"""Two sources that agree so often on the harder half of what they share repeat one another. Independent noise on each of
two copies leaves (1 - noise)² of their agreement: 0.81 at a tenth. Sources that only know the same things agree far less
where the others are divided."""
CLONE_ITEMS = 30
CLONE_ERRORS = 5
PAIRS_UP_TO = 400
"""Agreement is counted between at most so many sources, those with the most answers: pairs grow as the square."""
ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Table:
    """Votes as parallel integer arrays; `label` counts the different values of its item from 0 (or globally)."""

    item: Any
    source: Any
    label: Any
    items: int
    sources: tuple[str, ...]
    labels: int

    @classmethod
    def of(cls, ballots: Sequence[Ballot]) -> "Table":
        """Local labels: the numbers mean something inside one item only, so vocabularies may be open."""
        import numpy as np

        names = sorted({vote.source for ballot in ballots for vote in ballot.votes})
        number = {name: index for index, name in enumerate(names)}
        item, source, label, widest = [], [], [], 1
        for index, ballot in enumerate(ballots):
            local: dict[Key, int] = {}
            for vote in ballot.votes:
                item.append(index)
                source.append(number[vote.source])
                label.append(local.setdefault(vote.key, len(local)))
            widest = max(widest, len(local))
        return cls(np.array(item, int), np.array(source, int), np.array(label, int), len(ballots), tuple(names), widest)

    @classmethod
    def named(cls, ballots: Sequence[Ballot]) -> "tuple[Table, list[Key]]":
        """Global labels, and the values they stand for: what a source confuses with what."""
        import numpy as np

        local = cls.of(ballots)
        keys = sorted({vote.key for ballot in ballots for vote in ballot.votes}, key=spelling)
        number = {key: index for index, key in enumerate(keys)}
        label = np.array([number[vote.key] for ballot in ballots for vote in ballot.votes], int)
        return cls(local.item, local.source, label, local.items, local.sources, len(keys)), keys


def weighted_counts(table: Table, weights: Any) -> Any:
    """(items, labels): the weight of those who voted for each label."""
    import numpy as np

    flat = np.bincount(
        table.item * table.labels + table.label,
        weights=weights[table.source],
        minlength=table.items * table.labels,
    )
    return flat.reshape(table.items, table.labels)


def agreement_weights(table: Table, clusters: Sequence[Sequence[str]] = ()) -> dict[str, float]:
    """Wawa (worker agreement with aggregate): each source weighs its share of agreement with the weighted vote.

    The source's own vote is left out of the aggregate it is compared with, and members of a cluster share one voice.
    Shares are smoothed by four votes at the mean. Three rounds; more change nothing that can be measured.
    """
    import numpy as np

    number = {name: index for index, name in enumerate(table.sources)}
    voice = np.ones(len(table.sources))
    for cluster in clusters:
        for name in cluster:
            if name in number:
                voice[number[name]] = 1.0 / len(cluster)
    weights = voice.copy()
    votes = np.maximum(np.bincount(table.source, minlength=len(voice)), 1)
    for _ in range(ROUNDS):
        counts = weighted_counts(table, weights)
        top = counts.max(axis=1, keepdims=True)
        best = counts >= top - 1e-9
        share = best / best.sum(axis=1, keepdims=True)
        agreed = np.bincount(table.source, weights=share[table.item, table.label], minlength=len(voice))
        mean = agreed.sum() / votes.sum()
        weights = voice * (agreed + 4 * mean) / (votes + 4)
    return {name: float(weights[index]) for name, index in number.items()}


def clones(table: Table) -> list[tuple[str, ...]]:
    """Groups of sources that repeat each other, each sorted; found without gold, noise or not.

    Where a panel is divided, sources that think for themselves part company; copies do not. So agreement is measured on
    the half of the items whose leading value has the smaller share, and two sources whose agreement there is at least
    0.75 (with a lower bound of 0.725 at 5 %) are one voice. Fewer than 30 such items prove nothing. Four or more
    sources are needed: in a panel of three, two that agree may simply be right.
    """
    import numpy as np

    if len(table.sources) < 4 or table.items < CLONE_ITEMS:
        return []
    busiest = np.argsort(-np.bincount(table.source, minlength=len(table.sources)), kind="stable")[:PAIRS_UP_TO]
    counts = weighted_counts(table, np.ones(len(table.sources)))
    share = counts.max(axis=1) / np.maximum(counts.sum(axis=1), 1)
    hard = np.flatnonzero((share <= np.median(share)) & (share < 1))
    if len(hard) < CLONE_ITEMS:
        return []
    row = np.full(table.items, -1)
    row[hard] = np.arange(len(hard))
    column = np.full(len(table.sources), -1)
    column[np.sort(busiest)] = np.arange(len(busiest))
    kept = (row[table.item] >= 0) & (column[table.source] >= 0)
    codes = np.full((len(hard), len(busiest)), -1)
    codes[row[table.item[kept]], column[table.source[kept]]] = table.label[kept]
    voted = (codes >= 0).astype(float)
    same = np.zeros((len(busiest), len(busiest)))
    for label in range(codes.max() + 1):
        says = (codes == label).astype(float)
        same += says.T @ says
    both = voted.T @ voted
    rate = same / np.maximum(both, 1)
    low = rate - 1.645 * np.sqrt(rate * (1 - rate) / np.maximum(both, 1))
    twins = (both >= CLONE_ITEMS) & (rate >= CLONE_AGREEMENT) & (low >= CLONE_AGREEMENT - 0.025)
    return _groups([table.sources[i] for i in np.sort(busiest)], np.argwhere(np.triu(twins, 1)).tolist())


def told_apart(
    groups: Sequence[tuple[str, ...]], ballots: Sequence[Ballot], truths: Sequence[Key | None]
) -> list[tuple[str, ...]]:
    """The groups that gold leaves of those `clones` found.

    Two that know the answer agree as copies do, and so does a pair of good sources in a panel that mostly errs. Where the
    truth is known, look at the items on which at least one of the two is wrong: copies agree there as well, sources that
    think for themselves hardly. Agreement on fewer than half of them is no copying; fewer than five such items say nothing.
    """
    graded = [(b, t) for b, t in zip(ballots, truths, strict=True) if t is not None]
    found: list[tuple[str, ...]] = []
    for group in groups:
        said = [({v.source: v.key for v in b.votes if v.source in group}, t) for b, t in graded]
        pairs = []
        for at, one in enumerate(group):
            for place in range(at + 1, len(group)):
                keys = [(s[one], s[group[place]], t) for s, t in said if one in s and group[place] in s]
                wrong = [a == b for a, b, t in keys if a != t or b != t]
                if len(wrong) < CLONE_ERRORS or 2 * sum(wrong) >= len(wrong):
                    pairs.append((at, place))
        found += _groups(group, pairs)
    return found


def _groups(names: Sequence[str], pairs: Sequence[Sequence[int]]) -> list[tuple[str, ...]]:
    root = list(range(len(names)))

    def of(i: int) -> int:
        while root[i] != i:
            i = root[i]
        return i

    for a, b in pairs:
        one, other = sorted((of(a), of(b)))
        root[other] = one
    members: dict[int, list[str]] = {}
    for i, name in enumerate(names):
        members.setdefault(of(i), []).append(name)
    return [tuple(sorted(group)) for group in members.values() if len(group) > 1]


def dawid_skene(
    table: Table, *, diagonal: float = 2.0, off: float = 1.0, iterations: int = 100, tolerance: float = 1e-6
) -> Any:
    """Posteriors (items, labels) of Dawid and Skene 1979, with `diagonal` and `off` pseudo-counts per confusion cell.

    Needs global labels with a fixed meaning. Starts from vote shares; M before E; stops when no posterior moves by more
    than `tolerance` (0: never). Rows of 0 votes stay at the class shares. How the sums are formed: `kernel`.
    """
    import numpy as np

    k, n, sources = table.labels, len(table.item), len(table.sources)
    if n == 0:
        return np.full((table.items, k), 1.0 / max(k, 1))
    kinds = alike(table.item, table.source, table.label, table.items, sources, k)
    kind, count = (np.arange(table.items), np.ones(table.items)) if kinds is None else kinds
    item, source, label = table.item, table.source, table.label
    if kinds is not None:  # one item of each kind stands for all of it
        first = np.zeros(table.items, bool)
        first[np.unique(kind, return_index=True)[1]] = True
        kept = first[item]
        item, source, label = kind[item[kept]], source[kept], label[kept]
    cell = source * k + label
    by_item = Runs(item, cell, k)
    by_cell = Runs(cell, item, k, None if kinds is None else count[item].astype(float))
    posterior = np.bincount(item * k + label, minlength=len(count) * k).reshape(-1, k)
    posterior = (posterior + 1e-300) / (posterior.sum(axis=1, keepdims=True) + k * 1e-300)
    prior = np.full((k, k), off) + np.eye(k) * (diagonal - off)
    for _ in range(iterations):
        confusion = np.tile(prior, (sources, 1))  # row (source, said), column truth
        by_cell.add(posterior, confusion)
        confusion = np.maximum(confusion, 1e-10).reshape(sources, k, k)
        logs = np.log(confusion / confusion.sum(axis=1, keepdims=True)).reshape(-1, k)
        share = (count @ posterior) / table.items
        score = np.tile(np.log(np.maximum(share, 1e-10)), (len(count), 1))
        by_item.add(logs, score)
        score -= score.max(axis=1, keepdims=True)
        odds = np.exp(score, out=score)
        before, posterior = posterior, odds / odds.sum(axis=1, keepdims=True)
        if tolerance and np.abs(posterior - before).max() <= tolerance:
            break
    return posterior[kind]


def one_coin(table: Table, *, iterations: int = 50, outcomes: int | None = None) -> tuple[dict[str, float], Any]:
    """Accuracy by source and posteriors (items, labels): a source is right with q, else any other value alike.

    `outcomes` is the number of values there are to say (default: the most that one item got, at least 2). Accuracies
    are shrunk to the panel's mean by six votes. A source worse than chance has no say, rather than a vote against.
    """
    import numpy as np

    k = max(outcomes or table.labels, 2)
    votes = np.bincount(table.source, minlength=len(table.sources))
    counts = weighted_counts(table, np.ones(len(table.sources)))
    named = counts > 0
    posterior = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    accuracy = np.full(len(votes), 0.5)
    for _ in range(iterations):
        hits = np.bincount(table.source, weights=posterior[table.item, table.label], minlength=len(votes))
        mean = hits.sum() / max(votes.sum(), 1)
        accuracy = np.clip((hits + 6 * mean) / (votes + 6), 1 / k, 1 - 1e-3)
        score = np.where(named, weighted_counts(table, np.log(accuracy * (k - 1) / (1 - accuracy))), -np.inf)
        odds = np.where(named, np.exp(score - np.max(score, axis=1, keepdims=True, initial=-1e300)), 0.0)
        unnamed = np.maximum(k - named.sum(axis=1), 0) * np.exp(-np.max(score, axis=1, initial=-1e300).clip(0))
        before, posterior = posterior, odds / np.maximum(odds.sum(axis=1) + unnamed, 1e-300)[:, None]
        if np.abs(posterior - before).max(initial=0) < 1e-6:
            break
    return {name: float(accuracy[i]) for i, name in enumerate(table.sources)}, posterior


def odds_weight(accuracy: float, outcomes: int) -> float:
    """The vote of a one-coin source, log(q(K-1)/(1-q)), never below 0."""
    q = min(max(accuracy, 1e-3), 1 - 1e-3)
    return max(math.log(q * (max(outcomes, 2) - 1) / (1 - q)), 0.0)
