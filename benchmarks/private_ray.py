"""A small Ray of our own for the rows that time Ray without raywf."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator

import ray


@contextlib.contextmanager
def private_ray() -> Iterator[None]:
    """Starts a local Ray that shares nothing with any other on this machine, and stops it."""
    directory = tempfile.mkdtemp(prefix="rb-")  # Ray's sockets need a short path, which --dir need not be
    try:
        ray.init(
            address="local",
            num_cpus=os.cpu_count(),
            include_dashboard=False,
            log_to_driver=False,
            logging_level="ERROR",
            object_store_memory=200 * 1024 * 1024,
            _temp_dir=directory,
        )
        yield
    finally:
        ray.shutdown()
        shutil.rmtree(directory, ignore_errors=True)
