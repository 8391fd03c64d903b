"""Settings: one frozen object read from the environment, passed down, never a global."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from raywf.errors import InvalidInput

DEFAULT_STORE = "sqlite:///.raywf/raywf.db"
INLINE_LIMIT = 64 * 1024
"""Values up to this many bytes travel inline; bigger ones become a ``DataRef``."""

_POSTGRES = re.compile(r"postgres(?:ql)?://(?:[^/?#@]*@)?(?P<host>[^/?#@]*)(?P<path>/[^?#@]*)?(?:\?(?P<query>[^#@]*))?")
_HARMLESS = ("host=", "port=", "dbname=", "database=", "schema=")


def shown(store: str) -> str:
    """A store's URL as people may see it: of a server's, neither user nor password.

    ``postgresql://…`` is all that is shown of one that cannot be read: what looks like a host may be half a password.
    """
    if not store.startswith(("postgres:", "postgresql:")):
        return store
    found = _POSTGRES.fullmatch(store)
    if found is None:
        return "postgresql://…"
    known = [each for each in (found["query"] or "").split("&") if each.startswith(_HARMLESS)]
    return f"postgresql://{found['host']}{found['path'] or ''}{'?' if known else ''}{'&'.join(known)}"


@dataclass(frozen=True, slots=True)
class Settings:
    """``lease_s``: how long a silent owner keeps its shards. ``workflow_actors``: None decides by the store.
    ``linger_s``: how long an actor without open executions stays once no client listens. ``resident``: how many waiting
    executions an actor keeps in memory; the others sleep in the store until they are wanted. ``max_iterations``: the passes
    of a loop that does not say its own limit; ``approval_timeout_s``: how long an approval waits that does not say it.
    ``autoscale``: for how many calls at most Ray's autoscaler is asked to have room; 0: it is not asked."""

    store: str = DEFAULT_STORE
    lease_s: float = 3.0
    workflow_actors: int | None = None
    inbox_poll_s: float = 0.1
    max_threads: int = 32
    rows_per_commit: int = 4000
    linger_s: float = 60.0
    resident: int = 1000
    max_iterations: int = 1000
    approval_timeout_s: float = 30 * 86400.0
    autoscale: int = 100

    @classmethod
    def from_env(cls, env: Mapping[str, str], store: str | None = None) -> Settings:
        """Read ``RAYWF_STORE``, ``RAYWF_LEASE_S``, ``RAYWF_WORKFLOW_ACTORS``, ``RAYWF_MAX_THREADS``, ``RAYWF_LINGER_S``,
        ``RAYWF_RESIDENT``, ``RAYWF_MAX_ITERATIONS``, ``RAYWF_APPROVAL_TIMEOUT`` (seconds, or ``inf``), ``RAYWF_AUTOSCALE``."""
        return cls(
            store=store or env.get("RAYWF_STORE") or DEFAULT_STORE,
            lease_s=_number(env, "RAYWF_LEASE_S", 3.0, 0.5, 300),
            workflow_actors=actor_count("RAYWF_WORKFLOW_ACTORS", env.get("RAYWF_WORKFLOW_ACTORS") or None),
            max_threads=int(_number(env, "RAYWF_MAX_THREADS", 32, 1, 4096)),
            linger_s=_number(env, "RAYWF_LINGER_S", 60.0, 1, 1e9),
            resident=int(_number(env, "RAYWF_RESIDENT", 1000, 0, 1e9)),
            max_iterations=int(_number(env, "RAYWF_MAX_ITERATIONS", 1000, 1, 1e9)),
            approval_timeout_s=_number(env, "RAYWF_APPROVAL_TIMEOUT", 30 * 86400.0, 1, float("inf")),
            autoscale=int(_number(env, "RAYWF_AUTOSCALE", 100, 0, 10_000)),
        )


def actor_count(name: str, given: object) -> int | None:
    """How many workflow actors: a number from 1 to 256, or ``"per-node"`` (0). None: what is usual for the store. Raises
    ``InvalidInput``."""
    if given is None:
        return None
    if given == "per-node":
        return 0
    text = given if isinstance(given, str) else str(given) if type(given) is int else ""
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 256):
        raise InvalidInput(
            f"{name}={given!r} is not how many workflow actors there are: a number from 1 to 256, or 'per-node'"
        )
    return int(text)


def _number(env: Mapping[str, str], name: str, default: float, low: float, high: float) -> float:
    text = env.get(name)
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not low <= value <= high:
        raise InvalidInput(f"{name}={text!r} is not a number from {low:g} to {high:g}: correct or unset it")
    return value


def up_record() -> Path:
    """Where `raywf up` writes which Ray it started."""
    state = os.environ.get("XDG_STATE_HOME")
    return (Path(state) if state else Path.home() / ".local" / "state") / "raywf" / "up.json"


def command_name(program: str | None = None, path: str | None = None) -> str:
    """What to type for the command line from here: ``raywf``, or where it is while it is not on the PATH, as in a fresh
    checkout whose environment is not activated. ``program`` is the running script, ``path`` the PATH."""
    program = sys.argv[0] if program is None else program
    if os.path.basename(program) != "raywf" or not os.path.isfile(program):
        return "raywf"
    found = shutil.which("raywf", path=path)
    if found is not None and os.path.realpath(found) == os.path.realpath(program):
        return "raywf"
    near = os.path.relpath(program)
    return shlex.quote(near if not near.startswith("..") else os.path.abspath(program))
