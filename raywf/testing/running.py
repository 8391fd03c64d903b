"""``raywf.testing.run``: a workflow with no Ray and no disk, in milliseconds, with a clock that jumps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from raywf.definition.inputs import bind_input
from raywf.definition.model import WorkflowDefinition
from raywf.definition.workflows import Workflow, as_workflow
from raywf.testing.faults import Given, faults_for
from raywf.testing.ledger import Clock, Ledger
from raywf.testing.lives import ID, Lives, Scene


def run(
    workflow: Workflow[..., Any] | WorkflowDefinition,
    /,
    *args: Any,
    faults: Given | None = None,
    signals: Mapping[str, Any] | None = None,
    approve: bool | None = None,
    seed: int = 0,
    clock: Clock | None = None,
    ledger: Ledger | None = None,
    **kwargs: Any,
) -> Any:
    """Run a workflow and return its result. No Ray, no disk, no network; sleeps and timeouts take no time.

    ``faults`` says by task what goes wrong: ``{"charge": "fail"}`` its first attempt, ``{"charge": ["timeout", None,
    "crash_after_commit"]}`` one by one, or a ``Fault`` with an attempt, a chance, seconds or an error. ``signals`` are sent
    at the start, by name. ``approve`` True or False answers every approval; None leaves it to its timeout. ``seed`` decides
    the jitter of retries and the chances of faults. ``clock`` and ``ledger`` are there to be looked at afterwards.

    Raises what ``handle.result()`` would, and ``InvalidInput`` for faults that this workflow cannot meet; an execution that
    can only go on by a signal or a person that never comes raises ``RaywfError`` saying what it waits for.
    """
    found = as_workflow(workflow)
    lives = Lives(
        Scene(
            found,
            bind_input(found, args, kwargs),
            faults_for(faults, found.definition, seed),
            Ledger() if ledger is None else ledger,
            Clock() if clock is None else clock,
            dict(signals or {}),
            approve,
            seed,
        )
    )
    closing = lives.play()
    return lives.readings.settle(ID, closing.kind, closing.task, closing.data)
