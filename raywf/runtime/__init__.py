"""The hands: the loop that obeys the brain.

What lives here: activating executions, running attempts, evaluating bindings, timers, leases, recovery; the adapter to
Ray (``ray.py``, the only file of this room that imports it) and a runtime without Ray (``local.py``).
What it may import: core, ports, definition, errors, config, telemetry.
What is always true: one turn is one synchronous breath: read the state, step, buffer the event, store the new state,
with no await in between. Effects leave when their event is on disk.
"""
