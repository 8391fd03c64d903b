"""What an answer's status means for the attempt that got it. Pure: time is handed in.

Sources: RFC 9110 (methods 9.2, Retry-After 10.2.3), RFC 6585 (429), RFC 8470 (425), and for 409 and 422
draft-ietf-httpapi-idempotency-key-header (section 2.7): 409 says that the first request under the key is still being
worked on, 422 that the key was used for something else.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime

SAFE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
IDEMPOTENT = SAFE | {"PUT", "DELETE"}
METHODS = IDEMPOTENT | {"POST", "PATCH"}
_NOT_YET = frozenset({408, 425, 429})
"""The server did not act on it, and says so."""
_NEVER = frozenset({501, 505, 511})
_LONGEST_S = 7 * 86400.0
"""A server that asks to be left alone for longer is not believed."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """``ok``: the answer is the task's result. Else whether trying again can help, and no sooner than when (seconds)."""

    ok: bool
    retryable: bool = False
    retry_after: float | None = None


OK = Verdict(True)


def verdict(
    method: str, status: int, headers: Mapping[str, str], now: float, *, keyed: bool, accept: Collection[int] = ()
) -> Verdict:
    """What follows an answer. ``keyed``: the request has an idempotency key. Header names are lower case."""
    if status in accept or 200 <= status < 400:
        return OK
    after = retry_after(headers.get("retry-after"), now)
    if status in _NOT_YET or (status == 503 and after is not None):
        return Verdict(False, True, after)
    if status == 409 and keyed:
        return Verdict(False, True, after)
    if status < 500 or status in _NEVER:
        return Verdict(False)
    return Verdict(False, may_repeat(method, keyed), after)


def may_repeat(method: str, keyed: bool) -> bool:
    """Whether a request may be sent again when nobody knows what became of it."""
    return keyed or method in IDEMPOTENT


def retry_after(value: str | None, now: float) -> float | None:
    """Seconds from now, of a ``Retry-After`` that gives seconds or a date; None where it says neither."""
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return min(float(text), _LONGEST_S)
    try:
        at = parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
    seconds = (at if at.tzinfo is not None else at.replace(tzinfo=UTC)).timestamp() - now
    return min(max(0.0, seconds), _LONGEST_S)


def header_of(key: str) -> str:
    """A task's idempotency key as the header's value: a quoted string (RFC 8941), short and without odd characters whatever
    the execution's id has."""
    return f'"{hashlib.sha256(key.encode()).hexdigest()[:40]}"'
