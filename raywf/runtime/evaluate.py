"""From bindings to facts: what a task's arguments, conditions and waits come to, given the results so far.

No outside effect and no await: everything here happens inside a turn. What fails here fails the task.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable
from typing import Any

from raywf.core import events as ev
from raywf.core.bindings import INPUT, Binding, Const, Ref, evaluate, follow
from raywf.core.failures import Failure
from raywf.core.owed import tally
from raywf.core.plan import Node, NodeKind
from raywf.core.state import ExecutionState, address_of, result_bytes
from raywf.definition import values
from raywf.definition.panels import ASKED, check_order, panel_of
from raywf.definition.strategies import strategy_of
from raywf.errors import InvalidInput, LoopLimit, RaywfError, TooFewAnswers
from raywf.runtime.code import Code
from raywf.runtime.data import Blobs, spill
from raywf.runtime.merging import answers_of, is_settled, merge, too_few

MAX_WIDTH = 100_000
MAX_ITERATIONS = 1000
"""The passes of a loop that does not say its own limit, where the settings do not say another."""
_MAX_TRACEBACK = 20_000


def failure_of(error: BaseException, attempt: int, non_retryable: tuple[str, ...] = ()) -> Failure:
    """An exception as data. Its class and those it derives from are compared with ``non_retryable``."""
    names = [type_name(cls) for cls in type(error).__mro__]
    text = "".join(traceback.format_exception(type(error), error, _user_frames(error)))
    try:
        message = str(error)
    except Exception as failed:
        message = f"<its __str__ raised {type(failed).__name__}>"
    retryable = not any(name in non_retryable or name.rpartition(".")[2] in non_retryable for name in names)
    if isinstance(error, (values.EncodeError, SystemExit)):
        retryable = False
    after = None
    if isinstance(error, RaywfError):  # those of ours that know it themselves
        retryable = retryable and getattr(error, "retryable", True) is not False
        after = getattr(error, "retry_after", None)
    return Failure(names[0], message, text[-_MAX_TRACEBACK:], attempt, retryable, after)


def type_name(cls: type) -> str:
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"


def _is_ours(file: str) -> bool:
    return "/raywf/runtime/" in file or file.endswith("/raywf/testing/work.py")


def _user_frames(error: BaseException) -> Any:
    """The traceback without our own frames at its top."""
    frames = error.__traceback__
    while frames is not None and _is_ours(frames.tb_frame.f_code.co_filename.replace("\\", "/")):
        if frames.tb_next is None:
            break
        frames = frames.tb_next
    return frames


class Evaluator:
    """Evaluates bindings against the state of one execution at a time."""

    def __init__(
        self,
        code: Code,
        blobs: Blobs | None,
        max_iterations: int = MAX_ITERATIONS,
        approval_timeout: float = float("inf"),
    ) -> None:
        self.approval_timeout = approval_timeout
        self.code = code
        self.blobs = blobs
        self.max_iterations = max_iterations
        self._context = values.Context(code.find_class, blobs.get if blobs else values.no_blobs)

    def decode(self, data: bytes) -> Any:
        return values.decode_with(data, self._context)

    def encode(self, value: Any) -> bytes:
        return spill(values.encode(value), self.blobs)

    def value(self, state: ExecutionState, binding: Binding) -> Any:
        """The Python value of a binding, decoded afresh: nobody shares what somebody may change."""
        if type(binding) is Ref:  # by far the most common, and worth a path of its own
            task = binding.task
            data = state.input if task == INPUT else state.tasks[task].value or result_bytes(state, task)
            whole = values.decode_with(data, self._context)
            return follow(whole, binding.path) if binding.path else whole

        def result_of(task: int) -> Any:
            return self.decode(state.input if task == INPUT else result_bytes(state, task))

        return evaluate(binding, result_of, self.decode)

    def encoded(self, state: ExecutionState, binding: Binding) -> bytes:
        """The encoded value of a binding; a whole result is handed on as it is."""
        if type(binding) is Ref and not binding.path and binding.task != INPUT:
            return result_bytes(state, binding.task)
        if type(binding) is Const:
            return binding.value
        return self.encode(self.value(state, binding))

    def fact(self, state: ExecutionState, node: Node, now: float) -> ev.Event:
        """The event that evaluating a ready task comes to; ``AttemptFailed`` when it raises."""
        try:
            return self._fact(state, node, now)
        except Exception as error:
            where = address_of(state, node.index)
            return ev.AttemptFailed(where, failure_of(error, 1), 1, None)

    def _fact(self, state: ExecutionState, node: Node, now: float) -> ev.Event:
        where = address_of(state, node.index)
        match node.kind:
            case NodeKind.WHEN:
                return self._when(state, node, where)
            case NodeKind.GATHER:
                parts = [self.encoded(state, binding) for binding in node.args]
                return ev.TaskCompleted(where, 1, spill(b"[" + b",".join(parts) + b"]", self.blobs))
            case NodeKind.AGGREGATE:
                if node.merge is not None and not isinstance(state.tasks[node.index].wait, ev.MergeAwaited):
                    return ev.MergeAwaited(where, self._due(state, dict(node.kwargs).get("timeout"), now))
                given = self._how(state, node)
                results = self._answers(state, node, where)
                return ev.TaskCompleted(where, 1, self.encode(merge(state.plan, node, where, results, **given)))
            case NodeKind.SLEEP:
                given = dict(node.kwargs)
                seconds = _seconds(self.value(state, given["seconds"]), "sleep")
                return ev.TimerStarted(where, now + seconds, self.encoded(state, given["value"]))
            case NodeKind.SIGNAL:
                given = dict(node.kwargs)
                name = self.value(state, given["name"])
                if not isinstance(name, str) or not name:
                    raise InvalidInput(f"wait_signal needs the signal's name as a string, got {name!r}")
                due_at = self._due(state, given.get("timeout"), now)
                return ev.SignalAwaited(where, name, due_at, self._given(state, given.get("default")), node.update)
            case NodeKind.APPROVAL:
                return self._approval(state, node, now)
            case NodeKind.LOOP:
                return self._loop(state, node, where)
            case NodeKind.CALL | NodeKind.CHILD:
                return ev.MapStarted(where, len(self.columns(state, node)[0]))

    def _how(self, state: ExecutionState, node: Node) -> dict[str, Any]:
        """How a merge merges: what ``ResultAggregator`` is made with."""
        given = {name: self.value(state, binding) for name, binding in node.kwargs if name != "timeout"}
        if type(given["strategy"]) is not str:
            given["strategy"] = strategy_of(given["strategy"], self.code.find_class)
        return given

    def _answers(self, state: ExecutionState, node: Node, where: str) -> Any:
        """The results of a merge. Where it does not wait for all, None stands for those that are missing. Raises
        ``TooFewAnswers``."""
        if node.merge is None:
            return self.value(state, node.args[0])
        answered, _ = tally(state.tasks, node.merge)
        if answered < node.merge.at_least:
            raise TooFewAnswers(too_few(state, node, where, answered))
        return answers_of(state, node, self.value, self.decode)

    def decided(self, state: ExecutionState, node: Node) -> ev.MergeDecided | None:
        """Whether the answers that a waiting merge has settle it: those that are out could not change the value."""
        assert node.merge is not None
        answered, out = tally(state.tasks, node.merge)
        if not answered or answered < node.merge.at_least:
            return None
        where = address_of(state, node.index)
        try:
            given = self._how(state, node)
            settled = is_settled(state, node, answers_of(state, node, self.value, self.decode), **given)
        except Exception:
            return None  # an answer that cannot be merged fails the task once all are there, or the time is up
        return ev.MergeDecided(where, answered, out) if settled else None

    def _when(self, state: ExecutionState, node: Node, where: str) -> ev.Event:
        taken = state.tasks[node.index].wait
        if not isinstance(taken, ev.BranchTaken):
            assert node.condition is not None
            return ev.BranchTaken(where, bool(self.value(state, node.condition)))
        binding = node.result_then if taken.side else node.result_otherwise
        return ev.TaskCompleted(where, 1, b"null" if binding is None else self.encoded(state, binding))

    def _loop(self, state: ExecutionState, node: Node, where: str) -> ev.Event:
        """The first pass; after each one, the end or the next."""
        passes = state.tasks[node.index].passes
        if not passes:
            return ev.PassStarted(where, 1, self.encoded(state, node.args[0]))
        assert node.condition is not None and node.result_then is not None
        last = self.encoded(state, node.result_then)
        if self.value(state, node.condition):
            return ev.TaskCompleted(where, 1, last)
        limit = self.value(state, dict(node.kwargs)["max_iterations"])
        if limit is None:
            limit = self.max_iterations
        if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
            raise InvalidInput(f"loop {where}: max_iterations must be an integer from 1, got {limit!r:.60}")
        if passes < limit:
            return ev.PassStarted(where, passes + 1, last)
        if node.on_limit == "last":
            return ev.TaskCompleted(where, 1, last)
        state_text = f"{self.decode(last)!r:.200}"
        raise LoopLimit(
            f"loop {where} made {passes:,} passes and until= does not hold yet; the state is {state_text}. Correct "
            "until=, raise max_iterations=, or give on_limit='last' to take the last state as it is"
        )

    def _approval(self, state: ExecutionState, node: Node, now: float) -> ev.Event:
        given = dict(node.kwargs)
        try:
            panel = panel_of({name: self.value(state, given[name]) for name in ASKED if name in given})
            after = None if panel.escalate_after is None else _seconds(panel.escalate_after, "escalate_after")
            due_at = self._due(state, given.get("timeout"), now)
            if due_at is None and self.approval_timeout < float("inf"):
                due_at = now + self.approval_timeout
            check_order(after, None if due_at is None else due_at - now)
        except ValueError as error:
            raise InvalidInput(f"approval {node.id}: {error}") from None
        return ev.ApprovalRequested(
            address_of(state, node.index),
            str(self.value(state, given["prompt"])),
            self.encoded(state, given["data"]),
            due_at,
            self._given(state, given.get("on_reject")),
            self._given(state, given.get("on_timeout")),
            panel.assignee,
            panel.approvers,
            panel.required,
            None if after is None else now + after,
            panel.escalate_to,
        )

    def _given(self, state: ExecutionState, binding: Binding | None) -> bytes | None:
        return None if binding is None else self.encoded(state, binding)

    def _due(self, state: ExecutionState, binding: Binding | None, now: float) -> float | None:
        seconds = None if binding is None else self.value(state, binding)
        return None if seconds is None else now + _seconds(seconds, "timeout")

    def result(self, state: ExecutionState) -> bytes:
        """The encoded result of an execution all of whose tasks have ended."""
        return self.encoded(state, state.plan.result)

    def columns(self, state: ExecutionState, node: Node) -> list[list[bytes]]:
        """The positional arguments of a fan-out: for each the encoded values, one per item, all equally many."""
        if node.undoes is not None:
            return [[item.value or b"null" for item in state.tasks[node.undoes].items or ()]]
        columns = [self._column(state, binding, node.id) for binding in node.args]
        widths = {len(column) for column in columns}
        if len(widths) > 1:
            raise InvalidInput(
                f"{node.id}.map got lists of unequal lengths ({', '.join(str(len(column)) for column in columns)}): "
                "positional arguments go in step, so make them equally long, or pass what is whole by keyword"
            )
        if widths and max(widths) > MAX_WIDTH:
            raise InvalidInput(f"{node.id}.map over {max(widths)} items: the limit is {MAX_WIDTH}. Map over batches.")
        return columns

    def _column(self, state: ExecutionState, binding: Binding, task: str) -> list[bytes]:
        value = self.value(state, binding)
        if isinstance(value, (str, bytes, dict)) or not isinstance(value, Iterable):
            raise InvalidInput(f"{task}.map needs a list to map over, got {type(value).__name__}: {value!r:.200}")
        return [self.encode(item) for item in value]


def _seconds(value: Any, what: str) -> float:
    total: Callable[[], float] | None = getattr(value, "total_seconds", None)
    if total is not None:
        value = total()
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1e11:
        raise InvalidInput(f"{what} needs a number of seconds that is not negative, got {value!r}")
    return float(value)


def is_ours(error: BaseException) -> bool:
    return isinstance(error, RaywfError)
