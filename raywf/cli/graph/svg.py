"""A picture as SVG: one file, no script, nothing loaded. Colours only repeat what words say."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from unicodedata import east_asian_width
from xml.sax.saxutils import escape

from raywf.cli.graph.layout import Layout, Point, lay_out
from raywf.cli.graph.picture import Edge, Node, Picture
from raywf.cli.output import shortened
from raywf.cli.statuses import glyph

_COLUMN = 7.9
_SMALL = 6.7
_ROW = 52.0
_MARGIN = 16.0
_HEAD = 34.0
_LABEL_COLUMNS = 40

_PLAIN = ("#ffffff", "#5f6b7a", "#1c2430")
_COLOURS: Mapping[str, tuple[str, str, str]] = {
    "pending": ("#f5f5f5", "#8a8a8a", "#333333"),
    "ready": ("#e3f2fd", "#1976d2", "#0d3c61"),
    "running": ("#bbdefb", "#1976d2", "#0d3c61"),
    "waiting": ("#fff3cd", "#8a6d00", "#5c4500"),
    "retrying": ("#ffe0b2", "#e65100", "#6b2600"),
    "completed": ("#d4edda", "#2e7d32", "#1b4620"),
    "failed": ("#f8d7da", "#c62828", "#6d1616"),
    "skipped": ("#fafafa", "#b0b0b0", "#6e6e6e"),
    "cancelled": ("#eeeeee", "#666666", "#444444"),
}
"""Status -> (fill, line, text)."""

_STYLE = (
    "text{font:13px ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace;text-anchor:middle}"
    ".note{font-size:11px}.title{font-weight:600;text-anchor:start}"
    ".edge{fill:none;stroke:#5f6b7a;stroke-width:1.3}.dotted{stroke-dasharray:4 4}"
    ".label{font-size:11px;fill:#3d4652;paint-order:stroke;stroke:#fff;stroke-width:4px}"
)


_ARROW = (
    '<defs><marker id="arrow" viewBox="0 0 8 8" refX="7.5" refY="4" markerWidth="8" markerHeight="8" '
    'orient="auto-start-reverse"><path d="M0 0L8 4L0 8z" fill="#5f6b7a"/></marker></defs>'
)


def to_svg(picture: Picture, states: Mapping[int, str] | None = None, status: str | None = None) -> str:
    """The SVG text. ``states`` maps tasks to statuses, ``status`` is the execution's."""
    states = states or {}
    widths = {node.key: _width(node, states.get(node.key)) for node in picture.nodes}
    labels = {(edge.source, edge.target): columns(edge.label) * _SMALL for edge in picture.edges if edge.label}
    arrows = [(edge.source, edge.target) for edge in picture.edges]
    layout = lay_out(widths, arrows, labels=labels, row_height=_ROW)
    title = picture.title + (f": {glyph(status)} {status}" if status else "")
    width = max(layout.width, columns(title) * _COLUMN) + 2 * _MARGIN
    height = layout.height + 2 * _MARGIN + _HEAD
    shift = (width - layout.width) / 2
    size = f'width="{width:.0f}" height="{height:.0f}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} viewBox="0 0 {width:.0f} {height:.0f}" role="img">',
        f"<title>{_text(title)}</title><style>{_STYLE}</style>",
        _ARROW,
        f'<rect {size} fill="#ffffff"/>',
        f'<text class="title" x="{_MARGIN:.0f}" y="{_MARGIN + 10:.0f}">{_text(title)}</text>',
        f'<g transform="translate({shift:.1f} {_MARGIN + _HEAD:.1f})">',
    ]
    lines += [_edge(edge, layout) for edge in picture.edges]
    lines += [_node(node, layout.centers[node.key], widths[node.key], states.get(node.key)) for node in picture.nodes]
    return "\n".join([*lines, "</g>", "</svg>"]) + "\n"


def columns(text: str) -> int:
    """How many columns of a monospaced font a text takes."""
    return sum(2 if east_asian_width(char) in "WF" else 1 for char in text)


def _width(node: Node, state: str | None) -> float:
    longest = max(columns(_label(node)) * _COLUMN, columns(_note(node, state)) * _SMALL)
    slanted = 36 if node.kind == "when" else 0
    return max(longest + 28 + slanted, 72)


