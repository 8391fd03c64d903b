"""Merges that go by what a named aggregator has learned, as the two tasks they become.

    aggregate (strategy "candidates": waits, and collects)  ──>  merged by the aggregator NAME under an item

What the sources said is told to the aggregator, which answers from all that it knows: so an answer that is right or wrong
(`engine.aggregator(NAME).feedback(item=, truth=)`) makes the next ones better. Telling is idempotent by item and source, so a
task that is tried again, after any crash, tells nothing twice. The function stands in ``raywf.client.learned``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from raywf.definition.options import CANDIDATES, EARLY, Retry, check_merge, to_data
from raywf.definition.recording import holds_expression
from raywf.definition.references import Expression
from raywf.errors import InvalidInput

if TYPE_CHECKING:
    from raywf.definition.tracing import Trace

_MERGED_BY = "raywf.client.learned:merged_by"
_RETRY = Retry(max_attempts=20, initial=0.5, max_delay=30.0, non_retryable=InvalidInput)


def check_learned(
    trace: Trace, aggregator: Any, item: Any, strategy: Any, accept_at: Any, reconcile: list[str]
) -> None:
    """Whether a merge may go by an aggregator. Raises ``DefinitionError``."""
    if aggregator is None:
        if item is not None:
            raise trace.flaw(
                f"raywf.aggregate: item={item!r:.60} names what an aggregator is told of, and none is named: give aggregator= as well"
            )
        return
    if not isinstance(aggregator, str) or not aggregator or any(char in aggregator for char in "/ \t\n"):
        raise trace.flaw(
            f"raywf.aggregate: aggregator {aggregator!r:.60} cannot be used: it needs a name without '/' and white space, known "
            "while the graph is being built"
        )
    if not isinstance(strategy, str) or holds_expression(strategy):
        raise trace.flaw(
            f"raywf.aggregate: aggregator {aggregator!r} merges by the name of a strategy, not by {strategy!r:.60}: what has settings "
            "or asks somebody goes without aggregator="
        )
    if reconcile:
        raise trace.flaw("raywf.aggregate: reconcile= is for merges without aggregator=: leave one of them out")
    if (
        not isinstance(item, Expression)
        and item is not None
        and (not isinstance(item, str) or not item or len(item) > 500)
    ):
        raise trace.flaw(f"raywf.aggregate: item {item!r:.60} cannot be used: it is a text of 1 to 500 characters")
    if item is None and aggregator in _without_item(trace):
        raise trace.flaw(
            f"raywf.aggregate: this workflow merges more than once with aggregator {aggregator!r}, and both would be told of under "
            "the execution's id: give each but one an item= of its own"
        )
    check_merge(
        f"{trace.flaw('raywf.aggregate')}", strategy, 0.7 if holds_expression(accept_at) else accept_at, learns=True
    )


def merged_by(
    trace: Trace, candidates: Any, aggregator: str, item: Any, strategy: str, accept_at: Any, id: str | None
) -> Any:
    """The task that asks the aggregator."""
    args = [candidates, aggregator, item, strategy, accept_at]
    data = {
        "function": _MERGED_BY,
        "args": [trace.record(each, f"argument {at} of raywf.aggregate") for at, each in enumerate(args)],
        "options": to_data("raywf.aggregate", {"retry": _RETRY}),
    }
    return trace.reference(trace.add("aggregate", data, id))


def waits_as(strategy: Any, aggregator: str | None) -> Any:
    """The strategy by which it is judged whether an early stop is possible."""
    return "auto" if aggregator is not None and strategy in (*EARLY, "stack", "best_source") else strategy


def collects(aggregator: str | None, strategy: Any) -> Any:
    """The strategy of the merge that waits."""
    return strategy if aggregator is None else CANDIDATES


def _without_item(trace: Trace) -> set[str]:
    return {
        draft.data["args"][1]
        for draft in trace.drafts
        if draft.data.get("function") == _MERGED_BY and draft.data["args"][2] is None
    }
