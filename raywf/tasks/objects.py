"""``raywf.tasks.object_get`` and ``object_put``: bytes in an object store or a file system that all nodes see.

A put is done when all of it is there and never seen half: a file is written beside its place, synced and renamed; an object of
S3 or Google Cloud Storage appears when its upload is complete. Putting the same bytes at the same place again changes
nothing, so a repeated attempt is harmless by what it is.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from raywf.definition.options import Retry
from raywf.definition.tasks import task
from raywf.errors import InvalidInput, NotFound, PermissionDenied, ValidationFailed

RETRY = Retry(
    max_attempts=4, initial=0.5, max_delay=30.0,
    non_retryable=(InvalidInput, NotFound, PermissionDenied, ValidationFailed),
)  # fmt: skip
MAX_BYTES = 256 * 2**20
_SCHEMES = ("file", "s3", "gs", "gcs", "hdfs", "abfs", "abfss")


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """What was put, and where: ``size`` in bytes, ``sha256`` as hex. ``unchanged``: the same bytes were there already."""

    uri: str
    size: int
    sha256: str
    unchanged: bool = False


@task(retry=RETRY)
def object_put(uri: str, data: bytes | str) -> ObjectInfo:
    """Write bytes (text as UTF-8) to ``/absolute/path``, ``file:///…``, ``s3://bucket/key`` or ``gs://bucket/key``, in the
    place of what is there. Credentials come from the environment of the worker, as the store's own tools take them. Raises
    ``InvalidInput``, ``PermissionDenied``, and ``OSError``, which is tried again."""
    content = data.encode() if isinstance(data, str) else bytes(data)
    digest = hashlib.sha256(content).hexdigest()
    system, path = _at(uri)
    try:
        unchanged = _put_file(Path(path), content) if system is None else put_through(system, path, content)
    except OSError as error:
        raise _explained(error, uri) from None
    return ObjectInfo(uri, len(content), digest, unchanged)


@task(retry=RETRY)
def object_get(uri: str, *, sha256: str | None = None, max_bytes: int = MAX_BYTES) -> bytes:
    """The bytes at a place (as for ``object_put``). ``sha256``: they must have this hash. Raises ``NotFound``,
    ``PermissionDenied``, ``InvalidInput`` for more than ``max_bytes``, ``ValidationFailed`` for another hash, and
    ``OSError``, which is tried again."""
    system, path = _at(uri)
    try:
        size = os.stat(path).st_size if system is None else size_through(system, path)
        if size > max_bytes:
            raise InvalidInput(
                f"{uri} has {size:,} bytes, more than max_bytes={max_bytes:,}: raise it, or hand the address on and let a task of "
                "your own read it in pieces"
            )
        content = Path(path).read_bytes() if system is None else read_through(system, path)
    except OSError as error:
        raise _explained(error, uri) from None
    if sha256 is not None and (found := hashlib.sha256(content).hexdigest()) != sha256.lower():
        raise ValidationFailed(
            f"{uri} has the SHA-256 {found}, and {sha256} was asked for: it is another version, or damaged"
        )
    return content


def _at(uri: Any) -> tuple[Any, str]:
    """The file system of an address (None for this host's own) and the path in it. Raises ``InvalidInput``."""
    if not isinstance(uri, str) or not uri:
        raise InvalidInput(
            f"uri {uri!r:.100} is not an address: write s3://bucket/key, gs://bucket/key or /absolute/path"
        )
    parts = urlsplit(uri)
    if parts.password or (parts.username and parts.scheme in ("s3", "gs", "gcs")):
        raise InvalidInput(
            "the uri has credentials in it, which would be in the history: let the worker's environment have them "
            "(AWS_ACCESS_KEY_ID, a role, GOOGLE_APPLICATION_CREDENTIALS)"
        )
    if not parts.scheme or parts.scheme == "file":
        path = parts.path if parts.scheme else uri
        if not os.path.isabs(path):
            raise InvalidInput(
                f"uri {uri!r:.200} is a relative path, and tasks run in processes that start elsewhere: write an absolute one"
            )
        return None, path
    if parts.scheme not in _SCHEMES:
        raise InvalidInput(
            f"uri {uri!r:.200}: {parts.scheme}:// is not one of {', '.join(each + '://' for each in _SCHEMES)}"
        )
    from pyarrow import fs

    try:
        system, path = fs.FileSystem.from_uri(uri)
    except (ValueError, NotImplementedError, OSError) as error:
        raise InvalidInput(f"uri {uri!r:.200} cannot be used here: {error}") from None
    return system, str(path)


def put_through(system: Any, path: str, content: bytes) -> bool:
    """One upload: it appears when the stream is closed. Whether the same was there is not asked, that would be a download."""
    with system.open_output_stream(path) as stream:
        stream.write(content)
    return False


def size_through(system: Any, path: str) -> int:
    size = system.get_file_info(path).size
    if size is None:
        raise FileNotFoundError(path)
    return int(size)


def read_through(system: Any, path: str) -> bytes:
    with system.open_input_stream(path) as stream:
        return bytes(stream.read())


def _put_file(path: Path, content: bytes) -> bool:
    try:
        if path.stat().st_size == len(content) and path.read_bytes() == content:
            return True
    except FileNotFoundError:
        pass
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, aside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:100]}.new-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(aside, 0o644)
        os.replace(aside, path)
    except BaseException:
        Path(aside).unlink(missing_ok=True)
        raise
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
    return False


def _explained(error: OSError, uri: str) -> Exception:
    if isinstance(error, FileNotFoundError):
        return NotFound(f"there is nothing at {uri}: check the address, and that this host sees it")
    if isinstance(error, PermissionError):
        return PermissionDenied(f"{uri}: {error.strerror or error}: give the workers the right to it")
    if isinstance(error, (IsADirectoryError, NotADirectoryError)):
        return InvalidInput(f"{uri}: {error.strerror or error}: give the address of one object")
    return OSError(f"{uri}: {error}")