def _label(node: Node) -> str:
    return shortened(node.label, _LABEL_COLUMNS)


def _note(node: Node, state: str | None) -> str:
    said = [shortened(node.note, _LABEL_COLUMNS)] if node.note else []
    return " · ".join([*said, *([f"{glyph(state)} {state}"] if state else [])])


def _node(node: Node, center: Point, width: float, state: str | None) -> str:
    fill, line, text = _COLOURS.get(state or "", _PLAIN)
    dashed = ' stroke-dasharray="5 3"' if state in ("skipped", "cancelled") else ""
    look = f'fill="{fill}" stroke="{line}" stroke-width="1.5"{dashed}'
    x, y = center[0] - width / 2, center[1] - _ROW / 2
    note = _note(node, state)
    label_y = center[1] + (4.5 if not note else -3)
    parts = [f'<g data-task="{_quoted(node.label)}">', _shape(node, x, y, width, look, line)]
    parts.append(f'<text x="{center[0]:.1f}" y="{label_y:.1f}" fill="{text}">{_text(_label(node))}</text>')
    if note:
        place = f'x="{center[0]:.1f}" y="{center[1] + 14:.1f}"'
        parts.append(f'<text class="note" {place} fill="{text}">{_text(note)}</text>')
    return "".join([*parts, "</g>"])


def _shape(node: Node, x: float, y: float, width: float, look: str, line: str) -> str:
    """Six-sided decides, round waits, doubled fans out, barred is a workflow of its own."""
    if node.kind == "when":
        right, middle = x + width, y + _ROW / 2
        points = [
            (x, middle),
            (x + 16, y),
            (right - 16, y),
            (right, middle),
            (right - 16, y + _ROW),
            (x + 16, y + _ROW),
        ]
        return f'<polygon points="{" ".join(f"{px:.1f},{py:.1f}" for px, py in points)}" {look}/>'
    radius = {"call": 5, "child": 2, "gather": 12, "aggregate": 12}.get(node.kind, _ROW / 2)
    box = f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{_ROW:.0f}" rx="{radius:.0f}" {look}/>'
    if node.mapped:
        behind = f'x="{x + 4:.1f}" y="{y - 4:.1f}" width="{width:.1f}" height="{_ROW:.0f}" rx="{radius:.0f}"'
        box = f"<rect {behind} {look}/>{box}"
    if node.kind == "child":
        bars = "".join(f"M{at:.1f} {y:.1f}v{_ROW:.0f}" for at in (x + 6, x + width - 6))
        box += f'<path d="{bars}" stroke="{line}" stroke-width="1.5"/>'
    return box


def _edge(edge: Edge, layout: Layout) -> str:
    points = list(layout.routes[edge.source, edge.target])
    points[0] = (points[0][0], points[0][1] + _ROW / 2)
    points[-1] = (points[-1][0], points[-1][1] - _ROW / 2 - 1)
    path = f"M{points[0][0]:.1f} {points[0][1]:.1f}"
    for (x0, y0), (x1, y1) in pairwise(points):
        half = (y1 - y0) / 2
        path += f"C{x0:.1f} {y0 + half:.1f} {x1:.1f} {y1 - half:.1f} {x1:.1f} {y1:.1f}"
    kind = "edge dotted" if edge.dotted else "edge"
    drawn = f'<path class="{kind}" d="{path}" marker-end="url(#arrow)"/>'
    if edge.label:
        x, y = points[1] if len(points) > 2 else _on_the_way(points[0], points[1])
        drawn += f'<text class="label" x="{x:.1f}" y="{y + 4:.1f}">{_text(edge.label)}</text>'
    return drawn


def _on_the_way(a: Point, b: Point) -> Point:
    """Nearer to the end, where arrows from one node have parted."""
    return a[0] + 0.7 * (b[0] - a[0]), a[1] + 0.6 * (b[1] - a[1])


def _text(text: str) -> str:
    """Text for XML: escaped, and without the characters that no XML may hold."""
    return escape("".join(char if char >= " " and char not in "\ufffe\uffff" else " " for char in text))


def _quoted(text: str) -> str:
    return _text(text).replace('"', "&quot;")
