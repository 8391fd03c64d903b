"""Sums over votes, for models that pass over all of them many times.

An expectation step adds, for each item, the rows that its votes point to; a maximisation step adds, for each thing that
was said, the rows of the items on which it was said. Both are sums of rows over runs of a sorted order (`Runs`). The rows
are copied block by block into one small buffer that stays in the cache: a copy as long as the votes would be memory that
the machine has to find and clear in every pass.

Items on which everybody said the same have the same posterior, so they are one item that counts several times (`alike`).
With few sources or few labels that leaves a fraction of the items; the sums stay what they were.
"""

from typing import Any

BLOCK = 16_384
"""Votes in the buffer: 1.3 MB for ten labels."""


class Runs:
    """The places of equal keys, as runs of a stable order. `keys` (n,) are integers from 0; `rows` (n,) point into the
    matrix that is summed; `weights` (n,), if given, multiply what they point to."""

    def __init__(self, keys: Any, rows: Any, width: int, weights: Any = None) -> None:
        import numpy as np

        order = np.argsort(keys, kind="stable")
        self.rows = rows[order]
        self.weights = None if weights is None else weights[order][:, None]
        sorted_keys = keys[order]
        self.blocks = []
        for start in range(0, len(order), BLOCK):
            part = sorted_keys[start : start + BLOCK]
            starts = np.flatnonzero(np.concatenate([[True], part[1:] != part[:-1]]))
            self.blocks.append((start, start + len(part), starts, part[starts]))
        self.buffer = np.empty((min(BLOCK, len(order)), width))

    def add(self, matrix: Any, sums: Any) -> None:
        """Adds to `sums[key]` the rows of `matrix` of its run."""
        import numpy as np

        for start, end, starts, keys in self.blocks:
            found = self.buffer[: end - start]
            np.take(matrix, self.rows[start:end], axis=0, out=found, mode="clip")
            if self.weights is not None:
                found *= self.weights[start:end]
            sums[keys] += np.add.reduceat(found, starts, axis=0)  # a key is once in a block, so nothing is lost


def alike(item: Any, source: Any, label: Any, items: int, sources: int, labels: int) -> tuple[Any, Any] | None:
    """(the number of its kind for each item, how many there are of each kind), kinds numbered from 0; None where it does
    not pay: an item without votes, or twice, or more than half of the kinds hold one item."""
    import numpy as np

    if items * sources > 50_000_000 or len(item) == 0:
        return None
    codes = np.full((items, sources), -1, np.int16 if labels < 32_000 else np.int64)
    codes[item, source] = label
    whole = np.ascontiguousarray(codes).view(np.dtype((np.void, codes.dtype.itemsize * sources))).ravel()
    _, kind, count = np.unique(whole, return_inverse=True, return_counts=True)
    return (kind.ravel(), count) if 2 * len(count) <= items else None
