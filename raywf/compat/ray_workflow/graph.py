"""A Ray graph as a raywf definition and its input.

The definition says which task waits for which, and how each runs. What makes this run different from another one of the same
shape goes into the input: the functions, pickled; the arguments, pickled, with a slot for each result of another task; and
``about``, what ``get_metadata`` and ``get_output`` must know. So equal graphs share one stored definition.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ray.dag import ClassMethodNode, ClassNode, DAGNode, FunctionNode, InputAttributeNode, InputNode, MultiOutputNode
from ray.dag.input_node import DAGInputData

from raywf.compat.ray_workflow import events, tasks
from raywf.compat.ray_workflow.common import LIMIT
from raywf.compat.ray_workflow.event_listener import TimerListener
from raywf.compat.ray_workflow.options import task_options, workflow_options
from raywf.compat.ray_workflow.stored import dumps
from raywf.definition.functions import source_hash
from raywf.definition.model import WorkflowDefinition
from raywf.definition.options import to_data

_CALL = f"{tasks.__name__}:{tasks.call.__name__}"
_AWAIT = f"{tasks.__name__}:{tasks.listen.__name__}"
_UNTIL = f"{tasks.__name__}:{tasks.until.__name__}"


@dataclass(frozen=True)
class Inherited:
    """What a task that goes on as a graph hands down to it."""

    catch_exceptions: bool = False
    checkpoint: bool = True


@dataclass
class Built:
    """A graph ready to be submitted: the definition, and its input by parameter."""

    definition: WorkflowDefinition
    input: dict[str, Any]


def build(
    dag: object,
    args: tuple[Any, ...] = (),
    kwargs: Mapping[str, Any] | None = None,
    metadata: Mapping[str, Any] | None = None,
    inherited: Inherited | None = None,
    limited: bool = False,
) -> Built:
    """The definition and the input of a graph. Raises ``TypeError`` and ``ValueError`` for what cannot be one."""
    if not isinstance(dag, DAGNode):
        raise TypeError(f"a workflow is a graph, made with f.bind(…), not {dag!r:.80}")
    if not isinstance(dag, FunctionNode):
        raise TypeError(f"the end of a workflow must be a remote function's .bind(…), not {_kind(dag)}")
    return _Builder(dag, DAGInputData(*args, **(kwargs or {})), args, inherited or Inherited()).built(
        dict(metadata or {}), limited
    )


def _kind(node: DAGNode) -> str:
    if isinstance(node, (ClassNode, ClassMethodNode)):
        return "an actor or its method: an actor's state is not kept. Write a remote function that calls the actor"
    if isinstance(node, MultiOutputNode):
        return "a MultiOutputNode: bind a function that takes the parts and returns them"
    return f"{type(node).__name__}"


@dataclass
class _Task:
    node: FunctionNode
    id: str
    pickled: bytes = b""
    needs: list[FunctionNode] = field(default_factory=list)


class _Builder:
    def __init__(self, dag: FunctionNode, given: DAGInputData, args: tuple[Any, ...], inherited: Inherited) -> None:
        self.dag = dag
        self.given = given
        self.args = args
        self.inherited = inherited
        self.tasks: dict[str, _Task] = {}
        self.taken: dict[str, int] = {}
        self.input: dict[str, Any] = {}
        self.functions: dict[int, tuple[str, str]] = {}

    def built(self, metadata: dict[str, Any], limited: bool) -> Built:
        drawn, about = [], []
        for node in self._in_order():
            found = self.tasks[node.get_stable_uuid()]
            data, said = self._task(found)
            drawn += data
            about.append(said)
        self.input["about"] = {"tasks": about, "metadata": metadata}
        definition = WorkflowDefinition.model_validate(
            {
                "id": self._stem(self.dag),
                "parameters": {name: {} for name in self.input},
                "tasks": drawn,
                "configuration": {"limits": [{"name": LIMIT, "concurrency": 1}]} if limited else {},
                "result": {"$ref": self.tasks[self.dag.get_stable_uuid()].id},
            }
        )
        return Built(definition, self.input)

    # the nodes, each after all it needs

    def _in_order(self) -> Iterator[FunctionNode]:
        stack: list[tuple[FunctionNode, Iterator[FunctionNode]]] = [(self.dag, iter(self._scan(self.dag).needs))]
        done: set[str] = set()
        while stack:
            node, needs = stack[-1]
            for need in needs:
                if need.get_stable_uuid() not in self.tasks:
                    stack.append((need, iter(self._scan(need).needs)))
                    break
            else:
                stack.pop()
                uuid = node.get_stable_uuid()
                if uuid not in done:
                    done.add(uuid)
                    self.tasks[uuid].id = self._fresh(self._stem(node))
                    yield node

    def _scan(self, node: FunctionNode) -> _Task:
        """The arguments of a node, pickled once: whatever other nodes they hold, at any depth, are its needs."""
        found = self.tasks[node.get_stable_uuid()] = _Task(node, "")
        places: dict[str, int] = {}

        def place(other: FunctionNode) -> int:
            uuid = other.get_stable_uuid()
            if uuid not in places:
                places[uuid] = len(places)
                found.needs.append(other)
            return places[uuid]

        def slot(other: DAGNode) -> Any:
            if isinstance(other, FunctionNode):
                return "slot", place(other)
            return "value", self._given(other)

        def top(value: Any) -> Any:
            return tasks.Slot(place(value)) if isinstance(value, FunctionNode) else value

        args = [top(each) for each in node._bound_args]
        kwargs = {name: top(each) for name, each in node._bound_kwargs.items()}
        found.pickled = dumps((args, kwargs), slot)
        return found

    def _given(self, node: DAGNode) -> Any:
        if isinstance(node, InputAttributeNode):
            single = len(self.args) == 1 and not self.given._kwargs
            key, whole = node._key, self.args[0] if single else self.given
            if single and node._accessor_method == "__getattr__":
                return getattr(whole, key)
            return whole[key]
        if isinstance(node, InputNode):
            return self.args[0] if len(self.args) == 1 and not self.given._kwargs else self.given
        raise TypeError(f"a workflow cannot hold {_kind(node)}")

    # one task

    def _task(self, found: _Task) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        node, body = found.node, found.node._body
        who = f"task {self._stem(node)!r}"
        own = workflow_options(body, node._bound_options)
        checkpoint = own.get("checkpoint", self.inherited.checkpoint)
        caught = own.get("catch_exceptions", self.inherited.catch_exceptions if node is self.dag else False)
        options, attempts = task_options(who, node._bound_options, own)
        results = [{"$ref": self.tasks[need.get_stable_uuid()].id} for need in found.needs]
        said = {
            "id": found.id,
            "name": own.get("task_id") or full_name(body),
            "named": "task_id" in own,
            "needs": [self.tasks[need.get_stable_uuid()].id for need in found.needs],
            "metadata": own.get("metadata", {}),
            "options": {
                "task_type": "FUNCTION",
                "max_retries": own.get("max_retries", node._bound_options.get("max_retries", 3)),
                "retry_exceptions": node._bound_options.get("retry_exceptions", False),
                "catch_exceptions": caught,
                "checkpoint": checkpoint,
                "ray_options": {
                    name: node._bound_options[name]
                    for name in ("num_cpus", "num_gpus", "memory", "resources")
                    if node._bound_options.get(name) is not None
                },
            },
        }
        if body is events.poll_for_event:
            return self._event(found, results), said
        if body is events.sleep_for:
            return self._timer(found, node._bound_args[0]), said
        function, hash_ = self._function(body)
        data = {
            "id": found.id,
            "function": _CALL,
            "source_hash": hash_,
            "args": [function, self._constant("arguments", found.pickled), results],
            "kwargs": {"catch": caught, "attempts": attempts, "checkpoint": checkpoint},
            "options": to_data(who, options),
        }
        return [data], said

    def _event(self, found: _Task, results: list[Any]) -> list[dict[str, Any]]:
        """A listener's wait. A timer is raywf's own, which costs nothing while it waits."""
        listener, *args = found.node._bound_args
        if listener is TimerListener and len(args) == 1 and not found.node._bound_kwargs:
            if not isinstance(args[0], DAGNode):
                return self._timer(found, max(0.0, args[0] - time.time()))
            before: dict[str, Any] = {"id": self._fresh(f"{found.id}-seconds"), "function": _UNTIL}
            before["args"] = [self._constant("arguments", found.pickled), results]
            return [before, {"id": found.id, "sleep": {"seconds": {"$ref": before["id"]}}}]
        data: dict[str, Any] = {"id": found.id, "function": _AWAIT}
        data["args"] = [self._constant("arguments", found.pickled), results]
        return [data]

    def _timer(self, found: _Task, seconds: Any) -> list[dict[str, Any]]:
        name = f"seconds_{len(self.input)}"
        self.input[name] = float(seconds)
        return [{"id": found.id, "sleep": {"seconds": {"$ref": f"input.{name}"}}}]

    def _function(self, body: Callable[..., Any]) -> tuple[dict[str, str], str]:
        """Where a function is in the input, and what tells it from others in every process."""
        known = self.functions.get(id(body))
        if known is None:
            hash_ = source_hash(body, full_name(body), with_closure=True)
            name = f"function_{len(self.input)}"
            self.input[name] = dumps(body)
            known = self.functions[id(body)] = name, hash_
        return {"$ref": f"input.{known[0]}"}, known[1]

    def _constant(self, stem: str, value: Any) -> dict[str, str]:
        name = f"{stem}_{len(self.input)}"
        self.input[name] = value
        return {"$ref": f"input.{name}"}

    def _stem(self, node: FunctionNode) -> str:
        own = workflow_options(node._body, node._bound_options)
        name = str(own.get("task_id") or getattr(node._body, "__name__", "task"))
        stem = re.sub(r"[^A-Za-z0-9_-]", "_", name)
        return stem if re.match(r"[A-Za-z_]", stem) else f"task_{stem}"

    def _fresh(self, stem: str) -> str:
        """An id that no other task of the graph has."""
        number, id_ = 1, stem
        while id_ in self.taken:
            number = self.taken[stem] = max(number, self.taken.get(stem, 1)) + 1
            id_ = f"{stem}-{number}"
        self.taken.setdefault(id_, 1)
        return id_


def full_name(body: Callable[..., Any]) -> str:
    """The task id that the removed library gave to a task without one: module and qualified name, without brackets."""
    module = getattr(body, "__module__", None) or "__anonymous_module__"
    qualname = getattr(body, "__qualname__", "__anonymous_func__")
    return f"{module}.{re.sub(r'[^A-Za-z0-9_.-]', '', qualname)}"
