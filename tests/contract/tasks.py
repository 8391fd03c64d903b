"""Tasks for definitions that are files."""

from __future__ import annotations

from raywf import task


@task
def double(value: int) -> int:
    return 2 * value


@task
def add(left: int, right: int) -> int:
    return left + right
