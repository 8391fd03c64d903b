"""What must hold for a definition before anything runs: ids, kinds, references, sides, order.

Raises ``PlacedError`` (a ``DefinitionError``) with the place of the flaw and the task's id.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from raywf.core.bindings import INPUT, Binding, references
from raywf.definition.expressions import Place, PlacedError, Resolve, read_condition, read_value
from raywf.definition.lines import did_you_mean
from raywf.definition.names import FUNCTION, ID, MAX_DEPTH, MAX_WIDTH, NAME, RESERVED_PARAMETERS
from raywf.definition.options import seconds, to_data
from raywf.errors import DefinitionError

if TYPE_CHECKING:
    from raywf.definition.model import TaskDefinition, WorkflowDefinition

_KIND_FIELDS = ("function", "workflow", "when", "gather", "sleep", "signal", "approval")
_EXTRAS = {
    "args": ("function", "workflow"),
    "kwargs": ("function", "workflow"),
    "map": ("function", "workflow"),
    "options": ("function",),
    "source_hash": ("function",),
    "by_value": ("function",),
    "then": ("when",),
    "otherwise": ("when",),
    "result": ("when",),
}


@dataclass(slots=True)
class Reads:
    """The bindings of one task and where they stand in the definition."""

    args: list[Binding] = field(default_factory=list)
    kwargs: list[tuple[str, Binding]] = field(default_factory=list)
    condition: Binding | None = None
    result_then: Binding | None = None
    result_otherwise: Binding | None = None

    def needed(self) -> Iterator[Binding]:
        """What must be there before the task (or a ``when``'s decision) can begin."""
        yield from self.args
        yield from (value for _, value in self.kwargs)
        if self.condition is not None:
            yield self.condition


def index_of(definition: WorkflowDefinition) -> dict[str, int]:
    return {task.id: at for at, task in enumerate(definition.tasks)}


def resolver(definition: WorkflowDefinition, index: dict[str, int]) -> Resolve:
    """Finds the task of a reference, or says which one was probably meant."""

    def resolve(head: str, path: tuple[str | int, ...], place: Place) -> int:
        if head == "input":
            if path and path[0] not in definition.parameters:
                raise PlacedError(
                    place,
                    f"workflow {definition.id!r} has no parameter {path[0]!r}."
                    + did_you_mean(path[0], definition.parameters),
                )
            return INPUT
        if head not in index:
            raise PlacedError(
                place, f"unknown dependency: there is no task {head!r}.{did_you_mean(head, [*index, 'input'])}"
            )
        return index[head]

    return resolve


def read_task(task: TaskDefinition, resolve: Resolve, place: Place) -> Reads:
    """The bindings of one task. Raises ``PlacedError``."""
    reads = Reads()
    where = "args"
    positional = task.args
    if task.map is not None:
        where, positional = "map", task.map
    elif task.gather is not None:
        where, positional = "gather", task.gather
    reads.args = [read_value(each, resolve, (*place, where, at)) for at, each in enumerate(positional)]
    pairs: Iterable[tuple[str, Any, Place]] = [(k, v, ("kwargs", k)) for k, v in task.kwargs.items()]
    if task.sleep is not None:
        pairs = [(name, getattr(task.sleep, name), ("sleep", name)) for name in ("seconds", "value")]
    elif task.signal is not None:
        pairs = _signal_fields(task)
    elif task.approval is not None:
        pairs = _approval_fields(task)
    reads.kwargs = [(name, read_value(value, resolve, (*place, *at))) for name, value, at in pairs]
    if task.when is not None:
        reads.condition = read_condition(task.when, resolve, (*place, "when"))
        for side in ("then", "otherwise"):
            value = None if task.result is None else getattr(task.result, side)
            setattr(reads, f"result_{side}", read_value(value, resolve, (*place, "result", side)))
    return reads


def _signal_fields(task: TaskDefinition) -> list[tuple[str, Any, Place]]:
    signal = task.signal
    assert signal is not None
    pairs: list[tuple[str, Any, Place]] = [
        ("name", signal.name, ("signal", "name")),
        ("timeout", signal.timeout, ("signal", "timeout")),
    ]
    if "default" in signal.model_fields_set:
        pairs.append(("default", signal.default, ("signal", "default")))
    pairs.append(("schema", {"$const": signal.payload_schema}, ("signal", "schema")))
    return pairs


def _approval_fields(task: TaskDefinition) -> list[tuple[str, Any, Place]]:
    approval = task.approval
    assert approval is not None
    names = ["prompt", "data", "timeout"]
    names += [name for name in ("on_reject", "on_timeout") if name in approval.model_fields_set]
    return [(name, getattr(approval, name), ("approval", name)) for name in names]


def check(definition: WorkflowDefinition) -> None:
    """Raise ``PlacedError`` for the first thing that is wrong with a definition."""
    if not ID.match(definition.id):
        raise PlacedError(
            ("id",), f"workflow id {definition.id!r}: letters, digits, '_' and '-', a letter or '_' first"
        )
    _check_parameters(definition)
    _check_ids(definition)
    for at, task in enumerate(definition.tasks):
        _check_kind(task, ("tasks", at))
    graph = Graph(definition)
    graph.check_sides()
    graph.check_order()
    graph.check_sleeps()
    if depth(definition) > MAX_DEPTH:
        raise PlacedError((), f"workflow {definition.id!r} nests child workflows deeper than {MAX_DEPTH} levels")
    try:
        _ = definition.body
    except (TypeError, ValueError) as error:
        raise PlacedError((), f"workflow {definition.id!r} holds something that is not JSON: {error}") from None


def depth(definition: WorkflowDefinition) -> int:
    """How many levels of child workflows there are below."""
    deepest, level = 0, [definition]
    while children := {id(task.workflow): task.workflow for each in level for task in each.tasks if task.workflow}:
        deepest, level = deepest + 1, list(children.values())
        if deepest > MAX_DEPTH:
            break
    return deepest


def _check_parameters(definition: WorkflowDefinition) -> None:
    for name in definition.parameters:
        place = ("parameters", name)
        if not NAME.match(name):
            raise PlacedError(place, f"{name!r} is not a name: letters, digits and '_', a letter or '_' first")
        if name in RESERVED_PARAMETERS:
            raise PlacedError(
                place,
                f"parameter {name!r} of workflow {definition.id!r} has the name of an option of submit(): "
                "call it something else",
            )
        if "default" in definition.parameters[name]:
            read_value(definition.parameters[name]["default"], _no_reference, (*place, "default"))


def _no_reference(head: str, path: tuple[str | int, ...], place: Place) -> int:
    raise PlacedError(place, f"a default is a constant: it cannot refer to {head!r}")


def _check_ids(definition: WorkflowDefinition) -> None:
    seen: dict[str, int] = {}
    for at, task in enumerate(definition.tasks):
        place = ("tasks", at, "id")
        if task.id == "input":
            raise PlacedError(place, "the id 'input' is reserved for the workflow's parameters: choose another")
        if not ID.match(task.id):
            raise PlacedError(place, f"task id {task.id!r}: letters, digits, '_' and '-', a letter or '_' first")
        if task.id in seen:
            raise PlacedError(place, f"duplicate id {task.id!r}: tasks[{seen[task.id]}] has it already")
        seen[task.id] = at


def _check_kind(task: TaskDefinition, place: Place) -> None:
    kinds = [name for name in _KIND_FIELDS if getattr(task, name) is not None]
    if len(kinds) != 1:
        said = f"says {' and '.join(kinds)}" if kinds else "says nothing about what it does"
        raise PlacedError(place, f"task {task.id!r} {said}: give exactly one of {', '.join(_KIND_FIELDS)}")
    for name, goes_with in _EXTRAS.items():
        if name in task.model_fields_set and getattr(task, name) and kinds[0] not in goes_with:
            raise PlacedError((*place, name), f"task {task.id!r}: {name!r} does not go with {kinds[0]!r}")
    if task.function is not None and not FUNCTION.match(task.function):
        raise PlacedError(
            (*place, "function"), f"task {task.id!r}: {task.function!r} is not of the form 'package.module:function'"
        )
    if task.map is not None and (task.args or not task.map):
        why = "has args and map: what goes whole to every call goes into kwargs" if task.args else "has an empty map"
        raise PlacedError((*place, "map"), f"task {task.id!r} {why}")
    for at, each in enumerate(task.map or ()):
        if isinstance(each, list) and len(each) > MAX_WIDTH:
            raise PlacedError(
                (*place, "map", at), f"task {task.id!r} maps over {len(each):,} items; the limit is {MAX_WIDTH:,}"
            )
    try:
        to_data(f"task {task.id!r}", task.options)
    except DefinitionError as error:
        raise PlacedError((*place, "options"), str(error)) from None
    _check_wait(task, place)


def _check_wait(task: TaskDefinition, place: Place) -> None:
    """What a wait says as a constant; what it says by a reference is checked at run time."""
    durations: list[tuple[str, str, Any]] = []
    if task.sleep is not None:
        durations.append(("sleep", "seconds", task.sleep.seconds))
    if task.signal is not None:
        durations.append(("signal", "timeout", task.signal.timeout))
        if not task.signal.name or not isinstance(task.signal.name, (str, dict)):
            raise PlacedError(
                (*place, "signal", "name"),
                f"task {task.id!r}: the name of a signal is text, not {task.signal.name!r:.60}",
            )
    if task.approval is not None:
        durations.append(("approval", "timeout", task.approval.timeout))
    for kind, name, value in durations:
        if isinstance(value, dict) or (value is None and name == "timeout"):
            continue
        try:
            seconds(f"task {task.id!r}: {name}", value, zero=name == "seconds")
        except DefinitionError as error:
            raise PlacedError((*place, kind, name), str(error)) from None


class Graph:
    """A definition's tasks by number, with what each waits for.

    A ``when`` has two moments: its decision (which the members of its sides wait for) and its value (which everybody
    else waits for). Decisions have the task's number, values are ``value(number)``.
    """

    def __init__(self, definition: WorkflowDefinition) -> None:
        self.definition = definition
        self.tasks = definition.tasks
        self.index = index_of(definition)
        resolve = resolver(definition, self.index)
        self.reads = [read_task(task, resolve, ("tasks", at)) for at, task in enumerate(self.tasks)]
        self.result = read_value(definition.result, resolve, ("result",))
        self.after = [self._after(task, ("tasks", at)) for at, task in enumerate(self.tasks)]
        self.guard: list[tuple[int, bool] | None] = [None] * len(self.tasks)
        self._place_sides()

    def _after(self, task: TaskDefinition, place: Place) -> tuple[int, ...]:
        for at, id in enumerate(task.after):
            if id not in self.index:
                raise PlacedError(
                    (*place, "after", at),
                    f"task {task.id!r}: unknown dependency {id!r}.{did_you_mean(id, self.index)}",
                )
        return tuple(self.index[id] for id in task.after)

    def _place_sides(self) -> None:
        for at, task in enumerate(self.tasks):
            for side in ("then", "otherwise"):
                for nth, id in enumerate(getattr(task, side)):
                    place = ("tasks", at, side, nth)
                    member = self.index.get(id)
                    if member is None:
                        raise PlacedError(
                            place, f"task {task.id!r}: there is no task {id!r}.{did_you_mean(id, self.index)}"
                        )
                    taken = self.guard[member]
                    if taken is not None:
                        raise PlacedError(
                            place, f"task {id!r} belongs to a side of {self.tasks[taken[0]].id!r} already"
                        )
                    self.guard[member] = (at, side == "then")

    def value(self, task: int) -> int:
        """The moment at which a task's value is there."""
        return task + len(self.tasks) if self.tasks[task].when is not None else task

    def data_needs(self, task: int) -> list[int]:
        """The tasks whose values a task (or a decision) reads."""
        return sorted({each for binding in self.reads[task].needed() for each in references(binding)})

    def side_needs(self, task: int, side: bool) -> tuple[int, ...]:
        """The tasks whose values one side's value reads."""
        binding = self.reads[task].result_then if side else self.reads[task].result_otherwise
        return () if binding is None else references(binding)

    def needs(self, task: int) -> tuple[int, ...]:
        """All tasks that must have completed (the ``when`` it belongs to: decided) before a task begins."""
        guard = self.guard[task]
        own = () if guard is None else (guard[0],)
        return tuple(sorted({*self.data_needs(task), *self.after[task], *own}))

    def moments(self) -> list[list[int]]:
        """For each moment, the moments it waits for."""
        count = len(self.tasks)
        waits: list[list[int]] = [[] for _ in range(2 * count)]
        for at, task in enumerate(self.tasks):
            waits[at] = [self.value(each) for each in (*self.data_needs(at), *self.after[at])]
            guard = self.guard[at]
            if guard is not None:
                waits[at].append(guard[0])
            if task.when is not None:
                results = (*self.side_needs(at, True), *self.side_needs(at, False))
                waits[at + count] = [at, *(self.value(each) for each in results)]
        return waits

    # checks

    def guards(self, task: int) -> tuple[tuple[int, bool], ...]:
        """The sides a task lies in, outermost first."""
        chain: list[tuple[int, bool]] = []
        guard = self.guard[task]
        while guard is not None:
            if guard in chain:
                path = [self.tasks[when].id for when, _ in reversed(chain)]
                raise PlacedError(("tasks", guard[0]), _cycle_text([*path, path[0]]))
            chain.append(guard)
            guard = self.guard[guard[0]]
        return tuple(reversed(chain))

    def check_sides(self) -> None:
        """A reference must not lead out of a side: that task may never run."""
        chains = [self.guards(at) for at in range(len(self.tasks))]
        for at in range(len(self.tasks)):
            for each in (*self.data_needs(at), *self.after[at]):
                self._check_reach(at, each, chains[at], chains[each], ("tasks", at))
                for when, _ in chains[at]:
                    if when == each:
                        raise PlacedError(("tasks", at), _cycle_text(self._ids(each, at, each)))
            for side in (True, False):
                for each in self.side_needs(at, side):
                    self._check_reach(at, each, (*chains[at], (at, side)), chains[each], ("tasks", at, "result"))
        for each in references(self.result):
            if chains[each]:
                self._refuse_reach("the result", each, chains[each], ("result",))

    def _check_reach(self, at: int, each: int, here: Any, there: Any, place: Place) -> None:
        if here[: len(there)] != there:
            self._refuse_reach(f"task {self.tasks[at].id!r}", each, there, place)

    def _refuse_reach(self, who: str, each: int, there: Any, place: Place) -> None:
        when, side = there[-1]
        raise PlacedError(
            place,
            f"{who} refers to task {self.tasks[each].id!r}, which belongs to the {'then' if side else 'otherwise'} side "
            f"of {self.tasks[when].id!r} and may not run: use the value of {self.tasks[when].id!r}",
        )

    def check_order(self) -> None:
        """No task may wait for itself: the error prints the whole path."""
        path = find_cycle(self.moments())
        if path:
            count = len(self.tasks)
            ids = [self.tasks[moment % count].id for moment in path]
            steps = [id for at, id in enumerate(ids) if at == 0 or id != ids[at - 1]]
            if len(steps) == 1:
                steps *= 2
            raise PlacedError(("tasks", path[0] % count), _cycle_text(steps))

    def check_sleeps(self) -> None:
        """A sleep that nothing waits for would be the longest way to do nothing."""
        used = set(references(self.result))
        for at in range(len(self.tasks)):
            used |= {*self.data_needs(at), *self.after[at], *self.side_needs(at, True), *self.side_needs(at, False)}
        for at, task in enumerate(self.tasks):
            if task.sleep is not None and at not in used:
                raise PlacedError(
                    ("tasks", at),
                    f"nothing uses the sleep {task.id!r}: pass what it gives to a task, or write f(x).after(sleep)",
                )

    def _ids(self, *tasks: int) -> list[str]:
        return [self.tasks[each].id for each in tasks]


def _cycle_text(ids: list[str]) -> str:
    return f"the tasks wait for each other in a cycle: {' → '.join(ids)}. Take one of these steps out"


def find_cycle(waits: list[list[int]]) -> list[int]:
    """A cycle, from its first moment back to it, in the order in which they would have to run; else nothing."""
    state = bytearray(len(waits))
    for root in range(len(waits)):
        if state[root]:
            continue
        stack = [(root, iter(waits[root]))]
        state[root] = 1
        while stack:
            node, rest = stack[-1]
            step = next(rest, None)
            if step is None:
                state[node] = 2
                stack.pop()
            elif state[step] == 1:
                trail = [each for each, _ in stack]
                loop = trail[trail.index(step) :]
                return [step, *reversed(loop)]
            elif not state[step]:
                state[step] = 1
                stack.append((step, iter(waits[step])))
    return []


def dependencies(definition: WorkflowDefinition) -> dict[str, list[str]]:
    """Task id -> the ids of the tasks it waits for, in the order of the definition."""
    graph = Graph(definition)
    found = {}
    for at, task in enumerate(definition.tasks):
        needs = set(graph.needs(at)) | {each for side in (True, False) for each in graph.side_needs(at, side)}
        found[task.id] = [definition.tasks[each].id for each in sorted(needs)]
    return found


def check_dependencies(definition: WorkflowDefinition, claimed: Any) -> None:
    """``dependencies`` is derived: what a document says must agree, so that nobody takes it for an instruction."""
    derived = dependencies(definition)
    if claimed == derived:
        return
    if isinstance(claimed, dict):
        for id, needs in claimed.items():
            if id not in derived or sorted(map(str, needs or ())) != sorted(derived[id]):
                raise PlacedError(
                    ("dependencies", str(id)),
                    "dependencies are derived from the references of the tasks, and these differ: leave the section "
                    "out, and give order without data with after: [...] on the task",
                )
        return
    raise PlacedError(("dependencies",), "dependencies are derived from the tasks: leave the section out")
