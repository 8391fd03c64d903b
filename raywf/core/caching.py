"""When the result of a task stands for another call of it: which calls are the same, how long a result counts, and which
of two counts.

Pure: the store keeps rows, ``runtime/recalling.py`` looks them up, and both ask here.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import inf

_FORMAT = "raywf-cache-1"
"""Part of every key: a change in how keys are made must never find a result that was kept under the old way."""


@dataclass(frozen=True, slots=True)
class CachePolicy:
    """How a task's results are kept. ``ttl`` in seconds; ``version`` takes the place of the source's hash in the key;
    ``ignore`` names arguments that make no difference; ``scope`` is ``namespace`` or ``workflow``."""

    ttl: float = inf
    version: str | None = None
    ignore: tuple[str, ...] = ()
    scope: str = "namespace"


def cache_key(
    policy: CachePolicy, function: str, code: str, workflow: str, arguments: Mapping[str, bytes | list[bytes]]
) -> str:
    """The content key of a call: SHA-256, as hex, of what the task is and what it is given.

    ``function`` is ``module:qualname``, ``code`` the hash of its source, ``arguments`` the encoded arguments by parameter.
    Objects are compared without regard to the order of their keys (RFC 8785's idea of equality); large values by the hash
    that stands for them. Neither ids nor times are part of it.
    """
    given = {
        name: [_canonical(each) for each in value] if isinstance(value, list) else _canonical(value)
        for name, value in arguments.items()
        if name not in policy.ignore
    }
    of_code = {"code": code} if policy.version is None else {"version": policy.version}
    where = {"workflow": workflow} if policy.scope == "workflow" else {}
    whole = {"format": _FORMAT, "function": function, "arguments": given, **of_code, **where}
    return hashlib.sha256(json.dumps(whole, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _canonical(encoded: bytes) -> str:
    return json.dumps(json.loads(encoded), sort_keys=True, separators=(",", ":"))


def expires_at(policy: CachePolicy, now: float) -> float:
    return now + policy.ttl


def is_fresh(policy: CachePolicy, stored_at: float, until: float, now: float) -> bool:
    """Whether a kept result counts for a task that asks now: neither whoever kept it nor whoever asks finds it too old."""
    return now < until and now < stored_at + policy.ttl


def replaces(known: tuple[float, float], new: tuple[float, float]) -> bool:
    """Whether of two results of one key, each (stored at, expires at), the new one takes the place of the known one.

    The first counts while it lives, so everybody is given the same; it gives way once it has expired, or is older than
    the new one's own time to live.
    """
    stored_at, until = new
    return known[1] <= stored_at or known[0] <= stored_at - (until - stored_at)
