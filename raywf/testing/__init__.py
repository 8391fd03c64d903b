"""What helps to test workflows, and stores: everything here runs without Ray.

``journal_contract`` is the suite that every store must pass; a store of your own can be held to it too.
"""

from raywf.testing.running import run

__all__ = ["run"]
