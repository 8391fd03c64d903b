"""Merges that do not wait for everybody: who their sources are, and what may be a source.

A source may fail, or be stopped before it ends, and then has no result. So nobody but its merge may use it; and whatever
has parts of its own (a ``when``, a loop, another such merge) goes into a child workflow first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from raywf.core.bindings import Binding, Ref, Sequence, references
from raywf.core.plan import Merge, Node
from raywf.definition.expressions import PlacedError
from raywf.definition.graph import Graph
from raywf.definition.model import Aggregate
from raywf.definition.options import check_waiting
from raywf.errors import DefinitionError

_SOURCES = ("function", "workflow", "sleep", "signal", "approval")


def waits_for_some(aggregate: Aggregate) -> bool:
    """Whether a merge may end before all its sources have."""
    given = (aggregate.quorum, aggregate.at_least, aggregate.timeout)
    return aggregate.early_stop is not False or any(each is not None for each in given)


def sources_of(graph: Graph, at: int) -> tuple[list[tuple[int, ...]], int | None, list[int]]:
    """The tasks behind each result of the merge ``at``, the fan-out whose items the results are, and all that are stopped
    with it. Raises ``PlacedError`` where a task cannot be a source."""
    place, id = ("tasks", at, "aggregate"), graph.tasks[at].id
    binding, members = graph.reads[at].args[0], set[int]()
    items: Iterable[Binding] = ()
    match binding:
        case Sequence(parts):
            items = parts
        case Ref(task, ()) if task >= 0 and graph.tasks[task].gather is not None:
            items = graph.reads[task].args
            members.add(task)
        case Ref(task, ()) if task >= 0 and graph.tasks[task].map is not None:
            _check_source(graph, at, task, members)
            return [], task, [task]
        case _:
            raise PlacedError(
                place,
                f"aggregate {id!r}: a merge that need not wait for everybody takes a list of what tasks give, a fan-out or a "
                "gather, or it would not know whom to wait for",
            )
    sources = [references(each) for each in items]
    for task in sorted({task for parts in sources for task in parts}):
        _check_source(graph, at, task, members)
        if graph.tasks[task].map is not None:
            raise PlacedError(
                place,
                f"aggregate {id!r}: {graph.tasks[task].id!r} is a fan-out among others: give the fan-out by itself, as in "
                "aggregate(f.map(xs), …), or call f once for each",
            )
    return sources, None, sorted(members | {task for parts in sources for task in parts})


def _check_source(graph: Graph, at: int, task: int, between: set[int]) -> None:
    place, id, source = ("tasks", at, "aggregate"), graph.tasks[at].id, graph.tasks[task]
    if not any(getattr(source, kind) is not None for kind in _SOURCES):
        raise PlacedError(
            place, f"aggregate {id!r}: {source.id!r} cannot be stopped as one: put it into a workflow, and call that"
        )
    if graph.guard[task] != graph.guard[at]:
        raise PlacedError(
            place, f"aggregate {id!r}: its source {source.id!r} is called outside of the side or loop it merges in"
        )
    users = [graph.tasks[each].id for each in range(len(graph.tasks)) if each != at and each not in between
             and task in {*graph.data_needs(each), *graph.after[each], *graph.side_needs(each, True),
                          *graph.side_needs(each, False)}]  # fmt: skip
    if task in references(graph.result):
        users.append("the result of the workflow")
    if users:
        raise PlacedError(
            place,
            f"aggregate {id!r} does not wait for all its sources, so {source.id!r} may have no answer, but {users[0]} uses "
            f"it as well: call {source.id!r} a second time for that, or let the merge wait for everybody",
        )


def check_merges(graph: Graph) -> None:
    """What a merge that does not wait for everybody asks of its sources. Raises ``PlacedError``."""
    for at, task in enumerate(graph.tasks):
        if task.aggregate is not None and waits_for_some(task.aggregate):
            sources, fan_out, _ = sources_of(graph, at)
            given = {
                name: getattr(task.aggregate, name)
                for name in ("quorum", "at_least", "timeout", "early_stop", "strategy")
            }
            try:
                check_waiting(f"aggregate {task.id!r}", given, None if fan_out is not None else len(sources))
            except DefinitionError as error:
                raise PlacedError(("tasks", at, "aggregate"), str(error)) from None


def merges_of(graph: Graph, place_of: Mapping[int, int]) -> dict[int, Merge]:
    """The merges that do not wait for everybody, by their place in the plan."""
    found = {}
    for at, task in enumerate(graph.tasks):
        given = task.aggregate
        if given is None or not waits_for_some(given):
            continue
        sources, fan_out, members = sources_of(graph, at)
        found[place_of[at]] = Merge(
            tuple(tuple(place_of[each] for each in parts) for parts in sources),
            None if fan_out is None else place_of[fan_out],
            given.quorum,
            given.at_least if given.at_least is not None else given.quorum or 1,
            given.early_stop,
            tuple(sorted(place_of[each] for each in members)),
        )
    return found


def needs_of(merge: int, found: Merge, needs: list[tuple[int, ...]], guard: int | None) -> tuple[int, ...]:
    """What a merge waits for before it begins to wait for answers: its own needs, and what all its sources need, directly
    or not. From then its timeout counts. ``guard`` is the ``when`` or loop around it: what comes before that has ended."""

    def before(task: int) -> set[int]:
        seen, stack = set[int](), [task]
        while stack:
            for need in needs[stack.pop()]:
                if need not in seen:
                    seen.add(need)
                    if need != guard:
                        stack.append(need)
        return seen

    own = set(needs[merge]).difference(found.members)
    tasks = [found.fan_out] if found.fan_out is not None else [part for parts in found.sources for part in parts]
    return tuple(sorted(own | (set.intersection(*(before(task) for task in tasks)) if tasks else set())))


def with_merges(nodes: list[Node], found: Mapping[int, Merge]) -> list[Node]:
    """The nodes, with how each merge waits, and whom each source leads to."""
    leads = {member: at for at, merge in found.items() for member in merge.members}
    return [replace(node, merge=found.get(node.index), merged_by=leads.get(node.index)) for node in nodes]
