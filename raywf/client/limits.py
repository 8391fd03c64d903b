"""Limits, looked at and changed while they are used. Rows in the store: no engine is needed, and no deployment."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from raywf.client.of_engine import OfEngine
from raywf.core.admission import Rule, Slot, rule_data
from raywf.definition.limits import Rate, check_name, rule_of
from raywf.errors import DefinitionError, InvalidInput, NotFound
from raywf.journal.factory import ReadingInbox
from raywf.ports import LimitRow, Reader


class LimitStatus(BaseModel):
    """A limit and how it is used now: units ``held``, starts that wait, and who holds (execution ids, longest first).
    ``set_by`` is None while it is as a definition declares it."""

    model_config = ConfigDict(frozen=True)

    name: str
    rule: dict[str, float]
    set_by: str | None
    held: float
    waiting: int
    holders: list[str]


async def limit_statuses(reader: Reader, namespace: str) -> list[LimitStatus]:
    """Every limit of a namespace, by name."""
    slots = await reader.slots(namespace)
    return [_status(row, slots) for row in await reader.limits(namespace)]


def _status(row: LimitRow, slots: list[Slot]) -> LimitStatus:
    using = [slot for slot in slots if any(claim.limit == row.name for claim in slot.claims)]
    held = sorted((slot for slot in using if slot.held_at is not None), key=lambda slot: slot.held_at or 0.0)
    units = sum(claim.units for slot in held for claim in slot.claims if claim.limit == row.name)
    return LimitStatus(
        name=row.name,
        rule=rule_data(row.rule),
        set_by=row.by,
        held=units,
        waiting=len(using) - len(held),
        holders=list(dict.fromkeys(slot.execution for slot in held)),
    )


async def set_limit(
    inbox: ReadingInbox, namespace: str, name: str, concurrency: int | None, rate: Any, by: str | None
) -> None:
    """Set a limit by hand. Raises ``InvalidInput``."""
    rule = checked_rule(name, concurrency, rate)
    await inbox.set_limit(LimitRow(namespace, name, rule, by or "somebody"))


async def reset_limit(inbox: ReadingInbox, namespace: str, name: str) -> None:
    """Let definitions decide again. Raises ``NotFound``."""
    if not await inbox.drop_limit(namespace, name):
        known = ", ".join(row.name for row in await inbox.limits(namespace)) or "none yet"
        raise NotFound(f"there is no limit {name!r} in namespace {namespace!r}; there are {known}")


def checked_rule(name: Any, concurrency: Any, rate: Any) -> Rule:
    try:
        check_name("the limit", name)
        return rule_of(f"limit {name!r}", concurrency, rate)
    except DefinitionError as error:
        raise InvalidInput(str(error)) from None


class LimitsOfEngine(OfEngine):
    """What an engine offers about limits."""

    async def set_limit(
        self, name: str, *, concurrency: int | None = None, rate: Rate | None = None, by: str | None = None
    ) -> None:
        """Change a limit while it is used, from the next start on, whatever definitions declare. ``concurrency=0`` closes
        it. Raises ``InvalidInput``."""
        await set_limit(self._commands().inbox, self.namespace, name, concurrency, rate, by)

    async def reset_limit(self, name: str) -> None:
        """Let definitions decide on a limit again. Raises ``NotFound``."""
        await reset_limit(self._commands().inbox, self.namespace, name)

    async def limits(self) -> list[LimitStatus]:
        """Every limit, how it is used now, and who holds it."""
        return await limit_statuses(self._readings().reader, self.namespace)
