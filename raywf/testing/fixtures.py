"""The pytest plugin: a run function, its clock and its ledger, fresh for each test.

It comes with raywf (entry point ``pytest11``) and imports nothing but pytest: a test that uses none of it pays nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from raywf.testing.ledger import Clock, Ledger


@pytest.fixture
def raywf_clock() -> Clock:
    """The clock of every ``raywf_run`` in this test: ``now()``, ``elapsed_s``, ``advance(seconds)``."""
    from raywf.testing import Clock

    return Clock()


@pytest.fixture
def raywf_ledger() -> Ledger:
    """Every call that the tasks of this test got: ``of(task)``, ``results(task)``, ``keys()``, ``repeated()``."""
    from raywf.testing import Ledger

    return Ledger()


@pytest.fixture
def raywf_run(raywf_clock: Clock, raywf_ledger: Ledger) -> Callable[..., Any]:
    """``raywf.testing.run`` with this test's clock and ledger."""
    import functools

    from raywf.testing import run

    return functools.partial(run, clock=raywf_clock, ledger=raywf_ledger)
