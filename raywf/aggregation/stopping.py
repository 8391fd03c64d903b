"""Early stop: ask the next source only while what it may change is worth its price.

Without gold nothing says how often the rest of a panel corrects an answer, so the only reason to stop is certainty: the
sources not yet asked, all together, could not overturn the leader. With 50 gold answers or more a decision is a sum:

    worth · p(the answer is wrong) · p(k more sources correct a wrong answer)   against   the price of the k

The first probability is that of a stack of those who were heard, scaled to gold. The second is counted on gold, for the
same sources heard: how many wrong answers become right, less the right ones that become wrong, over the wrong ones, and one
and a half standard deviations more, because an answer missed costs more than a call until gold has shown otherwise. Asking is worth it
while the sum is above the price for *some* k, so a source that only helps together with the next one is not
skipped. The order is by learned weight per price. Nothing here is random and no clock is read.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from raywf.aggregation.ballot import Ballot, collect
from raywf.aggregation.candidates import Candidate
from raywf.aggregation.facts import FactSet
from raywf.aggregation.identity import Key, identity
from raywf.aggregation.learning import Learned, learn_from
from raywf.aggregation.stack import Golds, Stack, along
from raywf.errors import InvalidInput

if TYPE_CHECKING:
    from raywf.aggregation.aggregator import ResultAggregator

WORTH = 100.0
"""What a right answer is worth by default, in prices of the dearest source: one point of accuracy per call."""


DOUBT = 1.5
"""Standard deviations by which the rest may correct more than gold has shown: the gold that is counted is the gold that was learned from,
and what was learned from it changes less there than elsewhere."""


class NextSource(NamedTuple):
    """Whom to ask next (`source` None: stop), and why; `gain` is what asking on adds to the chance of being right."""

    source: str | None
    why: str
    gain: float = 0.0


@dataclass(slots=True)
class EarlyStop:
    """Decides whom to ask next. `prices` names the panel; `worth` is the value of a right answer in the same unit.

    `worth=None` means a hundred times the dearest price. Make it with `EarlyStop.of`; equal facts give equal decisions.
    """

    prices: Mapping[str, float]
    worth: float
    learned: Learned
    golds: list[Ballot] = field(default_factory=list)
    truths: list[Key] = field(default_factory=list)
    _heard: dict[frozenset[str], "_Heard"] = field(default_factory=dict)

    @classmethod
    def of(cls, facts: FactSet, prices: Mapping[str, float], *, worth: float | None = None) -> "EarlyStop":
        """From what is known. Raises `InvalidInput` for an empty panel, a price below 0 and a worth that is no number."""
        ballots, truths = [], []
        for item, answers in facts.by_item().items():
            ballots.append(collect(answer.candidate() for answer in answers if answer.source in prices))
            gold = facts.golds.get(item)
            truths.append(None if gold is None else identity(gold.truth))
        return cls.from_ballots(ballots, truths, prices, worth=worth)

    @classmethod
    def from_ballots(
        cls,
        ballots: Sequence[Ballot],
        truths: Sequence[Key | None],
        prices: Mapping[str, float],
        *,
        worth: float | None = None,
    ) -> "EarlyStop":
        """`of`, from ballots in canonical order and their truths; None where it is not known."""
        if not prices:
            raise InvalidInput("prices is empty, so there is nobody to ask; give each source its price per answer")
        for source, price in prices.items():
            _check_amount(price, f"the price of source {source!r}")
        dearest = max(prices.values())
        value = WORTH * dearest if worth is None else worth
        _check_amount(value, "worth, the value of a right answer in the unit of the prices,")
        graded = [(b, t) for b, t in zip(ballots, truths, strict=True) if t is not None and b.votes]
        return cls(prices, value, learn_from(ballots, truths), [b for b, _ in graded], [t for _, t in graded])

    def next_source(self, candidates: Iterable[Candidate]) -> NextSource:
        """Whom to ask after `candidates`, who are asked no more whether they answered or not."""
        ballot = collect(candidates)
        asked = {candidate.source for candidate in ballot.candidates}
        rest = sorted(
            (source for source in self.prices if source not in asked),
            key=lambda source: (-self._weight(source) / max(self.prices[source], 1e-12), source),
        )
        if not rest:
            return NextSource(None, "everybody was asked")
        if not ballot.votes:
            return NextSource(rest[0], "nobody has answered yet")
        if self._decided(ballot, rest):
            return NextSource(None, f"the {len(rest)} sources left could not overturn the leader, even together")
        if not self.learned.calibrated:
            return NextSource(rest[0], f"the sources left could still overturn the leader, and {self.learned.why}")
        return self._weighed(ballot, rest)

    def _weighed(self, ballot: Ballot, rest: Sequence[str]) -> NextSource:
        asked = frozenset(vote.source for vote in ballot.votes)
        heard = self._of(asked)
        wrong = 1.0 - max(heard.stack.scores(ballot).values())
        missed = heard.hits.count(False)
        best = (-math.inf, 0.0, 0.0, 0)
        for k in range(1, len(rest) + 1):
            later = self._of(asked | set(rest[:k]))
            changed = [after - now for now, after in zip(heard.hits, later.hits, strict=True)]
            most = sum(changed) + DOUBT * math.sqrt(sum(map(abs, changed)))
            gain = wrong * min(most / max(missed, 1), 1.0)
            price = math.fsum(self.prices[source] for source in rest[:k])
            best = max(best, (self.worth * gain - price, gain, price, -k))
        surplus, gain, price, k = best
        why = (
            f"wrong with {wrong:.2f}; {-k} more would make it right with {gain:.3f} more, worth {self.worth * gain:.3g}, "
            f"for {price:.3g}"
        )
        return NextSource(rest[0] if surplus > 0 else None, why, max(gain, 0.0))

    def _weight(self, source: str) -> float:
        if self.learned.stack is not None:
            return self.learned.stack.weight(source)
        return self.learned.weights.get(source, 1.0)

    def _decided(self, ballot: Ballot, rest: Sequence[str]) -> bool:
        """Whether no answers of the rest can change who leads. Only counts whole votes: a distribution may say more."""
        if any(vote.distribution for vote in ballot.votes):
            return False
        totals: dict[Key, list[float]] = {}
        for vote in ballot.votes:
            totals.setdefault(vote.key, []).append(self._weight(vote.source))
        sums = sorted((math.fsum(parts) for parts in totals.values()), reverse=True)
        lead = sums[0] - (sums[1] if len(sums) > 1 else 0.0)
        return lead > math.fsum(self._weight(source) for source in rest) + 1e-9

    def _of(self, heard: frozenset[str]) -> "_Heard":
        if heard not in self._heard:
            self._heard[heard] = self._fitted(heard)
        return self._heard[heard]

    def _fitted(self, heard: frozenset[str]) -> "_Heard":
        whole = self.learned.stack
        assert whole is not None
        import numpy as np

        thin = [_only(ballot, heard) for ballot in self.golds]
        columns = {source: index for index, source in enumerate(sorted(heard))}
        direction = np.array([max(whole.weight(source), 1e-3) for source in columns])
        golds = Golds(thin, self.truths, columns, len(columns))
        b = along(golds, direction)
        stack = Stack(columns, tuple(float(w) for w in b[:-1]), float(b[-1]))
        hits = tuple(_leader(stack, ballot) == truth for ballot, truth in zip(thin, self.truths, strict=True))
        return _Heard(stack, hits)


class _Heard(NamedTuple):
    stack: Stack
    hits: tuple[bool, ...]


def is_decided(aggregator: "ResultAggregator", candidates: Sequence[Candidate], out: Sequence[str]) -> bool:
    """Whether the sources that are ``out`` could not change the merged value, whatever they say.

    Tried rather than reasoned: all of them side with the runner-up, or with a value that nobody has named, as heavily as
    anybody here and as sure as one can be, with a distribution and without. A tie is a change. Values that are merged from
    their parts (numbers, records, lists, texts) are never decided: the next answer may always change them.
    """
    now = aggregator.merge(candidates)
    if now.value is None or not out or now.rung == "shape":
        return not out
    winner = identity(now.value)
    weight = max([1.0, *(float(candidate.weight) for candidate in candidates)])
    rivals = [value for value, _ in now.probs if identity(value) != winner]
    for rival in [*rivals, ("a value that nobody named", now.value)]:
        for probs in (None, ((rival, 1.0),)):
            if probs is not None and not any(candidate.probs for candidate in candidates):
                continue
            against = [Candidate(rival, source, 1.0, probs, weight) for source in out]
            after = aggregator.merge([*candidates, *against])
            shares = {identity(value): p for value, p in after.probs}
            mine = shares.pop(winner, 0.0)
            if mine <= max(shares.values(), default=0.0) + 1e-9:
                return False
    return True


def _only(ballot: Ballot, heard: frozenset[str]) -> Ballot:
    return Ballot(tuple(vote for vote in ballot.votes if vote.source in heard), ballot.candidates, ballot.values)


def _leader(stack: Stack, ballot: Ballot) -> Key | None:
    if not ballot.votes:
        return None
    scores = stack.scores(ballot)
    return max(scores, key=lambda key: (round(scores[key], 12), ballot.draw(key)))


def _check_amount(value: Any, what: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        raise InvalidInput(f"{what} is {value!r}; give a finite number of at least 0")
