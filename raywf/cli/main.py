"""The program `raywf`: its commands, and what becomes of an error."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated

import typer

import raywf
from raywf.cli.commands import act, cluster, deploy, draw, events, flow, look, machine, move, prove, run, talk
from raywf.cli.commands.caching import cache
from raywf.cli.commands.keys import keys
from raywf.cli.commands.results import results
from raywf.cli.commands.schedule import schedule
from raywf.cli.exits import ExitCode, exit_code, one_line

app = typer.Typer(
    name="raywf",
    help="Durable AI workflows, native to Ray.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)

_PANELS = {
    "Run": (run.run, run.demo, draw.validate, draw.graph),
    "Test (no engine, no Ray)": (prove.chaos, move.replay),
    "Look (no engine, no Ray)": (
        look.ls,
        look.show,
        look.why,
        look.history,
        look.watch,
        look.result,
        talk.query,
        talk.stream,
        deploy.versions,
    ),
    "Act (no engine, no Ray)": (
        act.approve,
        act.reject,
        act.signal,
        talk.update,
        act.resolve,
        act.pause,
        act.resume,
        act.cancel,
        act.retry,
        act.fork,
        flow.limits,
        events.emit,
        events.triggers,
        deploy.deploy,
    ),
    "Look (asks the engine that runs)": (flow.workers,),
    "Move (no engine, no Ray)": (move.export, move.import_, move.archive),
    "Cluster": (cluster.nodes, cluster.drain),
    "This machine": (machine.up, machine.down, machine.doctor, machine.version),
}

for _panel, _commands in _PANELS.items():
    for _command in _commands:
        app.command(_command.__name__.rstrip("_"), rich_help_panel=_panel)(_command)

app.add_typer(results, rich_help_panel="Look (no engine, no Ray)")
app.add_typer(keys, rich_help_panel="Move (no engine, no Ray)")
app.add_typer(schedule, rich_help_panel="Act (no engine, no Ray)")
app.add_typer(cache, rich_help_panel="Act (no engine, no Ray)")


def _version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"raywf {raywf.__version__}\n")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line; gives the exit code. Never raises: an error is one line on stderr.

    RAYWF_DEBUG=1 shows the traceback too.
    """
    try:
        code = app(args=None if argv is None else list(argv), prog_name="raywf", standalone_mode=False)
        sys.stdout.flush()
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else ExitCode.FAILED
    except BrokenPipeError:  # the reader of a pipe has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.DONE
    except BaseException as error:
        return _said(error)
    return code if isinstance(code, int) else ExitCode.DONE


def _said(error: BaseException) -> int:
    if os.environ.get("RAYWF_DEBUG") == "1":
        traceback.print_exception(error)
    shown = getattr(error, "format_message", None)
    if callable(shown):  # typer's own: wrong usage
        where, message = getattr(getattr(error, "ctx", None), "command_path", "raywf"), " ".join(str(shown()).split())
        if not message:  # no command was given, and the help has been printed
            return ExitCode.USAGE
        text, code = f"{where}: {message} (see {where} --help)", ExitCode.USAGE
    elif type(error).__name__ == "Abort":
        text, code = "raywf: interrupted", ExitCode.INTERRUPTED
    else:
        text, code = f"raywf: {one_line(error)}", exit_code(error)
    sys.stderr.write(text + "\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
