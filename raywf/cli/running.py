"""`raywf run`: start an execution, show how it gets on, print its result."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from raywf.cli.arguments import ABSENT, RunRequest
from raywf.cli.exits import ExitCode
from raywf.cli.following import Follower
from raywf.cli.laptop.starting import already_up
from raywf.cli.net import answers
from raywf.cli.output import note, stderr_console, write_text
from raywf.cli.place import Place
from raywf.cli.progress import View, busy, view_for
from raywf.cli.targets import load
from raywf.cli.waiting import Patience, Reason, say_still_waiting
from raywf.cli.watching import pause_s, print_value, say_failed
from raywf.client.holders import holders
from raywf.client.reading import Readings
from raywf.definition.inputs import bind_input, call_of
from raywf.definition.workflows import Workflow
from raywf.errors import StoreUnavailable, WorkflowCancelled, WorkflowFailed


class Call(NamedTuple):
    """A workflow with its arguments, checked against its parameters."""

    workflow: Workflow[Any, Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


def prepare(request: RunRequest) -> Call:
    """Everything that can be known before an engine is there.

    Raises ``NotFound``, ``DefinitionError``, ``CodeMissing``, ``InvalidInput``.
    """
    workflow = load(request.target)
    workflow.check()
    args, kwargs = ((), {}) if request.value is ABSENT else call_of(workflow, request.value)
    bind_input(workflow, args, kwargs)
    return Call(workflow, args, kwargs)


class Way(NamedTuple):
    """Which Ray a connect will take. ``stays``: it outlives this command."""

    text: str
    stays: bool


async def way_to_ray(request: RunRequest, place: Place, env: Mapping[str, str]) -> Way:
    """What ``connect`` will do, in its order. Raises ``StoreUnavailable`` for an address where nobody answers."""
    address = request.address or env.get("RAY_ADDRESS")
    if address and address != "local":
        if ":" in address and not answers(address, timeout_s=5.0):
            named = "--address" if request.address else "RAY_ADDRESS"
            raise StoreUnavailable(
                f"no Ray answers at {address} ({named}): correct it, or leave it out; `raywf up` starts a Ray that stays"
            )
        return Way(f"connecting to Ray at {address}", True)
    if address != "local":
        held = await holders(place.store)
        if held:
            return Way(f"joining {held[0]}", True)
        up = already_up()
        if up is not None:
            return Way(f"joining the Ray of `raywf up` at {up.address}", True)
    return Way("starting a private Ray (`raywf up` keeps one running)", False)


@dataclass(slots=True)
class Progress:
    """How far a run came, for what must be said when it is cut short."""

    execution_id: str | None = None


def run(request: RunRequest, place: Place) -> ExitCode:
    """Run, and say how it ended; gives the exit code."""
    call = prepare(request)
    progress = Progress()
    try:
        return asyncio.run(_run(request, call, place, progress))
    except KeyboardInterrupt:
        if progress.execution_id is None:
            note("raywf: interrupted before anything was submitted")
        else:
            again = place.command("run", *request.again, "--id", progress.execution_id)
            note(f"raywf: interrupted; execution {progress.execution_id} is on disk", "next:", f"  {again}")
        return ExitCode.INTERRUPTED


async def _run(request: RunRequest, call: Call, place: Place, progress: Progress) -> ExitCode:
    way = await way_to_ray(request, place, os.environ)
    if request.detach and not way.stays:
        raise StoreUnavailable(
            "--detach needs an engine that stays, and there is none: start one with `raywf up`, or give --address"
        )
    from raywf.client.engine import AsyncWorkflowEngine

    engine = AsyncWorkflowEngine(request.address, place.store, place.namespace, ())
    with busy(stderr_console(), way.text, quiet=request.quiet):
        await engine.open()
    try:
        handle = await engine.submit(
            call.workflow,
            *call.args,
            execution_id=request.id,
            priority=request.priority,
            tags=request.tags,
            **call.kwargs,
        )
        progress.execution_id = handle.id
        if request.detach:
            write_text(handle.id)
            if not request.quiet:
                note(f"next: {place.command('watch', handle.id)}")
            return ExitCode.DONE
        readings = Readings(engine.store, place.namespace)
        try:
            follower = await Follower.open(readings, handle.id)
            reason = await _attend(request, place, handle, follower)
            if reason is None:
                return await _finish(request, place, handle)
        finally:
            await readings.close()
    finally:
        await engine.close()
    return await _leave(request, place, follower, reason)


async def _attend(request: RunRequest, place: Place, handle: Any, follower: Follower) -> Reason | None:
    """Show progress until the result is there (None) or waiting makes no sense any more (why)."""
    # At a terminal somebody may answer in another one, and sees here what is asked.
    somebody_watches = sys.stdin.isatty() and sys.stderr.isatty()
    patience = Patience(follower, request.timeout_s, persons_answer=somebody_watches, engine_is_ours=True)
    result = asyncio.ensure_future(handle.result())
    try:
        with view_for(stderr_console(), place, quiet=request.quiet) as view:
            while not result.done():
                started_at = time.monotonic()
                view.show(follower, await follower.look())
                reason = await patience.spent()
                if reason is not None and not result.done():
                    return reason
                await asyncio.wait({result}, timeout=pause_s(started_at))
            await _show_the_end(follower, view)
        return None
    finally:
        result.cancel()
        await asyncio.gather(result, return_exceptions=True)


async def _show_the_end(follower: Follower, view: View) -> None:
    """The result may be known here a moment before the reader sees its commit."""
    for _ in range(20):
        view.show(follower, await follower.look())
        if follower.closed:
            return
        await asyncio.sleep(0.02)


async def _finish(request: RunRequest, place: Place, handle: Any) -> ExitCode:
    try:
        value = await handle.result()
    except (WorkflowFailed, WorkflowCancelled) as error:
        return say_failed(error, place)
    print_value(value, raw=request.raw)
    return ExitCode.DONE


async def _leave(request: RunRequest, place: Place, follower: Follower, reason: Reason) -> ExitCode:
    """Say how to go on. Whether an engine stays is asked now that ours is gone."""
    readings = Readings(follower.readings.url, place.namespace)
    try:
        follower.readings, follower.row = readings, await readings.row(follower.id)
        return await say_still_waiting(follower, reason, place, again=request.again)
    finally:
        await readings.close()
