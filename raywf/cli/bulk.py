"""One command to all executions that `--where` finds: counted first, confirmed, and then sent."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

import typer

from raywf.cli.arguments import check_status, parse_started, parse_tags
from raywf.cli.exits import ExitCode
from raywf.cli.output import note, write_text
from raywf.cli.place import Place, actor_name
from raywf.cli.sending import with_commands
from raywf.client import bulk
from raywf.client.bulk import BulkResult, Query
from raywf.client.commands import Commands
from raywf.definition.lines import did_you_mean
from raywf.errors import InvalidInput

_KEYS = ("status", "workflow", "tag.KEY", "started_after", "started_before")
_SHOWN = 5


def query_of(where: Sequence[str], now: float) -> Query:
    """``["status=failed", "tag.team=blue", "started_after=2h"]`` as a query. Raises ``InvalidInput``."""
    given: dict[str, str] = {}
    tags: list[str] = []
    for each in where:
        key, equals, value = each.partition("=")
        if not equals or not value:
            raise InvalidInput(f"--where {each!r}: it is written KEY=VALUE, as in status=failed or tag.team=blue")
        if key.startswith("tag.") and key != "tag.":
            tags.append(f"{key.removeprefix('tag.')}={value}")
            continue
        if key not in _KEYS:
            raise InvalidInput(
                f"--where {each!r}: there is no {key!r}.{did_you_mean(key, _KEYS)} It is {', '.join(_KEYS)}"
            )
        if given.setdefault(key, value) != value:
            raise InvalidInput(f"--where {each!r}: {key} is given twice, and no execution has both")
    return Query(
        check_status(given.get("status")),
        given.get("workflow"),
        parse_tags(tags),
        parse_started("started_after", given.get("started_after"), now),
        parse_started("started_before", given.get("started_before"), now),
    )


def to_many(
    place: Place,
    action: str,
    execution: str | None,
    where: Sequence[str] | None,
    *,
    dry_run: bool,
    yes: bool,
    reason: str,
    by: str | None,
) -> None:
    """Count those that are meant, ask, and send. Without a terminal to ask at, ``yes`` must be given."""
    if not where or execution is not None:
        what = "an id goes alone" if execution is not None else "which executions?"
        raise InvalidInput(
            f"{what}: `raywf {action} ID` is for one, `raywf {action} --where status=… --dry-run` for many"
        )
    query = query_of(where, time.time())

    async def search(commands: Commands) -> list[str]:
        return await bulk.found(commands.readings, action, query)

    ids = with_commands(place, search)
    many = f"{len(ids):,} {'execution' if len(ids) == 1 else 'executions'}"
    asked = " and ".join(where)
    if dry_run:
        note(f"{many} to {action} where {asked}; nothing was done")
        if ids:
            write_text("\n".join(ids))
        return
    if not ids:
        note(f"no executions to {action} where {asked}")
        return
    _confirm(action, many, asked, ids, yes)

    async def send(commands: Commands) -> BulkResult:
        return await bulk.send(commands, action, ids, reason, actor_name(by))

    result = with_commands(place, send)
    for id_, why in list(result.refused.items())[:_SHOWN]:
        note(f"{id_}: {why}")
    more = len(result.refused) - _SHOWN
    if more > 0:
        note(f"and {more:,} more were refused")
    unsent = len(ids) - result.sent
    note(
        f"{result.sent:,} of {many} asked to {action}"
        + (f"; {unsent:,} had moved on, or were refused" if unsent else "")
    )
    if result.refused and not result.sent:
        raise typer.Exit(ExitCode.USAGE)


def _confirm(action: str, many: str, asked: str, ids: Sequence[str], yes: bool) -> None:
    if yes:
        return
    shown = ", ".join(ids[:_SHOWN]) + (", …" if len(ids) > _SHOWN else "")
    if not sys.stdin.isatty():
        raise InvalidInput(
            f"{many} would be asked to {action} where {asked} ({shown}): say --yes to do it, --dry-run to see all"
        )
    if not typer.confirm(f"{action} {many} where {asked} ({shown})?", err=True):
        raise typer.Exit(ExitCode.FAILED)
