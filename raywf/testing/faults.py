"""What goes wrong in a test, by name: which attempt of which task, and how."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import TypeAlias

from raywf.core.ids import split_address, split_passes
from raywf.core.plan import Node, NodeKind
from raywf.definition.compile import compile_plan
from raywf.definition.lines import did_you_mean
from raywf.definition.model import WorkflowDefinition
from raywf.errors import InvalidInput

KINDS = ("fail", "timeout", "crash_before_commit", "crash_after_commit", "duplicate", "delay")


class InjectedFault(Exception):
    """What a task raises for the fault ``fail``, unless the fault says another error."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One way in which an attempt goes wrong.

    ``kind``: ``fail`` raises ``error`` instead of running; ``timeout`` never answers, so the task's timeout ends it;
    ``delay`` runs, and answers ``seconds`` later; ``duplicate`` runs the function twice under one idempotency key, and the
    first answer counts; ``crash_before_commit`` ends the process when the function has run and nothing of it is on disk;
    ``crash_after_commit`` ends it when the outcome is on disk and nobody has heard of it.

    ``attempt`` counts from 1; None is every attempt. ``chance`` is drawn from the seed of the run, for each attempt anew.
    """

    kind: str
    attempt: int | None = 1
    chance: float = 1.0
    seconds: float = 60.0
    error: BaseException | type[BaseException] | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise InvalidInput(
                f"there is no fault {self.kind!r}.{did_you_mean(self.kind, KINDS)} A fault is one of {', '.join(KINDS)}"
            )
        if self.attempt is not None and (type(self.attempt) is not int or self.attempt < 1):
            raise InvalidInput(f"attempt={self.attempt!r}: attempts count from 1, and None is every attempt")
        if not 0.0 <= self.chance <= 1.0:
            raise InvalidInput(f"chance={self.chance!r}: a chance is a number from 0 to 1")
        if not 0.0 < self.seconds < float("inf"):
            raise InvalidInput(f"seconds={self.seconds!r}: a delay is a positive number of seconds")
        if self.error is not None and self.kind != "fail":
            raise InvalidInput(f"error= goes with the fault 'fail', not with {self.kind!r}: leave it out")

    def raised(self, where: str) -> BaseException:
        """What ``fail`` raises."""
        if self.error is None:
            return InjectedFault(f"the fault 'fail' of this test, in {where}")
        return self.error() if isinstance(self.error, type) else self.error


One: TypeAlias = "str | Fault | None"
Given: TypeAlias = "Mapping[str, One | Sequence[One]]"
"""By task: a kind for its first attempt, a ``Fault``, or a list with one entry per attempt (None: that one goes well)."""


class Faults:
    """The faults of one run. The same seed draws the same chances, whatever else happens in between."""

    def __init__(self, of: Mapping[str, tuple[Fault, ...]], seed: int) -> None:
        self._of = of
        self._seed = seed

    def __bool__(self) -> bool:
        return bool(self._of)

    def of(self, execution: str, where: str, attempt: int) -> Fault | None:
        """What goes wrong with an attempt of the task at the address ``where``."""
        if not self._of:
            return None
        for name in dict.fromkeys((where, *_names(where))):
            for fault in self._of.get(name, ()):
                if fault.attempt in (None, attempt) and self._strikes(fault, f"{execution}/{where} {attempt}"):
                    return fault
        return None

    def _strikes(self, fault: Fault, place: str) -> bool:
        return fault.chance >= 1.0 or Random(f"{self._seed} {fault.kind} {place}").random() < fault.chance


def faults_for(given: Given | None, definition: WorkflowDefinition, seed: int) -> Faults:
    """Read and check what a test asks to go wrong. Raises ``InvalidInput`` for what this workflow cannot meet."""
    if given is None:
        return Faults({}, seed)
    if not isinstance(given, Mapping):
        raise InvalidInput(
            f"faults={given!r:.80} is no mapping from task to fault, such as {{'charge': 'fail'}} or "
            "{'charge': ['fail', 'timeout', None]}"
        )
    nodes = _nodes(definition)
    return Faults({name: _of_task(name, each, nodes) for name, each in given.items()}, seed)


def _nodes(definition: WorkflowDefinition) -> dict[str, Node]:
    """Every task by id, those of child workflows included."""
    found: dict[str, Node] = {}
    for each in (*definition.children().values(), definition):
        found |= {node.id: node for node in compile_plan(each).nodes}
    return found


def _names(where: str) -> Iterable[str]:
    """What an address may be called: ``name@2[3]`` is also ``name[3]``, ``name@2`` and ``name``."""
    outer, item = split_address(where)
    name, _ = split_passes(outer)
    return (f"{name}[{item}]", outer, name) if item is not None else (name,)


def _of_task(name: str, given: One | Sequence[One], nodes: Mapping[str, Node]) -> tuple[Fault, ...]:
    node = next((nodes[each] for each in (name, *_names(str(name))) if each in nodes), None)
    if node is None:
        known = [each for each, found in nodes.items() if found.kind is NodeKind.CALL]
        there = f" Its tasks are {', '.join(known)}" if known else ""
        raise InvalidInput(f"faults: the workflow has no task {name!r}.{did_you_mean(name, known)}{there}")
    if node.kind is not NodeKind.CALL:
        raise InvalidInput(f"faults: {name!r} is a {node.kind}, which runs no function that could go wrong")
    found = tuple(_numbered(given))
    for fault in found:
        _check_fits(name, fault, node)
    return found


def _numbered(given: One | Sequence[One]) -> Iterable[Fault]:
    if isinstance(given, (str, Fault)) or given is None:
        yield from () if given is None else (given if isinstance(given, Fault) else Fault(given),)
        return
    if not isinstance(given, Sequence):
        raise InvalidInput(f"faults: {given!r:.80} is neither the name of a fault, nor a Fault, nor a list of them")
    for attempt, each in enumerate(given, 1):
        if isinstance(each, Fault):
            yield Fault(each.kind, attempt, each.chance, each.seconds, each.error)
        elif each is not None:
            yield Fault(each, attempt)


def _check_fits(name: str, fault: Fault, node: Node) -> None:
    if fault.kind == "timeout" and node.options.timeout is None:
        raise InvalidInput(
            f"faults: {name!r} has no timeout=, so an attempt that never answers would never end: give the task one, or "
            "use the fault 'fail'"
        )
    if fault.kind == "duplicate" and node.options.effect == "at_most_once":
        raise InvalidInput(
            f"faults: {name!r} has effect='at_most_once': the engine never runs it twice, so there is nothing to try. "
            "'crash_before_commit' puts it in doubt"
        )
