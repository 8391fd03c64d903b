"""The strategies: pure functions from a ballot to a probability for each value.

Each takes a `Ballot` with at least one vote and gives a dict from key to score, all in 0..1 and together at most 1.
What is missing to 1 is the chance that no source named the right value.
"""

import math
from collections.abc import Callable, Sequence
from typing import TypeAlias

from raywf.aggregation.ballot import Ballot, Vote
from raywf.aggregation.identity import Key
from raywf.errors import InvalidInput

Strategy: TypeAlias = Callable[[Ballot], dict[Key, float]]

FLOOR = 1e-4
"""What a source gives to a value it does not list: never 0, or one source could veto what all the others agree on.
A higher floor drowns the listed values when the vocabulary is large (0.01 over 147 languages leaves nothing)."""


def evidence(weights: Sequence[float]) -> float:
    """How many equal votes these amount to: Kish's effective number, (Σw)² / Σw², of those among them that amount to most.

    A heavy vote beside ten light ones does not take away what the ten are worth, so more votes are never less evidence.
    A light vote always adds to Kish's number and a heavy one may not, so the best choice is the lightest few.
    """
    most = total = squares = 0.0
    for weight in sorted(weights):
        total += weight
        squares += weight * weight
        most = max(most, total * total / squares) if squares > 0 else most
    return min(most, float(len(weights)))


def unanimous(votes: float) -> float:
    """The chance that so many equal votes for one value are right when nothing else is known, (n + 1/2) / (n + 1).

    0.75 for one, 0.875 for three, never 1: the posterior mean under a Dirichlet prior worth one vote over two outcomes.
    """
    return (votes + 0.5) / (votes + 1)


def _shares(ballot: Ballot) -> dict[Key, float]:
    shares: dict[Key, list[float]] = {}
    for vote in ballot.votes:
        shares.setdefault(vote.key, []).append(vote.share)
    return {key: math.fsum(parts) for key, parts in shares.items()}


def _leaders_votes(ballot: Ballot, shares: dict[Key, float], weights: Sequence[float]) -> float:
    """What the votes for the leading value amount to; of values that share the lead, the least."""
    top = max(shares.values())
    leading = [key for key, share in shares.items() if share >= top - 1e-12]
    return min(
        evidence([w for vote, w in zip(ballot.votes, weights, strict=True) if vote.key == key]) for key in leading
    )


def majority(ballot: Ballot) -> dict[Key, float]:
    """Weighted plurality; the score is the smoothed vote share (v + a) / (V + K·a) with a = 1/K.

    K is the number of different values, at least 2, so a lone voter gets 0.75 and never certainty. V is the number of
    voters; with unequal weights it is what the votes for the leader amount to (`evidence`) over their share, so one
    heavy source among many light ones counts for one. Confidences and probs are not used. Raw shares have the same
    winner but infinite loss when a unanimous vote is wrong; a = 1/K is the usual Dirichlet prior worth one vote in all.
    """
    shares = _shares(ballot)
    votes = _leaders_votes(ballot, shares, [vote.share for vote in ballot.votes]) / max(shares.values())
    outcomes = max(len(shares), 2)
    return {key: (votes * share + 1 / outcomes) / (votes + 1) for key, share in shares.items()}


def weighted_vote(ballot: Ballot) -> dict[Key, float]:
    """The weighted shares, times what a unanimous vote of the leader's voters would deserve (`unanimous`).

    The rest is the chance that nobody named the right value. More cautious than `majority` where the vote is divided.
    """
    shares = _shares(ballot)
    trusted = unanimous(_leaders_votes(ballot, shares, [vote.share for vote in ballot.votes]))
    return {key: share * trusted for key, share in shares.items()}


def confidence_weighted(ballot: Ballot) -> dict[Key, float]:
    """`weighted_vote` with each weight times the stated confidence (none stated: 0.5).

    Never surer than the surest of the leader's voters: agreeing on an unsure answer stays unsure.
    """
    said = [0.5 if vote.confidence is None else float(vote.confidence) for vote in ballot.votes]
    weights = [vote.share * sure for vote, sure in zip(ballot.votes, said, strict=True)]
    total = math.fsum(weights)
    keys = {vote.key for vote in ballot.votes}
    if total == 0:  # all say that they do not know: nothing to tell them apart by
        return dict.fromkeys(keys, 0.0)
    shares = {
        key: math.fsum(w for vote, w in zip(ballot.votes, weights, strict=True) if vote.key == key) / total
        for key in keys
    }
    top = max(shares.values())
    claims = [
        1.0 if vote.confidence is None else float(vote.confidence)
        for vote in ballot.votes
        if shares[vote.key] >= top - 1e-12
    ]
    heard = [vote.share if sure > 0 else 0.0 for vote, sure in zip(ballot.votes, said, strict=True)]
    trusted = min(unanimous(_leaders_votes(ballot, shares, heard)), max(claims))
    return {key: share * trusted for key, share in shares.items()}


