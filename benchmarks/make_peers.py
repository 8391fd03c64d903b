"""Builds an environment per peer under benchmarks/.peers/, from the pinned benchmarks/peers/NAME/requirements.txt.

One that cannot be built is named, the others are built all the same; the exit code is 1 then.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import venv
from pathlib import Path

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from benchmarks.peer_rows import ENVIRONMENTS, PEERS, Peer


def build(peer: Peer) -> str | None:
    """Builds one environment; the problem in words, or None. A half-built one does not stay."""
    directory = ENVIRONMENTS / peer.name
    shutil.rmtree(directory, ignore_errors=True)
    try:
        venv.create(directory, with_pip=True, symlinks=True)
    except (OSError, subprocess.CalledProcessError) as problem:
        return f"no virtual environment: {problem}"
    install = [str(peer.python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    if peer.closed:
        install.append("--no-deps")
    ended = subprocess.run(
        [*install, "--requirement", str(peer.requirements)], check=False, capture_output=True, text=True
    )
    if ended.returncode:
        shutil.rmtree(directory, ignore_errors=True)
        return "pip could not install it: " + (ended.stderr.strip().splitlines() or ["no message"])[-1]
    return peer.missing()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("peer", nargs="*", help="default: all of " + ", ".join(PEERS))
    parser.add_argument("--force", action="store_true", help="rebuild environments that work")
    given = parser.parse_args()
    if unknown := [name for name in given.peer if name not in PEERS]:
        parser.error(f"no peer is called {unknown[0]!r}; there are: {', '.join(PEERS)}")
    failed = 0
    for name in given.peer or PEERS:
        peer = PEERS[name]
        if not given.force and peer.missing() is None:
            print(f"{name}: there already")
            continue
        print(f"{name}: building benchmarks/.peers/{name} ...", flush=True)
        problem = build(peer)
        print(f"{name}: {problem or 'ready'}")
        failed += problem is not None
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
