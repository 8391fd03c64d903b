"""Checking the options of a submit before anything is stored."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from raywf.core.state import ExecutionStatus
from raywf.errors import InvalidInput
from raywf.sealing import Codec

_PRIORITY = 2**31


def check_text(what: str, text: object) -> str:
    """A text that the store can keep: a string that UTF-8 can express."""
    if not isinstance(text, str):
        raise InvalidInput(f"{what} must be a string, not {type(text).__name__}: {text!r:.200}")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidInput(f"{what} cannot be stored as UTF-8 ({error}): replace lone surrogates first") from None
    return text


def checked_codec(codec: object) -> Codec:
    """The codec that is given, else that of the environment."""
    if codec is None:
        return Codec.from_env(os.environ)
    if not isinstance(codec, Codec):
        raise InvalidInput(
            f"codec must be a raywf.Codec, such as raywf.Codec(keys='file:/path'), not {type(codec).__name__}"
        )
    return codec


def check_deadline(deadline: object, now: float) -> float | None:
    """Seconds since the epoch of an aware datetime, or of a timedelta from now."""
    if deadline is None:
        return None
    if isinstance(deadline, timedelta):
        return now + deadline.total_seconds()
    if not isinstance(deadline, datetime) or deadline.tzinfo is None:
        raise InvalidInput(
            f"deadline={deadline!r} must be a timedelta or a datetime with a time zone, as in datetime.now(UTC) + …"
        )
    return deadline.astimezone(UTC).timestamp()


def check_started(name: str, at: object, now: float) -> float | None:
    """Seconds since the epoch of an aware datetime, or of so long ago as a timedelta says."""
    if at is None:
        return None
    if isinstance(at, timedelta):
        return now - at.total_seconds()
    if not isinstance(at, datetime) or at.tzinfo is None:
        raise InvalidInput(
            f"{name}={at!r} must be a datetime with a time zone, or a timedelta: timedelta(hours=2) is two hours ago"
        )
    return at.astimezone(UTC).timestamp()


def check_priority(priority: object) -> int:
    if isinstance(priority, bool) or not isinstance(priority, int) or not -_PRIORITY < priority < _PRIORITY:
        raise InvalidInput(f"priority={priority!r} must be a whole number between -2**31 and 2**31")
    return priority


def check_status(status: object) -> None:
    """Refuse a status that no execution can have."""
    known = [each.value for each in ExecutionStatus]
    if status is not None and status not in known:
        raise InvalidInput(f"status={status!r} is not one that executions have: {', '.join(known)}")


def check_tags(tags: object) -> dict[str, str]:
    """Tags as a dict from string to string."""
    if not isinstance(tags, Mapping):
        raise InvalidInput(f"tags={tags!r:.200} must be a dict from string to string, such as {{'team': 'search'}}")
    out = {}
    for key, value in tags.items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise InvalidInput(f"tag {key!r}={value!r}: tags are strings, so that they can be searched for")
        out[check_text(f"tag {key!r}", key)] = check_text(f"tag {key!r}", value)
    return out


def id_taken(execution_id: str, by: str) -> str:
    """What is wrong with the id of a submit that another execution has."""
    return (
        f"execution_id {execution_id!r} belongs to an execution of {by} with another workflow or other arguments: "
        "choose another id, or leave it out"
    )
