"""Clean-up: what a timeout cancels may put its things in order before anything else happens, and for a limited time. No Ray.

    python examples/gallery/cleanup.py

prints::

    attempt 1 takes the lock
    attempt 1 gives it back
    attempt 2 takes the lock
    attempt 2 gives it back
    failed: TimeoutError
"""

import asyncio

import raywf
import raywf.testing
from raywf import task, workflow


@task(timeout=60, cleanup_timeout=30, retry=raywf.Retry(max_attempts=2))
async def convert(name: str) -> None:
    number = raywf.current().attempt
    print(f"attempt {number} takes the lock")
    try:
        await asyncio.sleep(3600)
    finally:
        await asyncio.sleep(5)  # nobody interrupts this; after 30 s it would be given up on
        print(f"attempt {number} gives it back")


@workflow
def nightly(name: str) -> None:
    return convert(name)


if __name__ == "__main__":
    try:
        raywf.testing.run(nightly, "film")
    except raywf.WorkflowFailed as error:
        print(f"failed: {error.failure.type}")
