"""What a commit may meet although its lease is good: another lane was first."""

from __future__ import annotations

from raywf.errors import AlreadyExists


class KeysTaken(AlreadyExists):
    """New executions of a batch whose key or (namespace, id) the store has already. Nothing was written.

    Two engines with different code may be asked for the same execution id at the same moment: each owns its lane, only
    the store sees both. ``keys`` are the batch's own; without them the rest of the batch can be committed.
    """

    def __init__(self, keys: tuple[int, ...], where: str) -> None:
        self.keys = keys = tuple(sorted(set(keys)))
        super().__init__(
            f"{len(keys)} new execution(s) of this commit are in {where} already (keys {_few(keys)}): "
            "another engine was first. Nothing was written; commit the rest without them."
        )


def _few(keys: tuple[int, ...]) -> str:
    return ", ".join(map(str, keys[:5])) + (", …" if len(keys) > 5 else "")
