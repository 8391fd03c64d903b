"""The options that commands share, each written once."""

from __future__ import annotations

from typing import Annotated

import typer

_WHERE = "Where"

Store = Annotated[
    str | None,
    typer.Option(
        "--store",
        envvar="RAYWF_STORE",
        metavar="URL",
        show_default="sqlite:///.raywf/raywf.db",
        help="The store: sqlite:///relative/path, sqlite:////absolute/path or postgresql://user:password@host/database.",
        rich_help_panel=_WHERE,
    ),
]
Namespace = Annotated[
    str,
    typer.Option(
        "--namespace",
        envvar="RAYWF_NAMESPACE",
        metavar="NAME",
        help="Executions of different namespaces do not see each other.",
        rich_help_panel=_WHERE,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
Execution = Annotated[str, typer.Argument(metavar="ID", help="The id of an execution.", show_default=False)]
Target = Annotated[
    str,
    typer.Argument(
        metavar="TARGET",
        help="The workflow: MODULE:NAME, path/to/file.py:NAME, or a .json or .yaml definition.",
        show_default=False,
    ),
]
Tags = Annotated[
    list[str] | None,
    typer.Option("--tag", metavar="KEY=VALUE", help="May be given more than once.", show_default=False),
]
By = Annotated[
    str | None, typer.Option("--by", metavar="WHO", help="Who acts, for the history.", show_default="your user name")
]
