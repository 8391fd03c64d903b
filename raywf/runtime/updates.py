"""Updates: signals that a validator accepts or refuses before they are recorded.

Its row stays in the inbox until it is decided, and goes in the commit of the event that says how: so after a crash the
next owner validates it again, and nobody is told twice. A validator may run more than once, and must change nothing.
"""

from __future__ import annotations

import asyncio
import functools
import json
import logging
from typing import TYPE_CHECKING, Any

from raywf.core import events as ev
from raywf.core.failures import Failure
from raywf.core.plan import Node, NodeKind
from raywf.core.state import TaskStatus
from raywf.definition.context import TaskContext, enter
from raywf.errors import CodeMissing
from raywf.ports import InboxRow
from raywf.runtime.evaluate import failure_of
from raywf.runtime.live import Live

if TYPE_CHECKING:
    from raywf.runtime.owner import Owner

log = logging.getLogger("raywf.updates")

VALIDATION_S = 10.0
"""How long a validator may take."""
_AGAIN_S = 1.0
_MAX_WORDS = 2000


class Updates:
    """Decides the updates to the executions of one owner. Runs on its loop."""

    def __init__(self, owner: Owner) -> None:
        self._owner = owner

    def take(self, live: Live, row: InboxRow) -> None:
        """Decide an update; its row is settled when that is done."""
        name, value = (body := json.loads(row.body))["name"], body["value"].encode()
        if row.command_id in live.state.seen:
            self._owner.taken(row)
            return
        node = self._taker(live, name)
        if node is None:
            message = f"no task of this execution waits for update {name!r} any more"
            self._refuse(live, row, name, Failure("raywf.errors.ExecutionClosed", message, retryable=False))
        elif node.function is None:
            self._accept(live, row, name, value)
        else:
            self._ask(live, row, node, name, value)

    def _taker(self, live: Live, name: str) -> Node | None:
        """The task that will take an update: the first that waits for it, else the first that may come to."""
        if live.state.closing is not None:
            return None
        awaited = json.dumps(name, ensure_ascii=False).encode()
        found = None
        for node in live.state.plan.nodes:
            if node.kind is not NodeKind.SIGNAL or not node.update:
                continue
            if getattr(dict(node.kwargs)["name"], "value", None) != awaited:
                continue
            status = live.state.tasks[node.index].status
            if status is TaskStatus.WAITING:
                return node
            comes = status in (TaskStatus.PENDING, TaskStatus.READY) or (
                node.loops and live.state.tasks[node.loops[0]].status is not TaskStatus.COMPLETED
            )
            found = node if found is None and comes else found
        return found

    def _ask(self, live: Live, row: InboxRow, node: Node, name: str, value: bytes) -> None:
        owner, evaluator = self._owner, self._owner.host.evaluator
        assert node.function is not None
        try:
            function = owner.parts.code.function(node.function)
            payload = evaluator.decode(value)
        except CodeMissing:
            owner.again(row, _AGAIN_S)  # an engine that has the code may come
            return
        context = TaskContext(live.id, node.id, 0, row.command_id)
        told = asyncio.get_running_loop().create_future()
        limit = owner.loop.call_later(VALIDATION_S, self._decided, told, None, TimeoutError(_too_slow(node)))
        told.add_done_callback(lambda _: limit.cancel())
        told.add_done_callback(functools.partial(self._settle, live.id, row, name, value))
        done = functools.partial(self._decided, told)
        if function.is_async:
            owner.work.runners.start(function.call, (lambda: context, [payload], {}), done)
        else:

            def work() -> Any:
                enter(lambda: context)
                return function.call(payload)

            owner.parts.threads.start(work, done)

    def _decided(self, told: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
        if not told.done():
            told.set_result((result, error))

    def _settle(self, execution: str, row: InboxRow, name: str, value: bytes, told: asyncio.Future[Any]) -> None:
        owner = self._owner
        live = owner.host.open.get(execution)
        result, error = told.result()
        if live is None or owner.host.parked:
            owner.again(row, 0.0)  # it fell asleep meanwhile, or has ended: looked at afresh
        elif row.command_id in live.state.seen:
            owner.taken(row)
        elif error is not None:
            self._refuse(live, row, name, failure_of(error, 0))
        elif result is False:
            message = f"the validator of update {name!r} gave False"
            self._refuse(live, row, name, Failure("ValueError", message, retryable=False))
        elif self._taker(live, name) is None:
            self.take(live, row)  # nobody waits any more
        else:
            self._accept(live, row, name, value)

    def _accept(self, live: Live, row: InboxRow, name: str, value: bytes) -> None:
        self._owner.host.accept_update(live, name, value, row.command_id, row.by)
        self._owner.taken(row)

    def _refuse(self, live: Live, row: InboxRow, name: str, failure: Failure) -> None:
        short = Failure(failure.type, failure.message[:_MAX_WORDS], "", 0, False)
        self._owner.host.turn(live, ev.UpdateRefused(name, row.command_id, short), row.by)
        self._owner.taken(row)


def _too_slow(node: Node) -> str:
    return f"the validator of {node.id} did not decide within {VALIDATION_S:g} s"
