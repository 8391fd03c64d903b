"""Names of things: executions, tasks, shards. Time and chance are passed in."""

from __future__ import annotations

import re
import zlib

from raywf.errors import InvalidInput

SHARDS = 256
"""Number of shards of a store, fixed when the store is created."""

MAX_EXECUTION_ID = 200
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford base 32, as ULID uses it
_LETTER_OF = bytes(ord(_ALPHABET[byte & 31]) for byte in range(256))
RANDOM_BITS = 128
"""How many random bits ``new_execution_ids`` takes for each id: a byte for each of 16 letters."""
_USER_ID = re.compile(r"[^\s/\x00-\x1f\x7f\ud800-\udfff]+")


def new_execution_ids(now_ms: int, random_bits: int, count: int) -> list[str]:
    """``count`` time-ordered ids of 26 characters in ULID's layout (github.com/ulid/spec): 48 bits of milliseconds, the same
    in all, then 80 random bits, of the ``RANDOM_BITS`` that are given for each.

    Ordered ids keep the journal's B-tree appends at its right edge.
    """
    begin = "".join(_ALPHABET[(now_ms >> shift) & 31] for shift in range(45, -1, -5))
    letters = random_bits.to_bytes(16 * count, "big").translate(_LETTER_OF).decode()
    return [begin + letters[at : at + 16] for at in range(0, len(letters), 16)]


def new_execution_id(now_ms: int, random_bits: int) -> str:
    """One such id."""
    return new_execution_ids(now_ms, random_bits, 1)[0]


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
