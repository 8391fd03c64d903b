"""Samples as text for people and as JSON for programs."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.bars import Verdict
from benchmarks.catalogue import Row
from benchmarks.figures import Spread, number
from benchmarks.sample import Sample

FORMAT = 1


def table(head: Sequence[str], lines: Iterable[Sequence[str]], right: frozenset[int] = frozenset()) -> str:
    """Columns as wide as their widest cell; those in `right` end on the right."""
    cells = [list(head), *map(list, lines)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(head))]

    def line_of(line: Sequence[str]) -> str:
        padded = [
            cell.rjust(width) if i in right else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        return "  ".join(padded).rstrip()

    return "\n".join([line_of(cells[0]), "  ".join("-" * width for width in widths), *map(line_of, cells[1:])])


def rows_table(rows: Sequence[Row], samples: Sequence[Sample], rounds: int) -> str:
    """A line per row that was measured: each round's figure, then median and range."""
    lines = []
    for row in rows:
        mine = {s.round: s for s in samples if s.row == row.name}
        if not mine:
            continue
        figures = {turn: s.figures[row.figure] for turn, s in mine.items() if not s.error and row.figure in s.figures}
        cells = [
            number(figures[turn]) if turn in figures else "failed" if turn in mine else ""
            for turn in range(1, rounds + 1)
        ]
        summary = Spread.of(list(figures.values())).format() if figures else "failed"
        lines.append([row.name, row.title, row.unit, *cells, summary])
    head = ["row", "what", "unit", *(f"round {turn}" for turn in range(1, rounds + 1)), "median [range]"]
    return table(head, lines, frozenset(range(3, 3 + rounds)))


def verdicts_table(verdicts: Sequence[Verdict], judged: bool) -> str:
    """Bars of rows that nobody asked for are left out; a quick run is not judged."""
    shown = [verdict for verdict in verdicts if verdict.measured]
    lines = [[v.what, v.measured, v.bar, v.word if judged else "not judged"] for v in shown]
    return table(["bar", "measured, median [range]", "must be", "verdict"], lines)


def facts_text(facts: Mapping[str, Any]) -> str:
    return "\n".join(f"{name}: {_flat(value)}" for name, value in facts.items())


def as_json(
    facts: Mapping[str, Any], rows: Sequence[Row], samples: Sequence[Sample], verdicts: Sequence[Verdict],
    skipped: Mapping[str, str], options: Mapping[str, Any],
) -> dict[str, Any]:  # fmt: skip
    """Every sample with everything it said; nothing is averaged away."""
    return {
        "format": FORMAT,
        "machine": dict(facts),
        "options": dict(options),
        "rows": {
            row.name: {"title": row.title, "group": row.group, "figure": row.figure, "unit": row.unit} for row in rows
        },
        "samples": [dataclasses.asdict(sample) for sample in samples],
        "verdicts": [
            dataclasses.asdict(verdict) | {"verdict": verdict.word} for verdict in verdicts if verdict.measured
        ],
        "skipped": dict(skipped),
    }


def write(path: Path, document: Mapping[str, Any]) -> None:
    """In one piece: a run that is interrupted while writing leaves the last complete file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps(document, indent=1, default=str) + "\n")
    partial.replace(path)


def _flat(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_flat(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return " ".join(map(str, value))
    return str(value)
