"""The best source by itself, for who asks for it by name: `strategy="best_source"`."""

from dataclasses import replace

from raywf.aggregation.ballot import collect
from raywf.aggregation.facts import FactSet
from raywf.aggregation.identity import identity
from raywf.aggregation.learning import Learned, until_calibrated
from raywf.aggregation.stack import Golds, Stack, averaged


def by_itself(learned: Learned, facts: FactSet) -> Learned:
    """What is known, with a stack of the one source that was right most often on gold: its own claims, or its mere word, held to
    how often it was right. Nothing else is asked of the others; where it is silent they are heard as without gold."""
    if learned.stack is None or learned.best is None or learned.rung == "best":
        return learned
    import numpy as np

    ballots, truths = [], []
    for item, answers in facts.by_item().items():
        gold, ballot = facts.golds.get(item), collect(answer.candidate() for answer in answers)
        if gold is not None and ballot.votes:
            ballots.append(ballot)
            truths.append(identity(gold.truth))
    alone = Golds(ballots, truths, {learned.best: 0}, 1)
    weights, held_out = averaged(alone, lambda _: np.ones(1))
    missed = held_out[np.arange(len(truths)), alone.truth]
    return replace(
        learned,
        rung="best",
        why=f"{len(truths)} gold answers, of which {learned.best!r} had most right: it is asked for by itself"
        + until_calibrated(len(truths)),
        stack=Stack({learned.best: 0}, (float(weights[0]),), float(weights[1])),
        held_out=tuple(float(1 - p) for p in missed),
    )
