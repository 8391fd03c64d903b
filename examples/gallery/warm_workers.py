"""Warm workers: a spelling model that is slow to make is made once, and serves every task. No Ray.

    python examples/gallery/warm_workers.py

prints::

    durable workflow on warm workers
    the model was made 1 time for 5 words
"""

from collections import Counter
from itertools import product

import raywf
import raywf.testing
from raywf import task, workflow

WORDS = "durable workflow on warm workers and other long running things".split()
LETTERS = "abcdefghijklmnopqrstuvwxyz"
made = Counter[str]()


def edits(word: str) -> set[str]:
    """Every text that is one slip of the hand away from a word."""
    splits = [(word[:at], word[at:]) for at in range(len(word) + 1)]
    deletes = {left + right[1:] for left, right in splits if right}
    swaps = {left + right[1] + right[0] + right[2:] for left, right in splits if len(right) > 1}
    replaced = {left + letter + right[1:] for (left, right), letter in product(splits, LETTERS) if right}
    inserted = {left + letter + right for (left, right), letter in product(splits, LETTERS)}
    return deletes | swaps | replaced | inserted


def make_model() -> dict[str, str]:
    """What a worker does before its first task: every misspelling within two slips, with the word that is meant."""
    made["model"] += 1
    model = {twice: word for word in WORDS for once in edits(word) for twice in edits(once)}
    model.update({once: word for word in WORDS for once in edits(word)})
    return {**model, **{word: word for word in WORDS}}


@task(pool=raywf.Workers("spelling", max=4, setup=make_model))
def correct(word: str) -> str:
    return raywf.worker_state(make_model).get(word, word)


@workflow
def proofread(words: list[str]) -> list[str]:
    return correct.map(words)


if __name__ == "__main__":
    text = ["durabel", "wrokflow", "on", "wram", "workes"]
    print(" ".join(raywf.testing.run(proofread, text)))
    print(f"the model was made {made['model']} time for {len(text)} words")
