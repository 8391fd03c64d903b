"""Runs a plan with the brain and plain calls: enough to see that definitions mean what they say."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

from raywf.core import events as ev
from raywf.core.bindings import INPUT, Binding, evaluate
from raywf.core.effects import ArmTimer, Close, Effect, Evaluate, StartAttempt, StartChild
from raywf.core.execution import initial, step
from raywf.core.ids import item_address
from raywf.core.plan import Node, NodeKind, Plan
from raywf.core.state import ExecutionState, result_bytes
from raywf.definition.inputs import bind_input
from raywf.definition.values import decode, encode
from raywf.definition.workflows import Workflow, as_workflow


class Drive:
    """One execution. ``called`` lists the addresses of the tasks that ran, in order."""

    def __init__(self, plan: Plan, functions: dict[str, Callable[..., Any]], workflow: Workflow[..., Any]) -> None:
        self.plan = plan
        self.functions = functions
        self.workflow = workflow
        self.state: ExecutionState = initial(plan)
        self.called: list[str] = []
        self.prompts: list[str] = []

    def run(self, input_: bytes) -> Any:
        queue = self._step(ev.ExecutionStarted(input_))
        while queue:
            queue += self._obey(queue.pop(0))
        assert self.state.closed == "completed", self.state
        assert self.state.value is not None
        return decode(self.state.value)

    def _step(self, event: ev.Event) -> list[Effect]:
        self.state, effects = step(self.state, event)
        return list(effects)

    def _obey(self, effect: Effect) -> list[Effect]:
        match effect:
            case Evaluate(task):
                return self._step(self._fact(self.plan.nodes[task]))
            case StartAttempt(task, item, attempt) | StartChild(task, item, attempt):
                node = self.plan.nodes[task]
                address = node.id if item is None else item_address(node.id, item)
                self.called.append(address)
                return self._step(ev.TaskCompleted(address, attempt, encode(self._call(node, item))))
            case ArmTimer(task, item, _):
                return self._step(ev.TimerFired(self.plan.nodes[task].id))
            case Close():
                return self._step(ev.ExecutionCompleted(encode(self.value(self.plan.result))))
            case _:
                raise AssertionError(effect)

    def _call(self, node: Node, item: int | None) -> Any:
        args = [self.value(each) for each in node.args]
        if item is not None:
            args = [column[item] for column in args]
        kwargs = {name: self.value(each) for name, each in node.kwargs}
        if node.kind is NodeKind.CHILD:
            child = self.workflow.definition.children()[node.child or ""]
            drive = Drive(as_workflow(child).plan, self.functions, as_workflow(child))
            return drive.run(bind_input(child, args, kwargs))
        assert node.function is not None
        result = self.functions[node.function.path](*args, **kwargs)
        return asyncio.run(result) if inspect.iscoroutine(result) else result

    def _fact(self, node: Node) -> ev.Event:
        given = {name: self.value(each) for name, each in node.kwargs}
        match node.kind:
            case NodeKind.WHEN:
                return self._when(node)
            case NodeKind.GATHER:
                return ev.TaskCompleted(node.id, 1, encode([self.value(each) for each in node.args]))
            case NodeKind.SLEEP:
                return ev.TimerStarted(node.id, given["seconds"], encode(given["value"]))
            case NodeKind.SIGNAL:
                return ev.SignalAwaited(node.id, given["name"], 1.0, encode(given["default"]))
            case NodeKind.APPROVAL:
                self.prompts.append(given["prompt"])
                return ev.ApprovalRequested(node.id, given["prompt"], b"null", 1.0, None, encode(given["data"]))
            case _:
                return ev.MapStarted(node.id, len(self.value(node.args[0])))

    def _when(self, node: Node) -> ev.Event:
        taken = self.state.tasks[node.index].wait
        if not isinstance(taken, ev.BranchTaken):
            assert node.condition is not None
            return ev.BranchTaken(node.id, bool(self.value(node.condition)))
        binding = node.result_then if taken.side else node.result_otherwise
        return ev.TaskCompleted(node.id, 1, encode(None if binding is None else self.value(binding)))

    def value(self, binding: Binding) -> Any:
        return evaluate(
            binding, lambda at: decode(self.state.input if at == INPUT else result_bytes(self.state, at)), decode
        )


def drive(workflow: Workflow[..., Any], *args: Any, **kwargs: Any) -> tuple[Any, Drive]:
    """Runs a workflow; waits end at once (approvals give their data, signals their default)."""
    running = Drive(workflow.plan, workflow.functions, workflow)
    return running.run(bind_input(workflow, args, kwargs)), running
