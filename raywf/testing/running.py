"""``raywf.testing.run``: a workflow with no Ray and no disk, in milliseconds, with a clock that jumps."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from raywf.client.checks import check_deadline, check_priority, check_tags
from raywf.client.collecting import rule_of
from raywf.core.collecting import start_after_s
from raywf.core.ids import check_execution_id
from raywf.definition.inputs import bind_input
from raywf.definition.lines import did_you_mean
from raywf.definition.model import WorkflowDefinition
from raywf.definition.signals import check_signal
from raywf.definition.updates import updates_of
from raywf.definition.workflows import Workflow, as_workflow
from raywf.errors import InvalidInput
from raywf.testing.aggregators import Known, checked
from raywf.testing.faults import Given, faults_for
from raywf.testing.ledger import Clock, Ledger
from raywf.testing.lives import ID, Lives, Scene


def run(
    workflow: Workflow[..., Any] | WorkflowDefinition,
    /,
    *args: Any,
    faults: Given | None = None,
    signals: Mapping[str, Any] | None = None,
    updates: Mapping[str, Any] | None = None,
    approve: bool | None = None,
    retries: int = 0,
    seed: int = 0,
    clock: Clock | None = None,
    ledger: Ledger | None = None,
    execution_id: str = ID,
    priority: int = 0,
    deadline: datetime | timedelta | None = None,
    tags: Mapping[str, str] | None = None,
    isolation: str = "shared",
    aggregators: Known | None = None,
    **kwargs: Any,
) -> Any:
    """Run a workflow and return its result. No Ray, no disk, no network; sleeps and timeouts take no time.

    ``faults`` says by task what goes wrong: ``{"charge": "fail"}`` its first attempt, ``{"charge": ["timeout", None,
    "crash_after_commit"]}`` one by one, or a ``Fault`` with an attempt, a chance, seconds or an error. ``signals`` are sent
    at the start, by name; so are ``updates``, and one that its validator refuses raises ``InvalidInput``. ``approve`` True or
    False answers every approval; None leaves it to its timeout. ``seed`` decides
    the jitter of retries and the chances of faults. ``clock`` and ``ledger`` are there to be looked at afterwards. An execution
    that has failed is retried, as ``handle.retry()`` does, up to ``retries`` times.

    ``aggregators`` says by name what the store's aggregators know beforehand, as facts (``FactSet``); they know nothing else.
    ``execution_id``, ``priority``, ``deadline``, ``tags`` and ``isolation`` are those of ``engine.submit``; there is one process. A
    workflow with a start rule collects nothing: it is given what it would be started with (a ``Batch`` its list), and begins when it would
    if nothing more came, after the quiet time of a ``Debounce`` or the timeout of a ``Batch`` that is not full.

    Raises what ``handle.result()`` would, and ``InvalidInput`` for faults that this workflow cannot meet; an execution that
    can only go on by a signal or a person that never comes raises ``RaywfError`` saying what it waits for.
    """
    found = as_workflow(workflow)
    clock = Clock() if clock is None else clock
    rule = rule_of(found.definition)
    if isolation not in ("shared", "process"):
        raise InvalidInput(f"isolation={isolation!r} is not known: it is 'shared' or 'process'")
    if type(retries) is not int or retries < 0:
        raise InvalidInput(f"retries={retries!r}: how often a failed execution is retried is a whole number from 0 on")
    lives = Lives(
        Scene(
            found,
            bind_input(found, args, kwargs),
            faults_for(faults, found.definition, seed),
            Ledger() if ledger is None else ledger,
            clock,
            dict(signals or {}),
            approve,
            seed,
            updates=_known(updates or {}, found.definition),
            id=check_execution_id(execution_id),
            priority=check_priority(priority),
            deadline=check_deadline(deadline, clock.seconds()),
            tags=check_tags(tags or {}),
            start_after_s=0.0 if rule is None else start_after_s(rule, args),
            retries=retries,
            aggregators=checked(aggregators),
        )
    )
    closing = lives.play()
    return lives.readings.settle(execution_id, closing.kind, closing.task, closing.data)


def _known(updates: Mapping[str, Any], definition: WorkflowDefinition) -> dict[str, Any]:
    known = [task.signal.name for task in updates_of(definition) if task.signal is not None]
    for name, payload in updates.items():
        if name not in known:
            there = f"it takes {', '.join(known)}" if known else "it has no raywf.wait_update"
            raise InvalidInput(
                f"workflow {definition.id!r} takes no update {name!r}: {there}.{did_you_mean(name, known)}"
            )
        check_signal(definition, name, payload, update=True)
    return dict(updates)
