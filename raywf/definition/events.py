"""Triggers by event: which events start a workflow, and with which arguments. Recorded as data, over the event."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from raywf.core.bindings import evaluate
from raywf.definition.expressions import PlacedError, read_condition, read_value
from raywf.definition.lines import did_you_mean, user_line
from raywf.definition.recording import record, record_condition
from raywf.definition.references import Draft, Expression, Reference, Scope
from raywf.definition.values import decode
from raywf.errors import DefinitionError

NAME = re.compile(r"[A-Za-z][\w.:\-]{0,99}\Z", re.ASCII)
HEAD = "event"
_FIELDS = ("type", "name", "where", "args", "id", "follow")


def on_event(
    name: str,
    *,
    where: Callable[[Any], Any] | Mapping[str, Any] | None = None,
    args: Callable[[Any], Any] | Any = None,
    id: str | None = None,
    follow: bool = False,
) -> dict[str, Any]:
    """A trigger for ``@workflow(triggers=[…])``: start when an event of this name is emitted and ``where`` holds for it.

    ``where`` is a callable of the event, called once to record a condition (``lambda event: event["amount"] > 100``), or that
    condition as data. ``args`` likewise gives one value that stands for the arguments; without it the event itself does.
    ``follow``: once in effect it starts the version of its workflow that is deployed, not the one it was made with.
    Raises ``DefinitionError``.
    """
    trigger: dict[str, Any] = {"type": "event", "name": name}
    scope = Scope(workflow=f"the event {name!r}")
    event = Reference(scope, Draft(HEAD, {}, (), user_line()))
    if where is not None:
        trigger["where"] = _recorded("where", where, event, scope)
    if args is not None:
        trigger["args"] = record(args(event), scope, "args") if callable(args) else args
    if id is not None:
        trigger["id"] = id
    if follow:
        trigger["follow"] = True
    check_event_trigger("raywf.on_event", trigger)
    return trigger


def _recorded(what: str, given: Any, event: Reference, scope: Scope) -> Any:
    if not callable(given):
        return given
    condition = given(event)
    if not isinstance(condition, Expression):
        raise DefinitionError(
            f"{user_line()}: raywf.on_event: {what} gave {condition!r:.60}, which is known before any event comes: compare "
            f'something of the event, as in {what}=lambda event: event["amount"] > 100'
        )
    return record_condition(condition, scope, what)


def check_name(who: str, name: object) -> str:
    """The name of an event. Raises ``DefinitionError``."""
    if not isinstance(name, str) or not NAME.match(name):
        raise DefinitionError(
            f"{who}: the event is named {name!r:.80}: a name has 1 to 100 letters, digits and any of _ . : -, and begins with "
            "a letter, as in 'order.created'"
        )
    return name


def check_event_trigger(who: str, trigger: Mapping[str, Any]) -> None:
    for name in trigger:
        if name not in _FIELDS:
            raise DefinitionError(f"{who}: an event trigger has no field {name!r}.{did_you_mean(name, _FIELDS)}")
    check_name(who, trigger.get("name"))
    try:
        if trigger.get("where") is not None:
            read_condition(trigger["where"], _resolve, ("where",))
        if trigger.get("args") is not None:
            read_value(trigger["args"], _resolve, ("args",))
    except PlacedError as error:
        raise DefinitionError(f"{who}: {error}") from None


def _resolve(head: str, path: Any, place: Any) -> int:
    if head != HEAD:
        raise PlacedError(
            place, f"there is only the event here, not {head!r}: write 'event.amount'.{did_you_mean(head, (HEAD,))}"
        )
    return 0


def why_not(trigger: Mapping[str, Any], event: Any) -> str | None:
    """None where a trigger wants an event; else why not, in words."""
    if trigger.get("where") is None:
        return None
    condition = read_condition(trigger["where"], _resolve, ("where",))
    try:
        return None if evaluate(condition, lambda task: event, decode) else "its condition does not hold"
    except (LookupError, TypeError) as error:
        return f"its condition does not fit the event: {error}"


def argument(trigger: Mapping[str, Any], event: Any) -> Any:
    """The value that stands for the arguments. Raises ``LookupError`` where the event lacks it."""
    if trigger.get("args") is None:
        return event
    return evaluate(read_value(trigger["args"], _resolve, ("args",)), lambda task: event, decode)
