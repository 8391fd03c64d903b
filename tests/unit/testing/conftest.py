"""The plugin that a user's pytest finds by its entry point; a checkout that was not installed anew has none yet."""

from raywf.testing.fixtures import raywf_clock, raywf_ledger, raywf_run

__all__ = ["raywf_clock", "raywf_ledger", "raywf_run"]
