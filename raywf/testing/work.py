"""The hands of a run in a test: the real ones, with faults, and with a ledger of what was called."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from raywf.core.effects import StartAttempt
from raywf.core.execution import is_current
from raywf.core.plan import FunctionRef, Node
from raywf.definition.context import TaskContext, current
from raywf.definition.workflows import Workflow
from raywf.runtime.attempts import Attempt
from raywf.runtime.code import Code, Function
from raywf.runtime.live import Live, address
from raywf.runtime.plain import Plain
from raywf.runtime.work import LocalWork
from raywf.testing.faults import Fault, Faults
from raywf.testing.ledger import Clock, Ledger


class WatchedCode(Code):
    """The functions of this process. Each call goes into the ledger; ``fail`` and ``duplicate`` happen here."""

    def __init__(self, ledger: Ledger, clock: Clock, faults: Faults) -> None:
        super().__init__()
        self.ledger = ledger
        self._clock = clock
        self._faults = faults
        self._watched: dict[int, Function] = {}

    def function(self, ref: FunctionRef) -> Function:
        found = super().function(ref)
        if id(found) not in self._watched:
            self._watched[id(found)] = found
            found.call = self._async(found.call) if found.is_async else self._plain(found.call)
        return found

    def _async(self, call: Callable[..., Any]) -> Callable[..., Any]:
        async def once(*args: Any, **kwargs: Any) -> Any:
            entry = self.ledger.begin(current(), self._clock.now())
            try:
                entry.result = await call(*args, **kwargs)
            except BaseException as error:
                entry.outcome, entry.error = "failed", error
                raise
            entry.outcome = "completed"
            return entry.result

        async def called(*args: Any, **kwargs: Any) -> Any:
            fault = self._fault(current())
            result = await once(*args, **kwargs)
            if fault == "duplicate":
                try:
                    await once(*args, **kwargs)
                except Exception:  # the first answer counts, whatever becomes of the second
                    return result
            return result

        return called

    def _plain(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def once(*args: Any, **kwargs: Any) -> Any:
            entry = self.ledger.begin(current(), self._clock.now())
            try:
                entry.result = call(*args, **kwargs)
            except BaseException as error:
                entry.outcome, entry.error = "failed", error
                raise
            entry.outcome = "completed"
            return entry.result

        def called(*args: Any, **kwargs: Any) -> Any:
            fault = self._fault(current())
            result = once(*args, **kwargs)
            if fault == "duplicate":
                try:
                    once(*args, **kwargs)
                except Exception:
                    return result
            return result

        return called

    def _fault(self, here: TaskContext) -> str | None:
        fault = self._faults.of(here.execution_id, here.task_id, here.attempt)
        if fault is None:
            return None
        if fault.kind == "fail":
            raise fault.raised(here.task_id)
        return fault.kind


def code_of(workflow: Workflow[..., Any], code: Code | None = None) -> Code:
    """The functions of this process, the importable ones and those that live nowhere else."""
    code = Code() if code is None else code
    found = workflow.functions_by_ref.items()
    code.have({(ref.path, ref.source_hash): function for ref, function in found if ref.by_value})
    return code


class FaultyWork(LocalWork):
    """``LocalWork`` in a process that may die. ``timeout``, ``delay`` and ``crash_before_commit`` happen here."""

    def __init__(self, *parts: Any, faults: Faults, is_dead: Callable[[], bool], die: Callable[[], None]) -> None:
        super().__init__(*parts)
        self._faults = faults
        self._is_dead = is_dead
        self._die = die

    def _fault(self, live: Live, node: Node, effect: StartAttempt) -> Fault | None:
        return self._faults.of(live.id, address(live, node.index, effect.item), effect.attempt)

    def start(self, live: Live, node: Node, effect: StartAttempt) -> Any:
        if self._is_dead():
            return Attempt(None, lambda result, error: None)
        fault = self._fault(live, node, effect)
        if fault is None or fault.kind != "timeout" or self.must_ask(live, node, effect):
            return super().start(live, node, effect)
        assert node.options.timeout is not None
        self.host.arm_timeout(live, effect, node.options.timeout)
        silent = Attempt(None, lambda result, error: None)
        silent.begun = True
        return silent

    def done(
        self,
        live: Live,
        node: Node,
        effect: StartAttempt,
        function: Function | Plain,
        result: Any,
        error: BaseException | None,
    ) -> None:
        if self._is_dead():
            return
        told = functools.partial(super().done, live, node, effect, function, result, error)
        fault = self._fault(live, node, effect)
        if fault is not None and fault.kind == "crash_before_commit":
            self._crash(live, effect)
        elif fault is not None and fault.kind == "delay":
            self.loop.call_later(fault.seconds, self._late, live, effect, told)
        else:
            told()

    def _crash(self, live: Live, effect: StartAttempt) -> None:
        """The process dies: this one; or, of a task that was lost twice and runs alone, that task's own."""
        if effect.isolated:
            self.host.lost(live, effect.task, effect.item, effect.attempt, "its process died", at=effect.at)
        else:
            self._die()

    def _late(self, live: Live, effect: StartAttempt, told: Callable[[], None]) -> None:
        """An answer that comes late counts only if nobody has given up on it."""
        if is_current(live.state, effect.task, effect.item, effect.attempt, effect.at):
            told()
