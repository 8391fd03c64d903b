"""What helps to test workflows, and stores: everything here runs without Ray.

``run`` and ``chaos`` run a workflow with a clock that jumps; ``fixtures`` is the pytest plugin; ``journal_contract`` is the
suite that every store must pass, and a store of your own can be held to it too. Names are loaded when they are first used:
pytest imports the plugin in every project that has raywf installed.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from raywf.testing.faults import Fault, InjectedFault
    from raywf.testing.kills import ChaosReport, chaos
    from raywf.testing.ledger import Call, Clock, Ledger
    from raywf.testing.running import run

_HOME = {
    "Call": "ledger",
    "ChaosReport": "kills",
    "Clock": "ledger",
    "Fault": "faults",
    "InjectedFault": "faults",
    "Ledger": "ledger",
    "chaos": "kills",
    "run": "running",
}
"""Public name -> the module of this room it lives in."""


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'raywf.testing' has no attribute {name!r}")
    value = getattr(import_module(f"raywf.testing.{home}"), name)
    globals()[name] = value
    return value


__all__ = ["Call", "ChaosReport", "Clock", "Fault", "InjectedFault", "Ledger", "chaos", "run"]
