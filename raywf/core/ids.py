"""Names of things: executions, tasks, shards. Time and chance are passed in."""

from __future__ import annotations

import re
import zlib

from raywf.errors import InvalidInput

SHARDS = 256
"""Number of shards of a store, fixed when the store is created."""

MAX_EXECUTION_ID = 200
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford base 32, as ULID uses it
_PAIRS = [high + low for high in _ALPHABET for low in _ALPHABET]
_USER_ID = re.compile(r"[^\s/\x00-\x1f\x7f\ud800-\udfff]+")


def new_execution_id(now_ms: int, random_bits: int) -> str:
    """A time-ordered id of 26 characters in ULID's layout: 48 bits of milliseconds, 80 random bits.

    Ordered ids keep the journal's B-tree appends at its right edge.
    """
    number = ((now_ms & (2**48 - 1)) << 80) | (random_bits & (2**80 - 1))
    pairs = [_PAIRS[(number >> shift) & 1023] for shift in range(120, -1, -10)]
    return "".join(pairs)


def check_execution_id(execution_id: object) -> str:
    """An id given by a user: 1 to 200 characters, no white space, no ``/`` (that names child executions)."""
    if not isinstance(execution_id, str):
        raise InvalidInput(f"execution_id must be a string, not {type(execution_id).__name__}: {execution_id!r}")
    if len(execution_id) > MAX_EXECUTION_ID or not _USER_ID.fullmatch(execution_id):
        raise InvalidInput(
            f"execution_id {execution_id!r} cannot be used: an id has 1 to {MAX_EXECUTION_ID} characters, "
            "no white space and no '/', which names child executions. Choose another id."
        )
    return execution_id


def shard_of(execution_id: str) -> int:
    """The shard of an execution. Children live in the shard of their root, so one owner holds the whole tree."""
    root = execution_id.partition("/")[0]
    return zlib.crc32(root.encode()) % SHARDS


def child_id(parent: str, address: str) -> str:
    return f"{parent}/{address}"


def item_address(task_id: str, item: int) -> str:
    """The address of one item of a fan-out: ``name[3]``."""
    return f"{task_id}[{item}]"


def pass_address(task_id: str, passes: tuple[int, ...]) -> str:
    """The address of a task in one pass of the loops around it, outermost first: ``name@3``, in a nested loop ``name@3.1``."""
    return f"{task_id}@{'.'.join(map(str, passes))}" if passes else task_id


def split_passes(address: str) -> tuple[str, tuple[int, ...]]:
    """``name@3.1`` -> (name, (3, 1)); ``name`` -> (name, ()). Raises ``ValueError`` for what is no address."""
    name, at, passes = address.partition("@")
    return name, tuple(map(int, passes.split("."))) if at else ()


def split_address(address: str) -> tuple[str, int | None]:
    """``name`` -> (name, None); ``name[3]`` -> (name, 3)."""
    if address.endswith("]"):
        name, _, item = address[:-1].rpartition("[")
        return name, int(item)
    return address, None
