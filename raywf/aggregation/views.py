"""Comparison views: one self-contained HTML page, and its charts as SVG. Readable in light and dark, without scripts."""

from collections.abc import Sequence
from html import escape

from raywf.aggregation.evidence import Standing
from raywf.aggregation.insights import SHOWN, CalibrationLine, calibration_table, disagreement, insights, source_table

CELL = 34
STYLE = """
:root { color-scheme: light dark; --ink: #1a1a1a; --paper: #ffffff; --soft: #6b6b6b; --line: #d8d8d8; --hue: 24 93% 47%; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8e8e8; --paper: #16181c; --soft: #9a9a9a; --line: #3a3d44; --hue: 28 90% 55%; } }
text { fill: var(--ink); font: 12px system-ui, sans-serif; }
.soft { fill: var(--soft); } .line { stroke: var(--line); fill: none; } .mark { fill: hsl(var(--hue)); }
.cell { stroke: var(--paper); stroke-width: 1; }
"""
PAGE = """
body { background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; max-width: 64rem; margin: 2rem auto;
  padding: 0 1rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; } th, td { padding: .3rem .9rem .3rem 0;
  text-align: right; border-bottom: 1px solid var(--line); } th:first-child, td:first-child { text-align: left; }
.soft { color: var(--soft); } svg { max-width: 100%; height: auto; }
"""


def disagreement_svg(standing: Standing) -> str:
    """How often each pair differs, as a heat map: the stronger, the more often. The figure stands in each cell."""
    names, table = disagreement(standing, SHOWN)
    left = 16 + 7 * max([len(name) for name in names] or [0])
    width, height = left + CELL * len(names) + 60, left + CELL * len(names) + 10
    parts = []
    for row, name in enumerate(names):
        y = left + CELL * row
        parts.append(f'<text x="{left - 8}" y="{y + 21}" text-anchor="end">{escape(name)}</text>')
        x = left + CELL * row + 20
        parts.append(f'<text transform="translate({x} {left - 8}) rotate(-60)">{escape(name)}</text>')
        for column, share in enumerate(table[row]):
            at = left + CELL * column
            if share is None or row == column:
                parts.append(f'<rect class="cell" x="{at}" y="{y}" width="{CELL}" height="{CELL}" fill="none"/>')
                continue
            parts.append(
                f'<rect class="cell mark" x="{at}" y="{y}" width="{CELL}" height="{CELL}" '
                f'style="fill-opacity:{0.08 + 0.72 * share:.2f}"><title>{escape(name)} and {escape(names[column])} differ on '
                f"{share:.1%} of {standing.pair(name, names[column], 'both')} items</title></rect>"
                f'<text x="{at + CELL / 2:g}" y="{y + 21}" text-anchor="middle">{100 * share:.0f}</text>'
            )
    return svg(width, height, parts, "How often each pair of sources differs, in percent")


def calibration_svg(lines: Sequence[CalibrationLine], source: str) -> str:
    """What a source claimed against what came true. On the diagonal, confidence means what it says; the size is gold."""
    size, edge = 240, 44
    parts = [
        f'<path class="line" d="M{edge} {edge // 2}v{size}h{size}M{edge} {edge // 2 + size}L{edge + size} {edge // 2}"/>',
        f'<text class="soft" x="{edge + size / 2}" y="{size + edge + 8}" text-anchor="middle">claimed</text>',
        f'<text class="soft" transform="translate(14 {edge // 2 + size / 2}) rotate(-90)" text-anchor="middle">came true</text>',
    ]
    for mark in (0.0, 0.5, 1.0):
        x, y = edge + size * mark, edge // 2 + size * (1 - mark)
        parts.append(f'<text class="soft" x="{x:g}" y="{edge // 2 + size + 16}" text-anchor="middle">{mark:g}</text>')
        parts.append(f'<text class="soft" x="{edge - 6}" y="{y + 4:g}" text-anchor="end">{mark:g}</text>')
    mine = [line for line in lines if line.source == source]
    most = max([line.gold for line in mine] or [1])
    for line in mine:
        claimed, true = (line.low + line.high) / 2, line.right / line.gold
        radius = 3 + 9 * (line.gold / most) ** 0.5
        parts.append(
            f'<circle class="mark" cx="{edge + size * claimed:.1f}" cy="{edge // 2 + size * (1 - true):.1f}" r="{radius:.1f}">'
            f"<title>claimed {line.low:.1f} to {line.high:.1f}: right {line.right} of {line.gold}</title></circle>"
        )
    return svg(edge + size + 20, size + edge + 20, parts, f"Confidence of {source}: claimed and true")


def comparison_html(standing: Standing, title: str) -> str:
    """Everything on one page: what there is to say, the sources, who differs from whom, who claims too much."""
    said = "".join(f"<li>{escape(each.text)}</li>" for each in insights(standing))
    rows = "".join(
        f"<tr><td>{escape(line.source)}</td><td>{line.answers:,}</td><td>{line.gold:,}</td>"
        f"<td>{_percent(line.accuracy)}</td><td>{_percent(line.agreement)}</td><td>{line.trust:.3f}</td>"
        f"<td>{line.low:.3f}</td><td>{line.copies}</td></tr>"
        for line in source_table(standing)
    )
    lines = calibration_table(standing)
    claims = "".join(
        f"<figure><figcaption>{escape(name)}</figcaption>{calibration_svg(lines, name)}</figure>"
        for name in dict.fromkeys(line.source for line in lines)
    )
    heads = ("source", "answers", "gold", "right", "agrees", "trust", "at least", "copies")
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{escape(title)}</title><style>{STYLE}{PAGE}</style><h1>{escape(title)}</h1>"
        f'<p class="soft">{standing.items:,} items, {standing.gold:,} with known truth</p>'
        f"{f'<ul>{said}</ul>' if said else ''}"
        f"<h2>Sources</h2><table><tr>{''.join(f'<th>{head}</th>' for head in heads)}</tr>{rows}</table>"
        f"<h2>Who differs from whom</h2>{disagreement_svg(standing)}"
        f"{f'<h2>Confidence claimed and true</h2>{claims}' if claims else ''}</html>\n"
    )


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.1%}"


def svg(width: float, height: float, parts: Sequence[str], title: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}" height="{height:g}" viewBox="0 0 {width:g} {height:g}" '
        f'role="img" aria-label="{escape(title)}"><title>{escape(title)}</title><style>{STYLE}</style>{"".join(parts)}</svg>'
    )
