"""What raywf's encoding has no form for, pickled.

The removed library kept whatever cloudpickle takes: functions, exceptions, objects of any class. A function and its arguments
are kept so here as well, because a workflow must go on where nobody has its program. Results stay in raywf's own encoding where
that gives them back exactly, so that ``raywf show`` can show them. Ray's object references are kept by the value behind them.
"""

from __future__ import annotations

import dataclasses
import io
import pickle
from collections.abc import Callable
from typing import Any

import ray
from ray import cloudpickle
from ray.actor import ActorHandle
from ray.dag import DAGNode

from raywf.definition import values
from raywf.errors import RaywfError

Slot = Callable[[DAGNode], Any]


@dataclasses.dataclass(frozen=True)
class Stored:
    """A pickled value. Read by this module alone."""

    pickled: bytes


class _Pickler(cloudpickle.CloudPickler):  # type: ignore[misc]
    def __init__(self, file: io.BytesIO, slot: Slot) -> None:
        super().__init__(file, protocol=5)
        self._slot = slot

    def persistent_id(self, found: Any) -> Any:
        if isinstance(found, ray.ObjectRef):
            return "ref", ray.get(found)
        if isinstance(found, DAGNode):
            return self._slot(found)
        if isinstance(found, ActorHandle):
            raise TypeError(
                f"the handle {found!r} cannot be kept: an actor may be gone when the workflow goes on. Name the actor, and "
                "call ray.get_actor in the task"
            )
        return None


def _no_slot(node: DAGNode) -> Any:
    raise TypeError(
        f"{node!r:.80} is a part of a graph and not a value: bind it as an argument, or return workflow.continuation(…) of it"
    )


def dumps(value: Any, slot: Slot = _no_slot) -> bytes:
    """A pickled value. ``slot`` says what stands in for a node of a graph. Raises whatever pickling raises."""
    file = io.BytesIO()
    _Pickler(file, slot).dump(value)
    return file.getvalue()


class _Unpickler(pickle.Unpickler):
    def __init__(self, data: bytes, results: list[Any]) -> None:
        super().__init__(io.BytesIO(data))
        self._results = results
        self._refs: dict[int, ray.ObjectRef[Any]] = {}

    def persistent_load(self, found: Any) -> Any:
        kind, what = found
        if kind == "value":
            return what
        if kind == "ref":
            return ray.put(what)
        if what not in self._refs:
            self._refs[what] = ray.put(restored(self._results[what]))
        return self._refs[what]


def loads(data: bytes, results: list[Any] | None = None) -> Any:
    """What ``dumps`` was given, with a reference to ``results[n]`` for slot ``n``."""
    return _Unpickler(data, results or []).load()


_CLASSES = tuple(f'"$t":"{tag}"'.encode() for tag in ("dataclass", "model", "enum", "flag", "namedtuple"))


def stored(value: Any) -> Any:
    """The value as raywf keeps it: itself where its encoding gives it back exactly, else pickled."""
    try:
        encoded = values.encode(value)
    except RaywfError:
        return Stored(dumps(value))
    # A class may be known to this program alone, so what names one is kept together with it.
    return Stored(dumps(value)) if any(tag in encoded for tag in _CLASSES) else value


def restored(value: Any) -> Any:
    """The value behind what was kept."""
    return loads(value.pickled) if type(value) is Stored else value
