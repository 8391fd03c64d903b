"""Three ways to make bytes smaller. Zstandard is pyarrow's, which is here anyway; the others are Python's."""

from __future__ import annotations

import zlib
from typing import Any

from raywf.errors import SealBroken

ALGORITHMS = ("zstd", "zlib", "lzma")
WORTH_IT = 200
"""Shorter values stay as they are: there is nothing to gain."""

_SIZE = 6


def compress(data: bytes, algorithm: str) -> bytes:
    """The size of ``data`` (6 bytes) and what it shrinks to."""
    match algorithm:
        case "zstd":
            import pyarrow as pa

            packed: bytes = pa.compress(data, codec="zstd", asbytes=True)
        case "zlib":
            packed = zlib.compress(data, 1)
        case _:
            import lzma

            packed = lzma.compress(data, preset=1)
    return len(data).to_bytes(_SIZE, "little") + packed


def decompress(data: bytes, algorithm: str) -> bytes:
    """What ``compress`` was given. Raises ``SealBroken``."""
    size, packed = int.from_bytes(data[:_SIZE], "little"), data[_SIZE:]
    try:
        match algorithm:
            case "zstd":
                import pyarrow as pa

                plain: bytes = pa.decompress(packed, decompressed_size=size, codec="zstd", asbytes=True)
            case "zlib":
                plain = _all_of(zlib.decompressobj(), packed, size)
            case _:
                import lzma

                plain = _all_of(lzma.LZMADecompressor(), packed, size)
    except Exception as error:  # each has errors of its own
        raise SealBroken(f"a compressed value of {len(data)} bytes cannot be read: {error}. Restore it") from None
    if len(plain) != size:
        raise SealBroken(f"a compressed value of {len(data)} bytes is not the {size} bytes that it was: restore it")
    return plain


def _all_of(reader: Any, packed: bytes, size: int) -> bytes:
    """Never more than ``size`` says; and to the end, where the check sum is."""
    plain: bytes = reader.decompress(packed, size + 1)
    if not reader.eof:
        plain += reader.decompress(getattr(reader, "unconsumed_tail", b""), 1)
    return plain if reader.eof else b""
