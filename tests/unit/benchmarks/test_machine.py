"""Which disks we measure on, and which would make the figures lie."""

import pytest

from benchmarks.machine import check_disk, mount_of, parse_cpu, parse_mounts, refusal

MOUNTS = parse_mounts(
    """\
21 1 254:0 / / rw,relatime - ext4 /dev/vda rw
22 21 0:5 / /dev rw - devtmpfs devtmpfs rw,size=4k
23 21 0:20 / /tmp rw,nosuid shared:3 - tmpfs tmpfs rw,size=1g
24 21 8:1 / /tmp/disk rw - xfs /dev/sdb rw
25 21 0:30 / /merged rw - overlay overlay rw,lowerdir=/a:/b,upperdir=/tmp/upper,workdir=/tmp/w
26 21 0:31 / /solid rw - overlay overlay rw,lowerdir=/a,upperdir=/var/upper,workdir=/var/w
27 21 0:40 / /home/my\\040share rw - nfs4 server:/x rw
garbage
"""
)


def test_mounts_are_read_with_their_optional_fields_and_escapes():
    assert [m.point for m in MOUNTS] == ["/", "/dev", "/tmp", "/tmp/disk", "/merged", "/solid", "/home/my share"]
    assert (MOUNTS[2].type, MOUNTS[2].option("size")) == ("tmpfs", "1g")
    assert MOUNTS[2].option("upperdir") is None


@pytest.mark.parametrize(
    ("path", "point"),
    [
        ("/srv/x", "/"),
        ("/tmp", "/tmp"),
        ("/tmp/a", "/tmp"),
        ("/tmpfoo", "/"),
        ("/tmp/disk/a/b", "/tmp/disk"),
        ("/", "/"),
    ],
)
def test_a_path_belongs_to_the_deepest_mount_above_it(path, point):
    mount = mount_of(path, MOUNTS)
    assert mount is not None
    assert mount.point == point


def test_of_two_mounts_on_one_point_the_later_covers_the_earlier():
    twice = parse_mounts("1 0 0:1 / / rw - ext4 a rw\n2 1 0:2 / / rw - tmpfs b rw")
    mount = mount_of("/x", twice)
    assert mount is not None
    assert mount.type == "tmpfs"


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("/tmp/a", "tmpfs"),
        ("/dev/x", "devtmpfs"),
        ("/merged/a", "upper layer is tmpfs"),
        ("/home/my share/a", "network"),
    ],
)
def test_memory_and_networks_are_refused_by_name(path, why):
    assert why in (refusal(path, MOUNTS) or "")


@pytest.mark.parametrize("path", ["/srv", "/tmp/disk/a", "/solid/a"])
def test_disks_are_taken(path):
    assert refusal(path, MOUNTS) is None


def test_nothing_known_is_nothing_refused():
    assert refusal("/x", []) is None


def test_the_refusal_tells_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr("benchmarks.machine.refusal", lambda path, mounts: f"{path} lies on tmpfs")
    monkeypatch.setattr("benchmarks.machine.Path.exists", lambda self: True)
    monkeypatch.setattr("benchmarks.machine.Path.read_text", lambda self: "")
    with pytest.raises(SystemExit, match="--dir"):
        check_disk(tmp_path)


def test_waiting_for_the_disk_is_not_being_busy():
    stat = "cpu  9 9 9 9 9 9 9 9 0 0\ncpu0 10 0 5 80 3 1 1 0 7 0\ncpu1 0 0 0 100 0 0 0 0 0 0\nintr 5\n"
    assert parse_cpu(stat) == [(17, 100), (0, 100)]
