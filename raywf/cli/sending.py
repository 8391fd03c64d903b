"""Commands on their way: into the inbox, and a word on who will take them, and when."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from raywf.cli.output import note, say
from raywf.cli.place import Place, actor_name
from raywf.cli.showing import takers_of
from raywf.client import rerunning
from raywf.client.commands import Commands
from raywf.client.reading import Readings
from raywf.client.updates import answer
from raywf.core.state import CLOSED
from raywf.journal.factory import open_inbox

T = TypeVar("T")


def cancel(place: Place, execution_id: str, reason: str, by: str | None) -> None:
    async def work(commands: Commands) -> None:
        row = await commands.readings.row(execution_id)
        if row.status in CLOSED:
            say(f"{execution_id} is {row.status} already: nothing to cancel")
            return
        if row.status == "compensating":
            say(f"{execution_id} is compensating: it is on its way to an end already, so a cancel changes nothing")
            say(f"next: {place.command('watch', execution_id)}")
            return
        await commands.cancel(execution_id, reason, actor_name(by))
        await _tell(commands, place, execution_id, "asked to cancel")

    with_commands(place, work)


def pause(place: Place, execution_id: str, reason: str, by: str | None) -> None:
    async def work(commands: Commands) -> None:
        if await commands.pause(execution_id, reason, actor_name(by)):
            await _tell(commands, place, execution_id, "asked to pause", next_="resume")
        else:
            say(f"{execution_id} is paused already")

    with_commands(place, work)


def resume(place: Place, execution_id: str, by: str | None) -> None:
    async def work(commands: Commands) -> None:
        await commands.resume(execution_id, actor_name(by))
        await _tell(commands, place, execution_id, "asked to go on")

    with_commands(place, work)


def retry(place: Place, execution_id: str, by: str | None) -> None:
    async def work(commands: Commands) -> None:
        if (await rerunning.retry(commands, execution_id, actor_name(by))).new:
            await _tell(commands, place, execution_id, "asked to be retried")
        else:
            say(f"{execution_id}: this end has been retried already, so this does not count again")

    with_commands(place, work)


def fork(place: Place, execution_id: str, from_task: str, args: Any, by: str | None) -> None:
    async def work(commands: Commands) -> None:
        new, lane = await rerunning.fork(commands, execution_id, from_task, args, actor_name(by))
        say(new)
        takers = await takers_of(commands.readings, lane)
        who = f"{takers[0]} starts it within 200 ms" if takers else "no engine holds it now, so the next one starts it"
        note(f"forked from {from_task} of {execution_id}; {who}")
        words = ("result", new) if takers else ("run", "TARGET", "--id", new)
        note(f"next: {place.command(*words)}")

    with_commands(place, work)


def resolve(place: Place, execution_id: str, task: str, outcome: str, value: Any, comment: str, by: str | None) -> None:
    async def work(commands: Commands) -> None:
        await commands.resolve(execution_id, task, outcome, value, comment, actor_name(by))
        await _tell(commands, place, execution_id, f"{task} resolved as {outcome} by {actor_name(by)}")

    with_commands(place, work)


def signal(place: Place, execution_id: str, name: str, payload: Any, id: str | None, by: str | None) -> None:
    async def work(commands: Commands) -> None:
        if await commands.signal(execution_id, name, payload, id, actor_name(by)):
            await _tell(commands, place, execution_id, f"signal {name!r} sent")
        else:
            say(f"{execution_id}: a signal with the id {id!r} was sent before, so this one does not count again")

    with_commands(place, work)


def update(
    place: Place, execution_id: str, name: str, payload: Any, timeout: float, id: str | None, by: str | None
) -> Any:
    async def work(commands: Commands) -> Any:
        sent = await commands.update(execution_id, name, payload, id, actor_name(by))
        return await answer(commands.readings, execution_id, name, sent, timeout)

    return with_commands(place, work)


def decide(place: Place, execution_id: str, approved: bool, by: str | None, comment: str, task: str | None) -> None:
    async def work(commands: Commands) -> None:
        verb = "approved" if approved else "rejected"
        if not await commands.decide(execution_id, approved, actor_name(by), comment, task):
            say(f"{execution_id}: {actor_name(by)} has {verb} it before, so this does not count again")
            return
        await _tell(commands, place, execution_id, f"{verb}{f' {task}' if task else ''} by {actor_name(by)}")

    with_commands(place, work)


async def _tell(commands: Commands, place: Place, execution_id: str, what: str, next_: str = "result") -> None:
    row = await commands.readings.row(execution_id)
    takers = await takers_of(commands.readings, row.lane)
    if takers:
        say(f"{execution_id}: {what}; {takers[0]} takes it within 200 ms")
        say(f"next: {place.command(next_, execution_id)}")
    else:
        say(f"{execution_id}: {what}; no engine holds it now, so this waits in the inbox for the next one")
        say(f"next: {place.command('run', 'TARGET', '--id', execution_id)}")


def with_commands(place: Place, work: Callable[[Commands], Awaitable[T]]) -> T:
    """Open the inbox, do the work, close it."""

    async def run() -> T:
        inbox = open_inbox(place.store)
        try:
            readings = Readings(place.store, place.namespace, inbox)
            return await work(Commands(place.store, place.namespace, readings, inbox))
        finally:
            await inbox.close()

    return asyncio.run(run())
