"""Large values: kept once under their content hash beside the store, and named in the journal by a ``DataRef``.

A blob is on disk (written aside, synced, renamed) before the event that names it is committed, so a reference in the
journal always leads somewhere. Writing the same bytes twice is one file.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import uuid
from collections import OrderedDict
from pathlib import Path
from typing import Any, Protocol

from raywf.config import INLINE_LIMIT
from raywf.definition import values
from raywf.errors import StoreUnavailable


class Blobs(Protocol):
    """Where large values are kept."""

    def put(self, data: bytes) -> str:
        """Store the bytes durably; returns their content hash."""
        ...

    def get(self, hash_: str) -> bytes:
        """The bytes of a hash. Raises ``StoreUnavailable``."""
        ...

    def close(self) -> None:
        """Give back what is held open."""
        ...


class NamedBlobs(Blobs, Protocol):
    """The same, for who gives the names (``runtime.sealed``)."""

    def write(self, name: str, data: bytes) -> None:
        """Store the bytes durably under a name, unless there are some. Raises ``StoreUnavailable``."""
        ...

    def read(self, name: str) -> bytes | None:
        """The bytes of a name; None where there are none. Raises ``StoreUnavailable``."""
        ...

    def has(self, name: str) -> bool: ...

    def names(self) -> list[str]:
        """All names, sorted."""
        ...

    def remove(self, name: str) -> None: ...


class Recent:
    """Bytes by name, the last used, up to ``room`` in all."""

    def __init__(self, room: int = 64 * 2**20) -> None:
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._room = room

    def get(self, name: str) -> bytes | None:
        found = self._kept.get(name)
        if found is not None:
            self._kept.move_to_end(name)
        return found

    def put(self, name: str, data: bytes) -> None:
        if len(data) > self._room // 2 or name in self._kept:
            return
        self._kept[name] = data
        while sum(map(len, self._kept.values())) > self._room:
            self._kept.popitem(last=False)


def blob_hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def blob_root(store: str) -> Path:
    """Where the large values of the store at this path are kept."""
    return Path(f"{store}.data")


def blob_mark(root: Path) -> str:
    """What tells this directory from one of the same name on another host; written when it is first used."""
    mark = root / ".store"
    try:
        _make_durably(root)
        if not mark.exists():
            _write_durably(mark, uuid.uuid4().hex.encode())
        return mark.read_text()
    except OSError as error:
        raise StoreUnavailable(
            f"the directory for large values {root} cannot be used: {error.strerror or error}. Make it writable."
        ) from error


class MemoryBlobs:
    """Large values in this process, for tests and ``raywf.testing``."""

    def __init__(self) -> None:
        self._blobs: dict[str, bytes] = {}

    def put(self, data: bytes) -> str:
        hash_ = blob_hash(data)
        self._blobs[hash_] = data
        return hash_

    def get(self, hash_: str) -> bytes:
        try:
            return self._blobs[hash_]
        except KeyError:
            raise StoreUnavailable(f"the large value {hash_} is not in this process: it ended with another") from None

    def write(self, name: str, data: bytes) -> None:
        self._blobs.setdefault(name, data)

    def read(self, name: str) -> bytes | None:
        return self._blobs.get(name)

    def has(self, name: str) -> bool:
        return name in self._blobs

    def names(self) -> list[str]:
        return sorted(self._blobs)

    def remove(self, name: str) -> None:
        self._blobs.pop(name, None)

    def close(self) -> None:
        pass


class FileBlobs:
    """Large values as files below ``root``, read through a small cache (``cache_bytes``)."""

    def __init__(self, root: Path, cache_bytes: int = 64 * 2**20) -> None:
        self.root = root
        self._recent = Recent(cache_bytes)

    def _path(self, hash_: str) -> Path:
        return self.root / hash_[:2] / hash_

    def put(self, data: bytes) -> str:
        hash_ = blob_hash(data)
        self.write(hash_, data)
        self._recent.put(hash_, data)
        return hash_

    def get(self, hash_: str) -> bytes:
        cached = self._recent.get(hash_)
        if cached is not None:
            return cached
        path = self._path(hash_)
        try:
            data = path.read_bytes()
        except OSError as error:
            raise StoreUnavailable(
                f"the large value {hash_} is not at {path}: {error.strerror or error}. "
                "It was written beside the store: move both together, or restore the directory."
            ) from error
        self._recent.put(hash_, data)
        return data

    def write(self, name: str, data: bytes) -> None:
        path = self._path(name)
        try:
            if not path.exists():
                _make_durably(path.parent)
                _write_durably(path, data)
        except OSError as error:
            raise StoreUnavailable(
                f"a value of {len(data)} bytes could not be written to {path}: {error.strerror or error}. "
                "Results above 64 KB are kept beside the store: free space there, or make the directory writable."
            ) from error

    def read(self, name: str) -> bytes | None:
        path = self._path(name)
        try:
            return path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreUnavailable(f"the large value {name} cannot be read at {path}: {error.strerror}") from error

    def has(self, name: str) -> bool:
        return self._path(name).exists()

    def names(self) -> list[str]:
        return sorted(path.name for path in self.root.glob("??/*") if not path.name.startswith("."))

    def remove(self, name: str) -> None:
        path = self._path(name)
        path.unlink(missing_ok=True)
        if path.parent.is_dir():
            _sync(path.parent)

    def close(self) -> None:
        pass


def _make_durably(directory: Path) -> None:
    """Make a directory whose name is on disk, too: a synced file in a directory that is lost is lost."""
    if not directory.is_dir():
        _make_durably(directory.parent)
        directory.mkdir(exist_ok=True)
        _sync(directory.parent)


def _sync(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _write_durably(path: Path, data: bytes) -> None:
    handle, aside = tempfile.mkstemp(dir=path.parent, prefix=".new-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
        _sync(path.parent)
    except BaseException:
        Path(aside).unlink(missing_ok=True)
        raise


def pack(value: Any, blobs: Blobs | None) -> bytes:
    """The encoded form of a value for the journal: inline up to 64 KB, above that a reference to a blob."""
    if type(value) in values.SCALARS:
        return spill(values.encode(value), blobs)
    raw = _raw(value) if blobs is not None else None
    if raw is not None and blobs is not None:
        codec, data = raw
        return values.dataref(blobs.put(data), len(data), codec)
    return spill(values.encode(value), blobs)


def spill(encoded: bytes, blobs: Blobs | None) -> bytes:
    """An encoded value, moved to a blob if it is large."""
    if len(encoded) <= INLINE_LIMIT or blobs is None:
        return encoded
    return values.dataref(blobs.put(encoded), len(encoded), "json")


def _raw(value: Any) -> tuple[str, bytes] | None:
    """Big bytes and Arrow values are kept raw rather than inside JSON."""
    if type(value) is bytes:
        return ("bytes", value) if len(value) > INLINE_LIMIT else None
    size = getattr(value, "nbytes", 0)
    if type(value).__module__.startswith("pyarrow") and size > INLINE_LIMIT:
        import pyarrow as pa

        kind = values.arrow_kind(value, pa)
        if kind is not None:
            return kind, values.arrow_bytes(value, kind)
    return None
