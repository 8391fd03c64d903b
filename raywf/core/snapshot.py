"""A state as bytes, so that a long history need not be folded from its beginning.

A snapshot is a shortcut and never an authority: it holds what folding the history up to ``seq`` gives, and whoever
cannot read it (another format, another plan, a damaged row) folds the whole history instead.

The form is compressed JSON by field names. A field at its default is left out, one that is missing when it is read has
its default: a new field with a default needs no new format, and a field nobody knows any more makes the snapshot
unreadable, which is safe. Events inside a state are kept as journal records, so the upcasters of ``codec`` serve here
as well. Runs of equal items and of plain results are kept together, because a fan-out has tens of thousands.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, get_args

from raywf.core import events as ev
from raywf.core.chunks import Chunks
from raywf.core.codec import from_record, to_record
from raywf.core.failures import Failure
from raywf.core.plan import Plan
from raywf.core.state import Closing, ExecutionState, ExecutionStatus, Notes, TaskState, TaskStatus, task_states

FORMAT = 1
MAX_BYTES = 32 * 2**20
"""A state with more bytes of values than this is not worth a snapshot: writing it costs more than folding saves."""

EVERY = 1000
"""Events between two snapshots, at least."""

_EVENTS = get_args(ev.Event)
_ENUMS = {kind.__name__: kind for kind in (ExecutionStatus, TaskStatus)}


class Unreadable(ValueError):
    """This snapshot cannot be used. The history can."""


def next_at(seq: int, size: int) -> int:
    """At which event the next snapshot is due after one at ``seq`` of a state of ``size`` tasks and items.

    At least ``EVERY`` events later, and not before as many events as the state has places that are no longer as they
    began (there are at most ``seq``): so all snapshots of a growing execution together cost a constant per event, and
    what is left to fold is half of its history at most.
    """
    return seq + max(EVERY, min(size, seq))


def size_of(state: ExecutionState) -> int:
    """The number of tasks and items of a state."""
    return sum(1 if task.items is None else 1 + len(task.items) for task in state.tasks)


def encode(state: ExecutionState) -> bytes | None:
    """The bytes of a state, or None when it holds more than ``MAX_BYTES``. Pure, so any thread may do it."""
    if sum(_weights(state)) > MAX_BYTES:
        return None
    body = {
        "format": FORMAT,
        "plan": _fingerprint(state.plan),
        "state": _record(state, ("plan", "tasks")),
        "tasks": _runs(state.tasks),
    }
    return zlib.compress(json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode(), 1)


def decode(data: bytes, plan: Plan) -> ExecutionState:
    """The state of a snapshot of an execution of ``plan``. Raises ``Unreadable``."""
    try:
        body = json.loads(zlib.decompress(data))
        if body["format"] != FORMAT:
            raise Unreadable(f"a snapshot of format {body['format']}; this raywf reads format {FORMAT}")
        if body["plan"] != _fingerprint(plan):
            raise Unreadable(f"a snapshot of another shape of {plan.workflow!r}")
        return ExecutionState(plan=plan, tasks=task_states(_tasks(body["tasks"])), **_fields(body["state"]))
    except Unreadable:
        raise
    except (zlib.error, ValueError, TypeError, LookupError) as error:
        raise Unreadable(f"{type(error).__name__}: {error}") from error


def _fingerprint(plan: Plan) -> int:
    """Tells plans apart whose tasks differ: places in a state mean what they mean in its plan."""
    return zlib.crc32("\0".join(f"{node.id} {node.kind}" for node in plan.nodes).encode())


def _weights(state: ExecutionState) -> Iterator[int]:
    yield len(state.input) + len(state.value or b"") + sum(len(signal.value) for signal in state.signals)
    for task in state.tasks:
        yield len(task.value or b"")
        if task.items is not None:
            yield sum(len(item.value) for item in task.items if item.value is not None)


def task_record(task: TaskState) -> dict[str, Any]:
    """One task's state as JSON, by the names of its fields."""
    return _record(task)


def rest_record(state: ExecutionState, without: tuple[str, ...]) -> dict[str, Any]:
    """What a state holds beside its plan and its tasks, as JSON by the names of its fields."""
    return _record(state, ("plan", "tasks", *without))


