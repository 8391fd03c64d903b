"""From what was typed to values: JSON arguments, tags, statuses. Pure, save for the file or stdin that is named."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NoReturn

from raywf.core.ids import check_execution_id
from raywf.core.state import ExecutionStatus
from raywf.definition.lines import did_you_mean
from raywf.errors import InvalidInput, NotFound

ABSENT: Final[Any] = object()
"""No value was given, which is not the same as null."""


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What `raywf run` was asked to do. ``again`` are the words that name the same workflow and input once more."""

    target: str
    value: Any = ABSENT
    id: str | None = None
    timeout_s: float | None = None
    priority: int = 0
    tags: dict[str, str] = field(default_factory=dict)
    address: str | None = None
    detach: bool = False
    raw: bool = False
    quiet: bool = False
    again: tuple[str, ...] = ()


def run_request(
    target: str,
    *,
    input: str | None = None,
    id: str | None = None,
    tags: Sequence[str] | None = None,
    address: str | None = None,
    **rest: Any,
) -> RunRequest:
    """Raises ``InvalidInput`` for broken JSON, an impossible id or tag, ``NotFound`` for a file that is not there."""
    again = [target]
    if input is not None:
        again += ["--input", "@FILE" if input == "-" else input]
    if address is not None:
        again += ["--address", address]
    return RunRequest(
        target,
        ABSENT if input is None else read_value(input, "--input"),
        id=None if id is None else check_execution_id(id),
        tags=parse_tags(tags),
        address=address,
        again=tuple(again),
        **rest,
    )


def read_value(text: str, name: str, read_stdin: Callable[[], str] | None = None) -> Any:
    """The value of an argument: JSON, ``@file`` (.json, or .yaml), or ``-`` for stdin.

    Raises ``InvalidInput`` with line and column, ``NotFound`` for a file that is not there.
    """
    if text == "-":
        return parse_json((read_stdin or sys.stdin.read)(), f"{name} (stdin)")
    if not text.startswith("@"):
        return parse_json(text, name)
    path = Path(text[1:])
    said = f"{name} {text}"
    try:
        content = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{said}: byte {error.start} is not UTF-8: save the file as UTF-8") from None
    except OSError as error:
        near = [f"@{each}" for each in path.parent.glob("*")] if path.parent.is_dir() else []
        raise NotFound(f"{said}: the file cannot be read: {error.strerror}.{did_you_mean(text, near)}") from None
    return parse_yaml(content, said) if path.suffix in (".yaml", ".yml") else parse_json(content, said)


def parse_json(text: str, name: str) -> Any:
    """Raises ``InvalidInput`` that says where the JSON breaks, and how a string is written."""
    try:
        return json.loads(text, parse_constant=_not_json)
    except json.JSONDecodeError as error:
        hint = "" if not text or text[0] in "[{\"'" or "\n" in text else f" A string is written '\"{text:.40}\"'."
        raise InvalidInput(
            f"{name}: this is not JSON: line {error.lineno} column {error.colno}: {error.msg}.{hint}"
        ) from None
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"{name}: this is not JSON: {error}") from None


def _not_json(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a JSON value")


def parse_yaml(text: str, name: str) -> Any:
    """Raises ``InvalidInput`` with line and column."""
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = "" if mark is None else f"line {mark.line + 1} column {mark.column + 1}: "
        raise InvalidInput(f"{name}: this is not YAML: {where}{error.problem or error.context}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InvalidInput(f"{name}: this is not YAML: {' '.join(str(error).split())}") from None


def parse_tags(given: Sequence[str] | None) -> dict[str, str]:
    """``["team=blue"]`` -> ``{"team": "blue"}``. Raises ``InvalidInput``."""
    tags: dict[str, str] = {}
    for each in given or ():
        key, equals, value = each.partition("=")
        if not key or not equals:
            raise InvalidInput(f"--tag {each!r}: a tag is written KEY=VALUE")
        if tags.setdefault(key, value) != value:
            raise InvalidInput(f"--tag {each!r}: {key!r} is given twice, and an execution has one value for it")
    return tags


_AGE = re.compile(r"(\d+(?:\.\d+)?)([smhd])")
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def parse_started(name: str, text: str | None, now: float) -> float | None:
    """An instant as epoch seconds: an ISO date or time (local where it names no zone), or an age such as ``2h``. Raises
    ``InvalidInput``."""
    if text is None:
        return None
    age = _AGE.fullmatch(text)
    if age is not None:
        return now - float(age[1]) * _SECONDS[age[2]]
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError, OSError):
        raise InvalidInput(
            f"{name} {text!r} is no instant: write 2024-05-01, 2024-05-01T14:30, or an age such as 30m, 2h or 7d"
        ) from None


def check_status(status: str | None) -> str | None:
    """One of the statuses of an execution, or None. Raises ``InvalidInput``."""
    known = [each.value for each in ExecutionStatus]
    if status is not None and status not in known:
        raise InvalidInput(
            f"--status {status!r} is not a status of an execution.{did_you_mean(status, known)} It is one of {', '.join(known)}"
        )
    return status
