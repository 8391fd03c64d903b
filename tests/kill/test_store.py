"""The store's disk runs full under a running engine and gets room again, or can only be read."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from raywf.journal import open_journal
from tests.kill.conftest import dismiss
from tests.kill.machine import Head
from tests.kill.programs.killwork import RESULTS
from tests.kill.scene import Driver, Refused, Scene

pytestmark = [pytest.mark.kill, pytest.mark.cluster]
MANY = 200


def mount(*options: str) -> bool:
    return shutil.which("mount") is not None and not subprocess.run(["mount", *options], capture_output=True).returncode


class Disk:
    """A file system of a few megabytes. ``fill`` leaves no room on it."""

    def __init__(self, point: Path, scene: Scene) -> None:
        self.point = point
        self.scene = scene
        self.ballast = point / "ballast"

    def fill(self) -> None:
        with suppress(OSError), open(self.ballast, "ab", buffering=0) as ballast:
            while True:
                ballast.write(b"x" * 512)

    def free(self) -> None:
        self.ballast.unlink()

    def make_read_only(self) -> None:
        assert mount("-o", "remount,ro", str(self.point))


@pytest.fixture
def disk(lasting_head: Head) -> Iterator[Disk]:
    """The scene's store is on a small disk of its own, where this user may mount one."""
    scene = Scene(lasting_head)
    point = scene.folder / "disk"
    point.mkdir()
    if not mount("-t", "tmpfs", "-o", "size=16m", "tmpfs", str(point)):
        scene.end()
        pytest.skip("no right to mount a small tmpfs here")
    scene.put_store(point / "store.db")
    disk = Disk(point, scene)
    try:
        yield disk
    finally:
        with suppress(OSError):
            disk.free()
        dismiss(scene)
        subprocess.run(["umount", "--lazy", str(point)], check=True)
        scene.remove()


def refused(driver: Driver, n: int) -> str:
    """What a submit is told, or "" when it is accepted."""
    try:
        driver.ask("submit", workflow="inside", inputs=[n], timeout_s=30)
    except Refused as error:
        assert error.name == "StoreUnavailable", error
        return error.message
    return ""


def test_the_disk_runs_full_and_gets_room_again(disk: Disk) -> None:
    """Who submits is told, with the path and what to do. What was accepted goes on by itself once there is room."""
    scene = disk.scene
    driver = scene.driver()
    driver.ask("submit", workflow="inside", inputs=list(range(MANY)))
    scene.wait_begun(MANY // 2)
    disk.fill()
    told, number = "", MANY
    while not told and number < MANY + 50:  # what is still in SQLite's own files may fit yet
        told = refused(driver, number)
        number += 1
        disk.fill()
    assert scene.shown in told and "full" in told and "Free some space" in told
    time.sleep(4)  # longer than a lease: it cannot be renewed, and nobody may take that for a death
    [owner] = scene.owner_pids()
    disk.free()
    scene.all_ended(60)
    assert driver.ask("submit", workflow="inside", inputs=[number]) == 1
    assert all(isinstance(value, int) for value in driver.ask("results").values())
    assert scene.owner_pids() == [owner], "the same actor went on"
    found = scene.judged(RESULTS)
    assert found.rerun == 0 and found.lost == 0


def test_a_store_that_can_only_be_read_is_refused(disk: Disk) -> None:
    """Before anything is started, and not a byte of it changes."""
    scene = disk.scene
    asyncio.run(open_journal(scene.url).close())
    disk.make_read_only()
    before = Path(scene.shown).read_bytes()
    with pytest.raises(Refused) as error:
        scene.driver()
    assert error.value.name == "StoreUnavailable" and scene.shown in error.value.message
    assert "read-only" in error.value.message
    assert Path(scene.shown).read_bytes() == before
