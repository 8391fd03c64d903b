"""The brain: everything that decides, and nothing that does.

What lives here: ids, history events, effects, the execution state machine, retry decisions, timers, the event codec.
What it may import: the standard library's value types, and ``raywf.errors``.
What is always true: synchronous; the same inputs give the same outputs; no clock, no randomness, no I/O, no logging;
arguments are never mutated.
"""