def linear_pool(ballot: Ballot) -> dict[Key, float]:
    """Linear opinion pool: the mean of the distributions by weight (Stone 1961). Robust, and never too sure.

    A source with a confidence and no probs gives the rest to values nobody listed. Bare votes claim what so many of
    them deserve (`unanimous`), and nobody's claim counts for more than 1 - `FLOOR`.
    """
    bare: dict[Key, list[float]] = {}
    for vote in ballot.votes:
        if not vote.distribution and vote.confidence is None:
            bare.setdefault(vote.key, []).append(vote.share)
    claims = {key: unanimous(evidence(shares)) for key, shares in bare.items()}

    def claim(vote: Vote, key: Key) -> float:
        if vote.distribution or vote.confidence is not None:
            return min(vote.support(key), 1 - FLOOR)
        return claims[key] if vote.key == key else 0.0

    keys = {key for vote in ballot.votes for key in (vote.key, *vote.distribution)}
    return {key: math.fsum(vote.share * claim(vote, key) for vote in ballot.votes) for key in keys}


def log_pool(ballot: Ballot) -> dict[Key, float]:
    """Logarithmic opinion pool: p(v) ∝ ∏ p_w(v)^w with Σw = 1, the weighted geometric mean of the distributions.

    Sharper than the linear pool where sources agree and, with Σw = 1, not made surer by sources that repeat each other
    (Genest and Zidek 1986, "Combining probability distributions"; Hinton 2002 calls it a product of experts). A value
    a source does not list gets `FLOOR`. One outcome more stands for "a value nobody listed" and takes what a source
    leaves to 1; its probability is missing from the scores. A source with a confidence and no probs gives the rest to
    the other outcomes in equal parts.

    Raises `InvalidInput` where a voter has neither probs nor confidence: nothing says how sure it is.
    """
    outcomes = {key for vote in ballot.votes for key in (vote.key, *vote.distribution)}
    logs: dict[Key, float] = {}
    spread = [_spread(vote, len(outcomes)) for vote in ballot.votes]
    shares = [vote.share for vote in ballot.votes]
    for key in outcomes:
        logs[key] = math.fsum(
            share * math.log(listed.get(key, unlisted))
            for share, (listed, unlisted, _) in zip(shares, spread, strict=True)
        )
    elsewhere = math.fsum(share * math.log(rest) for share, (_, _, rest) in zip(shares, spread, strict=True))
    top = max(elsewhere, *logs.values())
    odds = {key: math.exp(log - top) for key, log in logs.items()}
    total = math.fsum([*odds.values(), math.exp(elsewhere - top)])
    return {key: odd / total for key, odd in odds.items()}


def _spread(vote: Vote, outcomes: int) -> tuple[dict[Key, float], float, float]:
    """What the source gives to the values it lists, to each other value, and to the values nobody listed."""
    if vote.distribution:
        listed = {key: max(probability, FLOOR) for key, probability in vote.distribution.items()}
        return listed, FLOOR, max(1 - math.fsum(vote.distribution.values()), FLOOR)
    if vote.confidence is None:
        raise InvalidInput(
            f"log_pool needs probabilities, but source {vote.source!r} gave neither probs nor a confidence; give one "
            'of them, or use strategy="majority"'
        )
    rest = max((1 - vote.confidence) / outcomes, FLOOR)  # the other values and "elsewhere" are as many as the values
    return {vote.key: max(vote.confidence, FLOOR)}, rest, rest


def auto(ballot: Ballot) -> Strategy:
    """`log_pool` where every voter gives a whole distribution, else `majority`.

    A bare confidence is not enough: models that state one are over-confident, and by unequal amounts.
    """
    return log_pool if all(vote.distribution for vote in ballot.votes) else majority


STRATEGIES: dict[str, Strategy] = {
    each.__name__: each for each in (majority, weighted_vote, confidence_weighted, linear_pool, log_pool)
}
"""By the names users write; `auto` chooses among them for each merge."""
