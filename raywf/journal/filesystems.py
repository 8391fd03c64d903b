"""Which file system a path is on. SQLite's shared memory and locks need one that this machine alone serves."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from raywf.errors import StoreUnavailable

NETWORK = frozenset(
    "nfs nfs3 nfs4 cifs smb smb2 smb3 smbfs afpfs webdav davfs ncpfs afs 9p drvfs ceph lustre gfs gfs2 ocfs2 glusterfs "
    "beegfs gpfs pvfs2 orangefs panfs wekafs vboxsf vmhgfs prl_fs acfs moosefs juicefs".split()
)
"""Types that other machines (or the host of a virtual one) may write to as well. ``fuse.`` in front changes nothing."""

NETWORK_FUSE = frozenset(
    "sshfs s3fs s3ql gcsfuse goofys geesefs rclone mount-s3 blobfuse blobfuse2 davfs2 ceph-fuse gvfsd-fuse vmhgfs-fuse "
    "alluxio-fuse cvmfs2 curlftpfs encfs-remote dbfs hdfs".split()
)


def filesystem_of(path: Path) -> str:
    """The type of the file system that holds ``path`` (or would hold it), or ``unknown``."""
    place = os.path.realpath(path)
    if sys.platform == "darwin":
        found = _longest(place, mounts_of_mount(_output_of_mount()))
    else:
        try:
            text = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape")
        except OSError:
            return "unknown"
        found = _longest(place, mounts_of_mountinfo(text))
    return found or "unknown"


def refuse_network(path: Path) -> None:
    """Raise ``StoreUnavailable`` where SQLite would not be safe."""
    kind = filesystem_of(path)
    if is_network(kind):
        raise StoreUnavailable(
            f"store {path}: the file system there is {kind}, which other machines can write to as well; SQLite may "
            "lose data on it. Put the store on a disk of this machine (RAYWF_STORE=sqlite:////local/path/raywf.db)."
        )


def is_network(kind: str) -> bool:
    """Whether a file system type is served to more than one machine."""
    plain = kind.lower().removeprefix("fuse.")
    return plain in NETWORK or plain in NETWORK_FUSE


def mounts_of_mountinfo(text: str) -> list[tuple[str, str]]:
    """(mount point, type) from Linux's ``/proc/self/mountinfo``, in order of mounting."""
    found = []
    for line in text.splitlines():
        left, dash, right = line.partition(" - ")
        fields = left.split(" ")
        if dash and len(fields) >= 5 and right:
            found.append((_unescape(fields[4]), right.split(" ")[0]))
    return found


def mounts_of_mount(text: str) -> list[tuple[str, str]]:
    """(mount point, type) from the output of macOS's ``mount``: ``//server/share on /Volumes/share (smbfs, …)``."""
    return [(point, kind) for point, kind in re.findall(r"^.* on (/.*) \(([\w.-]+)[,)]", text, re.MULTILINE)]


def _longest(place: str, mounts: list[tuple[str, str]]) -> str | None:
    best, kind = "", None
    for point, type_ in mounts:
        covers = point == "/" or place == point or place.startswith(point + "/")
        if covers and len(point) >= len(best):  # of two at one point, the later mount hides the earlier
            best, kind = point, type_
    return kind


def _unescape(field: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), field)


def _output_of_mount() -> str:
    try:
        return subprocess.run(["/sbin/mount"], capture_output=True, text=True, timeout=5, check=False).stdout
    except (OSError, subprocess.SubprocessError):
        return ""
