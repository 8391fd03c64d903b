"""What a workflow says about when it starts by itself: the ``triggers`` of its definition."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from raywf.definition.lines import did_you_mean
from raywf.definition.schedules import check_cron_trigger
from raywf.errors import DefinitionError


def _nothing_to_check(who: str, trigger: dict[str, Any]) -> None:
    return None


def _check_event(who: str, trigger: dict[str, Any]) -> None:
    from raywf.definition.events import check_event_trigger  # conditions read pydantic's JSON: who has none need not

    check_event_trigger(who, trigger)


_CHECKS: dict[str, Callable[[str, dict[str, Any]], None]] = {
    "cron": check_cron_trigger,
    "event": _check_event,
    "manual": _nothing_to_check,
}


def check_triggers(who: str, triggers: Any) -> None:
    """Raise ``DefinitionError`` for what is no list of triggers."""
    if not isinstance(triggers, (list, tuple)):
        raise DefinitionError(f"{who}: triggers is {triggers!r:.80}: it is a list, as in [raywf.on_cron('0 7 * * *')]")
    for at, trigger in enumerate(triggers):
        here = f"{who}: trigger {at}"
        kind = trigger.get("type") if isinstance(trigger, dict) else None
        check = _CHECKS.get(kind) if isinstance(kind, str) else None
        if check is None:
            known = ", ".join(_CHECKS)
            raise DefinitionError(
                f"{here} is {trigger!r:.80}: its type is one of {known}.{did_you_mean(kind, _CHECKS)}"
            )
        check(here, trigger)
