"""Why an execution stands where it stands, read off its state: one reason per thing that has to happen.

Pure: who holds the execution, and what the cluster has, is added by whoever knows it (``client/why.py``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from raywf.core import approvals
from raywf.core import events as ev
from raywf.core.ids import item_address
from raywf.core.plan import Node, NodeKind, TaskOptions
from raywf.core.state import ExecutionState, TaskState, TaskStatus, address_of

MANY = 5
"""Reasons named one by one; of more of the same fan-out the rest is counted."""


@dataclass(frozen=True, slots=True)
class Reason:
    """One thing that an execution waits for.

    ``kind``: ``signal, update, approval, timer, retry, child, task, code, resources, limit, cache, pool, paused, doubt, closing,
    engine`` or ``more``.
    ``who`` is the name that has to act (a signal's name, a child's id); ``until`` the instant at which time itself
    moves it (epoch seconds). ``text`` says it in words.
    """

    kind: str
    text: str
    task: str | None = None
    who: str | None = None
    until: float | None = None


def reasons(state: ExecutionState) -> list[Reason]:
    """What has to happen before an open execution goes on, in the order of its tasks. Empty for a closed one."""
    if state.closed is not None:
        return []
    found = list(_closing(state))
    if state.pause is not None:
        because = f": {state.pause.reason}" if state.pause.reason else ""
        found.append(Reason("paused", f"it is paused{because}; nothing new starts until it is resumed"))
    for node, task in zip(state.plan.nodes, state.tasks, strict=True):
        if task.items is None:
            found.extend(_of_task(node, address_of(state, node.index), task))
        else:
            found.extend(_of_items(node, task.items))
    if not found and not state.started:
        found.append(Reason("task", "it has been accepted and has not begun"))
    return found


def _closing(state: ExecutionState) -> Iterator[Reason]:
    closing = state.closing
    if closing is None:
        return
    because = closing.reason or (closing.failure.message if closing.failure else "")
    what = f"it is ending ({closing.status})" + (f": {because}" if because else "")
    yield Reason("closing", f"{what}; it ends when what still runs has ended")


def _of_items(node: Node, items: Sequence[TaskState]) -> Iterator[Reason]:
    every = (reason for at, item in enumerate(items) for reason in _of_task(node, item_address(node.id, at), item))
    yield from islice(every, MANY)
    rest = sum(1 for _ in every)
    if rest:
        done = sum(item.status is TaskStatus.COMPLETED for item in items)
        text = f"and {rest:,} more items of {node.id} ({done:,} of {len(items):,} have completed)"
        yield Reason("more", text, node.id)


def _of_task(node: Node, where: str, task: TaskState) -> Iterator[Reason]:
    match task.status:
        case TaskStatus.WAITING:
            yield _wait(where, task)
        case TaskStatus.RETRYING:
            failure = task.failure
            after = f" after attempt {task.attempt - 1 or 1} failed"
            why = f" with {failure.type}: {_first_line(failure.message)}" if failure else ""
            yield Reason("retry", f"the next attempt of {where},{after}{why}", where, None, task.due_at)
        case TaskStatus.READY | TaskStatus.RUNNING:
            if isinstance(task.wait, ev.ChildStarted):
                child = task.wait.child
                yield Reason("child", f"the child execution {child} ({where})", where, child)
            elif node.kind in (NodeKind.CALL, NodeKind.CHILD):
                yield Reason("task", _running(node, where, task), where)
        case _:
            pass


def _wait(where: str, task: TaskState) -> Reason:
    match task.wait:
        case ev.AttemptLost(_, _, reason):
            text = f"a decision about {where}, of which nobody knows whether it happened ({reason})"
            return Reason("doubt", text, where, "a person")
        case ev.ApprovalRequested() as asked:
            then = "" if task.due_at is None else (" (then it fails)" if asked.on_timeout is None else "")
            if approvals.escalates(asked, task.notes):
                then = f" (then {' and '.join(asked.escalate_to)} will be asked)"
            text = f"{approvals.words(asked, task.notes)} ({where}): {asked.prompt}{then}"
            who = ", ".join(approvals.open_to(asked, task.notes)) or "a person"
            return Reason("approval", text, where, who, task.due_at)
        case ev.SignalAwaited(_, name):
            then = "" if task.due_at is None else (" (then it fails)" if task.wait.default is None else "")
            kind = "update" if task.wait.update else "signal"
            return Reason(
                kind,
                f"{'an update' if task.wait.update else 'a signal'} {name!r} ({where}){then}",
                where,
                name,
                task.due_at,
            )
        case ev.MergeAwaited():
            return Reason("task", f"more answers for the merge {where}", where, None, task.due_at)
        case _:
            return Reason("timer", f"time ({where})", where, None, task.due_at)


def _running(node: Node, where: str, task: TaskState) -> str:
    begun = task.status is TaskStatus.RUNNING
    alone = ", alone in a process because earlier attempts died with theirs" if task.lost >= 2 else ""
    if node.options.pool is not None:
        place = f"in a worker of pool {node.options.pool.name}"
    elif node.options.runs_on == "ray":
        place = f"as a Ray task that asks for {asked(node)}"
    else:
        place = "in its workflow actor"
    verb = "runs" if begun else "is about to begin"
    return f"{where} {verb}, attempt {max(task.attempt, 1)}, {place}{alone}"


def asked(node: Node) -> str:
    """The resources that a Ray task asks for, in words."""
    return ", ".join(f"{name} {amount:g}" for name, amount in demand(node).items())


def demand(node: Node) -> dict[str, float]:
    """The resources that a Ray task, or a worker of its pool, asks for, under Ray's own names."""
    return needs_of(node.options)


def needs_of(options: TaskOptions) -> dict[str, float]:
    """The same, of its options."""
    if options.pool is not None:
        return dict(options.pool.demand) or {"CPU": 0.0}
    wanted = {"CPU": 1.0 if options.num_cpus is None else options.num_cpus}
    if options.num_gpus is not None:
        wanted["GPU"] = options.num_gpus
    if options.memory is not None:
        wanted["memory"] = float(options.memory)
    return {name: amount for name, amount in {**wanted, **dict(options.resources)}.items() if amount} or {"CPU": 0.0}


def unplaceable(wanted: dict[str, float], nodes: Sequence[dict[str, float]]) -> str | None:
    """Why no node can ever take a Ray task, in words; None where one can. ``nodes`` are their total resources."""
    if any(all(node.get(name, 0.0) >= amount for name, amount in wanted.items()) for node in nodes):
        return None
    short = []
    for name, amount in wanted.items():
        most = max((node.get(name, 0.0) for node in nodes), default=0.0)
        if most < amount:
            short.append(f"{name} {amount:g}, and the node with most of it has {most:g}")
    if not short:
        short.append(
            ", ".join(f"{name} {amount:g}" for name, amount in wanted.items()) + " on one node, and none has all"
        )
    return f"it asks for {'; '.join(short)}"


def _first_line(text: str) -> str:
    return text.splitlines()[0][:200] if text else ""