def rest_of(record: dict[str, Any]) -> dict[str, Any]:
    """The fields that ``rest_record`` gave."""
    return _fields(record)


def task_of(record: dict[str, Any]) -> TaskState:
    """The state that ``task_record`` gave."""
    return TaskState(**_fields(record))


# single values


def _plain(value: Any) -> Any:
    """A value of a state's field as JSON. What is not JSON by itself is an object of one key, which says what it is."""
    match value:
        case ExecutionStatus() | TaskStatus():
            return {type(value).__name__: value.value}
        case None | bool() | int() | float() | str():
            return value
        case bytes():
            return {"bytes": value.decode()}
        case Failure():
            return {"Failure": value.to_data()}
        case Chunks():
            return {"items": _runs(value)}
        case TaskState() | Closing() | Notes():
            return {type(value).__name__: _record(value)}
        case frozenset():
            return {"set": [_plain(each) for each in sorted(value)]}
        case Mapping():
            return {"map": [[name, _plain(each)] for name, each in sorted(value.items())]}
        case tuple():
            return {"tuple": [_plain(each) for each in value]}
        case _ if isinstance(value, _EVENTS):
            return {"event": _plain(to_record(value))}
        case _:
            raise TypeError(f"a state holds a {type(value).__name__}: core.snapshot must learn to keep it")


def _record(value: Any, without: tuple[str, ...] = ()) -> dict[str, Any]:
    if is_dataclass(value):
        pairs = [(each.name, each.default) for each in fields(value)]
    else:
        pairs = [(name, value._field_defaults.get(name, ...)) for name in value._fields]
    found = ((name, getattr(value, name), default) for name, default in pairs if name not in without)
    return {name: _plain(content) for name, content, default in found if content is not default and content != default}


def _value(plain: Any) -> Any:
    if not isinstance(plain, dict):
        return plain
    ((kind, content),) = plain.items()
    if kind in _ENUMS:
        return _ENUMS[kind](content)
    return _READERS[kind](content)


def _fields(plain: dict[str, Any]) -> dict[str, Any]:
    return {name: _value(content) for name, content in plain.items()}


_READERS: dict[str, Callable[[Any], Any]] = {
    "bytes": str.encode,
    "Failure": Failure.from_data,
    "items": lambda runs: Chunks.of(_tasks(runs)),
    "TaskState": lambda plain: TaskState(**_fields(plain)),
    "Closing": lambda plain: Closing(**_fields(plain)),
    "Notes": lambda plain: Notes(**_fields(plain)),
    "set": lambda plain: frozenset(map(_value, plain)),
    "map": lambda pairs: {name: _value(each) for name, each in pairs},
    "tuple": lambda plain: tuple(map(_value, plain)),
    "event": lambda plain: from_record(*_value(plain)),
}


# many tasks or items


_Run = list[Any]
"""``["same", how many, task]``, or ``["done", attempt, results]`` of tasks that have nothing but a result."""


def _runs(tasks: Iterable[TaskState]) -> list[_Run]:
    runs: list[_Run] = []
    last: TaskState | None = None
    for task in tasks:
        if _only_result(task):
            assert task.value is not None
            if runs and runs[-1][0] == "done" and runs[-1][1] == task.attempt:
                runs[-1][2].append(task.value.decode())
            else:
                runs.append(["done", task.attempt, [task.value.decode()]])
        elif last is not None and runs[-1][0] == "same" and (task is last or task == last):
            runs[-1][1] += 1
        else:
            runs.append(["same", 1, _record(task)])
        last = task
    return runs


def _only_result(task: TaskState) -> bool:
    return task.value is not None and task == TaskState(TaskStatus.COMPLETED, attempt=task.attempt, value=task.value)


def _tasks(runs: Iterable[_Run]) -> list[TaskState]:
    tasks: list[TaskState] = []
    done = TaskStatus.COMPLETED
    for kind, which, content in runs:
        if kind == "same":
            tasks.extend([TaskState(**_fields(content))] * which)
        elif kind == "done":
            tasks.extend([TaskState(done, 0, which, 0, 0, text.encode()) for text in content])
        else:
            raise Unreadable(f"a run of unknown kind {kind!r}")
    return tasks
