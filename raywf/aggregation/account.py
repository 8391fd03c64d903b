"""What a result says of the votes behind it: who said something else, and what each source put in."""

from raywf.aggregation.ballot import Ballot
from raywf.aggregation.conflicts import conflict_kind
from raywf.aggregation.identity import Key
from raywf.aggregation.result import Conflict, Contribution


def conflicts_with(ballot: Ballot, winner: Key | None) -> tuple[Conflict, ...]:
    sources: dict[Key, list[str]] = {}
    for vote in ballot.votes:
        if vote.key != winner:
            sources.setdefault(vote.key, []).append(vote.source)
    merged = None if winner is None else ballot.values.get(winner)
    found = [
        Conflict(ballot.values[key], tuple(names), unit(ballot.voted(key)), conflict_kind(merged, ballot.values[key]))
        for key, names in sources.items()
    ]
    return tuple(sorted(found, key=lambda conflict: (-conflict.share, conflict.sources)))


def contributions(ballot: Ballot, winner: Key | None) -> tuple[Contribution, ...]:
    votes = {vote.source: vote for vote in ballot.votes}
    found = []
    for candidate in ballot.candidates:
        vote = votes.get(candidate.source)
        share = vote.share if vote else 0.0
        agrees = vote.key == winner if vote else None
        found.append(Contribution(candidate.source, candidate.value, candidate.confidence, share, agrees))
    return tuple(found)


def unit(value: float) -> float:
    """Rounding may put a sum of shares a hair above 1."""
    return min(max(value, 0.0), 1.0)
