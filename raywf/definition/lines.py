"""Where in the user's files something was written: errors say so."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Iterable
from difflib import get_close_matches
from types import FrameType

_ROOM = os.path.dirname(os.path.abspath(__file__)) + os.sep


def user_line(body_file: str | None = None) -> str:
    """``file:line`` of the innermost frame in ``body_file``, else of the innermost one outside of this room."""
    fallback = ""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        file = frame.f_code.co_filename
        if file == body_file:
            return line_of(file, frame.f_lineno)
        if not fallback and not file.startswith(_ROOM):
            fallback = line_of(file, frame.f_lineno)
            if body_file is None:
                return fallback
        frame = frame.f_back
    return fallback or "unknown line"


def line_of(file: str, line: int) -> str:
    """``file:line``, relative to the working directory where it lies below."""
    try:
        return f"{_shown(file, os.getcwd())}:{line}"
    except (ValueError, OSError):
        return f"{file}:{line}"


@functools.lru_cache(maxsize=256)
def _shown(file: str, directory: str) -> str:
    relative = os.path.relpath(file, directory)
    return file if relative.startswith("..") else relative


def did_you_mean(word: object, known: Iterable[object]) -> str:
    """`` Did you mean 'x'?`` with the word that is closest, or nothing."""
    close = get_close_matches(str(word), [str(each) for each in known], n=1, cutoff=0.6)
    return f" Did you mean {close[0]!r}?" if close else ""
