"""What a reader meets before the first engine has run."""

from __future__ import annotations

from raywf.errors import StoreUnavailable


class StoreMissing(StoreUnavailable):
    """There is no store at this place yet. An engine makes one; readers and senders of commands never do."""
