"""A status as people see it: a glyph and the word, and a colour beside them, never colour alone."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Console
from rich.text import Text

from raywf.cli.output import glyphs_fit

_LOOKS: Mapping[str, tuple[str, str, str]] = {
    "pending": ("○", ".", "dim"),
    "ready": ("○", ".", ""),
    "running": ("●", "*", "cyan"),
    "waiting": ("◐", "?", "yellow"),
    "paused": ("‖", "=", "yellow"),
    "retrying": ("↻", "~", "magenta"),
    "compensating": ("↺", "<", "magenta"),
    "completed": ("✔", "+", "green"),
    "failed": ("✖", "x", "bold red"),
    "skipped": ("·", "-", "dim"),
    "cancelled": ("⊘", "/", "dim"),
}
"""Status -> (glyph, the same in ASCII, style)."""


def glyph(status: str, *, ascii_only: bool = False) -> str:
    look = _LOOKS.get(status)
    return "?" if look is None else look[1 if ascii_only else 0]


def style(status: str) -> str:
    return _LOOKS.get(status, ("", "", ""))[2]


def status_text(status: str, console: Console) -> Text:
    """Glyph and word, as far as the stream can write them."""
    return Text(f"{glyph(status, ascii_only=not glyphs_fit(console))} {status}", style=style(status))


def counts_text(items: Mapping[str, int]) -> str:
    """The items of a fan-out: ``41/64 completed, 2 retrying``. Those not yet begun are left out."""
    total = sum(items.values())
    rest = [
        f"{items[status]} {status}"
        for status in ("failed", "retrying", "waiting", "running", "cancelled")
        if items.get(status)
    ]
    return ", ".join([f"{items.get('completed', 0)}/{total} completed", *rest])
