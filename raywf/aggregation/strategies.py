"""The strategies: pure functions from a ballot to a probability for each value.

Each takes a `Ballot` with at least one vote and gives a dict from key to score, all in 0..1 and together at most 1.
What is missing to 1 is the chance that no source named the right value.
"""

import math
from collections.abc import Callable
from typing import TypeAlias

from raywf.aggregation.ballot import Ballot, Vote
from raywf.aggregation.identity import Key
from raywf.errors import InvalidInput

Strategy: TypeAlias = Callable[[Ballot], dict[Key, float]]

FLOOR = 1e-4
"""What a source gives to a value it does not list: never 0, or one source could veto what all the others agree on.
A higher floor drowns the listed values when the vocabulary is large (0.01 over 147 languages leaves nothing)."""


def majority(ballot: Ballot) -> dict[Key, float]:
    """Weighted plurality; the score is the smoothed vote share (v + a) / (V + K·a) with a = 1/K.

    K is the number of different values, at least 2, so a lone voter gets 0.75 and never certainty. V is the number of
    voters; with unequal weights it is Kish's effective number, (Σw)² / Σw², so that one heavy source among many light
    ones counts for about one. Confidences and probs are not used. Raw shares have the same winner but infinite loss
    when a unanimous vote is wrong; a = 1/K is the usual Dirichlet prior worth one vote in all.
    """
    effective = 1.0 / math.fsum(vote.share**2 for vote in ballot.votes)
    keys = {vote.key for vote in ballot.votes}
    outcomes = max(len(keys), 2)
    return {key: (effective * ballot.voted(key) + 1 / outcomes) / (effective + 1) for key in keys}


def weighted_vote(ballot: Ballot) -> dict[Key, float]:
    """The plain weighted shares. Calibrated where weights are agreement with the others; certain when unanimous."""
    lone = len(ballot.votes) == 1
    return {key: 0.75 if lone else ballot.voted(key) for key in {vote.key for vote in ballot.votes}}


def confidence_weighted(ballot: Ballot) -> dict[Key, float]:
    """Each vote counts its weight times its confidence (no confidence: 0.5); shares of the whole, like `majority`."""
    said = {vote.source: 0.5 if vote.confidence is None else float(vote.confidence) for vote in ballot.votes}
    total = math.fsum(vote.share * said[vote.source] for vote in ballot.votes)
    if total == 0:  # all say that they do not know: nothing to tell them apart by
        return dict.fromkeys({vote.key for vote in ballot.votes}, 0.0)
    sure = math.fsum(vote.share * max(said[vote.source], 0.5) for vote in ballot.votes)
    counted = {
        key: math.fsum(vote.share * said[vote.source] for vote in ballot.votes if vote.key == key)
        for key in {vote.key for vote in ballot.votes}
    }
    return {key: min(count / max(total, sure), 1.0) for key, count in counted.items()}


def linear_pool(ballot: Ballot) -> dict[Key, float]:
    """Linear opinion pool: the mean of the distributions by weight (Stone 1961). Robust, and never too sure.

    A source with a confidence and no probs gives the rest to values nobody listed; a bare vote counts as certain.
    """
    return {
        key: ballot.support(key) for key in {key for vote in ballot.votes for key in (vote.key, *vote.distribution)}
    }


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
