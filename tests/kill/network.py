"""Another host on this machine: a network namespace with a name of its own and two wires to here, which can be cut and mended.

::

    here ── 198.18.N.1 ═══ ray ═══ 198.18.N.2 ── island          Ray talks over this one,
         ── 198.18.M.1 ══ store ══ 198.18.M.2 ──                 the store is reached over that one

A wire is a pair of veth devices, the near end of which is a port of a bridge. Cut, it leaves the bridge: both sides keep their links,
addresses and connections, and what is sent is lost in silence, as with a switch that has died. The addresses are
those for tests of network devices (RFC 2544), the names hold our process's id, and exactly what was made is removed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

import pytest


class Wire(NamedTuple):
    bridge: str
    near: str
    far: str
    here: str
    there: str


class Island:
    """Use as a context. ``ray`` and ``store`` are its wires, ``within`` what a command is preceded by to run there."""

    def __init__(self) -> None:
        mine = os.getpid()
        self.name = f"rwi{mine}"
        self.ray, self.store = (
            Wire(f"rwb{kind}{mine}", f"rwn{kind}{mine}", f"rwf{kind}{mine}", f"198.18.{net}.1", f"198.18.{net}.2")
            for kind, net in (("r", mine % 125 * 2), ("s", mine % 125 * 2 + 1))
        )

    @property
    def within(self) -> Sequence[str]:
        named = 'hostname "$0" && exec "$@"'
        return ["ip", "netns", "exec", self.name, "unshare", "--uts", "sh", "-c", named, self.name]

    def __enter__(self) -> Island:
        _skip_without_rights()
        try:
            _ip("netns", "add", self.name)
            _ip("-n", self.name, "link", "set", "lo", "up")
            for wire in (self.ray, self.store):
                _ip("link", "add", wire.bridge, "type", "bridge")
                _ip("addr", "add", f"{wire.here}/24", "dev", wire.bridge)
                _ip("link", "set", wire.bridge, "up")
                _ip("link", "add", wire.near, "type", "veth", "peer", "name", wire.far)
                _ip("link", "set", wire.far, "netns", self.name)
                _ip("-n", self.name, "addr", "add", f"{wire.there}/24", "dev", wire.far)
                _ip("-n", self.name, "link", "set", wire.far, "up")
                _ip("link", "set", wire.near, "up")
                self.mend(wire)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for wire in (self.ray, self.store):
            for device in (wire.near, wire.bridge):  # with the near end goes the far one
                with suppress(subprocess.CalledProcessError):
                    _ip("link", "del", device)
        with suppress(subprocess.CalledProcessError):
            _ip("netns", "del", self.name)

    def cut(self, *wires: Wire) -> None:
        for wire in wires:
            _ip("link", "set", wire.near, "nomaster")

    def mend(self, *wires: Wire) -> None:
        for wire in wires:
            _ip("link", "set", wire.near, "master", wire.bridge)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


def _skip_without_rights() -> None:
    """Say why there can be no other host here."""
    for tool in ("ip", "unshare", "hostname"):
        if shutil.which(tool) is None:
            pytest.skip(f"a second host needs the command {tool!r}, which this machine does not have")
    name = f"rwt{os.getpid()}"
    steps = [
        ["ip", "netns", "add", name],
        ["ip", "netns", "exec", name, "unshare", "--uts", "hostname", name],
        ["ip", "link", "add", name, "type", "bridge"],
    ]
    try:
        for step in steps:
            tried = subprocess.run(step, capture_output=True, text=True)
            if tried.returncode:
                pytest.skip(f"a second host needs network namespaces: {' '.join(step)!r}: {tried.stderr.strip()}")
    finally:
        for undo in (["ip", "link", "del", name], ["ip", "netns", "del", name]):
            subprocess.run(undo, capture_output=True)
