"""Which file systems are refused, and that the one of a path is found."""

from __future__ import annotations

from pathlib import Path

import pytest

from raywf.errors import StoreUnavailable
from raywf.journal import filesystems
from raywf.journal.filesystems import is_network, mounts_of_mount, mounts_of_mountinfo, refuse_network

MOUNTINFO = r"""22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,discard
40 27 0:40 / /mnt/share rw,relatime - nfs4 server:/export rw,vers=4.2
41 27 0:41 / /mnt/with\040space rw,relatime - fuse.sshfs host:/x rw
42 27 0:42 / /mnt/c rw,noatime - 9p drvfs rw,dirsync
43 40 0:43 / /mnt/share/local rw - tmpfs tmpfs rw
44 27 0:44 / /mnt/twice rw - ext4 /dev/vdb rw
45 44 0:45 / /mnt/twice rw - cifs //server/share rw
46 27 0:46 / /mnt/shared rw master:3 propagate_from:2 - xfs /dev/vdc rw
"""
MOUNT = """/dev/disk3s1s1 on / (apfs, sealed, local, read-only, journaled)
/dev/disk3s5 on /System/Volumes/Data (apfs, local, journaled, nobrowse)
//ann@server._smb._tcp.local/share on /Volumes/team share (smbfs, nodev, nosuid, mounted by ann)
server:/export on /Volumes/export (nfs)
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/home/x.db", "ext4"),
        ("/mnt/share/x.db", "nfs4"),
        ("/mnt/share", "nfs4"),
        ("/mnt/shared/x.db", "xfs"),
        ("/mnt/share/local/deep/x.db", "tmpfs"),
        ("/mnt/with space/x.db", "fuse.sshfs"),
        ("/mnt/c/Users/x.db", "9p"),
        ("/mnt/twice/x.db", "cifs"),
        ("/proc/x", "proc"),
    ],
)
def test_linux_mounts(path: str, kind: str) -> None:
    assert filesystems._longest(path, mounts_of_mountinfo(MOUNTINFO)) == kind


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/Users/x.db", "apfs"), ("/Volumes/team share/x.db", "smbfs"), ("/Volumes/export/x.db", "nfs")],
)
def test_mac_mounts(path: str, kind: str) -> None:
    assert filesystems._longest(path, mounts_of_mount(MOUNT)) == kind


@pytest.mark.parametrize(
    "kind", ["nfs", "nfs4", "cifs", "smb3", "fuse.sshfs", "9p", "ceph", "lustre", "fuse.glusterfs"]
)
def test_what_others_can_write_to_is_a_network(kind: str) -> None:
    assert is_network(kind)


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "zfs", "apfs", "tmpfs", "overlay", "fuseblk", "unknown"])
def test_what_this_machine_alone_serves_is_not(kind: str) -> None:
    assert not is_network(kind)


def test_a_store_on_a_network_is_refused_with_a_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filesystems, "filesystem_of", lambda path: "nfs4")
    with pytest.raises(StoreUnavailable, match=r"/mnt/share/x\.db.*nfs4.*Put the store on a disk of this machine"):
        refuse_network(Path("/mnt/share/x.db"))


def test_the_file_system_of_a_path_that_is_not_there_yet(tmp_path: Path) -> None:
    assert filesystems.filesystem_of(tmp_path / "a" / "b.db") == filesystems.filesystem_of(tmp_path)
