"""Texts of the same words, put together word by word: ROVER (Fiscus 1997, "A post-processing system to yield reduced word error rates").

The texts are laid over one another: a row of slots, each with the words that stand there and the weight behind each; a text that
has no word in a slot votes for none. The next text is aligned to the row with the fewest changes, where a word that stands in a
slot already costs nothing. Then every slot gives the word with most weight. Good where all texts say the same with small errors
(transcripts, readings of a page); texts in words of their own give word salad, so it is never chosen by itself.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from raywf.aggregation.candidates import Candidate
from raywf.aggregation.result import AggregateResult, Contribution
from raywf.aggregation.strategies import evidence
from raywf.errors import InvalidInput

WORDS_UP_TO = 2_000
"""The alignment takes words times slots of time and memory."""
NONE = ""
"""No word: what a text says in a slot that it skips."""


@dataclass(slots=True)
class _Slot:
    weights: dict[str, list[float]] = field(default_factory=dict)

    def add(self, word: str, weight: float) -> None:
        self.weights.setdefault(word, []).append(weight)

    def winner(self) -> tuple[str, float]:
        """The word with most weight; of equals, a word before none, then the one that was there first."""
        best = max(math.fsum(each) for each in self.weights.values())
        heavy = [word for word, each in self.weights.items() if math.fsum(each) >= best - 1e-12]
        return next((word for word in heavy if word != NONE), NONE), best


def rover(texts: Sequence[tuple[str, float]]) -> tuple[str, list[float]]:
    """The text with most votes word by word, and per slot the share of the weight behind its winner.

    `texts` as (text, weight), in the order in which they are laid over one another. Words are what stands between white space. Raises
    `InvalidInput` for a text of more than 2,000 words.
    """
    slots: list[_Slot] = []
    laid = 0.0
    for text, weight in texts:
        words = text.split()
        if len(words) > WORDS_UP_TO:
            raise InvalidInput(
                f'a text of {len(words):,} words ({text:.40}…) is too long for strategy "rover", which aligns up to {WORDS_UP_TO:,}; '
                'take "text" or "mbr", or merge it by paragraphs'
            )
        slots = _laid_over(slots, words, weight, laid)
        laid += weight
    total = math.fsum(weight for _, weight in texts)
    winners = [slot.winner() for slot in slots]
    return " ".join(word for word, _ in winners if word != NONE), [min(best / total, 1.0) for _, best in winners]


def _laid_over(slots: list[_Slot], words: list[str], weight: float, laid: float) -> list[_Slot]:
    found: list[_Slot] = []
    for slot, word in _aligned(slots, words):
        if slot is None:
            slot = _Slot()
            if laid:
                slot.add(NONE, laid)
        slot.add(word, weight)
        found.append(slot)
    return found


def _aligned(slots: list[_Slot], words: list[str]) -> list[tuple[_Slot | None, str]]:
    """Slots with words, or a slot with none, or a word without a slot; the cheapest such row from left to right.

    Edit distance a row at a time: what comes from the left is a running minimum, less what it cost to get there.
    """
    import numpy as np

    m, n = len(slots), len(words)
    stands: dict[str, Any] = {word: np.ones(m, np.int32) for word in set(words)}
    skip = np.ones(m, np.int32)
    for j, slot in enumerate(slots):
        for word in slot.weights:
            if word == NONE:
                skip[j] = 0
            elif word in stands:
                stands[word][j] = 0
    walked = np.concatenate([[0], np.cumsum(skip)])
    table = np.empty((n + 1, m + 1), np.int32)
    table[0] = walked
    for i, word in enumerate(words):
        above = table[i]
        row = above + 1
        row[1:] = np.minimum(row[1:], above[:-1] + stands[word])
        table[i + 1] = np.minimum.accumulate(row - walked) + walked
    found: list[tuple[_Slot | None, str]] = []
    i, j = n, m
    while i or j:
        here = table[i, j]
        if i and j and here == table[i - 1, j - 1] + stands[words[i - 1]][j - 1]:
            i, j = i - 1, j - 1
            found.append((slots[j], words[i]))
        elif j and here == table[i, j - 1] + skip[j - 1]:
            j -= 1
            found.append((slots[j], NONE))
        else:
            i -= 1
            found.append((None, words[i]))
    return found[::-1]


def merge_rover(candidates: Sequence[Candidate], accept_at: float) -> AggregateResult:
    """The texts laid over one another, the heaviest first. The confidence is the mean share behind a word, times n/(n + 1).

    Raises `InvalidInput` for a vote that is no text.
    """
    stand = sorted((c for c in candidates if c.value is not None and c.weight > 0), key=lambda c: (-c.weight, c.source))
    for each in stand:
        if not isinstance(each.value, str):
            raise InvalidInput(
                f'source {each.source!r} says {each.value!r:.80}, which is no text; strategy "rover" merges texts only'
            )
    total = math.fsum(each.weight for each in stand)
    shares = {each.source: each.weight / total for each in stand}
    text, behind = rover([(each.value, shares[each.source]) for each in stand])
    votes = evidence(list(shares.values()))
    like = math.fsum(behind) / len(behind) if behind else 1.0
    confidence = like * votes / (votes + 1)
    agrees = {each.source: each.value.split() == text.split() for each in stand}
    return AggregateResult(
        value=text,
        confidence=confidence,
        calibrated=False,
        quality=like * len(stand) / len(candidates),
        agreement=min(math.fsum(shares[source] for source, same in agrees.items() if same), 1.0),
        conflicts=(),
        provenance=tuple(
            Contribution(c.source, c.value, c.confidence, shares.get(c.source, 0.0), agrees.get(c.source))
            for c in sorted(candidates, key=lambda c: c.source)
        ),
        decision="accepted" if confidence >= accept_at else "escalated",
        strategy="rover",
        probs=(),
    )
