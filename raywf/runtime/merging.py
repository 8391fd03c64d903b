"""``raywf.aggregate`` at run time: which result came from which task, and what they come to together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from raywf.core.bindings import INPUT, Binding, Ref, Sequence, references
from raywf.core.plan import Node, NodeKind, Plan
from raywf.core.state import ExecutionState, TaskStatus, address_of
from raywf.definition.options import CANDIDATES
from raywf.errors import InvalidInput

_FIELDS = frozenset({"value", "source", "confidence", "probs", "weight"})


def merge(plan: Plan, node: Node, where: str, results: Any, **how: Any) -> Any:
    """The ``AggregateResult`` of the results of a merge, or its candidates. Raises ``InvalidInput`` that begins with ``where``."""
    from raywf.aggregation import ResultAggregator
    from raywf.aggregation.ballot import collect

    if not isinstance(results, (list, tuple)):
        raise InvalidInput(
            f"{where}: a merge needs a list of results, got {type(results).__name__}: {results!r:.200}. Ask several "
            "sources, as in raywf.aggregate([f(x), g(x)])"
        )
    try:
        found = [each for spoken in _spoken(plan, node, results) for each in spoken]
        if how["strategy"] == CANDIDATES:
            return list(collect(found).candidates)
        return ResultAggregator(**how).merge(found)
    except InvalidInput as error:
        raise InvalidInput(f"{where}: {error}") from None


def answers_of(
    state: ExecutionState,
    node: Node,
    value: Callable[[ExecutionState, Binding], Any],
    decode: Callable[[bytes], Any],
) -> list[Any]:
    """The results of a merge that does not wait for all, in their order; None for a source without an answer."""
    merge = node.merge
    assert merge is not None
    if merge.fan_out is not None:
        items = state.tasks[merge.fan_out].items or ()
        return [None if item.status is not TaskStatus.COMPLETED else decode(item.value or b"null") for item in items]
    done = [all(state.tasks[part].status is TaskStatus.COMPLETED for part in parts) for parts in merge.sources]
    bindings = _parts(state.plan, node.args[0])
    return [value(state, binding) if there else None for binding, there in zip(bindings, done, strict=True)]


def is_settled(state: ExecutionState, node: Node, results: list[Any], **how: Any) -> bool:
    """Whether no answers of the sources that are out could change the value that these results have."""
    from raywf.aggregation import ResultAggregator
    from raywf.aggregation.stopping import is_decided

    spoken = list(zip(_spoken(state.plan, node, results), _still_out(state, node), strict=True))
    out = [each.source for found, still in spoken if still for each in found]
    if how["strategy"] == CANDIDATES:
        how["strategy"] = "auto"
    return is_decided(ResultAggregator(**how), [c for found, _ in spoken for c in found if c.source not in out], out)


def _still_out(state: ExecutionState, node: Node) -> list[bool]:
    merge = node.merge
    assert merge is not None
    if merge.fan_out is not None:
        return [item.status not in _ENDED for item in state.tasks[merge.fan_out].items or ()]
    ends = [[state.tasks[part].status for part in parts] for parts in merge.sources]
    gone = [any(end in _ENDED and end is not TaskStatus.COMPLETED for end in each) for each in ends]
    return [
        not lost and any(end is not TaskStatus.COMPLETED for end in each)
        for lost, each in zip(gone, ends, strict=True)
    ]  # fmt: skip


_ENDED = (TaskStatus.COMPLETED, TaskStatus.FAILED, TaskStatus.CANCELLED, TaskStatus.SKIPPED)
_NAMED = 5


def too_few(state: ExecutionState, node: Node, where: str, answered: int) -> str:
    """Why a merge fails that has too few answers: who failed with what, and who has not answered in time."""
    merge = node.merge
    assert merge is not None
    if merge.fan_out is not None:
        places = [(merge.fan_out, at) for at in range(len(state.tasks[merge.fan_out].items or ()))]
        states = list(state.tasks[merge.fan_out].items or ())
    else:
        parts = sorted({part for parts in merge.sources for part in parts})
        places, states = [(part, -1) for part in parts], [state.tasks[part] for part in parts]
    said = []
    for (task, item), each in zip(places, states, strict=True):
        name = address_of(state, task, None if item < 0 else item)
        if each.failure is not None:
            said.append(f"{name} failed ({each.failure.type}: {each.failure.message:.200})")
        elif each.status not in _ENDED:
            said.append(f"{name} has not answered in time")
    more = f"; and {len(said) - _NAMED} more" if len(said) > _NAMED else ""
    why = f": {'; '.join(said[:_NAMED])}{more}" if said else ""
    count = len(merge.sources) if merge.fan_out is None else len(places)
    return (
        f"{where}: {answered} of {count} sources answered, and at_least={merge.at_least} must{why}. Ask more sources, give "
        "them more time, or lower at_least"
    )


def _spoken(plan: Plan, node: Node, results: Any) -> list[list[Any]]:
    """The candidates of each result: one, or those of a list that a task gives of several sources."""
    from raywf.aggregation import Candidate

    names = _unlike(_sources(plan, node.args[0], len(results)))
    return [
        result
        if type(result) is list and result and all(isinstance(each, Candidate) for each in result)
        else [_candidate(result, name)]
        for result, name in zip(results, names, strict=True)
    ]


def _parts(plan: Plan, binding: Binding) -> tuple[Binding, ...]:
    """The bindings of the results, one each; a ``gather`` is looked through."""
    match binding:
        case Sequence(items):
            return items
        case Ref(task, ()) if task != INPUT and plan.nodes[task].kind is NodeKind.GATHER:
            return plan.nodes[task].args
        case _:
            raise LookupError(f"a merge that does not wait for all has no list of results: {binding!r:.200}")


def _candidate(result: Any, source: str) -> Any:
    """A result as a candidate; what it says of itself stands, ``source`` is for those that say nothing."""
    from raywf.aggregation import AggregateResult, Candidate

    if isinstance(result, Candidate):
        return result
    if isinstance(result, AggregateResult):
        return Candidate(result.value, source, result.confidence, result.probs or None)
    if isinstance(result, dict) and "value" in result and result.keys() <= _FIELDS:
        try:
            return Candidate(**{"source": source, **result})
        except TypeError as error:  # a field of another shape, such as probs: 0.5
            raise InvalidInput(f"the result {result!r:.200} is no candidate ({error})") from None
    return Candidate(result, source)


def _sources(plan: Plan, binding: Binding, count: int) -> list[str]:
    """The task behind each result of a list; a ``gather`` is looked through."""
    match binding:
        case Sequence(items):
            return [_source(plan, item) for item in items]
        case Ref(task, ()) if task != INPUT and plan.nodes[task].kind is NodeKind.GATHER:
            return [_source(plan, item) for item in plan.nodes[task].args]
        case _:
            whole = _source(plan, binding)
            return [f"{whole}[{at}]" for at in range(count)]


def _source(plan: Plan, binding: Binding) -> str:
    tasks = references(binding)
    return plan.nodes[tasks[0]].id if len(tasks) == 1 else "result"


def _unlike(names: list[str]) -> Iterator[str]:
    """Two parts of one task's result are two sources, told apart as calls of one task are: ``name``, ``name-2``."""
    taken = set(names)
    seen: set[str] = set()
    for name in names:
        found, number = name, 1
        while found in seen or (number > 1 and found in taken):
            number += 1
            found = f"{name}-{number}"
        seen.add(found)
        yield found
