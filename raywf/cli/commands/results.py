"""``raywf results``: what aggregators know of their sources, from the store alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from raywf.cli.commands.look import reading
from raywf.cli.options import AsJson, Namespace, Store
from raywf.cli.place import place_of
from raywf.errors import InvalidInput

if TYPE_CHECKING:
    from raywf.aggregation.calibration import CalibrationReport
    from raywf.aggregation.evidence import Dossier, Standing
    from raywf.aggregation.facts import FactSet

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


def _gold(store: str | None, namespace: str, name: str | None) -> tuple[str, dict[str, Dossier], FactSet]:
    from raywf.client.reading import Readings

    async def work(readings: Readings) -> tuple[str, dict[str, Dossier], FactSet]:
        return await readings.gold(name)

    return reading(place_of(store, namespace), work)


def _written(path: Path, table: Any) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    from raywf.cli.output import note

    sink = pa.BufferOutputStream()
    parquet.write_table(table, sink)
    _write(path, sink.getvalue().to_pybytes())
    note(f"Written: {path} ({table.num_rows} rows)")


def _write(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except OSError as error:
        raise InvalidInput(
            f"{path} cannot be written ({error.strerror}): give a file in a directory that is there"
        ) from None


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
    from raywf.aggregation.insights import SHOWN, disagreement
    from raywf.cli.output import note, write_json

    found, standing = _standing(store, namespace, name, field)
    if parquet is not None:
        _written(parquet, tables.disagreement(standing))
        return
    if html is not None or svg is not None:
        from raywf.aggregation.views import comparison_html, disagreement_svg

        for path, text in ((html, comparison_html(standing, found)), (svg, disagreement_svg(standing))):
            if path is not None:
                _write(path, text.encode())
                note(f"Written: {path}")
        return
    names, table = disagreement(standing, None if as_json else SHOWN)
    if as_json:
        write_json({"aggregator": found, "items": standing.items, "sources": names, "differ": table})
        return
    rows = [
        [source, *("·" if a == b else "–" if share is None else f"{100 * share:.1f}" for b, share in enumerate(line))]
        for a, (source, line) in enumerate(zip(names, table, strict=True))
    ]
    _show(["DIFFER, %", *names], rows)
    if (all_ := len(standing.sources())) > len(names):
        note(f"Of {all_:,} sources these {len(names)} answered most; --json and --parquet have all.")


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
    strategy: Annotated[
        str, typer.Option("--strategy", metavar="NAME", help="Whose own claims are judged, below those of the sources.")
    ] = "auto",
    parquet: Parquet = None,
    as_json: AsJson = False,
    store: Store = None,
    namespace: Namespace = "default",
) -> None:
    """What sources claimed beside what came true, and the same of the merge: over time, with an alarm where it drifts.

    Only items with known truth count; of the merge the newest 1,000, each judged by what the others teach.
    """
    from raywf.aggregation import tables
    from raywf.aggregation.insights import calibration_table
    from raywf.cli.output import note, say, write_json

    found, standing = _standing(store, namespace, name, field)
    if parquet is not None:
        _written(parquet, tables.calibration(standing))
        return
    lines = calibration_table(standing)
    merged = None if field is not None else _calibration_of(store, namespace, found, strategy)
    if as_json:
        shown: dict[str, Any] = {"aggregator": found, "gold": standing.gold}
        shown["claims"] = [line._asdict() for line in lines]
        if merged is not None:
            shown["merged"] = {**merged._asdict(), "periods": [each._asdict() for each in merged.periods]}
        write_json(shown)
        return
    if not lines:
        note(f"Aggregator {found!r} has no source that gave a confidence for an item with known truth.")
    else:
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
    if merged is not None and merged.golds:
        say("", *_in_words(merged, strategy))


def _calibration_of(store: str | None, namespace: str, name: str, strategy: str) -> CalibrationReport:
    from raywf.aggregation import ResultAggregator

    facts = _gold(store, namespace, name)[2]
    return ResultAggregator.from_facts(facts, strategy).calibration()


def _in_words(merged: CalibrationReport, strategy: str) -> list[str]:
    from datetime import UTC, datetime

    said = [
        f"The merge ({strategy}), each truth judged by the others: calibration error {merged.ece:.3f} over {merged.golds:,}."
    ]
    for each in merged.periods[-5:]:
        until = f"{datetime.fromtimestamp(each.end, UTC):%Y-%m-%d %H:%M}"
        said.append(f"- until {until} UTC: claimed {each.claimed:.1%}, right {each.right:.1%} of {each.golds:,}")
    if merged.drifted:
        last = merged.periods[-1]
        how = "less" if last.right < last.claimed else "more"
        said.append(
            f"DRIFT: the newest {last.golds:,} are right much {how} often than claimed, more than chance explains: the sources have "
            "changed, and what was learned of them before no longer holds. Give newer truths, or begin a new aggregator."
        )
    return said


@results.command()
def when(
    name: Name = None,
    field: Field = None,
    parquet: Parquet = None,
    as_json: AsJson = False,
    store: Store = None,
    namespace: Namespace = "default",
) -> None:
    """Who is right when: for each true answer, how often each source gave it. Truths known of five items or more."""
    from raywf.aggregation import tables
    from raywf.aggregation.insights import right_when, said_as
    from raywf.cli.output import note, write_json

    found, standing = _standing(store, namespace, name, field)
    if parquet is not None:
        _written(parquet, tables.right_by_truth(standing))
        return
    table = right_when(standing)
    if as_json:
        told = [
            {
                "truth": said_as(truth),
                "sources": {name: {"right": right, "gold": of} for name, (right, of) in by.items()},
            }
            for truth, by in table.items()
        ]
        write_json({"aggregator": found, "gold": standing.gold, "right": told})
        return
    if not table:
        note(
            f"Aggregator {found!r} has no true answer that it knows of five items: it knows the truth of {standing.gold:,}."
        )
        return
    names = standing.sources()
    shares = [
        [f"{said_as(truth)!s:.40}", f"{max(of for _, of in by.values()):,}"]
        + [_percent(by[each][0] / by[each][1]) if each in by and by[each][1] else "–" for each in names]
        for truth, by in table.items()
    ]
    _show(["TRUTH", "GOLD", *names], shares)


@results.command()
def panel(
    prices: Annotated[
        list[str],
        typer.Option("--price", metavar="SOURCE=PRICE", help="What one answer costs, in any unit. Once per source."),
    ],
    name: Name = None,
    target: Annotated[
        float | None,
        typer.Option("--target", metavar="SHARE", help="Also: the cheapest panel that is right so often, as in 0.9."),
    ] = None,
    as_json: AsJson = False,
    store: Store = None,
    namespace: Namespace = "default",
) -> None:
    """Accuracy against cost: panels from the cheapest source up, each the next source that gains most for its price.

    Trust is learned on one half of the items with known truth (the newest 1,000) and accuracy counted on the other.
    """
    from raywf.aggregation.analytics import cheapest_panel, cost_curve
    from raywf.cli.output import say, write_json

    costs = dict(_price(each) for each in prices)
    if target is not None and not 0 < target <= 1:
        raise typer.BadParameter(f"{target} is no share: give one from 0 to 1, as in 0.9", param_hint="--target")
    found, gold, _ = _gold(store, namespace, name)
    if strange := sorted(set(costs) - {source for each in gold.values() for source in each.said}):
        raise typer.BadParameter(
            f"aggregator {found!r} has no truth of an item that {strange[0]!r} answered: its sources are "
            f"{', '.join(sorted({source for each in gold.values() for source in each.said})) or 'none'}",
            param_hint="--price",
        )
    curve = cost_curve(gold, costs)
    best = None if target is None else cheapest_panel(gold, costs, target)
    if as_json:
        shown: dict[str, Any] = {"aggregator": found, "curve": [each._asdict() for each in curve]}
        if target is not None:
            shown["cheapest"] = None if best is None else best._asdict()
        write_json(shown)
        return
    _show(
        ["PANEL", "PRICE", "RIGHT", "OF"],
        [[" + ".join(each.sources), f"{each.price:g}", _percent(each.accuracy), f"{each.items:,}"] for each in curve],
    )
    if target is not None:
        told = (
            "no panel of these sources" if best is None else f"{' + '.join(best.sources)}, for {best.price:g} an item"
        )
        say("", f"The cheapest that is right {target:.0%} of the time: {told}.")


def _price(text: str) -> tuple[str, float]:
    source, equals, price = text.rpartition("=")
    try:
        if not equals or not source:
            raise ValueError
        return source, float(price)
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is no price: write SOURCE=PRICE, as in gpt=2.5", param_hint="--price"
        ) from None
