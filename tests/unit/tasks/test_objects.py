"""``raywf.tasks.object_get`` and ``object_put``: whole or not at all, and harmless when repeated."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

import raywf.testing
from raywf import tasks, workflow
from raywf.errors import InvalidInput, NotFound, PermissionDenied, ValidationFailed, WorkflowFailed
from raywf.tasks import object_get, object_put, objects


@workflow
def copy(source: str, target: str):  # type: ignore[no-untyped-def]
    content = tasks.object_get(source)
    put = tasks.object_put(target, content)
    return put.uri, put.size, tasks.object_get(put.uri, sha256=put.sha256)


@pytest.mark.parametrize("size", [0, 100_000])
@pytest.mark.parametrize("fault", [None, "crash_after_commit", "duplicate"])
def test_what_is_put_is_what_is_got(tmp_path: Path, size: int, fault: str | None) -> None:
    (tmp_path / "a").write_bytes(b"x" * size)
    target = f"file://{tmp_path}/deep/down/b"
    faults = None if fault is None else {"object_put": fault}
    assert raywf.testing.run(copy, str(tmp_path / "a"), target, faults=faults) == (target, size, b"x" * size)
    assert [path.name for path in (tmp_path / "deep/down").iterdir()] == ["b"], "nothing is left beside it"


def test_putting_the_same_again_changes_nothing(tmp_path: Path) -> None:
    place = str(tmp_path / "a")
    first = object_put(place, "héllo")
    assert (first.size, first.sha256, first.unchanged) == (6, hashlib.sha256("héllo".encode()).hexdigest(), False)
    before = os.stat(place)
    assert object_put(place, "héllo").unchanged
    assert os.stat(place).st_ino == before.st_ino
    assert not object_put(place, "hullo!").unchanged
    assert Path(place).read_bytes() == b"hullo!"


def test_a_put_that_fails_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "a"
    place.write_bytes(b"old")

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(objects.os, "fsync", full)
    with pytest.raises(OSError, match="No space left on device"):
        object_put(str(place), b"new")
    assert place.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [place]


def test_through_arrows_file_systems(tmp_path: Path) -> None:
    """As for S3 and Google Cloud Storage, whose servers are not here: the same calls on another file system of Arrow's."""
    from pyarrow import fs

    system = fs.SubTreeFileSystem(str(tmp_path), fs.LocalFileSystem())
    assert objects.put_through(system, "key", b"abc") is False
    assert objects.size_through(system, "key") == 3
    assert objects.read_through(system, "key") == b"abc"
    with pytest.raises(FileNotFoundError):
        objects.size_through(system, "none")


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("data/x", "is a relative path"),
        ("", "is not an address"),
        (7, "7 is not an address"),
        ("ftp://host/x", "ftp:// is not one of"),
        ("s3://AKIA:SECRET@bucket/x", "credentials in it"),
    ],
)
def test_an_address_that_cannot_be_meant_is_refused(uri: Any, message: str) -> None:
    for ask in (lambda: object_get(uri), lambda: object_put(uri, b"")):
        with pytest.raises(InvalidInput, match=message) as refused:
            ask()
        assert "SECRET" not in str(refused.value)


def test_what_is_not_there_too_large_or_another_is_said_and_not_tried_again(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    with pytest.raises(NotFound, match="there is nothing at"):
        object_get(str(tmp_path / "none"))
    with pytest.raises(InvalidInput, match="has 3 bytes, more than max_bytes=2"):
        object_get(str(tmp_path / "a"), max_bytes=2)
    with pytest.raises(ValidationFailed, match="another version, or damaged"):
        object_get(str(tmp_path / "a"), sha256="0" * 64)
    with pytest.raises(InvalidInput, match="address of one object"):
        object_get(str(tmp_path))
    with pytest.raises(WorkflowFailed) as failed:
        raywf.testing.run(copy, str(tmp_path / "none"), str(tmp_path / "b"))
    assert failed.value.failure.attempt == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_place_that_is_forbidden_says_so(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(PermissionDenied, match="give the workers the right"):
        object_put(str(tmp_path / "a"), b"")
