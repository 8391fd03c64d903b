"""``raywf.aggregate`` at run time: which result came from which task, and what they come to together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from raywf.core.bindings import INPUT, Binding, Ref, Sequence, references
from raywf.core.plan import Node, NodeKind, Plan
from raywf.errors import InvalidInput

_FIELDS = frozenset({"value", "source", "confidence", "probs", "weight"})


def merge(plan: Plan, node: Node, where: str, results: Any, strategy: Any, accept_at: Any) -> Any:
    """The ``AggregateResult`` of the results of a merge. Raises ``InvalidInput`` that begins with ``where``."""
    from raywf.aggregation import ResultAggregator

    if not isinstance(results, (list, tuple)):
        raise InvalidInput(
            f"{where}: a merge needs a list of results, got {type(results).__name__}: {results!r:.200}. Ask several "
            "sources, as in raywf.aggregate([f(x), g(x)])"
        )
    names = _unlike(_sources(plan, node.args[0], len(results)))
    try:
        found = [_candidate(result, name) for result, name in zip(results, names, strict=True)]
        return ResultAggregator(strategy, accept_at=accept_at).merge(found)
    except InvalidInput as error:
        raise InvalidInput(f"{where}: {error}") from None


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
