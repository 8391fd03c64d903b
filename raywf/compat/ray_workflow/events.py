"""Tasks that wait: for a listener's event, or for time. They are nodes of a graph, and Ray alone can execute them too."""

from __future__ import annotations

import asyncio
import math
import time
from typing import Any

import ray
from ray.dag import FunctionNode

from raywf.compat.ray_workflow.common import Event
from raywf.compat.ray_workflow.event_listener import EventListener, EventListenerType, TimerListener


def poll_for_event(listener: EventListenerType, *args: Any, **kwargs: Any) -> Event:
    return asyncio.run(listener().poll_for_event(*args, **kwargs))


def event_checkpointed(listener: EventListenerType, event: Event) -> Event:
    asyncio.run(listener().event_checkpointed(event))
    return event


def sleep_for(duration: float) -> None:
    time.sleep(duration)


def wait_for_event(event_listener_type: EventListenerType, *args: Any, **kwargs: Any) -> FunctionNode:
    """A task that ends when the listener's ``poll_for_event(*args, **kwargs)`` returns. What it returned is on disk before
    ``event_checkpointed`` is called with it. Raises ``TypeError`` for what is no listener."""
    if not isinstance(event_listener_type, type) or not issubclass(event_listener_type, EventListener):
        name = getattr(event_listener_type, "__name__", repr(event_listener_type))
        raise TypeError(f"{name:.80} is not a subclass of workflow.EventListener: give the class, not an instance")
    polled: FunctionNode = ray.remote(num_cpus=0)(poll_for_event).bind(event_listener_type, *args, **kwargs)
    if event_listener_type is TimerListener:
        return polled
    return ray.remote(num_cpus=0)(event_checkpointed).bind(event_listener_type, polled)


def sleep(duration: float) -> FunctionNode:
    """A task that ends ``duration`` seconds after it could begin. A durable timer: it occupies nothing."""
    given: Any = duration
    number = isinstance(given, (int, float)) and not isinstance(given, bool)
    if not number or not 0 <= given < math.inf:
        raise ValueError(f"sleep({duration!r}): give seconds, a number from 0")
    return ray.remote(num_cpus=0)(sleep_for).bind(duration)
