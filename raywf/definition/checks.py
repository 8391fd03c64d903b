"""What must hold for a definition before anything runs: ids, kinds, references, sides, order.

Raises ``PlacedError`` (a ``DefinitionError``) with the place of the flaw and the task's id.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from raywf.definition.expressions import Place, PlacedError, read_value
from raywf.definition.graph import Graph
from raywf.definition.limits import check_input_paths, limits_data
from raywf.definition.lines import did_you_mean
from raywf.definition.merging import check_merges
from raywf.definition.names import FUNCTION, ID, MAX_DEPTH, MAX_WIDTH, NAME, RESERVED_PARAMETERS
from raywf.definition.options import ON_LIMIT, check_merge, iterations, seconds, to_data
from raywf.definition.panels import ASKED, check_order, panel_of
from raywf.definition.starts import check_start
from raywf.definition.triggers import check_triggers
from raywf.definition.updates import check_update
from raywf.definition.workers import check_pools
from raywf.errors import DefinitionError

if TYPE_CHECKING:
    from raywf.definition.model import Aggregate, Approval, Loop, TaskDefinition, WorkflowDefinition

_KIND_FIELDS = ("function", "workflow", "when", "gather", "sleep", "signal", "approval", "loop", "aggregate")
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


def check(definition: WorkflowDefinition) -> None:
    """Raise ``PlacedError`` for the first thing that is wrong with a definition."""
    if not ID.match(definition.id):
        raise PlacedError(
            ("id",), f"workflow id {definition.id!r}: letters, digits, '_' and '-', a letter or '_' first"
        )
    _check_parameters(definition)
    _check_ids(definition)
    _check_limits(definition)
    _check_updates(definition)
    _check_triggers(definition)
    _check_start(definition)
    for at, task in enumerate(definition.tasks):
        _check_kind(task, ("tasks", at))
    check_pools(definition.tasks)
    graph = Graph(definition)
    graph.check_sides()
    graph.check_order()
    graph.check_sleeps()
    check_merges(graph)
    _check_undoable(graph)
    if depth(definition) > MAX_DEPTH:
        raise PlacedError((), f"workflow {definition.id!r} nests child workflows deeper than {MAX_DEPTH} levels")
    try:
        _ = definition.body
    except (TypeError, ValueError) as error:
        raise PlacedError((), f"workflow {definition.id!r} holds something that is not JSON: {error}") from None


def _check_undoable(graph: Graph) -> None:
    for at, task in enumerate(graph.tasks):
        if graph.loops[at] and "compensate" in task.options:
            raise PlacedError(
                ("tasks", at, "options", "compensate"),
                f"task {task.id!r} runs in every pass of loop {graph.tasks[graph.loops[at][-1]].id!r} and has "
                "compensate: only the last pass could be taken back, so it is refused. Collect what was done in the "
                "loop's state, and undo it in the compensation of a task outside",
            )


def depth(definition: WorkflowDefinition) -> int:
    """How many levels of child workflows there are below."""
    deepest, level = 0, [definition]
    while children := {id(task.workflow): task.workflow for each in level for task in each.tasks if task.workflow}:
        deepest, level = deepest + 1, list(children.values())
        if deepest > MAX_DEPTH:
            break
    return deepest


def _check_start(definition: WorkflowDefinition) -> None:
    if definition.configuration.get("start") is None:
        return
    try:
        check_start(f"workflow {definition.id!r}: start", definition.configuration["start"], definition.parameters)
    except DefinitionError as error:
        raise PlacedError(("configuration", "start"), str(error)) from None


def _check_triggers(definition: WorkflowDefinition) -> None:
    try:
        check_triggers(f"workflow {definition.id!r}", definition.triggers)
    except DefinitionError as error:
        raise PlacedError(("triggers",), str(error)) from None


def _check_updates(definition: WorkflowDefinition) -> None:
    known = frozenset(task.id for task in definition.tasks)
    for at, task in enumerate(definition.tasks):
        if task.signal is not None and task.signal.update is not None:
            try:
                check_update(task.id, task.signal.update, known)
            except DefinitionError as error:
                raise PlacedError(("tasks", at, "signal", "update"), str(error)) from None


def _check_limits(definition: WorkflowDefinition) -> None:
    given: list[tuple[Place, str, Any]] = []
    if definition.configuration.get("limits") is not None:
        own = definition.configuration["limits"]
        given.append((("configuration", "limits"), f"workflow {definition.id!r}", own))
    for at, task in enumerate(definition.tasks):
        if task.options.get("limits"):
            given.append((("tasks", at, "options", "limits"), f"task {task.id!r}", task.options["limits"]))
    for place, who, limits in given:
        try:
            check_input_paths(who, limits_data(who, limits), definition.parameters)
        except DefinitionError as error:
            raise PlacedError(place, str(error)) from None


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
    if task.loop is not None:
        _check_loop(task.id, task.loop, place)
    if task.aggregate is not None:
        _check_aggregate(task.id, task.aggregate, place)


def _check_aggregate(id: str, aggregate: Aggregate, place: Place) -> None:
    """What a merge says as a constant; what it says by a reference is checked at run time."""
    results = aggregate.results
    if not isinstance(results, list) and not _is_reference(results):
        raise PlacedError(
            (*place, "aggregate", "results"),
            f"aggregate {id!r}: results is {results!r:.60}: it must be a list, or a reference to one. A result names its "
            "source as {source: NAME, value: …}",
        )
    try:
        check_merge(
            f"aggregate {id!r}",
            "auto" if _is_reference(aggregate.strategy) else aggregate.strategy,
            0.7 if isinstance(aggregate.accept_at, dict) else aggregate.accept_at,
            aggregate.reconcile,
        )
    except DefinitionError as error:
        raise PlacedError((*place, "aggregate"), str(error)) from None


def _is_reference(value: Any) -> bool:
    return isinstance(value, dict) and any(key[:1] == "$" for key in value)


def _check_loop(id: str, loop: Loop, place: Place) -> None:
    if not loop.body:
        raise PlacedError(
            (*place, "loop", "body"), f"loop {id!r} has no tasks in its body: its state would never change"
        )
    if not isinstance(loop.max_iterations, dict) and loop.max_iterations is not None:
        try:
            iterations(f"loop {id!r}: max_iterations", loop.max_iterations)
        except DefinitionError as error:
            raise PlacedError((*place, "loop", "max_iterations"), str(error)) from None
    if loop.on_limit not in ON_LIMIT:
        raise PlacedError(
            (*place, "loop", "on_limit"),
            f"loop {id!r}: on_limit is {loop.on_limit!r}: it must be one of {', '.join(map(repr, ON_LIMIT))}."
            + did_you_mean(loop.on_limit, ON_LIMIT),
        )


def _check_panel(id: str, approval: Approval, place: Place) -> None:
    """Whom an approval names as constants; what it says by references is checked at run time."""
    given = {name: getattr(approval, name) for name in ASKED}
    known = frozenset(name for name, value in given.items() if not _refers(value))
    try:
        panel_of(given, known)
        check_order(approval.escalate_after, approval.timeout)
    except ValueError as error:
        raise PlacedError((*place, "approval"), f"task {id!r}: {error}") from None


def _refers(value: Any) -> bool:
    return isinstance(value, dict) or (isinstance(value, list) and any(isinstance(each, dict) for each in value))


def _check_wait(task: TaskDefinition, place: Place) -> None:
    """What a wait says as a constant; what it says by a reference is checked at run time."""
    durations: list[tuple[str, str, Any]] = []
    if task.sleep is not None:
        durations.append(("sleep", "seconds", task.sleep.seconds))
    if task.signal is not None:
        durations.append(("signal", "timeout", task.signal.timeout))
        if task.signal.update is not None and not isinstance(task.signal.name, str):
            raise PlacedError((*place, "signal", "name"), f"task {task.id!r}: the name of an update is text")
        if not task.signal.name or not isinstance(task.signal.name, (str, dict)):
            raise PlacedError(
                (*place, "signal", "name"),
                f"task {task.id!r}: the name of a signal is text, not {task.signal.name!r:.60}",
            )
    if task.approval is not None:
        durations.append(("approval", "timeout", task.approval.timeout))
        durations.append(("approval", "escalate_after", task.approval.escalate_after))
        _check_panel(task.id, task.approval, place)
    for kind, name, value in durations:
        if isinstance(value, dict) or (value is None and name in ("timeout", "escalate_after")):
            continue
        try:
            seconds(f"task {task.id!r}: {name}", value, zero=name == "seconds")
        except DefinitionError as error:
            raise PlacedError((*place, kind, name), str(error)) from None


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
