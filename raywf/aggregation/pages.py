"""One merged value beside what each source said: a page, and its confidences as a drawing. Without scripts, in light and dark."""

from html import escape
from typing import Any

from raywf.aggregation.evidence import part_at
from raywf.aggregation.result import AggregateResult, Part
from raywf.aggregation.tables import spelled
from raywf.aggregation.views import PAGE, STYLE, svg

BAR = 220
ROW = 24
LONGEST = 160
"""Characters of a value that are shown."""


def result_html(result: AggregateResult, title: str) -> str:
    """A page: the answer, then a row per part with what each source said there. What differs from the merged value is marked."""
    names = [part.source for part in result.provenance]
    rows = "".join(_row(part, result) for part in result.parts) or _whole(result)
    heads = "".join(f"<th>{escape(name)}</th>" for name in ("part", "merged", "confidence", *names))
    said = "".join(f"<li>{escape(text)}</li>" for text in (result.why, *result.insights) if text)
    sure = f"{result.confidence:.2f}, {'calibrated' if result.calibrated else 'not calibrated'}"
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{escape(title)}</title><style>{STYLE}{PAGE} td.other {{ color: hsl(var(--hue)); }}</style><h1>{escape(title)}</h1>"
        f'<p class="soft">{escape(result.strategy)}: {escape(result.decision)}, confidence {sure}</p>{f"<ul>{said}</ul>" if said else ""}'
        f"<table><tr>{heads}</tr>{rows}</table>{f'<h2>How sure each part is</h2>{parts_svg(result)}' if result.parts else ''}</html>\n"
    )


def parts_svg(result: AggregateResult) -> str:
    """A bar per part, as long as it is sure; parts that were left out are hollow."""
    left = 16 + 7 * max([len(part.path) for part in result.parts] or [0])
    bars = []
    for at, part in enumerate(result.parts):
        y = 8 + ROW * at
        looks = 'class="mark"' if part.kept else 'class="line" stroke-dasharray="3"'
        bars.append(
            f'<text x="{left - 8}" y="{y + 14}" text-anchor="end">{escape(part.path)}</text>'
            f'<rect {looks} x="{left}" y="{y}" width="{BAR * part.confidence:.1f}" height="{ROW - 6}"><title>{escape(_short(part.value))}: '
            f"{part.confidence:.1%}{'' if part.kept else ', left out'}</title></rect>"
            f'<text class="soft" x="{left + BAR * part.confidence + 6:.1f}" y="{y + 14}">{100 * part.confidence:.0f}</text>'
        )
    return svg(
        left + BAR + 50, 16 + ROW * len(result.parts), bars, "How sure each part of the merged value is, in percent"
    )


def _row(part: Part, result: AggregateResult) -> str:
    cells = []
    for each in result.provenance:
        said = part_at(each.value, part.path) if _names_a_field(part.path) else _listed(part, each.source)
        agrees = each.source in part.sources
        cells.append(f"<td{_mark(agrees)}>{escape(_short(said)) if said is not None or agrees else '–'}</td>")
    merged = _short(part.value) if part.kept else "left out"
    return (
        f"<tr><td>{escape(part.path)}</td><td>{escape(merged)}</td><td>{part.confidence:.2f}</td>{''.join(cells)}</tr>"
    )


def _names_a_field(path: str) -> bool:
    """Places in a merged list are no places in the lists of its sources."""
    return not any(step.isdigit() or step == "-" for step in path.split("/"))


def _listed(part: Part, source: str) -> Any:
    return part.value if source in part.sources else None


def _whole(result: AggregateResult) -> str:
    cells = "".join(f"<td{_mark(each.agrees)}>{escape(_short(each.value))}</td>" for each in result.provenance)
    return f"<tr><td></td><td>{escape(_short(result.value))}</td><td>{result.confidence:.2f}</td>{cells}</tr>"


def _mark(agrees: bool | None) -> str:
    return "" if agrees else ' class="other"'


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else spelled(value)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
