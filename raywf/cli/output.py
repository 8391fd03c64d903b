"""Writing: JSON to stdout as it is, text for people through rich, times as each of the two wants them."""

from __future__ import annotations

import json
import os
import re
import sys
from datetime import UTC, datetime
from typing import IO, Any

from pydantic_core import to_json
from rich.console import Console, RenderableType
from rich.measure import Measurement

_WIDE = 400
"""Columns where nobody looks at a screen: a line of a table stays one line, for grep."""


def write_json(value: Any, *, indent: int | None = 2) -> None:
    """A value as JSON on stdout, never through rich. Instants are UTC ISO-8601, bytes base64."""
    write_text(json_text(value, indent=indent, ascii_only=not _speaks(sys.stdout, "é→✔")))


def write_text(text: str) -> None:
    """A line on stdout, as it is."""
    sys.stdout.write(text if text.endswith("\n") else text + "\n")


def json_text(value: Any, *, indent: int | None = None, ascii_only: bool = False) -> str:
    """What is no JSON becomes the nearest that is: tables lists of rows, NaN a string, the unknown its repr."""
    text = to_json(value, indent=indent, bytes_mode="base64", inf_nan_mode="strings", fallback=_plain).decode()
    return json.dumps(json.loads(text), indent=indent) if ascii_only else text


def _plain(value: Any) -> Any:
    for name in ("to_pylist", "tolist", "as_py", "item"):
        method = getattr(value, name, None)
        if callable(method):
            try:
                return method()
            except Exception:
                continue
    return repr(value)


def _speaks(stream: IO[str], text: str) -> bool:
    try:
        text.encode(getattr(stream, "encoding", None) or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def stdout_console() -> Console:
    """For tables and text on stdout."""
    return _console(sys.stdout)


def stderr_console() -> Console:
    """For progress and notes."""
    return _console(sys.stderr)


def _console(stream: IO[str]) -> Console:
    on_screen = stream.isatty() or "COLUMNS" in os.environ
    return Console(file=stream, highlight=False, markup=False, emoji=False, width=None if on_screen else _WIDE)


def glyphs_fit(console: Console) -> bool:
    """Whether the glyphs can be written there."""
    return _speaks(console.file, "✔✖●◐↻○⊘·")


def show_on(console: Console, page: RenderableType) -> None:
    """A table or page, without the blanks that would pad its lines.

    Where it cannot be as narrow as the screen, the terminal breaks its lines: what is copied from it is never cut.
    """
    least = Measurement.get(console, console.options.update(max_width=_WIDE), page).minimum
    console.width = max(console.width, least)
    with console.capture() as captured:
        console.print(page)
    console.file.write("".join(f"{line.rstrip()}\n" for line in captured.get().splitlines()))


def say(*lines: str, console: Console | None = None) -> None:
    """Lines for people that must not be broken, because commands in them are copied."""
    for line in lines:
        (console or stdout_console()).print(line, soft_wrap=True)


def note(*lines: str) -> None:
    """The same on stderr."""
    say(*lines, console=stderr_console())


# times


def local_time(at: datetime, now: datetime | None = None) -> str:
    """An instant in the local zone, without the zone's name; the year only where it is another one."""
    here = at.astimezone()
    this_year = (now or datetime.now(UTC)).astimezone().year
    return here.strftime("%m-%d %H:%M:%S" if here.year == this_year else "%Y-%m-%d %H:%M")


def zone_name(at: datetime | None = None) -> str:
    """The local zone's name, for the head of a column of local times."""
    return (at or datetime.now(UTC)).astimezone().tzname() or "local"


def duration(seconds: float) -> str:
    """A duration in at most two units."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, s = divmod(round(seconds), 60)
    hours, m = divmod(minutes, 60)
    days, h = divmod(hours, 24)
    return f"{days} d {h} h" if days else f"{h} h {m} min" if h else f"{m} min {s} s"


_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:\+00:00|Z)")


def with_local_times(text: str) -> str:
    """A sentence for people: instants in it become local time with the zone."""

    def shown(found: re.Match[str]) -> str:
        at = datetime.fromisoformat(found[0])
        return f"{local_time(at)} {zone_name(at)}"

    return _INSTANT.sub(shown, text)


def shortened(text: str, width: int) -> str:
    """A text in one line of at most ``width`` characters."""
    flat = " ".join(text.split())
    return flat if len(flat) <= width else flat[: max(width - 1, 0)] + "…"
