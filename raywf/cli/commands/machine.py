"""Commands about this machine: the Ray that stays here, what is installed, what may be wrong."""

from __future__ import annotations

from typing import Annotated

import typer

from raywf.cli.exits import ExitCode
from raywf.cli.options import AsJson, Namespace, Store
from raywf.cli.place import place_of
from raywf.config import shown


def up(
    num_cpus: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="CPUs that Ray may plan with.", show_default="all")
    ] = None,
    port: Annotated[
        int | None, typer.Option(min=1024, max=65535, help="The port to join at.", show_default="a free one")
    ] = None,
    store: Store = None,
    namespace: Namespace = "default",
) -> None:
    """Start a Ray that stays on this laptop. Programs and commands find it by themselves.

    It listens to this machine only and takes some seconds to start; later runs save that time, and executions go on
    when the command that started them has ended. `raywf down` ends it.
    """
    from raywf.cli.laptop.starting import already_up
    from raywf.cli.laptop.starting import up as start
    from raywf.cli.output import say, stderr_console
    from raywf.cli.progress import busy

    place = place_of(store, namespace)
    with busy(stderr_console(), "starting Ray", quiet=already_up() is not None):
        record, is_new = start(num_cpus, port)
    if is_new:
        say(f"Ray is up at {record.address}: {record.num_cpus} CPUs, {len(record.processes)} processes")
    else:
        say(f"Ray is up already at {record.address}, since {record.started_at}")
    say("It stays until `raywf down`, and programs find it by themselves.")
    say("next:", f"  {place.command('run', 'TARGET')}", f"  {place.command('doctor')}")


def down(store: Store = None, namespace: Namespace = "default") -> None:
    """End the Ray of `raywf up`: the processes that it recorded, and no others.

    Executions that are open stay in the store; the next engine goes on with them.
    """
    from raywf.cli.laptop.ending import end_session
    from raywf.cli.laptop.opened import open_on
    from raywf.cli.laptop.record import read_record
    from raywf.cli.output import say, stderr_console
    from raywf.cli.progress import busy

    place = place_of(store, namespace)
    record = read_record()
    if record is None:
        say("No Ray is up here: nothing to end.")
        return
    still_open = open_on(place, record.address)
    with busy(stderr_console(), f"ending Ray at {record.address}"):
        ended = end_session(record)
    if ended:
        say(f"Ray at {record.address} has ended: {len(ended)} processes")
    else:
        say(f"Ray at {record.address} was gone already: its record has been removed")
    if still_open:
        noun = "execution stays" if still_open == 1 else "executions stay"
        them = "it" if still_open == 1 else "them"
        say(f"{still_open} {noun} open in {shown(place.store)}: the next engine goes on with {them}")


def doctor(as_json: AsJson = False, store: Store = None, namespace: Namespace = "default") -> None:
    """Look at what raywf stands on here, and say what to do about what is wrong. Exit code 1 if something is."""
    from raywf.cli import doctor as room
    from raywf.cli.output import stdout_console, write_json

    checks = room.examine(place_of(store, namespace))
    if as_json:
        write_json([check._asdict() for check in checks])
    else:
        room.show(checks, stdout_console())
    raise typer.Exit(ExitCode.FAILED if any(check.state == "bad" for check in checks) else ExitCode.DONE)


def version(as_json: AsJson = False, store: Store = None, namespace: Namespace = "default") -> None:
    """Print the versions of raywf, Python, Ray and SQLite."""
    from raywf.cli.output import say, write_json
    from raywf.cli.versions import versions

    found = versions()
    if as_json:
        write_json(found)
        return
    say(*(f"{name} {value or 'not installed'}" for name, value in found.items()))
