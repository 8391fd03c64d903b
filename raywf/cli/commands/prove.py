"""Commands that try a workflow out: no engine, no Ray, no store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from raywf.cli.options import AsJson, Namespace, Store, Target

if TYPE_CHECKING:
    from raywf.testing.kills import ChaosReport


def chaos(
    target: Target,
    input: Annotated[
        str | None,
        typer.Option(metavar="JSON", help="The input: JSON, @file, or - for stdin; as for `run`.", show_default=False),
    ] = None,
    signal: Annotated[
        list[str] | None,
        typer.Option("--signal", metavar="NAME=JSON", help="A signal sent at the start. May be given more than once."),
    ] = None,
    approve: Annotated[
        bool | None,
        typer.Option("--approve/--reject", help="How approvals are answered.", show_default="they time out"),
    ] = None,
    limit: Annotated[
        int, typer.Option(min=1, metavar="N", help="Try at most so many boundaries, evenly spread.")
    ] = 200,
    seed: Annotated[int, typer.Option(metavar="N", help="Decides the jitter of retries.")] = 0,
    as_json: AsJson = False,
    store: Store = None,
    namespace: Namespace = "default",
) -> None:
    """Kill a workflow once at every boundary of its journal, and say what that proves.

    It runs in this process, with the engine's own recovery, in memory, and with a clock that jumps. **Its tasks run for
    real**, at least once per kill: give it an input with which that does no harm. Exit code 0: every run ended as the
    undisturbed one did, nothing was lost and nothing done twice. 1: something was, and the report says where. 5: it cannot
    end by itself; say --approve or --signal.
    """
    import contextlib
    import sys

    from raywf.cli.arguments import ABSENT, read_value
    from raywf.cli.exits import ExitCode
    from raywf.cli.output import write_json
    from raywf.cli.targets import load
    from raywf.definition.inputs import call_of
    from raywf.errors import ResultTimeout
    from raywf.testing.kills import chaos as kill_everywhere
    from raywf.testing.lives import Stuck

    del store, namespace  # every command takes them; this one has a store of its own
    workflow = load(target)
    value = ABSENT if input is None else read_value(input, "--input")
    args, kwargs = ((), {}) if value is ABSENT else call_of(workflow, value)
    try:
        with contextlib.redirect_stdout(sys.stderr):  # what tasks print is no part of the report
            report = kill_everywhere(
                workflow, *args, **kwargs, signals=_signals(signal), approve=approve, seed=seed, limit=limit
            )
    except Stuck as error:
        raise ResultTimeout(f"{error}. Answer it with --approve, --reject or --signal NAME=JSON") from None
    if as_json:
        write_json(report.to_data())
    else:
        _show(report)
    raise typer.Exit(ExitCode.DONE if report.ok else ExitCode.FAILED)


def _signals(given: list[str] | None) -> dict[str, Any]:
    from raywf.cli.arguments import read_value
    from raywf.errors import InvalidInput

    found: dict[str, Any] = {}
    for each in given or ():
        name, equals, text = each.partition("=")
        if not name or not equals:
            raise InvalidInput(f"--signal {each!r}: a signal is written NAME=JSON")
        found[name] = read_value(text, f"--signal {name}")
    return found


def _show(report: ChaosReport) -> None:
    from rich.text import Text

    from raywf.cli.output import glyphs_fit, say, show_on, stdout_console
    from raywf.cli.tables import plain_table
    from raywf.testing.kills import MOMENTS

    console = stdout_console()
    well, badly, never = ("✔", "✖", "·") if glyphs_fit(console) else ("ok", "WRONG", "-")
    table = plain_table()
    for head in ("COMMIT", "BEFORE", "AFTER", "UNANSWERED"):
        table.add_column(head, no_wrap=True, min_width=len(head))
    table.add_column("WRITES", no_wrap=True)
    marks = {
        (kill.boundary, kill.moment): badly if kill.wrong else well if kill.reached else never for kill in report.kills
    }
    for number in report.tried:
        row = [str(number), *(marks[number, moment] for moment in MOMENTS), report.boundaries[number - 1]]
        table.add_row(*map(Text, row))
    show_on(console, table)
    say("", *_words(report), console=console)


def _words(report: ChaosReport) -> list[str]:
    kills = [kill for kill in report.kills if kill.reached]
    again, doubts = sum(kill.lost for kill in kills), sum(kill.doubts for kill in kills)
    count, tried = len(report.boundaries), len(report.tried)
    of = f"{tried} of the {count}" if tried < count else f"all {count}"
    head = f"{report.workflow} was killed {len(kills)} times, at {of} boundaries of its journal"
    lines = [f"{head}: before the commit, after it, and after it before anybody was answered."]
    if report.wrong:
        return [*lines, "", f"{len(report.wrong)} went wrong:", *(f"- {each}" for each in report.wrong)]
    same = f"with the result of the undisturbed run ({report.ended})" if report.steady else f"as {report.ended}"
    lines += [
        f"- Every run ended {same}; every history folds and has no gap.",
        f"- {report.calls} calls under {report.keys} idempotency keys: no result that was on disk was computed again.",
        f"- {again} attempts died with the process and were made again, under the same keys.",
        f"- No at-most-once task ran twice; {doubts} were in doubt, and were settled by whether they had happened.",
    ]
    if not report.steady:
        lines.append(
            "- Its result differs from run to run (a clock or chance in a task), so only statuses were compared."
        )
    return lines
