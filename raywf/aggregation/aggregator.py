"""`ResultAggregator`: chooses a strategy, merges, and decides whether the answer may stand."""

from collections.abc import Iterable
from difflib import get_close_matches

from raywf.aggregation.ballot import Ballot, collect
from raywf.aggregation.candidates import Candidate, check_probability
from raywf.aggregation.identity import Key
from raywf.aggregation.result import AggregateResult, Conflict, Contribution, Decision
from raywf.aggregation.strategies import STRATEGIES, auto
from raywf.errors import InvalidInput

TIE_DIGITS = 12
"""Scores equal to this many digits are a tie; sums of the same weights differ only after them."""


class ResultAggregator:
    """Merges what several sources said about one question.

    `strategy` is "log_pool" (geometric mean of the sources' distributions), "majority" (weighted vote) or "auto":
    log_pool where every voting source gives `probs`, else majority. A confidence of `accept_at` or more is "accepted",
    less is "escalated" (ask somebody), no vote at all is "abstained".

    The order of the candidates changes nothing. Ties go to the value with the higher stated confidence, then to a lot
    fixed by who voted for what: the same ballot always gives the same winner, and over many ballots no label gains.

    Raises `InvalidInput` for an unknown strategy and for an `accept_at` outside 0..1.
    """

    def __init__(self, strategy: str = "auto", *, accept_at: float = 0.7) -> None:
        if strategy != "auto" and strategy not in STRATEGIES:
            raise InvalidInput(_unknown_strategy(strategy))
        check_probability(accept_at, "accept_at, the confidence from which an answer is accepted,")
        self.strategy = strategy
        self.accept_at = float(accept_at)

    def __repr__(self) -> str:
        return f"ResultAggregator(strategy={self.strategy!r}, accept_at={self.accept_at})"

    def merge(self, candidates: Iterable[Candidate]) -> AggregateResult:
        """One answer from `candidates`, one per source. Raises `InvalidInput` for a source that answers twice."""
        ballot = collect(candidates)
        if not ballot.votes:
            return _abstained(ballot, self.strategy)
        chosen = auto(ballot) if self.strategy == "auto" else STRATEGIES[self.strategy]
        scores = chosen(ballot)
        ranking = _ranked(ballot, scores)
        winner = ranking[0]
        return AggregateResult(
            value=ballot.values[winner],
            confidence=_unit(scores[winner]),
            calibrated=False,
            quality=_unit(ballot.support(winner) * len(ballot.votes) / len(ballot.candidates)),
            agreement=_unit(ballot.voted(winner)),
            conflicts=_conflicts(ballot, winner),
            provenance=_provenance(ballot, winner),
            decision=self._decide(_unit(scores[winner])),
            strategy=chosen.__name__,
            probs=tuple((ballot.values[key], _unit(scores[key])) for key in ranking),
        )

    def merge_many(self, batch: Iterable[Iterable[Candidate]]) -> list[AggregateResult]:
        """One answer per item of `batch`, in order. `InvalidInput.index` names the item that is refused."""
        results = []
        for index, candidates in enumerate(batch):
            try:
                results.append(self.merge(candidates))
            except InvalidInput as error:
                raise InvalidInput(f"item {index}: {error}", index=index) from error
        return results

    def _decide(self, confidence: float) -> Decision:
        return "accepted" if confidence >= self.accept_at else "escalated"


def _unknown_strategy(strategy: object) -> str:
    names = sorted(["auto", *STRATEGIES])
    close = get_close_matches(str(strategy), names, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return f"there is no strategy {strategy!r} in this version: there are {', '.join(names)}{hint}"


def _ranked(ballot: Ballot, scores: dict[Key, float]) -> list[Key]:
    return sorted(
        scores,
        key=lambda key: (
            -round(scores[key], TIE_DIGITS),
            -round(ballot.support(key), TIE_DIGITS),
            ballot.draw(key),
        ),
    )


def _conflicts(ballot: Ballot, winner: Key) -> tuple[Conflict, ...]:
    sources: dict[Key, list[str]] = {}
    for vote in ballot.votes:
        if vote.key != winner:
            sources.setdefault(vote.key, []).append(vote.source)
    found = [Conflict(ballot.values[key], tuple(names), _unit(ballot.voted(key))) for key, names in sources.items()]
    return tuple(sorted(found, key=lambda conflict: (-conflict.share, conflict.sources)))


def _provenance(ballot: Ballot, winner: Key | None) -> tuple[Contribution, ...]:
    votes = {vote.source: vote for vote in ballot.votes}
    found = []
    for candidate in ballot.candidates:
        vote = votes.get(candidate.source)
        share = vote.share if vote else 0.0
        agrees = vote.key == winner if vote else None
        found.append(Contribution(candidate.source, candidate.value, candidate.confidence, share, agrees))
    return tuple(found)


def _abstained(ballot: Ballot, strategy: str) -> AggregateResult:
    return AggregateResult(
        value=None,
        confidence=0.0,
        calibrated=False,
        quality=0.0,
        agreement=0.0,
        conflicts=(),
        provenance=_provenance(ballot, None),
        decision="abstained",
        strategy=strategy,
        probs=(),
    )


def _unit(value: float) -> float:
    """Rounding may put a sum of shares a hair above 1."""
    return min(max(value, 0.0), 1.0)
