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
Several = Annotated[
    str | None,
    typer.Argument(metavar="[ID]", help="The id of an execution; or --where says which.", show_default=False),
]
Where = Annotated[
    list[str] | None,
    typer.Option(
        "--where",
        metavar="KEY=VALUE",
        help="All that are so: status=, workflow=, tag.KEY=, started_after=, started_before= (2024-05-01, or 2h: so long "
        "ago). May be given more than once: all must hold.",
        rich_help_panel="Many at once",
        show_default=False,
    ),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Only print the ids that are meant.", rich_help_panel="Many at once")
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.", rich_help_panel="Many at once")]
By = Annotated[
    str | None, typer.Option("--by", metavar="WHO", help="Who acts, for the history.", show_default="your user name")
]
