"""A definition made ready to run: tasks in topological order, with what each needs and whom it wakes.

A plan is shared by all executions of one definition and never changes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from raywf.core.admission import Rule
from raywf.core.bindings import Binding
from raywf.core.caching import CachePolicy
from raywf.core.crews import CrewRule
from raywf.core.effects import StartAttempt
from raywf.core.retry import NO_RETRY, RetryPolicy


class NodeKind(StrEnum):
    CALL = "call"
    CHILD = "child"
    WHEN = "when"
    GATHER = "gather"
    SLEEP = "sleep"
    SIGNAL = "signal"
    APPROVAL = "approval"
    LOOP = "loop"
    AGGREGATE = "aggregate"


@dataclass(frozen=True, slots=True)
class FunctionRef:
    """Which function a task calls: ``module:qualname``, and the hash of its source.

    ``by_value`` functions (of ``__main__``, of notebooks, nested ones) cannot be imported: the client sends them.
    """

    path: str
    source_hash: str = ""
    by_value: bool = False


@dataclass(frozen=True, slots=True)
class LimitUse:
    """How a start uses a limit: what the definition declares of it, and paths that say which key and how many units."""

    name: str
    rule: Rule
    key: str | None = None
    units: float | str = 1.0
    fair: str | None = None


@dataclass(frozen=True, slots=True)
class PoolUse:
    """The pool of workers that a task runs in: its name, how many there may be, what each asks of Ray (under Ray's own
    names), and the functions that make a worker ready and take it down."""

    name: str
    rule: CrewRule
    demand: tuple[tuple[str, float], ...] = ()
    setup: FunctionRef | None = None
    teardown: FunctionRef | None = None


CLEANUP_S = 10.0
"""How long an async attempt that is asked to end may clean up, where its task does not say."""


@dataclass(frozen=True, slots=True)
class TaskOptions:
    """How a task runs. Times in seconds, memory in bytes."""

    retry: RetryPolicy = NO_RETRY
    timeout: float | None = None
    runs_on: str = "actor"
    num_cpus: float | None = None
    num_gpus: float | None = None
    memory: int | None = None
    resources: tuple[tuple[str, float], ...] = ()
    effect: str = "at_least_once"
    limits: tuple[LimitUse, ...] = ()
    in_doubt: str = "ask"
    heartbeat_timeout: float | None = None
    cleanup_timeout: float = CLEANUP_S
    cache: CachePolicy | None = None
    pool: PoolUse | None = None
    asks: bool = field(init=False, repr=False, compare=False)
    """Whether an attempt must ask somebody before it begins: one look, for the many that need not."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "asks", bool(self.limits) or self.cache is not None)


DEFAULT_OPTIONS = TaskOptions()


@dataclass(frozen=True, slots=True)
class Merge:
    """How a merge that need not wait for everybody waits.

    ``sources`` are the tasks behind each result; or ``fan_out`` is the mapped task whose items are the results.
    ``quorum`` answers are enough, fewer than ``at_least`` are a failure; ``early_stop``: it ends as soon as those still out
    could change nothing. ``members`` are all tasks that are stopped when it is done.
    """

    sources: tuple[tuple[int, ...], ...] = ()
    fan_out: int | None = None
    quorum: int | None = None
    at_least: int = 1
    early_stop: bool = False
    members: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Node:
    """One task of a plan.

    ``needs`` are the tasks that must have completed first, the ``when`` it belongs to included. ``guard`` is that
    ``when`` and the side (True: then). For a ``when``: ``condition`` decides, ``then`` and ``otherwise`` list the
    members of each side, ``result_then`` and ``result_otherwise`` give its value once ``needs_then`` or
    ``needs_otherwise`` have completed.

    For a ``loop``: ``args`` is the state before the first pass, ``condition`` says after each whether it was the last,
    ``result_then`` is the state it leaves, ``on_limit`` what happens after ``max_iterations`` (in ``kwargs``) passes, and
    ``body`` lists the tasks that run in every pass. ``loops`` of a task are the loops around it, outermost first. A task
    in a loop needs only what is in the same loop: the loop itself needs the rest.

    A compensation is a node too, ``undo:NAME``, after all others: ``undoes`` is the task whose effect it takes back, and
    that task's ``undone_by`` leads here. It is nobody's need, and does not count as left to do.

    A signal with ``update`` waits for updates; its ``function`` is then what accepts or refuses them, if there is any.

    A merge that need not wait for everybody has ``merge``, and needs only what all its sources need; they lead to it by
    ``merged_by``.
    """

    index: int
    id: str
    kind: NodeKind
    needs: tuple[int, ...] = ()
    dependents: tuple[int, ...] = ()
    guard: tuple[int, bool] | None = None
    function: FunctionRef | None = None
    child: str | None = None
    args: tuple[Binding, ...] = ()
    kwargs: tuple[tuple[str, Binding], ...] = ()
    mapped: bool = False
    fallback: FunctionRef | None = None
    """Called with the same arguments, in one more attempt, when the attempts are used up."""
    options: TaskOptions = DEFAULT_OPTIONS
    condition: Binding | None = None
    then: tuple[int, ...] = ()
    otherwise: tuple[int, ...] = ()
    needs_then: tuple[int, ...] = ()
    needs_otherwise: tuple[int, ...] = ()
    result_then: Binding | None = None
    result_otherwise: Binding | None = None
    loops: tuple[int, ...] = ()
    body: tuple[int, ...] = ()
    on_limit: str = "fail"
    undoes: int | None = None
    undone_by: int | None = None
    update: bool = False
    merge: Merge | None = None
    merged_by: int | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """A definition made ready to run. ``definition`` is its content hash; ``index`` maps a task's id to its place."""

    workflow: str
    version: str
    definition: str
    nodes: tuple[Node, ...]
    result: Binding
    index: dict[str, int] = field(default_factory=dict)
    dependents_of_sides: tuple[tuple[int, ...], ...] = ()
    """For each task, the ``when`` tasks whose value may need it."""
    undo: tuple[int, ...] = ()
    """The compensations."""
    first_starts: tuple[StartAttempt | None, ...] = field(init=False, repr=False, compare=False)
    """For each task the effect that its readiness leads to, where it is plainly the start of its first attempt."""
    plain: tuple[bool, ...] = field(init=False, repr=False, compare=False)
    """For each task whether its end concerns nothing but those that need it."""
    limits: tuple[LimitUse, ...] = ()
    """What an execution as a whole must be admitted by before any of its tasks starts."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "first_starts", tuple(map(_first_start, self.nodes)))
        sides = self.dependents_of_sides or ((),) * len(self.nodes)
        plain = (_is_plain(node) and not each for node, each in zip(self.nodes, sides, strict=True))
        object.__setattr__(self, "plain", tuple(plain))


def _first_start(node: Node) -> StartAttempt | None:
    calls = node.kind is NodeKind.CALL and not node.mapped and not node.loops
    return StartAttempt(node.index, None, 1) if calls and node.options.effect == "at_least_once" else None


def _is_plain(node: Node) -> bool:
    apart = node.undone_by is None and node.undoes is None and not node.loops
    return apart and node.merged_by is None and node.merge is None
