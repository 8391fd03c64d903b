"""Waiting for an execution from the store alone: `raywf watch` and `raywf result`."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Any

from raywf.cli.exits import ExitCode, one_line
from raywf.cli.following import Follower
from raywf.cli.output import note, stdout_console, write_json, write_text
from raywf.cli.place import Place
from raywf.cli.progress import view_for
from raywf.cli.showing import takers_of
from raywf.cli.waiting import Patience, Reason, say_still_waiting
from raywf.client.reading import Readings
from raywf.errors import WorkflowCancelled, WorkflowFailed

LOOK_S = 0.1
"""Pause between two looks; longer where looking itself takes long."""


def pause_s(started_at: float) -> float:
    """How long to pause after a look: look often, but never spend more than a fifth of the time on it."""
    return max(LOOK_S, 4 * (time.monotonic() - started_at))


async def watch_execution(
    readings: Readings, execution_id: str, place: Place, timeout_s: float | None, *, as_json: bool
) -> ExitCode:
    """Follow until it ends; gives the exit code."""
    follower = await Follower.open(readings, execution_id)
    give_up_at = None if timeout_s is None else time.monotonic() + timeout_s
    if follower.row.ended_at is None and not await takers_of(readings, follower.row.lane):
        note("raywf: no engine holds this execution now: it goes on when one connects")
    with view_for(stdout_console(), place, quiet=as_json) as view:
        written = 0
        while True:
            started_at = time.monotonic()
            if as_json:
                written = await _write_events(readings, execution_id, written)
            view.show(follower, await follower.look())
            if follower.closed:
                break
            if give_up_at is not None and started_at >= give_up_at:
                break
            await asyncio.sleep(pause_s(started_at))
    if not follower.closed:
        return await say_still_waiting(follower, Reason(f"has not ended within {timeout_s:g} s"), place)
    if as_json:
        await _write_events(readings, execution_id, written)
    return ExitCode.DONE if follower.status == "completed" else ExitCode.FAILED


async def _write_events(readings: Readings, execution_id: str, after: int) -> int:
    for event in await readings.history(execution_id, after):
        write_json(event, indent=None)
        after = event.seq
    sys.stdout.flush()
    return after


async def print_result(
    readings: Readings, execution_id: str, place: Place, timeout_s: float | None, *, raw: bool
) -> ExitCode:
    """Wait as long as it makes sense, print the result; gives the exit code."""
    follower = await Follower.open(readings, execution_id)
    patience = Patience(follower, timeout_s)
    while follower.row.ended_at is None:
        started_at = time.monotonic()
        await follower.look()
        if follower.closed:
            break
        reason = await patience.spent()
        if reason is not None:
            return await say_still_waiting(follower, reason, place)
        await asyncio.sleep(pause_s(started_at))
    follower.row = await readings.row(execution_id)
    closing = await readings.outcome(follower.row)
    if closing is None:  # the history has ended and the index has not heard of it: it is in the same commit, look again
        return await print_result(readings, execution_id, place, timeout_s, raw=raw)
    if closing.kind == "execution_completed":
        print_value(None if closing.data is None else readings.decode(closing.data), raw=raw)
        return ExitCode.DONE
    try:
        readings.settle(execution_id, closing.kind, closing.task, closing.data)
    except (WorkflowFailed, WorkflowCancelled) as error:
        return say_failed(error, place)
    raise AssertionError("unreachable")


def print_value(value: Any, *, raw: bool) -> None:
    """A result on stdout: JSON, or with ``raw`` a string as it is."""
    if raw and isinstance(value, str):
        write_text(value)
    else:
        write_json(value)


def say_failed(error: WorkflowFailed | WorkflowCancelled, place: Place) -> ExitCode:
    """One line on stderr, and where the rest can be read."""
    note(f"raywf: {one_line(error)}", f"next: {place.command('show', error.execution_id)}")
    return ExitCode.FAILED
