"""The journal: where the truth is kept.

What lives here: the stores behind the ``Journal`` door (``sqlite``, and ``memory``, its twin for tests), the factory
that opens one by URL, and the group commit through which a workflow actor writes.
What it may import: core, ports, errors, config, telemetry and database drivers; never ray, actors or the client.
What is always true: a batch is on disk as a whole or not at all; nobody writes with a lost lease; a reader changes
nothing; a store that is not ours, newer, or held from another machine is refused and left as it was.
"""

from raywf.journal.clock import SystemClock
from raywf.journal.conflicts import KeysTaken
from raywf.journal.factory import open_inbox, open_journal, open_reader
from raywf.journal.group_commit import GroupCommit
from raywf.journal.hosts import this_host
from raywf.journal.sealed import behind

__all__ = [
    "GroupCommit",
    "KeysTaken",
    "SystemClock",
    "behind",
    "open_inbox",
    "open_journal",
    "open_reader",
    "this_host",
]
