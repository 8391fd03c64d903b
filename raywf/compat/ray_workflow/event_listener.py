"""Events: a task that ends when something has happened outside."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, TypeAlias

from raywf.compat.ray_workflow.common import Event


class EventListener:
    """Waits for an event. Made without arguments where the workflow runs, so it keeps nothing between two calls."""

    def __init__(self) -> None:
        """Called without arguments."""

    async def poll_for_event(self, *args: Any, **kwargs: Any) -> Event:
        """Return the event, once it is there. The arguments are those of ``wait_for_event``."""
        raise NotImplementedError

    async def event_checkpointed(self, event: Event) -> None:
        """Called when the event is on disk: it may be taken off its queue now."""


EventListenerType: TypeAlias = Callable[[], EventListener]


class TimerListener(EventListener):
    """An event at a time. Where raywf runs it, it is a durable timer that occupies nothing."""

    async def poll_for_event(self, timestamp: float) -> None:
        await asyncio.sleep(timestamp - time.time())


__all__ = ["EventListener", "EventListenerType", "TimerListener"]
