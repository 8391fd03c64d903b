"""How an owner comes to look into its inbox: somebody pokes it, a bell rings, or it is time to look."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from raywf.runtime.parts import Parts

HEARING_S = 1.0
"""How often an owner looks that would hear of a command: a ring may be lost, with its sender or the connection."""


def pause_s(parts: Parts) -> float:
    """How long to wait for news before looking all the same."""
    return HEARING_S if parts.bell is not None and parts.bell.is_heard else parts.settings.inbox_poll_s


async def listen(parts: Parts, epochs: Mapping[int, Any], poke: Callable[[], None], gone: asyncio.Event) -> None:
    """Poke for each ring that concerns one of these shards, until the owner is gone. At once over where no bell hangs."""
    if parts.bell is None:
        return

    def rung(shard: int | None) -> None:
        if shard is None or shard in epochs:
            poke()

    listening = asyncio.ensure_future(parts.bell.listen(rung))
    try:
        await gone.wait()
    finally:
        listening.cancel()
