"""What the facts teach about the sources, and the ladder that `strategy="auto"` climbs.

    evidence at hand                                              rung
    nothing but the ballot                                        votes     majority, or log_pool of whole distributions
    ≥ 50 items with answers, no or few golds                      consensus Wawa weights, or log_pool; clones share a voice
    ≥ 30 items with answers and truth                             stack     weights learned from gold
    … and one source was clearly better on held-out gold          best      that source, by itself

Only the last two are calibrated, and from 50 such items on.
`learn` is a function of the facts in canonical order and of nothing else: equal sets
give equal figures, bit for bit, however they were collected.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from raywf.aggregation.ballot import Ballot, collect
from raywf.aggregation.calibration import conformal_threshold
from raywf.aggregation.candidates import Candidate
from raywf.aggregation.consensus import Table, agreement_weights, clones, told_apart
from raywf.aggregation.facts import FactSet
from raywf.aggregation.identity import Key, identity
from raywf.aggregation.leaning import direction
from raywf.aggregation.stack import Golds, Stack, averaged, columns_of

FITTED_FROM = 30
"""Gold items with answers, from which a stack is fitted. Few of them lean on accuracy alone, so it comes gently: it costs
a point or a few where sources are nearly equal, and saves ten to thirty where many poor ones outvote a good one (docs/aggregation.md,
"The ladder")."""
ENOUGH_GOLD = 50
"""… and from which its confidence counts as calibrated. An item of the gold that nobody answered is none of them, so whoever gives
fifty truths may have fewer, and shall not fall off a rung for it."""
ENOUGH_ITEMS = 50
CLEARLY = 2.0
"""Standard deviations by which a source has to beat the stack on held-out gold to stand alone. The stack can follow one source by
itself; at one deviation luck took its place in one panel of twenty that it would have served better."""

Rung: TypeAlias = Literal["votes", "consensus", "stack", "best"]


@dataclass(frozen=True, slots=True)
class Learned:
    """What is known of the sources. `rung` and `why` say what `auto` does with it; `insights` are sentences."""

    rung: Rung = "votes"
    why: str = "nothing is known of the sources yet"
    golds: int = 0
    items: int = 0
    weights: dict[str, float] = field(default_factory=dict)
    clusters: tuple[tuple[str, ...], ...] = ()
    stack: Stack | None = None
    best: str | None = None
    held_out: tuple[float, ...] = ()
    """Per gold item 1 - p(truth) of a stack that had not seen it: what conformal sets rest on."""

    @property
    def calibrated(self) -> bool:
        """Whether there is a stack whose confidence may be read as a frequency."""
        return self.stack is not None and self.golds >= ENOUGH_GOLD

    @property
    def insights(self) -> tuple[str, ...]:
        return tuple(
            f"{', '.join(group)} repeat one another where the panel is divided; they share one voice"
            for group in self.clusters
        )

    def voice(self, source: str) -> float:
        """1, or a share of 1 among copies."""
        return next((1.0 / len(group) for group in self.clusters if source in group), 1.0)

    def threshold(self, coverage: float) -> float:
        return conformal_threshold(self.held_out, coverage)


def learn(facts: FactSet) -> Learned:
    """Everything that `facts` teach. O(answers), and one fit of the stack where there are 30 golds."""
    ballots, truths = [], []
    for item, answers in facts.by_item().items():
        ballots.append(collect(answer.candidate() for answer in answers))
        gold = facts.golds.get(item)
        truths.append(None if gold is None else identity(gold.truth))
    return learn_from(ballots, truths)


def learn_from(ballots: Sequence[Ballot], truths: Sequence[Key | None]) -> Learned:
    """`learn`, of ballots in canonical order and their truths; None where it is not known."""
    voted = [(ballot, truth) for ballot, truth in zip(ballots, truths, strict=True) if ballot.votes]
    graded = [(ballot, truth) for ballot, truth in voted if truth is not None]
    clusters: tuple[tuple[str, ...], ...] = ()
    weights: dict[str, float] = {}
    if len(voted) >= ENOUGH_ITEMS:
        table = Table.of([ballot for ballot, _ in voted])
        clusters = tuple(told_apart(clones(table), [b for b, _ in voted], [t for _, t in voted]))
        weights = agreement_weights(table, clusters)
    elif len(graded) < FITTED_FROM:
        why = (
            f"{len(voted)} items with answers are fewer than the {ENOUGH_ITEMS} that teach anything, and {len(graded)} gold "
            f"answers fewer than the {FITTED_FROM} that a stack needs: plain votes"
        )
        return Learned(why=why, golds=len(graded), items=len(voted))
    if len(graded) < FITTED_FROM:
        why = (
            f"{len(voted)} items with answers and {len(graded)} gold answers (a stack needs {FITTED_FROM}): sources "
            "count by their agreement with the others, and the confidence is not calibrated"
        )
        return Learned("consensus", why, len(graded), len(voted), weights, clusters)
    return _stacked([b for b, _ in graded], [t for _, t in graded], weights, clusters, len(voted))


def _stacked(
    ballots: list[Ballot],
    truths: list[Key],
    weights: dict[str, float],
    clusters: tuple[tuple[str, ...], ...],
    items: int,
) -> Learned:
    import numpy as np

    columns = columns_of(ballots)
    with_probs = all(vote.distribution for ballot in ballots for vote in ballot.votes)
    width = len(columns) * (2 if with_probs else 1)
    golds = Golds(ballots, truths, columns, width)

    def leaning(places: Any) -> Any:
        some = [int(place) for place in places]
        return direction([ballots[i] for i in some], [truths[i] for i in some], columns, width)

    b, held_out = averaged(golds, leaning)
    stack = Stack(columns, tuple(float(w) for w in b[:-1]), float(b[-1]))
    rows = np.arange(len(truths))
    scores = tuple(float(1 - p) for p in held_out[rows, golds.truth])
    right = held_out[:, :-1].argmax(axis=1) == golds.truth
    best, lead = _best_source(ballots, truths, right.tolist())
    rung: Rung = "stack"
    why = f"{len(truths)} gold answers: each source has a weight learned from them"
    if lead >= CLEARLY:
        rung = "best"
        why = f"{len(truths)} gold answers, and on held-out ones {best!r} alone was right more often than the stack"
        alone = Golds(ballots, truths, {best: 0}, 1)
        b, held_out = averaged(alone, lambda _: np.ones(1))
        stack = Stack({best: 0}, (float(b[0]),), float(b[1]))
        scores = tuple(float(1 - p) for p in held_out[rows, alone.truth])
    return Learned(
        rung, why + until_calibrated(len(truths)), len(truths), items, weights, clusters, stack, best, scores
    )


def until_calibrated(golds: int) -> str:
    """What is to be said of a confidence that rests on few gold answers."""
    return "" if golds >= ENOUGH_GOLD else f"; the confidence counts as calibrated from {ENOUGH_GOLD} on"


def _best_source(ballots: list[Ballot], truths: list[Key], stacked: list[bool]) -> tuple[str, float]:
    """The source with most hits, and by how many standard deviations it beats the held-out stack (McNemar).

    Which source is best is settled on the folds that are not being scored, or the comparison would favour the sources.
    """
    names = sorted({vote.source for ballot in ballots for vote in ballot.votes})
    hits = {name: [0] * len(truths) for name in names}
    for i, (ballot, truth) in enumerate(zip(ballots, truths, strict=True)):
        for vote in ballot.votes:
            hits[vote.source][i] = int(vote.key == truth)
    won = lost = 0
    for fold in range(5):
        inside = range(fold, len(truths), 5)
        chosen = min(names, key=lambda name: (sum(hits[name][i] for i in inside) - sum(hits[name]), name))
        for i in inside:
            won += hits[chosen][i] > stacked[i]
            lost += hits[chosen][i] < stacked[i]
    best = min(names, key=lambda name: (-sum(hits[name]), name))
    return best, (won - lost) / math.sqrt(max(won + lost, 1))


def reweighted(candidates: Sequence[Candidate], learned: Learned) -> list[Candidate]:
    """The candidates with what was learned without gold multiplied onto their weights; unknown sources at the mean."""
    known = learned.weights
    mean = math.fsum(known.values()) / len(known) if known else 1.0
    return [
        Candidate(c.value, c.source, c.confidence, c.probs, c.weight * known.get(c.source, mean)) for c in candidates
    ]
