"""Commands that look at workflows without running them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from raywf.cli.options import AsJson, Namespace, Store, Target
from raywf.cli.place import place_of


def graph(
    what: Annotated[
        str,
        typer.Argument(
            metavar="TARGET|ID",
            help="A workflow (MODULE:NAME, path/to/file.py:NAME, a .json or .yaml definition), or the id of an execution.",
            show_default=False,
        ),
    ],
    form: Annotated[str, typer.Option("--format", metavar="mermaid|svg", help="How to draw it.")] = "mermaid",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write there.", show_default="stdout")
    ] = None,
    store: Store = None,
    namespace: Namespace = "default",
) -> None:
    """Draw a workflow, or an execution with the states of its tasks."""
    from raywf.cli.drawing import FORMATS, draw
    from raywf.cli.output import note, write_text
    from raywf.definition.lines import did_you_mean
    from raywf.errors import InvalidInput

    if form not in FORMATS:
        raise InvalidInput(f"--format {form!r}: it is {' or '.join(FORMATS)}.{did_you_mean(form, FORMATS)}")
    drawn = draw(what, form, place_of(store, namespace))
    if output is None:
        write_text(drawn)
        return
    try:
        output.write_text(drawn, encoding="utf-8")
    except OSError as error:
        raise InvalidInput(f"--output {output}: it cannot be written: {error.strerror}") from None
    note(f"drawn to {output}")


def validate(
    target: Target,
    input: Annotated[
        str | None,
        typer.Option(
            metavar="JSON", help="An input to check as well: JSON, @file, or - for stdin.", show_default=False
        ),
    ] = None,
    as_json: AsJson = False,
    store: Store = None,
    namespace: Namespace = "default",
) -> None:
    """Check a workflow before anything runs: the graph, the functions, an input. Exit code 2 and the mistake if not."""
    from raywf.cli import drawing
    from raywf.cli.arguments import ABSENT, read_value
    from raywf.cli.output import say, write_json

    found = drawing.validate(target, ABSENT if input is None else read_value(input, "--input"))
    if as_json:
        write_json(found)
    else:
        say(*drawing.validation_text(found))
