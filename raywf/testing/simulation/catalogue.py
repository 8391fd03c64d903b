"""What is tried: the workflows, with what is commanded meanwhile, and how they may end.

What a workflow comes to does not depend on what dies meanwhile, save where ``may`` says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from raywf.testing.simulation.workflows import (
    approved,
    at_most_once,
    booked,
    booked_otherwise,
    branch_with_waiting,
    branches,
    brief_chain,
    chain,
    child_fails,
    child_that_waits,
    children_that_take_time,
    continued,
    diamond,
    endless,
    endless_children,
    everything,
    failing,
    fan_out,
    fan_out_over_nothing,
    gathered,
    grandparent,
    item_fails,
    limited,
    loop_over_its_limit,
    loops,
    loops_within,
    mended_after_all,
    mended_child,
    mended_saga,
    nobody_approves,
    on_ray,
    out_of_attempts,
    parent,
    paused,
    ray_fan_out,
    ray_takes_time,
    recalled,
    rejected,
    rejected_with_a_value,
    retried,
    retried_fan_out,
    saga,
    saga_over_children,
    saga_to_cancel,
    sibling_of_a_child_fails,
    signal_in_vain,
    signal_too_late,
    signalled,
    single,
    sleeping,
    sleeping_side_by_side,
    some_answers,
    stopped_early,
    talking,
    threads,
    timed_out,
    timing_out,
    updated,
    versioned,
    versioned_anew,
    wide,
)

Command = tuple[float, str, Mapping[str, Any]]
"""Seconds after the submit, the kind, and the body as the inbox has it."""


@dataclass(frozen=True, slots=True)
class Case:
    """A workflow with its arguments, what is commanded meanwhile, and ``may``: other ends that are right where it
    depends on who was faster. ``deadline_s`` counts from the submit; ``retries`` is how often it is retried at most, as long
    as it fails."""

    workflow: Any
    commands: tuple[Command, ...] = ()
    deadline_s: float | None = None
    may: frozenset[str] = frozenset()
    x: int = 3
    retries: int = 0


def _go(at: float, value: str) -> Command:
    return at, "signal", {"name": "go", "value": value}


def _number(at: float, value: str) -> Command:
    return at, "update", {"name": "number", "value": value}


_ANY = frozenset({"completed", "failed", "cancelled"})
_CALM = (
    single, chain, brief_chain, diamond, fan_out, fan_out_over_nothing, wide, branches, branch_with_waiting, gathered,
    threads, retried, retried_fan_out, out_of_attempts, sleeping, sleeping_side_by_side, signal_in_vain, signal_too_late,
    nobody_approves, parent, grandparent, children_that_take_time, child_that_waits, failing, child_fails,
    sibling_of_a_child_fails, item_fails, timing_out, timed_out, on_ray, ray_fan_out, ray_takes_time,
    some_answers, stopped_early, loops, loops_within, loop_over_its_limit, continued, saga, saga_over_children, talking,
    recalled,
)  # fmt: skip

CASES: dict[str, Case] = {
    **{workflow.id: Case(workflow) for workflow in _CALM},
    "signalled": Case(signalled, (_go(0.2, '"first"'), _go(0.9, '"second"'))),
    "approved": Case(approved, ((1.0, "approve", {}),)),
    "rejected": Case(rejected, ((1.0, "reject", {"comment": "no"}),)),
    "rejected_with_a_value": Case(rejected_with_a_value, ((1.0, "reject", {}),)),
    "cancelled": Case(endless, ((1.0, "cancel", {"reason": "enough"}),)),
    "cancelled_early": Case(endless_children, ((0.0, "cancel", {"reason": "enough"}),)),
    "children_cancelled": Case(endless_children, ((2.5, "cancel", {"reason": "enough"}),)),
    "cancelled_or_not": Case(grandparent, ((0.02, "cancel", {"reason": "enough"}),), may=_ANY),
    "parents_cancelled_or_not": Case(children_that_take_time, ((1.6, "cancel", {"reason": "enough"}),), may=_ANY),
    "deadline": Case(endless, deadline_s=3.0),
    "deadline_or_not": Case(children_that_take_time, deadline_s=3.02, may=_ANY),
    "saga_cancelled": Case(saga_to_cancel, ((2.0, "cancel", {"reason": "enough"}),)),
    "saga_cancelled_or_not": Case(
        saga, ((1.5, "cancel", {"reason": "enough"}),), may=frozenset({"failed", "cancelled"})
    ),
    "at_most_once": Case(at_most_once, may=frozenset({"failed"})),
    "paused": Case(paused, ((0.5, "pause", {"reason": "wait"}), (3.0, "resume", {}))),
    "paused_and_cancelled": Case(paused, ((0.5, "pause", {}), (2.0, "cancel", {"reason": "enough"})), may=_ANY),
    "limited": Case(limited),
    "forked": Case(diamond, ((0.6, "fork", {"from_task": "slow"}),)),
    "mended_after_all": Case(mended_after_all, retries=4),
    "mended_saga": Case(mended_saga, retries=3),
    "mended_child": Case(mended_child, retries=8),
    "cancelled_and_retried": Case(
        children_that_take_time, ((1.0, "cancel", {"reason": "enough"}),), retries=1, may=_ANY
    ),
    "updated": Case(updated, (_number(0.5, "4"), _number(1.0, "5"))),
    "migrated": Case(versioned, ((0.8, "migrate", {"to": versioned_anew}), (2.5, "migrate", {"to": versioned}))),
    "not_migrated": Case(booked, ((2.0, "migrate", {"to": booked_otherwise}),)),
    "everything": Case(everything, (_go(0.4, "1"),)),
}
"""By name. Whatever is added here is tried by every seed and at every crash point."""
