"""Ready tasks bring in the libraries that they call with only when they run."""

from __future__ import annotations

import subprocess
import sys


def test_naming_them_loads_neither_an_http_client_nor_a_driver() -> None:
    program = (
        "import sys; from raywf import tasks; tasks.http, tasks.sql, tasks.object_put; "
        "print([name for name in ('httpx', 'asyncpg', 'pyarrow', 'ray') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
