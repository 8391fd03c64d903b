"""Commands that run workflows: they connect to an engine, or start one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from raywf.cli.options import Namespace, Store, Tags, Target
from raywf.cli.place import place_of


def run(
    target: Target,
    input: Annotated[
        str | None,
        typer.Option(
            metavar="JSON",
            help="The input: JSON, @file.json, @file.yaml, or - for stdin. Of a workflow with one parameter that value; "
            "else a list gives positional arguments, an object keywords.",
            show_default=False,
        ),
    ] = None,
    id: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Run again with the same id and input, it goes on with that execution."),
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option(min=0, metavar="SECONDS", help="Wait so long; the execution goes on, the exit code is 5."),
    ] = None,
    priority: Annotated[int, typer.Option(help="Larger first.")] = 0,
    tag: Tags = None,
    address: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="The Ray to use; 'local' is a private one.", show_default="found"),
    ] = None,
    detach: Annotated[
        bool, typer.Option("--detach", help="Do not wait: print the id. Needs an engine that stays (`raywf up`).")
    ] = False,
    raw: Annotated[bool, typer.Option("--raw", help="Print a result that is a string as it is, not as JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")] = False,
    store: Store = None,
    namespace: Namespace = "default",
) -> None:
    """Start an execution, wait for it, print its result as JSON.

    Ray is the one of --address, else RAY_ADDRESS, else of the live engine of the store, else of `raywf up`, else a
    private one that ends with this command.

    Where only an approval can move it on, the command leaves with exit code 5 and says what to type: approve it, then
    run the same again with --id, and it goes on where it was. At a terminal it stays instead, so that it can be
    approved in another one; with --timeout it waits as long as that says. A signal is always waited for.

    Ctrl-C leaves too, with exit code 130: what was accepted is on disk, and goes on with the next engine.
    """
    from raywf.cli.arguments import run_request
    from raywf.cli.running import run as start

    request = run_request(
        target,
        input=input,
        id=id,
        tags=tag,
        address=address,
        timeout_s=timeout,
        priority=priority,
        detach=detach,
        raw=raw,
        quiet=quiet,
    )
    raise typer.Exit(start(request, place_of(store, namespace)))


def demo(
    input: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Your own tickets: .txt, .csv or .jsonl.", show_default="the built-in ones"),
    ] = None,
    interactive: Annotated[
        bool, typer.Option("--interactive", help="You answer the approvals, instead of the demo saying yes.")
    ] = False,
    limit: Annotated[int | None, typer.Option(min=1, metavar="N", help="Only the first so many tickets.")] = None,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where the rows go, as Parquet.", show_default="triage.parquet")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
    store: Store = None,
    namespace: Namespace = "default",
) -> None:
    """Triage support tickets in many languages: a durable execution per ticket, scores, rows as Parquet."""
    from raywf.cli.output import stderr_console, stdout_console
    from raywf.demo.run import run_demo

    code = run_demo(
        store=store,
        namespace=namespace,
        input_path=input,
        interactive=interactive,
        limit=limit,
        output=output,
        as_json=as_json,
        console=stdout_console(),
        progress=stderr_console(),
    )
    raise typer.Exit(code)
