"""Models of sources that are fitted without gold by expectation-maximisation, as values that score any ballot.

    dawid_skene   what each source says when the truth is t: a matrix per source. For labels that mean the same on every
                  item, where sources confuse some of them in their own ways
    one_coin      how often each source is right, wrong values all alike: for open vocabularies and many values

Sources that repeat one another (`clones`) are fitted as one, and their votes share its weight. A posterior of these models
orders answers well and overstates how sure one may be, because sources share their mistakes: `scores` never goes above
what the votes for a value amount to (`majority`), and only gold answers make it a calibrated confidence.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from raywf.aggregation.ballot import Ballot
from raywf.aggregation.consensus import Table, clones, dawid_skene, odds_weight, one_coin
from raywf.aggregation.identity import Key
from raywf.aggregation.strategies import majority
from raywf.errors import InvalidInput

Method: TypeAlias = Literal["dawid_skene", "one_coin"]
METHODS: tuple[Method, ...] = ("dawid_skene", "one_coin")
CELLS_UP_TO = 20_000_000
"""Sources × labels²: 160 MB of confusion. More labels than that have no matrix, they have an open vocabulary."""
DIAGONAL, OFF = 2.0, 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """A fitted model. `logs` (sources, labels, labels) is log p(said | truth), empty for one-coin; `keys` its labels."""

    method: Method
    accuracy: dict[str, float]
    """How often each source is right, by the model: ranks sources well, and flatters them all."""
    voice: dict[str, float]
    outcomes: int
    keys: dict[Key, int]
    row: dict[str, int]
    prior: Any
    logs: Any

    def posterior(self, ballot: Ballot) -> dict[Key, float]:
        """The model's own probability of each value somebody said; {} where it knows no source of the ballot."""
        keys = sorted({vote.key for vote in ballot.votes}, key=repr)
        if not any(vote.source in self.accuracy for vote in ballot.votes):
            return {}
        if self.method == "one_coin":
            return self._one_coin(ballot, keys)
        score = self.prior.copy()
        for vote in ballot.votes:
            said = self.keys.get(vote.key)
            if said is not None and vote.source in self.row:  # a label never seen before says nothing of the known ones
                score += self.voice[vote.source] * self.logs[self.row[vote.source], said]
        rarest = float(self.prior.min())
        found: dict[Any, float] = {key: float(score[at]) for key, at in self.keys.items()}
        found.update({key: rarest for key in keys if key not in self.keys})
        return _normal(found, keys)

    def _one_coin(self, ballot: Ballot, keys: Sequence[Key]) -> dict[Key, float]:
        outcomes = max(self.outcomes, len(keys))
        parts: dict[Key, list[float]] = {key: [] for key in keys}
        for vote in ballot.votes:
            if vote.source in self.accuracy:
                weight = odds_weight(self.accuracy[vote.source], outcomes)
                parts[vote.key].append(self.voice.get(vote.source, 1.0) * weight)
        score: dict[Any, float] = {key: math.fsum(found) for key, found in parts.items()}
        if outcomes > len(keys):
            score[None] = math.log(outcomes - len(keys))
        return _normal(score, keys)

    def scores(self, ballot: Ballot) -> dict[Key, float]:
        """The posterior, none above the smoothed share of the votes for the leader: not calibrated, and not boastful."""
        found = self.posterior(ballot)
        if not found:
            return majority(ballot)
        top = max(found, key=lambda key: (found[key], repr(key)))
        bound = majority(ballot)[top]
        if found[top] <= bound:
            return found
        return {key: p * bound / found[top] for key, p in found.items()}


def fit(method: Method, ballots: Sequence[Ballot], clusters: Sequence[Sequence[str]] | None = None) -> Fitted | None:
    """The model of these ballots, in their order; None without votes. `clusters` are found here unless given.

    Raises `InvalidInput` where Dawid and Skene's matrices would not fit: too many different labels.
    """
    voted = [ballot for ballot in ballots if ballot.votes]
    if not voted:
        return None
    whole, keys = Table.named(voted)
    groups = clones(Table.of(voted)) if clusters is None else clusters
    table, speaker, voice = _one_each(whole, groups)
    if method == "one_coin":
        local = Table.of(voted)
        thin, _, _ = _one_each(local, groups)
        accuracy, _ = one_coin(thin)
        known = {source: accuracy[speaker[source]] for source in whole.sources}
        return Fitted("one_coin", known, voice, max(thin.labels, 2), {}, {}, None, None)
    if len(table.sources) * table.labels**2 > CELLS_UP_TO:
        raise InvalidInput(
            f"dawid_skene keeps a matrix of labels for each source, and {table.labels} labels from "
            f'{len(table.sources)} sources are too many; use strategy="one_coin" for open vocabularies'
        )
    return _confusions(table, keys, dawid_skene(table, diagonal=DIAGONAL, off=OFF), whole.sources, speaker, voice)


def _one_each(table: Table, groups: Sequence[Sequence[str]]) -> tuple[Table, dict[str, str], dict[str, float]]:
    """The table with one member of each group, who speaks for the others; and what each voice is worth."""
    import numpy as np

    speaker = {source: source for source in table.sources}
    voice = dict.fromkeys(table.sources, 1.0)
    for group in groups:
        present = sorted(set(group) & set(table.sources))
        for source in present:
            speaker[source], voice[source] = present[0], 1.0 / len(present)
    speaks = np.array([speaker[source] == source for source in table.sources])
    kept = speaks[table.source]
    number = np.cumsum(speaks) - 1
    sources = tuple(source for source in table.sources if speaker[source] == source)
    thin = Table(
        table.item[kept], number[table.source[kept]], table.label[kept], table.items, sources, table.labels
    )  # fmt: skip
    return thin, speaker, voice


def _confusions(
    table: Table,
    keys: list[Key],
    posterior: Any,
    sources: Sequence[str],
    speaker: dict[str, str],
    voice: dict[str, float],
) -> Fitted:
    import numpy as np

    k = table.labels
    confusion = np.tile(np.full((k, k), OFF) + np.eye(k) * (DIAGONAL - OFF), (len(table.sources), 1, 1))
    np.add.at(confusion, (table.source, table.label), posterior[table.item])  # [source, said, truth]
    rates = confusion / confusion.sum(axis=1, keepdims=True)
    prior = np.maximum(posterior.mean(axis=0), 1e-10)
    right = np.einsum("sii,i->s", rates, prior / prior.sum())
    row = {source: table.sources.index(speaker[source]) for source in sources}
    accuracy = {source: float(right[row[source]]) for source in sources}
    number = {key: index for index, key in enumerate(keys)}
    return Fitted("dawid_skene", accuracy, voice, k, number, row, np.log(prior), np.log(rates))


def _normal(score: dict[Any, float], keys: Sequence[Key]) -> dict[Key, float]:
    top = max(score.values())
    odds = {key: math.exp(value - top) for key, value in score.items()}
    total = math.fsum(odds.values())
    return {key: odds[key] / total for key in keys}
