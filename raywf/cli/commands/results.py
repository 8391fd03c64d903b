"""``raywf results``: what aggregators know of their sources, from the store alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from raywf.cli.commands.look import reading
from raywf.cli.options import AsJson, Namespace, Store
from raywf.cli.place import place_of

if TYPE_CHECKING:
    from raywf.aggregation.evidence import Standing

results = typer.Typer(
    name="results",
    help="Look at aggregators: who differs from whom, whom to trust, who claims too much.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)

Name = Annotated[
    str | None,
    typer.Argument(metavar="NAME", help="The aggregator; not needed where there is one only.", show_default=False),
]
Field = Annotated[
    str | None,
    typer.Option(
        "--field",
        metavar="POINTER",
        help="Of records: this field alone, as in /total or /address/city.",
        show_default=False,
    ),
]
Parquet = Annotated[
    Path | None, typer.Option("--parquet", metavar="FILE", help="Write the rows as a Parquet file.", show_default=False)
]


def _standing(store: str | None, namespace: str, name: str | None, field: str | None) -> tuple[str, Standing]:
    from raywf.client.reading import Readings

    async def work(readings: Readings) -> tuple[str, Standing]:
        return await readings.standing(name, field)

    return reading(place_of(store, namespace), work)


def _written(path: Path, table: Any) -> None:
    from pyarrow import parquet

    from raywf.cli.output import note

    parquet.write_table(table, path)
    note(f"Written: {path} ({table.num_rows} rows)")


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.1%}"


def _show(heads: list[str], rows: list[list[str]]) -> None:
    from rich.text import Text

    from raywf.cli.output import show_on, stdout_console
    from raywf.cli.tables import plain_table

    table = plain_table()
    for at, head in enumerate(heads):
        table.add_column(head, justify="left" if at == 0 else "right", no_wrap=True)
    for row in rows:
        table.add_row(*map(Text, row))
    show_on(stdout_console(), table)


@results.command()
def compare(
    name: Name = None,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write everything as one page, charts included.")
    ] = None,
    svg: Annotated[Path | None, typer.Option("--svg", metavar="FILE", help="Write the matrix as a drawing.")] = None,
    field: Field = None,
    parquet: Parquet = None,
    as_json: AsJson = False,
    store: Store = None,
    namespace: Namespace = "default",
) -> None:
    """How often each pair of sources differs, in percent of the items both answered."""
    from raywf.aggregation import tables
    from raywf.aggregation.insights import disagreement
    from raywf.cli.output import note, write_json

    found, standing = _standing(store, namespace, name, field)
    if parquet is not None:
        _written(parquet, tables.disagreement(standing))
        return
    if html is not None or svg is not None:
        from raywf.aggregation.views import comparison_html, disagreement_svg

        for path, text in ((html, comparison_html(standing, found)), (svg, disagreement_svg(standing))):
            if path is not None:
                path.write_text(text, encoding="utf-8")
                note(f"Written: {path}")
        return
    names, table = disagreement(standing)
    if as_json:
        write_json({"aggregator": found, "items": standing.items, "sources": names, "differ": table})
        return
    rows = [
        [source, *("·" if a == b else "–" if share is None else f"{100 * share:.1f}" for b, share in enumerate(line))]
        for a, (source, line) in enumerate(zip(names, table, strict=True))
    ]
    _show(["DIFFER, %", *names], rows)


@results.command()
def sources(
    name: Name = None,
    field: Field = None,
    parquet: Parquet = None,
    as_json: AsJson = False,
    store: Store = None,
    namespace: Namespace = "default",
) -> None:
    """Each source with its answers, gold and trust, and what there is to say of them."""
    from raywf.aggregation import tables
    from raywf.aggregation.insights import insights, source_table
    from raywf.cli.output import say, write_json

    found, standing = _standing(store, namespace, name, field)
    if parquet is not None:
        _written(parquet, tables.sources(standing))
        return
    lines, told = source_table(standing), insights(standing)
    if as_json:
        shown: dict[str, Any] = {"aggregator": found, "items": standing.items, "gold": standing.gold}
        shown["sources"] = [line._asdict() for line in lines]
        shown["insights"] = [each._asdict() for each in told]
        write_json(shown)
        return
    rows = [
        [
            line.source,
            f"{line.answers:,}",
            f"{line.gold:,}",
            _percent(line.accuracy),
            _percent(line.agreement),
            f"{line.trust:.3f}",
            f"{line.low:.3f}",
            str(line.copies),
        ]
        for line in lines
    ]
    _show(["SOURCE", "ANSWERS", "GOLD", "RIGHT", "AGREES", "TRUST", "AT LEAST", "COPIES"], rows)
    say("", f"{standing.items:,} items, {standing.gold:,} with known truth", *(f"- {each.text}" for each in told))


@results.command()
def calibration(
    name: Name = None,
    field: Field = None,
    parquet: Parquet = None,
    as_json: AsJson = False,
    store: Store = None,
    namespace: Namespace = "default",
) -> None:
    """What sources claimed to be sure of, beside what came true. Only items with known truth count."""
    from raywf.aggregation import tables
    from raywf.aggregation.insights import calibration_table
    from raywf.cli.output import note, write_json

    found, standing = _standing(store, namespace, name, field)
    if parquet is not None:
        _written(parquet, tables.calibration(standing))
        return
    lines = calibration_table(standing)
    if as_json:
        write_json({"aggregator": found, "gold": standing.gold, "claims": [line._asdict() for line in lines]})
        return
    if not lines:
        note(f"Aggregator {found!r} has no source that gave a confidence for an item with known truth.")
        return
    rows = [
        [
            line.source,
            f"{line.low:.1f}-{line.high:.1f}",
            f"{line.gold:,}",
            f"{line.right:,}",
            _percent(line.right / line.gold),
        ]
        for line in lines
    ]
    _show(["SOURCE", "CLAIMED", "GOLD", "RIGHT", "CAME TRUE"], rows)
