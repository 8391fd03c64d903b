"""The commonest attempt, by a path of its own: a coroutine in this process that nothing is to be asked of or watched over.

Most tasks of most workflows are that: no limit, cache, pool, fallback, timeout or heartbeat, no item of a fan-out. What
``LocalWork.start`` and ``Host.ended`` look for in every attempt is looked for here once per task of a definition, and the
path that is left costs a quarter less. It does what the general one does, or hands over to it: where the result is not a
small scalar of the annotated type, where the attempt failed, where ``core.moves.shortcut`` declines.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from raywf.core.effects import StartAttempt
from raywf.core.events import TaskCompleted
from raywf.core.moves.shortcut import completed
from raywf.core.plan import CLEANUP_S, Node
from raywf.definition.values import encode_small
from raywf.runtime.attempts import Attempt
from raywf.runtime.code import Function

if TYPE_CHECKING:
    from raywf.runtime.live import Live
    from raywf.runtime.work import LocalWork

_new = tuple.__new__  # without the named tuple's own constructor, which is Python


def is_plain(node: Node, function: Function) -> bool:
    """Whether the attempts of a task are such, but for those that run alone because others died."""
    options = node.options
    return (
        function.is_async
        and node.fallback is None
        and not (node.mapped or node.loops or node.kwargs or options.asks)
        and options.runs_on != "ray"
        and (options.pool, options.timeout, options.heartbeat_timeout) == (None, None, None)
        and options.cleanup_timeout == CLEANUP_S
    )


class Plain:
    """Such a task of one definition, with its function."""

    __slots__ = ("bindings", "call", "exact", "function", "host", "id", "index", "node", "queue", "value", "work")

    def __init__(self, work: LocalWork, node: Node, function: Function) -> None:
        self.work = work
        self.host = work.host
        self.node = node
        self.id = node.id
        self.index = node.index
        self.bindings = node.args
        self.function = function
        self.call = function.call
        self.exact = function.exact
        self.value = work.evaluator.value
        self.queue = work.runners.queue

    def start(self, live: Live, effect: StartAttempt) -> Attempt:
        """Queue the attempt. Raises what evaluating its arguments raises."""
        state, value = live.state, self.value
        args = [value(state, binding) for binding in self.bindings]
        context = functools.partial(self.work.context, live, self.node, effect)
        done = functools.partial(self.work.done, live, self.node, effect, self)
        attempt = Attempt(self.call, done, (context, args, {}))
        self.queue(attempt)
        return attempt

    def landed(self, live: Live, effect: StartAttempt, result: Any) -> bool:
        """What ``LocalWork.done`` and ``Host.ended`` do for the first result of a task. False: they have to look closer."""
        host = self.host
        if type(result) is not self.exact or host.parked or host.open.get(live.id) is not live:
            return False
        outcome = encode_small(result)
        if outcome is None:
            return False
        event = _new(TaskCompleted, (self.id, effect.attempt, outcome))
        moved = completed(live.state, event)
        if moved is None:
            return False
        handle = host.forget_attempt(live, self.index, None)
        began = live.row.created_at if handle is None else handle.queued_at
        host.telemetry.attempt_ended(live, self.id, effect.attempt, outcome, began)
        host.advance(live, *moved, event, None)
        return True
